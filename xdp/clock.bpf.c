// The packet path's clocks, for the control plane: the programs are run by hand.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/tables.h"

const volatile uint32_t gw_tick_ns_constant = 1000000;

uint64_t gw_clock_ahead_ns = 0;
uint64_t gw_coarse_clock_ns = 0;

// In the pins' units; see gw_pins_clock().
SEC("socket")
int gw_read_clock(void *context)
{
    (void)context;
    return (int)((bpf_jiffies64() * gw_tick_ns_constant >> GW_PIN_TICK_SHIFT) &
                 GW_PIN_TICKS_MASK);
}

// By how much the coarse clock is ahead of the exact one, into the variable.
SEC("socket")
int gw_compare_clocks(void *context)
{
    (void)context;
    gw_clock_ahead_ns = bpf_jiffies64() * gw_tick_ns_constant - bpf_ktime_get_ns();
    return 0;
}

// The coarse clock, into the variable.
SEC("socket")
int gw_read_coarse_clock(void *context)
{
    (void)context;
    gw_coarse_clock_ns = bpf_jiffies64() * gw_tick_ns_constant;
    return 0;
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
