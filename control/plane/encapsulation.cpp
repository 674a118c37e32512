#include "control/plane/encapsulation.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/core/wire.h"

namespace guideway::plane {
namespace {

constexpr uint8_t kOuterHops = 64;

uint8_t *put16(uint8_t *to, uint16_t value)
{
    *to++ = static_cast<uint8_t>(value >> 8);
    *to++ = static_cast<uint8_t>(value);
    return to;
}

// Writes Ethernet and tags so that they end at GW_OUTER_L3_OFFSET. Their length in bytes.
uint8_t write_l2(uint8_t *outer, const model::NextHop &next_hop, bool is_ipv6)
{
    const size_t l2_bytes = GW_ETHERNET_BYTES + next_hop.tags.size() * GW_VLAN_BYTES;
    uint8_t *to = outer + GW_OUTER_L3_OFFSET - l2_bytes;
    to = std::copy(next_hop.destination.begin(), next_hop.destination.end(), to);
    to = std::copy(next_hop.source.begin(), next_hop.source.end(), to);
    for (const auto &tag : next_hop.tags) {
        to = put16(to, tag.protocol);
        to = put16(to, tag.id);
    }
    put16(to, is_ipv6 ? GW_ETHERTYPE_IPV6 : GW_ETHERTYPE_IPV4);
    return static_cast<uint8_t>(l2_bytes);
}

// The bits of a network-order word below a prefix of `length_bits`.
uint32_t host_mask(int length_bits)
{
    const uint32_t mask = length_bits >= 32 ? 0 : 0xffffffffU >> length_bits;
    return gw_to_be32(mask).raw;
}

void write_ipv4(PrebuiltEncapsulation &built, const model::IpAddress &backend,
                const model::Prefix &source)
{
    gw_ipv4 ip{};
    ip.version_ihl = GW_IPV4_VERSION_IHL;
    ip.fragment = gw_to_be16(GW_IPV4_DONT_FRAGMENT);
    ip.ttl = kOuterHops;
    std::memcpy(&ip.source, source.address.bytes.data(), 4);
    std::memcpy(&ip.destination, backend.bytes.data(), 4);
    built.encapsulation.entropy_mask = host_mask(source.length_bits);
    ip.source.raw &= ~built.encapsulation.entropy_mask;
    std::memcpy(&built.outer[GW_OUTER_L3_OFFSET], &ip, sizeof(ip));
    for (size_t i = 0; i < sizeof(ip); i += 2) {
        built.encapsulation.outer_sum += gw_load16(&built.outer[GW_OUTER_L3_OFFSET + i]);
    }
    built.encapsulation.l3_bytes = GW_IPV4_BYTES;
}

void write_ipv6(PrebuiltEncapsulation &built, const model::IpAddress &backend,
                const model::Prefix &source)
{
    gw_ipv6 ip{};
    ip.version_class_label = gw_to_be32(6U << 28);
    ip.hop_limit = kOuterHops;
    std::memcpy(ip.source, source.address.bytes.data(), 16);
    std::memcpy(ip.destination, backend.bytes.data(), 16);
    std::memcpy(&built.outer[GW_OUTER_L3_OFFSET], &ip, sizeof(ip));
    built.encapsulation.l3_bytes = GW_IPV6_BYTES;
}

}  // namespace

bool PrebuiltEncapsulation::same_as(const gw_encapsulation &other,
                                    const uint8_t *outer_bytes) const
{
    return std::memcmp(&encapsulation, &other, sizeof(other)) == 0 &&
           std::memcmp(outer.data(), outer_bytes, outer.size()) == 0;
}

PrebuiltEncapsulation prebuild_ipip(const model::IpAddress &backend,
                                    const model::Prefix &source, const model::NextHop &next_hop)
{
    PrebuiltEncapsulation built;
    built.encapsulation.egress_ifindex = next_hop.egress_ifindex;
    built.encapsulation.l2_bytes = write_l2(built.outer.data(), next_hop, backend.is_ipv6());
    if (backend.is_ipv6()) {
        write_ipv6(built, backend, source);
    } else {
        write_ipv4(built, backend, source);
    }
    // The length field of an IP header holds 65535; what the MTU would allow beyond that
    // cannot be said on the wire.
    const uint32_t mtu_bytes = std::min<uint32_t>(next_hop.mtu_bytes, 65535);
    built.encapsulation.inner_bytes_max = static_cast<uint16_t>(
        mtu_bytes - std::min<uint32_t>(mtu_bytes, built.encapsulation.l3_bytes));
    return built;
}

std::optional<TunnelEnds> tunnel_ends(const gw_backend &record)
{
    const unsigned copy = (record.state & GW_BACKEND_COPY) != 0 ? 1 : 0;
    const auto &encapsulation = record.encapsulation[copy];
    const uint8_t *header = record.outer[copy] + GW_OUTER_L3_OFFSET;
    TunnelEnds ends;
    if (encapsulation.l3_bytes == GW_IPV4_BYTES) {
        gw_ipv4 ip{};
        std::memcpy(&ip, header, sizeof(ip));
        std::memcpy(ends.source.address.bytes.data(), &ip.source, 4);
        std::memcpy(ends.backend.bytes.data(), &ip.destination, 4);
        ends.source.length_bits = 32 - std::popcount(encapsulation.entropy_mask);
    } else if (encapsulation.l3_bytes == GW_IPV6_BYTES) {
        gw_ipv6 ip{};
        std::memcpy(&ip, header, sizeof(ip));
        ends.source.address.family = ends.backend.family = model::Family::kIpv6;
        std::memcpy(ends.source.address.bytes.data(), ip.source, 16);
        std::memcpy(ends.backend.bytes.data(), ip.destination, 16);
        ends.source.length_bits = 128;
    } else {
        return std::nullopt;
    }
    return ends;
}

}  // namespace guideway::plane
