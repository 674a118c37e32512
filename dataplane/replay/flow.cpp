#include "dataplane/replay/flow.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "dataplane/core/wire.h"
#include "dataplane/replay/be16.hpp"

namespace guideway::replay {
namespace {

// Finds Layer 3 behind any number of tags that the core would read, and one more does no harm.
void read_link(std::span<const uint8_t> frame, Dissection &found)
{
    size_t at = 12;
    while (at + 2 <= frame.size()) {
        found.ether_type = be16_at(frame, at);
        const bool is_tag = found.ether_type == GW_ETHERTYPE_VLAN ||
                            (found.ether_type == GW_ETHERTYPE_QINQ && found.vlans.empty());
        if (!is_tag || found.vlans.size() == GW_VLAN_TAGS_MAX || at + 6 > frame.size()) {
            break;
        }
        found.vlans.push_back(be16_at(frame, at + 2) & 0xfff);
        at += GW_VLAN_BYTES;
    }
    found.l3_offset = at + 2;
}

void read_l4(std::span<const uint8_t> frame, size_t at, Dissection &found)
{
    const uint8_t protocol = found.flow.protocol;
    const bool is_icmp = protocol == (found.flow.is_ipv6 ? GW_PROTO_ICMPV6 : GW_PROTO_ICMP);
    if (protocol == GW_PROTO_TCP || protocol == GW_PROTO_UDP) {
        found.deciding_bytes =
            at + (protocol == GW_PROTO_TCP ? GW_TCP_BYTES_MIN : GW_UDP_BYTES);
        if (at + 4 <= frame.size()) {
            found.has_ports = true;
            found.flow.source_port = be16_at(frame, at);
            found.flow.destination_port = be16_at(frame, at + 2);
        }
        if (protocol == GW_PROTO_TCP && at + GW_TCP_FLAGS_OFFSET < frame.size()) {
            found.tcp_flags = frame[at + GW_TCP_FLAGS_OFFSET];
        }
    } else if (is_icmp) {
        found.deciding_bytes = at + GW_ICMP_BYTES;
        if (at < frame.size()) {
            found.icmp_type = frame[at];
            // Of an error the flow is in what it quotes.
            if (found.flow.is_ipv6 ? gw_icmpv6_is_error(frame[at])
                                   : gw_icmp_is_error(frame[at])) {
                found.deciding_bytes +=
                    (found.flow.is_ipv6 ? GW_IPV6_BYTES : GW_IPV4_BYTES) + 8;
            }
        }
    }
}

void read_ipv4(std::span<const uint8_t> frame, Dissection &found)
{
    const auto ip = frame.subspan(found.l3_offset);
    found.deciding_bytes = found.l3_offset + GW_IPV4_BYTES;
    if (ip.size() < GW_IPV4_BYTES) {
        return;
    }
    found.is_ip = true;
    found.packet_bytes = be16_at(ip, 2);
    found.hops = ip[8];
    found.flow.protocol = ip[9];
    std::copy_n(ip.begin() + 12, 4, found.flow.source.begin());
    std::copy_n(ip.begin() + 16, 4, found.flow.destination.begin());
    const uint16_t fragment = be16_at(ip, 6);
    found.is_fragment = (fragment & (GW_IPV4_MORE_FRAGMENTS | GW_IPV4_FRAGMENT_OFFSET)) != 0;
    const size_t header_bytes = size_t{4} * (ip[0] & 0xf);
    if ((fragment & GW_IPV4_FRAGMENT_OFFSET) == 0 && header_bytes >= GW_IPV4_BYTES) {
        read_l4(frame, found.l3_offset + header_bytes, found);
    }
}

void read_ipv6(std::span<const uint8_t> frame, Dissection &found)
{
    const auto ip = frame.subspan(found.l3_offset);
    found.deciding_bytes = found.l3_offset + GW_IPV6_BYTES;
    if (ip.size() < GW_IPV6_BYTES) {
        return;
    }
    found.is_ip = true;
    found.flow.is_ipv6 = true;
    found.packet_bytes = be16_at(ip, 4) + uint32_t{GW_IPV6_BYTES};
    found.flow.protocol = ip[6];
    found.hops = ip[7];
    std::copy_n(ip.begin() + 8, 16, found.flow.source.begin());
    std::copy_n(ip.begin() + 24, 16, found.flow.destination.begin());
    found.is_fragment = found.flow.protocol == GW_PROTO_FRAGMENT;
    read_l4(frame, found.l3_offset + GW_IPV6_BYTES, found);
}

}  // namespace

Dissection dissect(std::span<const uint8_t> frame)
{
    Dissection found;
    read_link(frame, found);
    if (found.l3_offset > frame.size()) {
        return found;
    }
    if (found.ether_type == GW_ETHERTYPE_IPV4) {
        read_ipv4(frame, found);
    } else if (found.ether_type == GW_ETHERTYPE_IPV6) {
        read_ipv6(frame, found);
    }
    return found;
}

std::string address_text(const std::array<uint8_t, 16> &address, bool is_ipv6)
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
}

std::string protocol_text(uint8_t protocol, bool is_ipv6)
{
    if (protocol == GW_PROTO_TCP) {
        return "tcp";
    }
    if (protocol == GW_PROTO_UDP) {
        return "udp";
    }
    if (protocol == (is_ipv6 ? GW_PROTO_ICMPV6 : GW_PROTO_ICMP)) {
        return is_ipv6 ? "icmpv6" : "icmp";
    }
    return fmt::format("protocol {}", protocol);
}

std::string to_string(const FlowKey &key)
{
    const bool has_ports = key.protocol == GW_PROTO_TCP || key.protocol == GW_PROTO_UDP;
    const auto end = [&](const std::array<uint8_t, 16> &address, uint16_t port) {
        std::string text = address_text(address, key.is_ipv6);
        if (!has_ports) {
            return text;
        }
        return key.is_ipv6 ? fmt::format("[{}]:{}", text, port)
                           : fmt::format("{}:{}", text, port);
    };
    return fmt::format("{} {} -> {}", protocol_text(key.protocol, key.is_ipv6),
                       end(key.source, key.source_port),
                       end(key.destination, key.destination_port));
}

}  // namespace guideway::replay
