// What the stages of one packet's walk hand to each other.
#pragma once

#include "outcome.h"
#include "reasons.h"
#include "seam.h"
#include "tables.h"
#include "types.h"
#include "wire.h"

// Local to one packet; everything is inlined, so these are registers.
struct gw_walk {
    uint8_t *tables;
    const struct gw_layout *layout;
    uint8_t *counters;     // this CPU's area
    uint32_t l3_offset;    // bytes from the frame's start to the IP header: 14, 18 or 22
    uint32_t inner_bytes;  // length of the IP packet, by its header
    uint32_t service;
    uint32_t backend;
    uint32_t egress_ifindex;
    uint32_t slot;    // among all rings'; this and the next are set by gw_walk_locate()
    uint32_t policy;  // of the service: gw_policy_bit
    uint64_t hash;
    // Words, because to a compiler a byte that is written may be part of anything.
    uint32_t is_ipv6;
    uint32_t inner_class;    // TOS or traffic class: DSCP and ECN
    uint32_t tcp_flags;      // of a TCP segment; 0 otherwise
    uint32_t is_icmp_error;  // must not be answered with another (RFC 1122 3.2.2)
};

// What the lookups in one copy of the directory have found last: nearly all packets of a burst are to
// one service. Zeroed before each burst; neither an address nor a port's key is zero.
struct gw_memo {
    const void *directory;  // the copy; in the other one an index may mean something else
    uint64_t high;
    uint64_t low;
    uint64_t port_key;
    uint32_t address;
    uint32_t service;
};

// The verifier follows bounds only in the register that was compared; this keeps the
// compiler from computing with another copy of it.
#ifdef __bpf__
#define GW_KEEP(x) __asm__ volatile("" : "+r"(x))
#else
#define GW_KEEP(x) (void)0
#endif

// For an index (64 bits) that was compared with `bound` already: compares it once more, where the
// compiler cannot keep an earlier copy of it that the verifier knows nothing about.
#ifdef __bpf__
#define GW_BELOW(index, bound) \
    __asm__ volatile("if %0 < %1 goto +1\n\t%0 = 0" : "+r"(index) : "r"((uint64_t)(bound)))
#else
#define GW_BELOW(index, bound) (void)0
#endif

// index * unit, for an offset into a table. The verifier of Linux 6.1 follows a product only
// if the register that is multiplied with holds a constant, which `unit` does; the compiler
// would choose either.
GW_INLINE uint64_t gw_scale(uint64_t index, uint64_t unit)
{
#ifdef __bpf__
    __asm__("%0 *= %1" : "+r"(index) : "r"(unit));
    return index;
#else
    return index * unit;
#endif
}

// The simulator runs other packets and the control plane at these points; an engine does
// nothing.
#ifndef GW_INTERLEAVE
#define GW_INTERLEAVE() (void)0
#endif

GW_INLINE struct gw_tables_header *gw_walk_header(const struct gw_walk *walk)
{
    return (struct gw_tables_header *)walk->tables;
}

// Finds this CPU's counters. Returns 0 when the tables have no area for it.
GW_INLINE int gw_walk_counters(struct gw_walk *walk, struct gw_packet *packet)
{
    uint32_t cpu = gw_cpu(packet);
    if (GW_UNLIKELY(cpu >= walk->layout->cpus_max)) {
        return 0;
    }
    GW_KEEP(cpu);
    walk->counters = walk->tables + walk->layout->counters_offset +
                     gw_scale(cpu, walk->layout->counters_area_bytes);
    return 1;
}

GW_INLINE void gw_count_reason(const struct gw_walk *walk, enum gw_reason reason)
{
    struct gw_counters_area *area = (struct gw_counters_area *)walk->counters;
    area->reason[(uint32_t)reason & (GW_REASONS_MAX - 1)]++;
}

GW_INLINE void gw_count_event(const struct gw_walk *walk, enum gw_event event)
{
    struct gw_counters_area *area = (struct gw_counters_area *)walk->counters;
    area->event[event]++;
}

// Begins a connection: what it was before is over.
GW_INLINE int gw_is_syn(const struct gw_walk *walk)
{
    return (walk->tcp_flags & (GW_TCP_SYN | GW_TCP_ACK | GW_TCP_RST)) == GW_TCP_SYN;
}

GW_INLINE uint32_t gw_pins_clock(struct gw_packet *packet)
{
    return (uint32_t)(gw_now_ns(packet) >> GW_PIN_TICK_SHIFT) & GW_PIN_TICKS_MASK;
}

// Remembers a SYN. Returns 1 when the same was seen less than GW_SYN_REPEAT_TICKS ago, as when
// nobody answers it: the first retransmission comes after a second, and each waits twice as
// long as the one before (RFC 6298). What is older is another connection of the same ports.
#define GW_SYN_REPEAT_TICKS 250  // 33 s: up to the fifth
GW_OUTLINE int gw_note_syn(const struct gw_walk *walk, struct gw_packet *packet)
{
    struct gw_counters_area *area = (struct gw_counters_area *)walk->counters;
    uint32_t *cell = &area->syn_seen[walk->hash >> 40 & (GW_SYN_CELLS - 1)];
    uint32_t now = gw_pins_clock(packet) & GW_SYN_TICKS_MASK;
    uint32_t tag = (uint32_t)walk->hash & GW_SYN_TAG_MASK;
    uint32_t seen = *cell;
    *cell = now << 20 | tag;
    if ((seen & GW_SYN_TAG_MASK) != tag ||
        ((now - (seen >> 20)) & GW_SYN_TICKS_MASK) > GW_SYN_REPEAT_TICKS || seen == 0) {
        return 0;
    }
    gw_count_event(walk, GW_EVENT_SYN_REPEATED);
    return 1;
}

GW_INLINE void gw_count_forwarded(const struct gw_walk *walk, struct gw_packet *packet)
{
    struct gw_traffic *service =
        (struct gw_traffic *)(walk->counters + sizeof(struct gw_counters_area)) +
        (walk->service & walk->layout->services_mask);
    struct gw_backend_traffic *backend =
        (struct gw_backend_traffic *)(walk->counters + walk->layout->counters_backends_offset) +
        (walk->backend & walk->layout->backends_mask);
    service->packets++;
    service->bytes += walk->inner_bytes;
    backend->packets++;
    backend->bytes += walk->inner_bytes;
    if (GW_UNLIKELY(gw_is_syn(walk))) {
        backend->syns++;
        backend->syn_repeats += (uint64_t)gw_note_syn(walk, packet);
    }
}
