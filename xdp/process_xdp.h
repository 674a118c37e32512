// A frame through the core, as an XDP verdict. For the program and for what measures it.
#pragma once

#include "xdp/seam_xdp.h"
// (the seam comes first)
#include "dataplane/core/process.h"

GW_INLINE int gw_verdict_xdp(const struct gw_outcome *outcome)
{
    switch (outcome->verdict) {
        case GW_SEND:
            return XDP_TX;
        case GW_REDIRECT:
            return (int)bpf_redirect(outcome->egress_ifindex, 0);
        case GW_PASS:
            return XDP_PASS;
        default:
            return XDP_DROP;
    }
}

GW_INLINE int gw_process_xdp(struct xdp_md *context)
{
    struct gw_packet packet = {context};
    struct gw_outcome outcome;
    gw_process(&packet, &outcome);
    return gw_verdict_xdp(&outcome);
}
