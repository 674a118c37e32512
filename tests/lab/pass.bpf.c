// An XDP program that lets everything pass. A veth device takes what a program at its other
// end sends (XDP_TX, redirect) only if it carries a program itself: without one such frames
// are refused, or, if it has GRO on, wait until others come.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int lab_pass(struct xdp_md *frame)
{
    (void)frame;
    return XDP_PASS;
}

char pass_license[] SEC("license") = "Dual BSD/GPL";
