// Writing the outer headers: what a backend's record holds ready, and what differs from packet
// to packet (see encapsulate.h for the rules).
#pragma once

#include "checksum.h"
#include "walk.h"

GW_INLINE void gw_write_ethernet(uint8_t *to, const uint8_t *outer, uint32_t l2_bytes)
{
    // The last 14 bytes, overlapping stores, then what tags push in front.
    if (l2_bytes == GW_ETHERNET_BYTES) {
        gw_store64(to, gw_load64(outer + 10));
        gw_store64(to + 6, gw_load64(outer + 16));
    } else if (l2_bytes == GW_ETHERNET_BYTES + GW_VLAN_BYTES) {
        gw_store64(to, gw_load64(outer + 6));
        gw_store64(to + 8, gw_load64(outer + 14));
        gw_store16(to + 16, gw_load16(outer + 22));
    } else {
        gw_store64(to, gw_load64(outer + 2));
        gw_store64(to + 8, gw_load64(outer + 10));
        gw_store32(to + 16, gw_load32(outer + 18));
        gw_store16(to + 20, gw_load16(outer + 22));
    }
}

GW_INLINE void gw_write_outer_ipv4(uint8_t *to, const uint8_t *outer,
                                   const struct gw_encapsulation *encapsulation,
                                   const struct gw_walk *walk)
{
    struct gw_ipv4 *ip = (struct gw_ipv4 *)to;
    uint32_t entropy = (uint32_t)walk->hash & encapsulation->entropy_mask;
    uint16_t total = gw_to_be16((uint16_t)(walk->inner_bytes + GW_IPV4_BYTES)).raw;
    uint8_t protocol = walk->is_ipv6 ? GW_PROTO_IPV6 : GW_PROTO_IPIP;
    // TOS and protocol are the second byte of their 16-bit words in memory.
    uint32_t sum = encapsulation->outer_sum + ((uint32_t)walk->inner_class << 8) + total +
                   ((uint32_t)protocol << 8) + (entropy & 0xffff) + (entropy >> 16);
    gw_store64(to, gw_load64(outer));
    gw_store64(to + 8, gw_load64(outer + 8));
    gw_store32(to + 16, gw_load32(outer + 16));
    ip->tos = walk->inner_class;
    ip->total_bytes.raw = total;
    ip->protocol = protocol;
    ip->source.raw |= entropy;
    ip->checksum.raw = (uint16_t)~gw_sum_fold(sum);
}

GW_INLINE void gw_write_outer_ipv6(uint8_t *to, const uint8_t *outer,
                                   const struct gw_walk *walk)
{
    struct gw_ipv6 *ip = (struct gw_ipv6 *)to;
    gw_store64(to, gw_load64(outer));
    gw_store64(to + 8, gw_load64(outer + 8));
    gw_store64(to + 16, gw_load64(outer + 16));
    gw_store64(to + 24, gw_load64(outer + 24));
    gw_store64(to + 32, gw_load64(outer + 32));
    ip->version_class_label = gw_to_be32(6u << 28 | (uint32_t)walk->inner_class << 20 |
                                         ((uint32_t)walk->hash & 0xfffff));
    ip->payload_bytes = gw_to_be16((uint16_t)walk->inner_bytes);
    ip->next_header = walk->is_ipv6 ? GW_PROTO_IPV6 : GW_PROTO_IPIP;
}
