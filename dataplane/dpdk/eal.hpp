// DPDK's environment (EAL) of this process: memory, buses, and what DPDK says in its log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/dpdk/options.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

// DPDK's own log goes to ours, as debug messages; errors are kept here, because they are what
// explains a call that fails.
void take_over_dpdk_log(bool is_verbose);
// The words of the first error since the last call, which is the one that led to the others; or
// nothing.
[[nodiscard]] std::string dpdk_reason();

// Runs from start() to destruction; a process can have one, once.
class Eal {
  public:
    struct Wanted {
        std::string instance;
        uint32_t memory_mib = 0;  // of packet buffers; what drivers need comes on top
        Hugepages hugepages = Hugepages::kAuto;
        std::vector<std::string> pci_devices;  // the only ones to be touched, with arguments
    };
    [[nodiscard]] static Result<Eal> start(const Wanted &wanted);

    // "2 MiB hugepages"
    [[nodiscard]] const std::string &memory() const { return memory_; }

    Eal(Eal &&other) noexcept;
    Eal &operator=(Eal &&) = delete;
    ~Eal();

  private:
    explicit Eal(std::string memory) : memory_(std::move(memory)) {}
    std::string memory_;  // empty: moved from
};

}  // namespace guideway::dpdk
