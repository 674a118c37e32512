// Stage: put the outer headers of the chosen backend in front of the packet.
//
//   before:            | L2 as received | IP ...                          |
//   after:   | next hop's L2 | outer IPv4 or IPv6 | IP, unchanged ...     |
//
// IP in IP: RFC 2003 (IPv4 in IPv4), RFC 2473 (in IPv6), RFC 4213 (IPv6 in IPv4).
// DSCP and ECN are copied outwards (RFC 2983 uniform model, RFC 6040 normal mode).
// The outer IPv4 header always forbids fragmentation and has identification zero
// (RFC 6864 section 4.1: an atomic datagram); RFC 2003 section 3.1 allows this whatever
// the inner bit says. What does not fit is answered with ICMP before it gets here.
// The inner hop count is left alone: see docs/design/0003-inner-packet-untouched.md.
#pragma once

#include "outer.h"
#include "walk.h"

GW_INLINE enum gw_reason gw_encapsulate(struct gw_walk *walk, struct gw_packet *packet)
{
    const struct gw_backend *backend =
        (const struct gw_backend *)(walk->tables + walk->layout->backends_offset) +
        (walk->backend & walk->layout->backends_mask);
    uint32_t state = gw_read_once32(&backend->state);
    uint32_t copy = state & GW_BACKEND_COPY ? 1 : 0;
    const struct gw_encapsulation *encapsulation = &backend->encapsulation[copy];
    const uint8_t *outer = backend->outer[copy];
    uint32_t l2_bytes = encapsulation->l2_bytes;
    uint32_t l3_bytes;
    const uint8_t *end;
    uint8_t *to, *l3;

    if (GW_UNLIKELY((state & (GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED)) !=
                    (GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED))) {
        return GW_REASON_NO_NEIGHBOUR;
    }
    if (GW_UNLIKELY(walk->inner_bytes > encapsulation->inner_bytes_max)) {
        walk->inner_bytes = encapsulation->inner_bytes_max;  // for the ICMP answer
        return GW_REASON_TOO_BIG;
    }
    walk->egress_ifindex = encapsulation->egress_ifindex;
    l3_bytes = encapsulation->l3_bytes;
    if (GW_UNLIKELY(gw_grow_head(packet, (int)(l2_bytes + l3_bytes) - (int)walk->l3_offset) !=
                    0)) {
        return GW_REASON_NO_HEADROOM;
    }
    // Cannot fail: the frame holds at least its inner headers. For the verifier, each
    // pointer is compared by itself.
    to = gw_data(packet);
    end = gw_data_end(packet);
    l3 = to + l2_bytes;
    if (to + GW_L2_BYTES_MAX > end) {
        return GW_REASON_NO_HEADROOM;
    }
    if (l3_bytes == GW_IPV4_BYTES) {
        if (l3 + GW_IPV4_BYTES > end) {
            return GW_REASON_NO_HEADROOM;
        }
        gw_write_outer_ipv4(l3, outer + GW_OUTER_L3_OFFSET, encapsulation, walk);
    } else {
        if (l3 + GW_IPV6_BYTES > end) {
            return GW_REASON_NO_HEADROOM;
        }
        gw_write_outer_ipv6(l3, outer + GW_OUTER_L3_OFFSET, walk);
    }
    gw_write_ethernet(to, outer, l2_bytes);
    gw_count_forwarded(walk, packet);
    return GW_REASON_FORWARDED;
}
