// The part of dataplane/core/seam.h that is the same for every program in the kernel: where
// the tables are, the clock, and the CPU.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/tables.h"
#include "dataplane/core/types.h"

#define GW_OPAQUE(x) __asm__ volatile("" : "+r"(x))

struct gw_packet;

// One value: the whole region of dataplane/core/tables.h. The loader sets its size.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(uint32_t));
    __uint(value_size, sizeof(struct gw_tables_header));
} gw_region SEC(".maps");

// Frozen when the program is loaded, so that the verifier knows their values.
const volatile struct gw_layout gw_layout_constants = {0};
const volatile uint32_t gw_tick_ns_constant = 1000000;

#ifdef GW_CLOCK_OF_REPLAY
// Of a replay: both clocks show what it writes before each packet, and there is one CPU.
uint64_t gw_replay_now_ns = 0;

GW_INLINE uint64_t gw_now_ns(struct gw_packet *packet)
{
    (void)packet;
    return *(volatile uint64_t *)&gw_replay_now_ns;
}

GW_INLINE uint64_t gw_exact_ns(struct gw_packet *packet)
{
    return gw_now_ns(packet);
}

GW_INLINE uint32_t gw_cpu(struct gw_packet *packet)
{
    (void)packet;
    return 0;
}
#else
GW_INLINE uint64_t gw_now_ns(struct gw_packet *packet)
{
    (void)packet;
    return bpf_jiffies64() * gw_tick_ns_constant;
}

GW_INLINE uint64_t gw_exact_ns(struct gw_packet *packet)
{
    (void)packet;
    return bpf_ktime_get_ns();
}

GW_INLINE uint32_t gw_cpu(struct gw_packet *packet)
{
    (void)packet;
    return bpf_get_smp_processor_id();
}
#endif

GW_INLINE uint8_t *gw_tables(struct gw_packet *packet)
{
    uint32_t key = 0;
    (void)packet;
    return (uint8_t *)bpf_map_lookup_elem(&gw_region, &key);
}

GW_INLINE const struct gw_layout *gw_tables_layout(struct gw_packet *packet)
{
    // The compiler must not see that this is the zero-initialised constant; the verifier
    // sees through it.
    const struct gw_layout *layout = (const struct gw_layout *)&gw_layout_constants;
    (void)packet;
    GW_OPAQUE(layout);
    return layout;
}

// None of what a subprogram may ask needs the packet.
typedef uint32_t gw_handle;

GW_INLINE gw_handle gw_to_handle(struct gw_packet *packet)
{
    (void)packet;
    return 0;
}

GW_INLINE struct gw_packet *gw_from_handle(gw_handle handle)
{
    // Used, or else callers would pass what the verifier calls uninitialised.
    __asm__ volatile("" : : "r"(handle));
    return 0;
}
