// From what the kernel knows to a next hop, or to the reason why there is none. Pure.
#pragma once

#include <map>

#include "control/model/next_hop.hpp"
#include "control/neighbour/messages.hpp"
#include "dataplane/error.hpp"

namespace guideway::neighbour {

using Links = std::map<uint32_t, Link>;  // by ifindex

// The Ethernet device that frames of a route's interface leave by, with their tags.
struct Egress {
    const Link *interface = nullptr;   // the route's
    const Link *device = nullptr;      // below any VLAN devices
    std::vector<model::VlanTag> tags;  // outermost first
    uint32_t mtu_bytes = 0;            // of the IP packet, where the tags fit too
};

// Fails when a device of the stack is missing, down, or has no Ethernet header, or when
// there would be more than two tags.
[[nodiscard]] Result<Egress> egress_of(const Links &links, uint32_t ifindex);

// The neighbour that a packet to `destination` is handed to. Fails when the route does not
// lead to another host.
[[nodiscard]] Result<NeighbourKey> neighbour_of(const model::IpAddress &destination,
                                                const Route &route);

// `neighbour` may be null: not known to the kernel yet.
[[nodiscard]] Result<model::NextHop> next_hop(const Links &links, const Route &route,
                                              const NeighbourKey &key,
                                              const Neighbour *neighbour);

}  // namespace guideway::neighbour
