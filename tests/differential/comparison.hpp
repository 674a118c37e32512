// Packets through several engines, which must not differ in a bit.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/packets/engine.hpp"
#include "tests/packets/pins.hpp"
#include "tests/packets/world.hpp"

namespace guideway::differential {

struct Trial {
    packets::Bytes frame;
    uint32_t headroom_bytes = packets::kHeadroomBytes;
    bool icmp_exhausted = false;           // the limit on ICMP answers has been reached
    std::vector<packets::Change> changes;  // before it
};

class Comparison {
  public:
    // Native against XDP and DPDK, packet by packet.
    [[nodiscard]] static Result<Comparison> open();
    // Native against DPDK, which takes many packets at a time.
    [[nodiscard]] static Result<Comparison> open_bursts();

    [[nodiscard]] Result<void> load(const packets::World &world);

    // What the engines disagree about, or nothing. Compares verdict, frame, and all counters,
    // pins and states of sources since load(). Frames that cannot be given to all count as agreed.
    [[nodiscard]] std::optional<std::string> compare(const Trial &trial);
    // The same for up to 32, of which only the first has changes, one headroom and one limit for
    // all. Only with open_bursts().
    [[nodiscard]] std::optional<std::string> compare_burst(const std::vector<Trial> &trials);

    [[nodiscard]] uint64_t compared() const { return compared_; }
    // How often each reason was given since load(), by gw_reason.
    [[nodiscard]] std::vector<uint64_t> reasons() const;
    // How often each event happened since load(), by gw_event.
    [[nodiscard]] std::vector<uint64_t> events() const;

  private:
    Comparison(std::unique_ptr<packets::Engine> native,
               std::vector<std::unique_ptr<packets::Engine>> others)
        : native_(std::move(native)), others_(std::move(others))
    {
    }

    [[nodiscard]] Result<void> change(const packets::Change &change);
    [[nodiscard]] std::string prepare(const Trial &trial);
    [[nodiscard]] std::string differences(packets::Engine &other);

    std::unique_ptr<packets::Engine> native_;
    std::vector<std::unique_ptr<packets::Engine>> others_;
    packets::BurstEngine *burst_ = nullptr;  // among the others
    packets::World world_;
    uint64_t compared_ = 0;
};

}  // namespace guideway::differential
