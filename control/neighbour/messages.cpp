#include "control/neighbour/messages.hpp"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

namespace guideway::neighbour {
namespace {

using model::IpAddress;

constexpr size_t kAddressBytesIpv4 = 4;
constexpr size_t kAddressBytesIpv6 = 16;

int family_of(const IpAddress &address)
{
    return address.is_ipv6() ? AF_INET6 : AF_INET;
}

// The family header behind the netlink header; null when the message is too short for it.
template <typename Header>
const Header *header_of(const nlmsghdr &message)
{
    return mnl_nlmsg_get_payload_len(&message) < sizeof(Header)
               ? nullptr
               : static_cast<const Header *>(mnl_nlmsg_get_payload(&message));
}

// Calls `visit(type, attribute)` for each attribute between two places, up to the first
// whose length does not fit.
template <typename Visit>
void for_each_attribute(const void *begin, const void *end, Visit visit)
{
    const auto *attribute = static_cast<const nlattr *>(begin);
    while (
        mnl_attr_ok(attribute, static_cast<int>(static_cast<const char *>(end) -
                                                reinterpret_cast<const char *>(attribute)))) {
        visit(mnl_attr_get_type(attribute), attribute);
        attribute = mnl_attr_next(attribute);
    }
}

// Those of a message, behind a family header of `offset` bytes.
template <typename Visit>
void for_each_attribute(const nlmsghdr &message, size_t offset, Visit visit)
{
    for_each_attribute(mnl_nlmsg_get_payload_offset(&message, offset),
                       mnl_nlmsg_get_payload_tail(&message), visit);
}

template <typename Visit>
void for_each_nested(const nlattr *nest, Visit visit)
{
    const auto *begin = static_cast<const char *>(mnl_attr_get_payload(nest));
    for_each_attribute(begin, begin + mnl_attr_get_payload_len(nest), visit);
}

// The value, or zero when the attribute has another size.
template <typename Number>
Number number(const nlattr *attribute)
{
    Number value = 0;
    if (mnl_attr_get_payload_len(attribute) >= sizeof(value)) {
        std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(value));
    }
    return value;
}

std::string text(const nlattr *attribute)
{
    const auto *bytes = static_cast<const char *>(mnl_attr_get_payload(attribute));
    return {bytes, ::strnlen(bytes, mnl_attr_get_payload_len(attribute))};
}

std::optional<IpAddress> address_from(const void *bytes, size_t size)
{
    if (size != kAddressBytesIpv4 && size != kAddressBytesIpv6) {
        return std::nullopt;
    }
    IpAddress address;
    address.family = size == kAddressBytesIpv6 ? model::Family::kIpv6 : model::Family::kIpv4;
    std::memcpy(address.bytes.data(), bytes, size);
    return address;
}

std::optional<IpAddress> address(const nlattr *attribute)
{
    return address_from(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

std::optional<model::Mac> mac(const nlattr *attribute)
{
    model::Mac value{};
    if (mnl_attr_get_payload_len(attribute) != value.size()) {
        return std::nullopt;
    }
    std::memcpy(value.data(), mnl_attr_get_payload(attribute), value.size());
    return value;
}

// An IPv4 route by way of an IPv6 neighbour (RFC 5549): a family, then the address.
std::optional<IpAddress> via(const nlattr *attribute)
{
    const size_t size = mnl_attr_get_payload_len(attribute);
    if (size < sizeof(rtvia)) {
        return std::nullopt;
    }
    const auto *bytes = static_cast<const char *>(mnl_attr_get_payload(attribute));
    return address_from(bytes + sizeof(rtvia), size - sizeof(rtvia));
}

void read_vlan(const nlattr *data, Link &link)
{
    for_each_nested(data, [&](uint16_t type, const nlattr *attribute) {
        if (type == IFLA_VLAN_ID) {
            link.tag.id = number<uint16_t>(attribute);
        } else if (type == IFLA_VLAN_PROTOCOL) {
            link.tag.protocol = ntohs(number<uint16_t>(attribute));
        }
    });
}

void read_link_info(const nlattr *info, Link &link)
{
    const nlattr *data = nullptr;
    for_each_nested(info, [&](uint16_t type, const nlattr *attribute) {
        if (type == IFLA_INFO_KIND) {
            link.kind = text(attribute);
        } else if (type == IFLA_INFO_DATA) {
            data = attribute;
        }
    });
    if (link.kind == "vlan" && data != nullptr) {
        read_vlan(data, link);
    }
}

uint32_t route_mtu(const nlattr *metrics)
{
    uint32_t mtu_bytes = 0;
    for_each_nested(metrics, [&](uint16_t type, const nlattr *attribute) {
        if (type == RTAX_MTU) {
            mtu_bytes = number<uint32_t>(attribute);
        }
    });
    return mtu_bytes;
}

Message neighbour_message(const NeighbourKey &key, uint16_t type, uint16_t flags)
{
    Message message(type, flags);
    auto &header = message.header<ndmsg>();
    header.ndm_family = static_cast<uint8_t>(family_of(key.address));
    header.ndm_ifindex = static_cast<int>(key.ifindex);
    message.put(NDA_DST, key.address);
    return message;
}

Message route_message(const IpAddress &destination, uint32_t flags)
{
    Message message(RTM_GETROUTE, NLM_F_REQUEST);
    auto &header = message.header<rtmsg>();
    header.rtm_family = static_cast<uint8_t>(family_of(destination));
    header.rtm_dst_len = static_cast<uint8_t>(destination.bits());
    header.rtm_flags = flags;
    message.put(RTA_DST, destination);
    return message;
}

}  // namespace

std::optional<Link> parse_link(const nlmsghdr &message)
{
    const auto *header = header_of<ifinfomsg>(message);
    // The bridge repeats its ports' messages under a family of its own.
    if ((message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) ||
        header == nullptr || header->ifi_family != AF_UNSPEC) {
        return std::nullopt;
    }
    Link link{.ifindex = static_cast<uint32_t>(header->ifi_index),
              .flags = header->ifi_flags,
              .hardware_type = header->ifi_type};
    for_each_attribute(message, sizeof(*header), [&](uint16_t type, const nlattr *attribute) {
        switch (type) {
            case IFLA_IFNAME:
                link.name = text(attribute);
                break;
            case IFLA_ADDRESS:
                link.mac = mac(attribute).value_or(model::Mac{});
                break;
            case IFLA_MTU:
                link.mtu_bytes = number<uint32_t>(attribute);
                break;
            case IFLA_LINK:
                link.lower_ifindex = number<uint32_t>(attribute);
                break;
            case IFLA_LINK_NETNSID:
                link.lower_is_elsewhere = true;
                break;
            case IFLA_LINKINFO:
                read_link_info(attribute, link);
                break;
            default:
                break;
        }
    });
    return link;
}

std::optional<std::pair<NeighbourKey, Neighbour>> parse_neighbour(const nlmsghdr &message)
{
    const auto *header = header_of<ndmsg>(message);
    if ((message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) ||
        header == nullptr ||
        (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) {
        return std::nullopt;
    }
    std::optional<IpAddress> destination;
    Neighbour neighbour{.state = header->ndm_state};
    for_each_attribute(message, sizeof(*header), [&](uint16_t type, const nlattr *attribute) {
        if (type == NDA_DST) {
            destination = address(attribute);
        } else if (type == NDA_LLADDR) {
            neighbour.mac = mac(attribute);
        } else if (type == NDA_FLAGS_EXT) {
            neighbour.managed = (number<uint32_t>(attribute) & NTF_EXT_MANAGED) != 0;
        }
    });
    if (!destination) {
        return std::nullopt;
    }
    return std::pair{NeighbourKey{static_cast<uint32_t>(header->ndm_ifindex), *destination},
                     neighbour};
}

std::optional<Route> parse_route(const nlmsghdr &message)
{
    const auto *header = header_of<rtmsg>(message);
    if (message.nlmsg_type != RTM_NEWROUTE || header == nullptr) {
        return std::nullopt;
    }
    Route route{.type = header->rtm_type};
    for_each_attribute(message, sizeof(*header), [&](uint16_t type, const nlattr *attribute) {
        switch (type) {
            case RTA_OIF:
                route.ifindex = number<uint32_t>(attribute);
                break;
            case RTA_GATEWAY:
                route.gateway = address(attribute);
                break;
            case RTA_VIA:
                route.gateway = via(attribute);
                break;
            case RTA_METRICS:
                route.mtu_bytes = route_mtu(attribute);
                break;
            case RTA_ENCAP:
                route.encapsulates = true;
                break;
            default:
                break;
        }
    });
    return route;
}

std::vector<uint32_t> parse_route_interfaces(const nlmsghdr &message)
{
    std::vector<uint32_t> interfaces;
    const auto *header = header_of<rtmsg>(message);
    if (message.nlmsg_type != RTM_NEWROUTE || header == nullptr) {
        return interfaces;
    }
    for_each_attribute(message, sizeof(*header), [&](uint16_t type, const nlattr *attribute) {
        if (type == RTA_OIF) {
            interfaces.push_back(number<uint32_t>(attribute));
        } else if (type == RTA_MULTIPATH) {
            // A list of rtnexthop, each followed by attributes of its own.
            const auto *at = static_cast<const char *>(mnl_attr_get_payload(attribute));
            const auto *end = at + mnl_attr_get_payload_len(attribute);
            rtnexthop hop{};
            while (static_cast<size_t>(end - at) >= sizeof(hop)) {
                std::memcpy(&hop, at, sizeof(hop));
                const size_t bytes = RTNH_ALIGN(hop.rtnh_len);
                if (hop.rtnh_len < sizeof(hop) || bytes > static_cast<size_t>(end - at)) {
                    break;
                }
                interfaces.push_back(static_cast<uint32_t>(hop.rtnh_ifindex));
                at += bytes;
            }
        }
    });
    return interfaces;
}

std::optional<LocalAddress> parse_local_address(const nlmsghdr &message)
{
    const auto *header = header_of<ifaddrmsg>(message);
    if (message.nlmsg_type != RTM_NEWADDR || header == nullptr) {
        return std::nullopt;
    }
    std::optional<IpAddress> found;
    // On a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL there.
    for_each_attribute(message, sizeof(*header), [&](uint16_t type, const nlattr *attribute) {
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && !found)) {
            found = address(attribute);
        }
    });
    if (!found) {
        return std::nullopt;
    }
    return LocalAddress{.ifindex = header->ifa_index, .address = *found};
}

Message::Message(uint16_t type, uint16_t flags)
{
    nlmsghdr *message = mnl_nlmsg_put_header(bytes_.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
}

template <typename Header>
Header &Message::header()
{
    return *static_cast<Header *>(mnl_nlmsg_put_extra_header(&raw(), sizeof(Header)));
}

void Message::put(uint16_t attribute, const IpAddress &address)
{
    mnl_attr_put(&raw(), attribute, address.is_ipv6() ? kAddressBytesIpv6 : kAddressBytesIpv4,
                 address.bytes.data());
}

void Message::put(uint16_t attribute, uint32_t value)
{
    mnl_attr_put_u32(&raw(), attribute, value);
}

nlmsghdr &Message::raw()
{
    return *reinterpret_cast<nlmsghdr *>(bytes_.data());
}
const nlmsghdr &Message::raw() const
{
    return *reinterpret_cast<const nlmsghdr *>(bytes_.data());
}

Message dump_links()
{
    Message message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
    message.header<ifinfomsg>();
    // Virtual functions and their counters are not needed and can be large.
    message.put(IFLA_EXT_MASK, uint32_t{RTEXT_FILTER_SKIP_STATS});
    return message;
}

Message dump_addresses()
{
    Message message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
    message.header<ifaddrmsg>();
    return message;
}

Message get_route(const IpAddress &destination)
{
    return route_message(destination, 0);
}

Message get_route_entry(const IpAddress &destination)
{
    return route_message(destination, RTM_F_FIB_MATCH);
}

Message get_neighbour(const NeighbourKey &key)
{
    return neighbour_message(key, RTM_GETNEIGH, NLM_F_REQUEST);
}

Message manage_neighbour(const NeighbourKey &key)
{
    auto message = neighbour_message(key, RTM_NEWNEIGH,
                                     NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    message.put(NDA_FLAGS_EXT, uint32_t{NTF_EXT_MANAGED});
    return message;
}

// An update by an administrator that does not say "managed" ends it; NTF_USE leaves the
// entry itself as it is.
Message release_neighbour(const NeighbourKey &key)
{
    auto message =
        neighbour_message(key, RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE);
    static_cast<ndmsg *>(mnl_nlmsg_get_payload(&message.raw()))->ndm_flags = NTF_USE;
    return message;
}

}  // namespace guideway::neighbour
