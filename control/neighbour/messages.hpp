// rtnetlink messages as values, and back. Pure: nothing here talks to the kernel.
//
// Sources: rtnetlink(7), linux/rtnetlink.h, linux/neighbour.h, linux/if_link.h.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/address.hpp"
#include "control/model/next_hop.hpp"

namespace guideway::neighbour {

struct Link {
    uint32_t ifindex = 0;
    std::string name;
    model::Mac mac{};
    uint32_t mtu_bytes = 0;
    uint32_t flags = 0;               // IFF_*
    uint16_t hardware_type = 0;       // ARPHRD_*
    std::string kind;                 // "vlan", "veth", …; empty for hardware
    uint32_t lower_ifindex = 0;       // the device that a VLAN device is on
    bool lower_is_elsewhere = false;  // in another network namespace
    model::VlanTag tag;               // of kind "vlan"

    auto operator<=>(const Link &) const = default;
};

struct NeighbourKey {
    uint32_t ifindex = 0;
    model::IpAddress address;

    auto operator<=>(const NeighbourKey &) const = default;
};

struct Neighbour {
    uint16_t state = 0;  // NUD_*
    bool managed = false;
    std::optional<model::Mac> mac;

    auto operator<=>(const Neighbour &) const = default;
};

// The kernel's answer to "how would a packet to this address leave".
struct Route {
    uint8_t type = 0;  // RTN_*
    uint32_t ifindex = 0;
    std::optional<model::IpAddress> gateway;  // none: on the link itself
    uint32_t mtu_bytes = 0;                   // 0: the route sets none
    bool encapsulates = false;                // a lightweight tunnel

    auto operator<=>(const Route &) const = default;
};

// Each nullopt when the message is of another kind, of an address family that does not
// matter here, or cut short.
[[nodiscard]] std::optional<Link> parse_link(const nlmsghdr &message);
[[nodiscard]] std::optional<std::pair<NeighbourKey, Neighbour>> parse_neighbour(
    const nlmsghdr &message);
[[nodiscard]] std::optional<Route> parse_route(const nlmsghdr &message);

// Every interface that a route names, one for each of its next hops.
[[nodiscard]] std::vector<uint32_t> parse_route_interfaces(const nlmsghdr &message);

struct LocalAddress {
    uint32_t ifindex = 0;
    model::IpAddress address;
};
[[nodiscard]] std::optional<LocalAddress> parse_local_address(const nlmsghdr &message);

// A request, built in place; its length is in the header.
class Message {
  public:
    Message(uint16_t type, uint16_t flags);
    template <typename Header>
    Header &header();
    void put(uint16_t attribute, const model::IpAddress &address);
    void put(uint16_t attribute, uint32_t value);
    [[nodiscard]] nlmsghdr &raw();
    [[nodiscard]] const nlmsghdr &raw() const;

  private:
    static constexpr size_t kBytesMax = 512;
    alignas(nlmsghdr) std::array<char, kBytesMax> bytes_{};
};

[[nodiscard]] Message dump_links();
[[nodiscard]] Message dump_addresses();
[[nodiscard]] Message get_route(const model::IpAddress &destination);
// The entry of the table itself: of a local address the device that has it, where the route
// of a packet always names the loopback device.
[[nodiscard]] Message get_route_entry(const model::IpAddress &destination);
[[nodiscard]] Message get_neighbour(const NeighbourKey &key);
// Makes the kernel resolve the neighbour and keep it resolved by itself. Not to be used on
// a permanent entry, which it would turn into an ordinary one.
[[nodiscard]] Message manage_neighbour(const NeighbourKey &key);
[[nodiscard]] Message release_neighbour(const NeighbourKey &key);

}  // namespace guideway::neighbour
