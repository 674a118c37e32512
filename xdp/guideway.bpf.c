// The XDP program: the core, and nothing else.
#include "process_xdp.h"

SEC("xdp.frags")
int guideway(struct xdp_md *context)
{
    return gw_process_xdp(context);
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
