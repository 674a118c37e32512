// The way to a backend: interface, Layer 2 addresses, tags and MTU.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "control/model/address.hpp"

namespace guideway::model {

using Mac = std::array<uint8_t, 6>;

struct VlanTag {
    uint16_t protocol = 0x8100;  // EtherType of the tag, host order
    uint16_t id = 0;

    auto operator<=>(const VlanTag &) const = default;
};

struct NextHop {
    uint32_t egress_ifindex = 0;  // the device below any VLAN devices: frames leave here
    std::string interface;        // the route's interface, VLAN device or not
    Mac source{};
    Mac destination{};
    std::vector<VlanTag> tags;  // outermost first, at most two
    uint32_t mtu_bytes = 0;     // of the IP packet, the least along route and interface
    IpAddress via;              // whose MAC `destination` is

    auto operator<=>(const NextHop &) const = default;
};

}  // namespace guideway::model
