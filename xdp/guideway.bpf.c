// The XDP program: the core, and nothing else.
#include "seam_xdp.h"
// (the seam comes first)
#include "dataplane/core/process.h"

SEC("xdp.frags")
int guideway(struct xdp_md *context)
{
    struct gw_packet packet = {context};
    struct gw_outcome outcome;
    gw_process(&packet, &outcome);
    switch (outcome.verdict) {
        case GW_SEND:
            return XDP_TX;
        case GW_REDIRECT:
            return (int)bpf_redirect(outcome.egress_ifindex, 0);
        case GW_PASS:
            return XDP_PASS;
        default:
            return XDP_DROP;
    }
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
