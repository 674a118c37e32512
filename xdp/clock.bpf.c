// The packet path's clock, for the control plane: the program is run by hand.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/tables.h"

const volatile uint32_t gw_tick_ns_constant = 1000000;

// In the pins' units; see gw_pins_clock().
SEC("socket")
int gw_read_clock(void *context)
{
    (void)context;
    return (int)((bpf_jiffies64() * gw_tick_ns_constant >> GW_PIN_TICK_SHIFT) &
                 GW_PIN_TICKS_MASK);
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
