// Network interfaces of the kernel, as ports need to know them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/descriptor.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

using Mac = std::array<uint8_t, 6>;

struct Netdev {
    uint32_t ifindex = 0;
    bool is_up = false;  // and has a carrier
    uint32_t mtu_bytes = 0;
    uint32_t speed_mbps = 0;  // 0: unknown
    Mac mac{};
};

// None where this network namespace has no interface of that name.
[[nodiscard]] std::optional<Netdev> netdev(const std::string &name);

// Whether the kernel joins packets of a flow into one before anybody sees them (GRO, LRO): such
// frames are longer than what goes over a wire.
[[nodiscard]] bool joins_packets(const std::string &name);

// A tap: what is written to it is received by the kernel on it, what the kernel sends can be read.
class Tap {
  public:
    // Opens the tap `name`, which is made where there is none.
    [[nodiscard]] static Result<Tap> open(const std::string &name);

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const std::string &name() const { return name_; }
    // The address is left alone where it is all zero.
    [[nodiscard]] Result<void> bring_up(const Mac &mac, uint32_t mtu_bytes) const;
    // It stays, with its addresses and routes, when it is closed; one that was made would be gone.
    [[nodiscard]] Result<void> keep() const;
    // It is gone when it is closed.
    void remove() const;

  private:
    Tap(Descriptor fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
    Descriptor fd_;
    std::string name_;
};

// Lets what is received on `from` be received on the interface `to` instead.
[[nodiscard]] Result<void> receive_as(const std::string &from, uint32_t to_ifindex);

// Packet sockets of this process that drivers have opened see no packets any more that this host
// sends: they are for the wire alone.
void ignore_outgoing_packets();

}  // namespace guideway::dpdk
