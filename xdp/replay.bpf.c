// The XDP program as a replay runs it: the same core, with the capture's clock, and with the
// outcome for the replay to read.
#define GW_CLOCK_OF_REPLAY
#include "process_xdp.h"

struct gw_outcome gw_replay_outcome = {0};

SEC("xdp.frags")
int guideway_replay(struct xdp_md *context)
{
    struct gw_packet packet = {context};
    struct gw_outcome outcome;
    gw_process(&packet, &outcome);
    gw_replay_outcome = outcome;
    return gw_verdict_xdp(&outcome);
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
