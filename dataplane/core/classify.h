// Stage: the checks on a packet to a service address, in the order of its headers, and
// the flow it belongs to. Each function returns FORWARDED when the packet is to go on to
// selection, with walk->service and walk->hash set; ECHO_REPLIED when it is an echo
// request to be answered; any other reason ends the walk.
#pragma once

#include "directory.h"
#include "hash.h"
#include "walk.h"

// The client's view of a flow: from client to service, whichever way the packet that told
// us of it goes. Ports as in a packet of the client, source first.
struct gw_flow_ipv4 {
    gw_be32 client;
    gw_be32 service;
    uint32_t ports;
    uint8_t protocol;
};

GW_INLINE uint32_t gw_ports_swap(uint32_t ports)
{
    return ports >> 16 | ports << 16;
}

GW_INLINE int gw_proto_is_ipv6_extension(uint8_t protocol)
{
    return protocol == GW_PROTO_HOPOPT || protocol == GW_PROTO_ROUTING ||
           protocol == GW_PROTO_DSTOPTS || protocol == GW_PROTO_AH ||
           protocol == GW_PROTO_MOBILITY || protocol == GW_PROTO_HIP ||
           protocol == GW_PROTO_SHIM6;
}

GW_INLINE int gw_ipv4_source_is_martian(gw_be32 source)
{
    uint8_t first = (uint8_t)source.raw;
    return first == 0 || first == 127 || first >= 224;
}

GW_INLINE int gw_ipv6_source_is_martian(const uint64_t source[2])
{
    // ff00::/8, and :: and ::1 (the last word in memory order).
    return (uint8_t)source[0] == 0xff ||
           (source[0] == 0 && (source[1] & 0xfeffffffffffffffULL) == 0);
}

// True when `bytes` from the IP header on, as that header claims, are in the frame.
GW_INLINE int gw_frame_holds(struct gw_walk *walk, struct gw_packet *packet, uint32_t bytes)
{
    uint32_t direct = (uint32_t)(gw_data_end(packet) - gw_data(packet));
    return GW_LIKELY(walk->l3_offset + bytes <= direct) ||
           walk->l3_offset + bytes <= gw_frame_bytes(packet);
}

// Notes a segment's flags. False when the TCP or UDP header does not fit.
GW_INLINE int gw_read_l4(struct gw_walk *walk, uint8_t protocol, const uint8_t *l4,
                         uint32_t l4_bytes, const uint8_t *end)
{
    if (protocol == GW_PROTO_TCP) {
        if (l4_bytes < GW_TCP_BYTES_MIN || l4 + GW_TCP_BYTES_MIN > end) {
            return 0;
        }
        walk->tcp_flags = l4[GW_TCP_FLAGS_OFFSET];
        return 1;
    }
    return l4_bytes >= GW_UDP_BYTES && l4 + GW_UDP_BYTES <= end;
}

// The flow that an ICMP error speaks of: the packet it quotes was sent by the backend,
// from the service address to the client (RFC 792; RFC 5927 tells what a forger could do).
GW_INLINE enum gw_reason gw_quote_ipv4(const struct gw_icmp *icmp, const uint8_t *end,
                                       gw_be32 service, struct gw_flow_ipv4 *flow)
{
    const struct gw_ipv4 *quoted = (const struct gw_ipv4 *)(icmp + 1);
    const uint8_t *l4 = (const uint8_t *)(quoted + 1);
    if (l4 + 8 > end || quoted->version_ihl != GW_IPV4_VERSION_IHL ||
        quoted->source.raw != service.raw ||
        (quoted->fragment.raw & GW_BE16(GW_IPV4_FRAGMENT_OFFSET)) != 0 ||
        (quoted->protocol != GW_PROTO_TCP && quoted->protocol != GW_PROTO_UDP)) {
        return GW_REASON_ICMP_QUOTE;
    }
    flow->client = quoted->destination;
    flow->service = service;
    flow->ports = gw_ports_swap(gw_load32(l4));
    flow->protocol = quoted->protocol;
    return GW_REASON_FORWARDED;
}

GW_INLINE enum gw_reason gw_classify_ipv4(struct gw_walk *walk, struct gw_packet *packet)
{
    const uint8_t *end = gw_data_end(packet);
    const struct gw_ipv4 *ip = (const struct gw_ipv4 *)(gw_data(packet) + walk->l3_offset);
    const uint8_t *l4 = (const uint8_t *)(ip + 1);
    const struct gw_directory *directory;
    struct gw_flow_ipv4 flow;
    uint32_t address, l4_bytes;
    enum gw_reason reason;

    if (l4 > end) {
        return GW_REASON_NOT_OURS;
    }
    directory = gw_directory_current(walk);
    address = gw_address_find(walk, packet, directory, GW_IPV4_TAG, ip->destination.raw);
    if (address == GW_INDEX_NONE) {
        return GW_REASON_NOT_OURS;
    }

    // RFC 791 section 3.1, in the order of the fields.
    if (GW_UNLIKELY(ip->version_ihl != GW_IPV4_VERSION_IHL)) {
        return (ip->version_ihl & 0xf0) == 0x40 && ip->version_ihl > GW_IPV4_VERSION_IHL
                   ? GW_REASON_IPV4_OPTIONS
                   : GW_REASON_MALFORMED;
    }
    walk->inner_class = ip->tos;
    walk->inner_bytes = gw_from_be16(ip->total_bytes);
    if (GW_UNLIKELY(walk->inner_bytes < GW_IPV4_BYTES ||
                    !gw_frame_holds(walk, packet, walk->inner_bytes))) {
        return GW_REASON_MALFORMED;
    }
    if (GW_UNLIKELY((ip->fragment.raw &
                     GW_BE16(GW_IPV4_MORE_FRAGMENTS | GW_IPV4_FRAGMENT_OFFSET)) != 0)) {
        return GW_REASON_FRAGMENT;
    }
    if (GW_UNLIKELY(gw_ipv4_source_is_martian(ip->source))) {
        return GW_REASON_MARTIAN_SOURCE;
    }

    l4_bytes = walk->inner_bytes - GW_IPV4_BYTES;
    if (ip->protocol == GW_PROTO_TCP || ip->protocol == GW_PROTO_UDP) {
        if (GW_UNLIKELY(!gw_read_l4(walk, ip->protocol, l4, l4_bytes, end))) {
            return GW_REASON_MALFORMED;
        }
        flow.client = ip->source;
        flow.service = ip->destination;
        flow.ports = gw_load32(l4);
        flow.protocol = ip->protocol;
    } else if (ip->protocol == GW_PROTO_ICMP) {
        const struct gw_icmp *icmp = (const struct gw_icmp *)l4;
        if (l4_bytes < GW_ICMP_BYTES || l4 + GW_ICMP_BYTES > end) {
            return GW_REASON_MALFORMED;
        }
        if (icmp->type == GW_ICMP_ECHO_REQUEST) {
            return GW_REASON_ECHO_REPLIED;
        }
        if (!gw_icmp_is_error(icmp->type)) {
            return GW_REASON_ICMP_UNHANDLED;
        }
        if (l4_bytes < GW_ICMP_BYTES + GW_IPV4_BYTES + 8) {
            return GW_REASON_ICMP_QUOTE;
        }
        reason = gw_quote_ipv4(icmp, end, ip->destination, &flow);
        if (reason != GW_REASON_FORWARDED) {
            return reason;
        }
        walk->is_icmp_error = 1;
    } else {
        return gw_unmatched_reason(walk, directory, address);
    }

    reason = gw_service_find(walk, packet, directory, address, flow.protocol,
                             (uint16_t)(flow.ports >> 16));
    walk->hash = gw_hash_ipv4(&gw_walk_header(walk)->hash_key, flow.client, flow.service,
                              flow.ports, flow.protocol);
    return reason;
}

GW_INLINE enum gw_reason gw_classify_ipv6(struct gw_walk *walk, struct gw_packet *packet)
{
    const uint8_t *end = gw_data_end(packet);
    const struct gw_ipv6 *ip = (const struct gw_ipv6 *)(gw_data(packet) + walk->l3_offset);
    const uint8_t *l4 = (const uint8_t *)(ip + 1);
    const struct gw_directory *directory;
    uint64_t client[2], service[2];
    uint32_t address, l4_bytes, ports, first_word;
    uint8_t protocol;
    enum gw_reason reason;

    if (l4 > end) {
        return GW_REASON_NOT_OURS;
    }
    service[0] = ip->destination[0];
    service[1] = ip->destination[1];
    directory = gw_directory_current(walk);
    address = gw_address_find(walk, packet, directory, service[0], service[1]);
    // Two destinations look like something else to the directory: the IPv4 tag, and ::,
    // which is an empty way.
    if (address == GW_INDEX_NONE || service[0] == GW_IPV4_TAG ||
        (service[0] | service[1]) == 0) {
        return GW_REASON_NOT_OURS;
    }

    // RFC 8200 section 3, in the order of the fields.
    first_word = gw_from_be32(ip->version_class_label);
    if (GW_UNLIKELY(first_word >> 28 != 6)) {
        return GW_REASON_MALFORMED;
    }
    walk->inner_class = (uint8_t)(first_word >> 20);
    l4_bytes = gw_from_be16(ip->payload_bytes);
    walk->inner_bytes = GW_IPV6_BYTES + l4_bytes;
    if (GW_UNLIKELY(!gw_frame_holds(walk, packet, walk->inner_bytes))) {
        return GW_REASON_MALFORMED;
    }
    client[0] = ip->source[0];
    client[1] = ip->source[1];
    if (GW_UNLIKELY(gw_ipv6_source_is_martian(client))) {
        return GW_REASON_MARTIAN_SOURCE;
    }

    protocol = ip->next_header;
    if (protocol == GW_PROTO_TCP || protocol == GW_PROTO_UDP) {
        if (GW_UNLIKELY(!gw_read_l4(walk, protocol, l4, l4_bytes, end))) {
            return GW_REASON_MALFORMED;
        }
        ports = gw_load32(l4);
    } else if (protocol == GW_PROTO_ICMPV6) {
        const struct gw_icmp *icmp = (const struct gw_icmp *)l4;
        const struct gw_ipv6 *quoted = (const struct gw_ipv6 *)(icmp + 1);
        const uint8_t *quoted_l4 = (const uint8_t *)(quoted + 1);
        if (l4_bytes < GW_ICMP_BYTES || l4 + GW_ICMP_BYTES > end) {
            return GW_REASON_MALFORMED;
        }
        if (icmp->type == GW_ICMPV6_ECHO_REQUEST) {
            return GW_REASON_ECHO_REPLIED;
        }
        if (!gw_icmpv6_is_error(icmp->type)) {
            return GW_REASON_ICMP_UNHANDLED;
        }
        // The quoted packet, as in gw_quote_ipv4 (RFC 4443 section 3).
        if (l4_bytes < GW_ICMP_BYTES + GW_IPV6_BYTES + 8 || quoted_l4 + 8 > end ||
            gw_from_be32(quoted->version_class_label) >> 28 != 6 ||
            quoted->source[0] != service[0] || quoted->source[1] != service[1] ||
            (quoted->next_header != GW_PROTO_TCP && quoted->next_header != GW_PROTO_UDP)) {
            return GW_REASON_ICMP_QUOTE;
        }
        client[0] = quoted->destination[0];
        client[1] = quoted->destination[1];
        ports = gw_ports_swap(gw_load32(quoted_l4));
        protocol = quoted->next_header;
        walk->is_icmp_error = 1;
    } else if (protocol == GW_PROTO_FRAGMENT) {
        return GW_REASON_FRAGMENT;
    } else if (gw_proto_is_ipv6_extension(protocol)) {
        return GW_REASON_IPV6_EXTENSION;
    } else {
        return gw_unmatched_reason(walk, directory, address);
    }

    reason =
        gw_service_find(walk, packet, directory, address, protocol, (uint16_t)(ports >> 16));
    walk->hash =
        gw_hash_ipv6(&gw_walk_header(walk)->hash_key, client, service, ports, protocol);
    return reason;
}
