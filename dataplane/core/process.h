// One packet's walk, from frame to verdict:
//
//   parse -> service lookup -> policy (lists, limits) -> select (ring slot, pin) -> encapsulate
//   -> count
//
// Include the engine's seam header first; see seam.h.
#pragma once

#include "classify.h"
#include "encapsulate.h"
#include "icmp.h"
#include "police.h"
#include "select.h"
#include "walk.h"

// Finds Layer 3 behind up to two VLAN tags. Returns the EtherType in network order, or 0
// when the frame cannot be for a service: cut short, or to a group address (RFC 1122
// 3.3.6: unicast IP in a link-layer broadcast is not for us to answer).
GW_INLINE uint16_t gw_parse_l2(struct gw_walk *walk, struct gw_packet *packet)
{
    const uint8_t *end = gw_data_end(packet);
    const struct gw_ethernet *ethernet = (const struct gw_ethernet *)gw_data(packet);
    const struct gw_vlan *vlan = (const struct gw_vlan *)(ethernet + 1);
    uint16_t type;
    if ((const uint8_t *)vlan > end || (ethernet->destination[0] & 1) != 0) {
        return 0;
    }
    walk->l3_offset = GW_ETHERNET_BYTES;
    type = ethernet->type.raw;
    if (GW_LIKELY(type != GW_BE16(GW_ETHERTYPE_VLAN) && type != GW_BE16(GW_ETHERTYPE_QINQ))) {
        return type;
    }
    if ((const uint8_t *)(vlan + 1) > end) {
        return 0;
    }
    walk->l3_offset += GW_VLAN_BYTES;
    type = vlan->type.raw;
    if (type != GW_BE16(GW_ETHERTYPE_VLAN)) {
        return type;
    }
    if ((const uint8_t *)(vlan + 2) > end) {
        return 0;
    }
    walk->l3_offset += GW_VLAN_BYTES;
    return vlan[1].type.raw;
}

GW_INLINE enum gw_verdict gw_reason_verdict(enum gw_reason reason)
{
    switch (reason) {
        case GW_REASON_NOT_OURS:
        case GW_REASON_UNMATCHED_PASS:
        case GW_REASON_INACTIVE:
            return GW_PASS;
        case GW_REASON_ECHO_REPLIED:
        case GW_REASON_TOO_BIG:
            return GW_SEND;
        default:
            return GW_DROP;
    }
}

// Parse and service lookup, from the frame alone. FORWARDED: walk->service and walk->hash are set,
// and gw_walk_decide() is to follow.
GW_INLINE enum gw_reason gw_walk_classify(struct gw_walk *walk, struct gw_packet *packet)
{
    uint16_t type = gw_parse_l2(walk, packet);
    if (type == GW_BE16(GW_ETHERTYPE_IPV4)) {
        return gw_classify_ipv4(walk, packet);
    }
    if (type == GW_BE16(GW_ETHERTYPE_IPV6)) {
        walk->is_ipv6 = 1;
        return gw_classify_ipv6(walk, packet);
    }
    return GW_REASON_NOT_OURS;
}

// The rest of the walk, whatever gw_walk_classify() has found; where that is FORWARDED,
// gw_walk_locate() comes in between.
GW_INLINE enum gw_reason gw_walk_decide(struct gw_walk *walk, struct gw_packet *packet,
                                        enum gw_reason reason)
{
    if (GW_UNLIKELY(reason == GW_REASON_ECHO_REPLIED)) {
        return gw_walk_is_denied(walk, packet) ? GW_REASON_DENIED : gw_echo_reply(walk, packet);
    }
    if (reason != GW_REASON_FORWARDED) {
        return reason;
    }
    if (GW_UNLIKELY(walk->policy != 0)) {
        reason = gw_walk_policy(walk, packet);
        if (reason != GW_REASON_FORWARDED) {
            return reason;
        }
    }
    reason = gw_select_at_slot(walk, packet);
    if (GW_UNLIKELY(reason != GW_REASON_FORWARDED)) {
        return reason;
    }
    reason = gw_encapsulate(walk, packet);
    if (GW_UNLIKELY(reason == GW_REASON_TOO_BIG)) {
        return gw_answer_too_big(walk, packet, walk->inner_bytes);
    }
    if (walk->is_icmp_error && reason == GW_REASON_FORWARDED) {
        gw_count_event(walk, GW_EVENT_ICMP_FOLLOWED);
    }
    return reason;
}

// Finds the tables and this CPU's counters. Returns 0 where there are none for it: the packet
// passes and is not counted.
GW_INLINE int gw_walk_begin(struct gw_walk *walk, struct gw_packet *packet)
{
    walk->tables = gw_tables(packet);
    walk->layout = gw_tables_layout(packet);
    if (!walk->tables || !gw_walk_counters(walk, packet)) {
        return 0;
    }
    walk->service = GW_INDEX_NONE;
    walk->backend = GW_INDEX_NONE;
    walk->egress_ifindex = 0;
    walk->slot = 0;
    walk->policy = 0;
    walk->l3_offset = 0;
    walk->inner_bytes = 0;
    walk->inner_class = 0;
    walk->hash = 0;
    walk->is_ipv6 = 0;
    walk->tcp_flags = 0;
    walk->is_icmp_error = 0;
    return 1;
}

GW_INLINE int gw_walk_acts(const struct gw_walk *walk, struct gw_packet *packet)
{
    return gw_generation_acts(gw_read_once32(&gw_walk_header(walk)->active_generation),
                              gw_generation(packet));
}

GW_INLINE void gw_walk_end(struct gw_walk *walk, struct gw_packet *packet,
                           enum gw_reason reason, struct gw_outcome *outcome)
{
    outcome->reason = reason;
    outcome->service = walk->service;
    outcome->backend = walk->backend;
    outcome->egress_ifindex = 0;
    if (GW_LIKELY(reason == GW_REASON_FORWARDED)) {
        outcome->egress_ifindex = walk->egress_ifindex;
        outcome->verdict =
            walk->egress_ifindex == gw_ingress_ifindex(packet) ? GW_SEND : GW_REDIRECT;
        return;
    }
    gw_count_reason(walk, reason);
    outcome->verdict = gw_reason_verdict(reason);
}

GW_INLINE void gw_outcome_init(struct gw_outcome *outcome)
{
    outcome->verdict = GW_PASS;
    outcome->reason = GW_REASON_INACTIVE;
    outcome->service = GW_INDEX_NONE;
    outcome->backend = GW_INDEX_NONE;
    outcome->egress_ifindex = 0;
}

// Processes one frame and fills `outcome`. The frame is changed unless the verdict is
// GW_PASS; after GW_DROP its content is unspecified. dataplane/dpdk/burst.cpp takes the same
// steps for many frames at a time.
GW_INLINE void gw_process(struct gw_packet *packet, struct gw_outcome *outcome)
{
    struct gw_walk walk;
    enum gw_reason reason = GW_REASON_INACTIVE;
    gw_outcome_init(outcome);
    if (!gw_walk_begin(&walk, packet)) {
        return;
    }
    if (GW_LIKELY(gw_walk_acts(&walk, packet))) {
        reason = gw_walk_classify(&walk, packet);
        if (reason == GW_REASON_FORWARDED) {
            gw_walk_locate(&walk);
        }
        reason = gw_walk_decide(&walk, packet, reason);
    }
    gw_walk_end(&walk, packet, reason, outcome);
}
