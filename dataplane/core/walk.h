// What the stages of one packet's walk hand to each other.
#pragma once

#include "reasons.h"
#include "seam.h"
#include "tables.h"
#include "types.h"
#include "wire.h"

enum gw_verdict {
    GW_PASS,      // to the host's kernel, frame unchanged
    GW_DROP,      // gone
    GW_SEND,      // out of the interface it came in on
    GW_REDIRECT,  // out of another interface
};

// Filled by gw_process. `service` and `backend` hold GW_INDEX_NONE where the walk ended
// before they were known.
#define GW_INDEX_NONE 0xffffffffu
struct gw_outcome {
    enum gw_verdict verdict;
    enum gw_reason reason;
    uint32_t egress_ifindex;
    uint32_t service;
    uint32_t backend;
};

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
    uint64_t hash;
    uint8_t is_ipv6;
    uint8_t inner_class;    // TOS or traffic class: DSCP and ECN
    uint8_t is_icmp_error;  // must not be answered with another (RFC 1122 3.2.2)
};

// The verifier follows bounds only in the register that was compared; this keeps the
// compiler from computing with another copy of it.
#ifdef __bpf__
#define GW_KEEP(x) __asm__ volatile("" : "+r"(x))
#else
#define GW_KEEP(x) (void)0
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

GW_INLINE void gw_count_forwarded(const struct gw_walk *walk)
{
    struct gw_traffic *service =
        (struct gw_traffic *)(walk->counters + sizeof(struct gw_counters_area)) +
        (walk->service & walk->layout->services_mask);
    struct gw_traffic *backend =
        (struct gw_traffic *)(walk->counters + walk->layout->counters_backends_offset) +
        (walk->backend & walk->layout->backends_mask);
    service->packets++;
    service->bytes += walk->inner_bytes;
    backend->packets++;
    backend->bytes += walk->inner_bytes;
}
