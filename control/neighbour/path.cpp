#include "control/neighbour/path.hpp"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace guideway::neighbour {
namespace {

constexpr size_t kTagsMax = 2;
constexpr uint32_t kTagBytes = 4;
// States in which the kernel itself would use the entry's address (NUD_VALID inside it).
constexpr uint16_t kUsableStates =
    NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

std::string_view question(const model::IpAddress &address)
{
    return address.is_ipv6() ? "neighbour solicitations" : "ARP";
}

// Kinds of Ethernet devices whose drivers have no way in for frames from native XDP
// (ndo_xdp_xmit): the kernel would drop each packet behind the program's back.
constexpr std::array<std::string_view, 16> kKindsWithoutXdpTransmit{
    "batadv",    "bridge",    "dummy",  "erspan", "geneve",  "gretap",  "hsr", "ifb",
    "ip6erspan", "ip6gretap", "ipvlan", "macsec", "macvlan", "macvtap", "vrf", "vxlan"};

Result<void> check_usable(const Link &link)
{
    if (link.hardware_type != ARPHRD_ETHER) {
        return fail(link.name +
                    " has no Ethernet header; backends are reached by Ethernet "
                    "interfaces only");
    }
    if (std::ranges::find(kKindsWithoutXdpTransmit, link.kind) !=
        kKindsWithoutXdpTransmit.end()) {
        return fail(link.name + " is of kind " + link.kind +
                    ", which takes no frames from XDP; route by the Ethernet interface below "
                    "it");
    }
    if ((link.flags & IFF_UP) == 0) {
        return fail(link.name + " is down");
    }
    if ((link.flags & IFF_RUNNING) == 0) {
        return fail(link.name + " has no carrier");
    }
    return {};
}

}  // namespace

Result<Egress> egress_of(const Links &links, uint32_t ifindex)
{
    Egress egress;
    while (true) {
        const auto found = links.find(ifindex);
        if (found == links.end()) {
            return fail("interface number " + std::to_string(ifindex) + " is gone");
        }
        const Link &link = found->second;
        if (auto usable = check_usable(link); !usable) {
            return std::unexpected(std::move(usable.error()));
        }
        if (egress.interface == nullptr) {
            egress.interface = &link;
            egress.mtu_bytes = link.mtu_bytes;
        }
        egress.mtu_bytes = std::min(egress.mtu_bytes, link.mtu_bytes);
        if (link.kind != "vlan") {
            egress.device = &link;
            if (egress.tags.size() == kTagsMax) {
                // Frames from XDP have room for one tag beyond the device's MTU; longer ones
                // the kernel drops behind the program's back.
                const uint32_t room = link.mtu_bytes - std::min(link.mtu_bytes, kTagBytes);
                egress.mtu_bytes = std::min(egress.mtu_bytes, room);
            }
            return egress;
        }
        if (link.lower_is_elsewhere) {
            return fail("the device under " + link.name + " is in another network namespace");
        }
        if (egress.tags.size() == kTagsMax) {
            return fail(egress.interface->name + " adds more than two VLAN tags");
        }
        // Met from the inside out: each device below adds a tag in front.
        egress.tags.insert(egress.tags.begin(), link.tag);
        ifindex = link.lower_ifindex;
    }
}

Result<NeighbourKey> neighbour_of(const model::IpAddress &destination, const Route &route)
{
    const std::string name = destination.to_string();
    switch (route.type) {
        case RTN_UNICAST:
            break;
        case RTN_LOCAL:
            return fail(name + " is this host");
        case RTN_BROADCAST:
        case RTN_ANYCAST:
        case RTN_MULTICAST:
            return fail(name + " is not the address of a single host");
        default:
            return fail("the route to " + name + " refuses packets");
    }
    if (route.encapsulates) {
        return fail("the route to " + name + " encapsulates, which the fast path cannot do");
    }
    if (route.ifindex == 0) {
        return fail("the route to " + name + " names no interface");
    }
    return NeighbourKey{route.ifindex, route.gateway.value_or(destination)};
}

Result<model::NextHop> next_hop(const Links &links, const Route &route, const NeighbourKey &key,
                                const Neighbour *neighbour)
{
    auto egress = egress_of(links, key.ifindex);
    if (!egress) {
        return std::unexpected(std::move(egress.error()));
    }
    const std::string &interface = egress->interface->name;
    const std::string where = key.address.to_string() + " on " + interface;
    // A static entry may serve an interface without ARP; nothing else can.
    const bool answered = neighbour != nullptr && neighbour->mac &&
                          (neighbour->state & kUsableStates) != 0 &&
                          (neighbour->state & NUD_NOARP) == 0;
    if (!answered && (egress->interface->flags & IFF_NOARP) != 0) {
        return fail(interface + " does not use ARP; add a permanent neighbour entry for " +
                    key.address.to_string());
    }
    if (!answered) {
        const bool failed = neighbour != nullptr && (neighbour->state & NUD_FAILED) != 0;
        return failed ? fail(where + " does not answer " + std::string(question(key.address)))
                      : fail("waiting for " + where + " to answer " +
                             std::string(question(key.address)));
    }
    return model::NextHop{.egress_ifindex = egress->device->ifindex,
                          .interface = interface,
                          .source = egress->interface->mac,
                          .destination = *neighbour->mac,
                          .tags = std::move(egress->tags),
                          .mtu_bytes = route.mtu_bytes == 0
                                           ? egress->mtu_bytes
                                           : std::min(egress->mtu_bytes, route.mtu_bytes),
                          .via = key.address};
}

}  // namespace guideway::neighbour
