// The answers that a service address gives by itself: echo replies (RFC 792, RFC 4443
// section 4.2), and fragmentation needed or packet too big (RFC 1191, RFC 8201) for what
// does not fit with its outer header. They go back the way the packet came: Layer 2
// addresses swapped, the same tags.
#pragma once

#include "checksum.h"
#include "walk.h"

#define GW_REPLY_HOPS 64

// How much of the packet an answer quotes: RFC 1812 4.3.2.3 (576 bytes in all), RFC 4443
// section 2.4 (1280 in all). Packets that do not fit are always longer than this.
#define GW_QUOTE_IPV4_BYTES (576 - GW_IPV4_BYTES - GW_ICMP_BYTES)
#define GW_QUOTE_IPV6_BYTES (1280 - GW_IPV6_BYTES - GW_ICMP_BYTES)

// Each CPU answers at most this many too big packets: GCRA, one every interval, with a
// burst (RFC 1812 4.3.2.8 and RFC 4443 2.4 (f) ask for a limit).
#define GW_ICMP_INTERVAL_NS 1000000ull
#define GW_ICMP_BURST 50

GW_INLINE int gw_icmp_answer_allowed(struct gw_walk *walk, uint64_t now_ns)
{
    struct gw_counters_area *area = (struct gw_counters_area *)walk->counters;
    uint64_t arrival_ns = area->icmp_arrival_ns;
    if (arrival_ns < now_ns) {
        arrival_ns = now_ns;
    }
    if (arrival_ns - now_ns > (GW_ICMP_BURST - 1) * GW_ICMP_INTERVAL_NS) {
        return 0;
    }
    area->icmp_arrival_ns = arrival_ns + GW_ICMP_INTERVAL_NS;
    return 1;
}

GW_INLINE void gw_ethernet_swap(uint8_t *frame)
{
    uint32_t destination_low = gw_load32(frame);
    uint16_t destination_high = gw_load16(frame + 4);
    uint32_t source_low = gw_load32(frame + 6);
    uint16_t source_high = gw_load16(frame + 10);
    gw_store32(frame, source_low);
    gw_store16(frame + 4, source_high);
    gw_store32(frame + 6, destination_low);
    gw_store16(frame + 10, destination_high);
}

// The header's checksum, with the checksum field taken as zero.
GW_INLINE uint16_t gw_ipv4_header_checksum(struct gw_ipv4 *ip)
{
    const uint8_t *bytes = (const uint8_t *)ip;
    uint64_t sum;
    ip->checksum.raw = 0;
    sum = (uint64_t)gw_load32(bytes) + gw_load32(bytes + 4) + gw_load32(bytes + 8) +
          gw_load32(bytes + 12) + gw_load32(bytes + 16);
    return (uint16_t)~gw_sum_fold64(sum);
}

GW_OUTLINE enum gw_reason gw_echo_reply(struct gw_walk *walk, struct gw_packet *packet)
{
    uint8_t *data = gw_data(packet);
    const uint8_t *end = gw_data_end(packet);
    uint8_t *l3 = data + walk->l3_offset;
    struct gw_icmp *icmp;
    uint16_t before;
    if (walk->is_ipv6) {
        struct gw_ipv6 *ip = (struct gw_ipv6 *)l3;
        uint64_t source[2];
        icmp = (struct gw_icmp *)(ip + 1);
        if ((const uint8_t *)(icmp + 1) > end) {
            return GW_REASON_MALFORMED;
        }
        source[0] = ip->source[0];
        source[1] = ip->source[1];
        ip->source[0] = ip->destination[0];
        ip->source[1] = ip->destination[1];
        ip->destination[0] = source[0];
        ip->destination[1] = source[1];
        ip->hop_limit = GW_REPLY_HOPS;
        before = gw_load16(icmp);
        icmp->type = GW_ICMPV6_ECHO_REPLY;
    } else {
        struct gw_ipv4 *ip = (struct gw_ipv4 *)l3;
        gw_be32 source;
        icmp = (struct gw_icmp *)(ip + 1);
        if ((const uint8_t *)(icmp + 1) > end) {
            return GW_REASON_MALFORMED;
        }
        source = ip->source;
        ip->source = ip->destination;
        ip->destination = source;
        ip->ttl = GW_REPLY_HOPS;
        ip->checksum.raw = gw_ipv4_header_checksum(ip);
        before = gw_load16(icmp);
        icmp->type = GW_ICMP_ECHO_REPLY;
    }
    icmp->checksum.raw =
        gw_checksum_update(icmp->checksum.raw, before, gw_load16((const uint8_t *)icmp));
    // Updating cannot tell a sum of 0xffff from the 0 of a message that has become all
    // zero, whose only valid checksum is 0xffff; for other messages both are valid. An
    // ICMPv6 sum includes addresses, so it is never 0.
    if (GW_UNLIKELY((icmp->checksum.raw | icmp->rest.raw) == 0) && !walk->is_ipv6) {
        icmp->checksum.raw = 0xffff;
    }
    gw_ethernet_swap(data);
    return GW_REASON_ECHO_REPLIED;
}

// Sum of `bytes` (a multiple of 4) from `at`, which the caller has checked to be there;
// the test in the loop is for the verifier.
GW_INLINE uint64_t gw_sum_bytes(const uint8_t *at, const uint8_t *end, uint32_t bytes)
{
    uint64_t sum = 0;
    uint32_t i;
#ifdef __bpf__
#pragma clang loop unroll(disable)
#endif
    for (i = 0; i < bytes; i += 4) {
        if (at + i + 4 > end) {
            break;
        }
        sum += gw_load32(at + i);
    }
    return sum;
}

// Moves the Layer 2 header `distance` bytes towards the start of the frame, to `data`.
// Returns the new place of Layer 3.
GW_INLINE uint8_t *gw_l2_move(uint8_t *data, uint32_t distance, uint32_t l2_bytes)
{
    const uint8_t *from = data + distance;
    gw_store64(data, gw_load64(from));
    gw_store32(data + 8, gw_load32(from + 8));
    gw_store16(data + 12, gw_load16(from + 12));
    if (l2_bytes > GW_ETHERNET_BYTES) {
        gw_store32(data + 14, gw_load32(from + 14));
    }
    if (l2_bytes > GW_ETHERNET_BYTES + GW_VLAN_BYTES) {
        gw_store32(data + 18, gw_load32(from + 18));
    }
    gw_ethernet_swap(data);
    return data + l2_bytes;
}

GW_INLINE enum gw_reason gw_fragmentation_needed(struct gw_walk *walk, struct gw_packet *packet,
                                                 uint32_t mtu_bytes)
{
    const uint32_t grow = GW_IPV4_BYTES + GW_ICMP_BYTES;
    uint32_t frame_bytes = walk->l3_offset + grow + GW_QUOTE_IPV4_BYTES;
    const struct gw_ipv4 *quoted;
    struct gw_ipv4 *ip;
    struct gw_icmp *icmp;
    const uint8_t *end;
    uint8_t *data;
    uint64_t sum;

    if (gw_grow_head(packet, (int)grow) != 0) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    if (gw_cut_tail(packet, frame_bytes) != 0) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    data = gw_data(packet);
    end = gw_data_end(packet);
    if (data + GW_L2_BYTES_MAX + 2 * GW_IPV4_BYTES + GW_ICMP_BYTES > end) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    ip = (struct gw_ipv4 *)gw_l2_move(data, grow, walk->l3_offset);
    icmp = (struct gw_icmp *)(ip + 1);
    quoted = (const struct gw_ipv4 *)(icmp + 1);

    icmp->type = GW_ICMP_UNREACHABLE;
    icmp->code = GW_ICMP_FRAGMENTATION_NEEDED;
    icmp->checksum.raw = 0;
    icmp->rest = gw_to_be32(mtu_bytes);  // RFC 1191 section 4: the low 16 bits
    sum = (uint64_t)gw_load32(icmp) + icmp->rest.raw +
          gw_sum_bytes((const uint8_t *)quoted, end, GW_QUOTE_IPV4_BYTES);
    icmp->checksum.raw = (uint16_t)~gw_sum_fold64(sum);

    ip->version_ihl = GW_IPV4_VERSION_IHL;
    ip->tos = 0xc0;  // network control, as RFC 1812 4.3.2.5 asks of ICMP errors
    ip->total_bytes = gw_to_be16(grow + GW_QUOTE_IPV4_BYTES);
    ip->id.raw = 0;
    ip->fragment = gw_to_be16(GW_IPV4_DONT_FRAGMENT);
    ip->ttl = GW_REPLY_HOPS;
    ip->protocol = GW_PROTO_ICMP;
    ip->source = quoted->destination;
    ip->destination = quoted->source;
    ip->checksum.raw = gw_ipv4_header_checksum(ip);
    return GW_REASON_TOO_BIG;
}

GW_INLINE enum gw_reason gw_packet_too_big(struct gw_walk *walk, struct gw_packet *packet,
                                           uint32_t mtu_bytes)
{
    const uint32_t grow = GW_IPV6_BYTES + GW_ICMP_BYTES;
    uint32_t frame_bytes = walk->l3_offset + grow + GW_QUOTE_IPV6_BYTES;
    const struct gw_ipv6 *quoted;
    struct gw_ipv6 *ip;
    struct gw_icmp *icmp;
    const uint8_t *end;
    uint8_t *data;
    uint64_t sum;

    if (gw_grow_head(packet, (int)grow) != 0) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    if (gw_cut_tail(packet, frame_bytes) != 0) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    data = gw_data(packet);
    end = gw_data_end(packet);
    if (data + GW_L2_BYTES_MAX + 2 * GW_IPV6_BYTES + GW_ICMP_BYTES > end) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    ip = (struct gw_ipv6 *)gw_l2_move(data, grow, walk->l3_offset);
    icmp = (struct gw_icmp *)(ip + 1);
    quoted = (const struct gw_ipv6 *)(icmp + 1);

    ip->version_class_label = gw_to_be32(6u << 28);
    ip->payload_bytes = gw_to_be16(GW_ICMP_BYTES + GW_QUOTE_IPV6_BYTES);
    ip->next_header = GW_PROTO_ICMPV6;
    ip->hop_limit = GW_REPLY_HOPS;
    ip->source[0] = quoted->destination[0];
    ip->source[1] = quoted->destination[1];
    ip->destination[0] = quoted->source[0];
    ip->destination[1] = quoted->source[1];

    icmp->type = GW_ICMPV6_PACKET_TOO_BIG;
    icmp->code = 0;
    icmp->checksum.raw = 0;
    icmp->rest = gw_to_be32(mtu_bytes);
    // Pseudo-header (RFC 8200 section 8.1), ICMP header, quote.
    sum = gw_sum_bytes((const uint8_t *)ip->source, end, 32) +
          gw_to_be32(GW_ICMP_BYTES + GW_QUOTE_IPV6_BYTES).raw +
          gw_to_be32(GW_PROTO_ICMPV6).raw + gw_load32(icmp) + icmp->rest.raw +
          gw_sum_bytes((const uint8_t *)quoted, end, GW_QUOTE_IPV6_BYTES);
    icmp->checksum.raw = (uint16_t)~gw_sum_fold64(sum);
    return GW_REASON_TOO_BIG;
}

// `mtu_bytes` is the largest inner packet that would have fitted.
GW_OUTLINE enum gw_reason gw_answer_too_big(struct gw_walk *walk, struct gw_packet *packet,
                                            uint32_t mtu_bytes)
{
    uint32_t quote_bytes = walk->is_ipv6 ? GW_QUOTE_IPV6_BYTES : GW_QUOTE_IPV4_BYTES;
    if (walk->is_icmp_error ||
        gw_data(packet) + walk->l3_offset + quote_bytes > gw_data_end(packet) ||
        !gw_icmp_answer_allowed(walk, gw_now_ns(packet))) {
        return GW_REASON_TOO_BIG_UNANSWERED;
    }
    return walk->is_ipv6 ? gw_packet_too_big(walk, packet, mtu_bytes)
                         : gw_fragmentation_needed(walk, packet, mtu_bytes);
}
