// VLAN tags for a lab link, on kernels with and without VLAN devices: tc programs that put
// tags on every frame that leaves and take them off every frame that comes, so that only
// what reads the wire itself (an XDP program, tcpdump) sees them.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/wire.h"

#define CUSTOMER_ID 100
#define SERVICE_ID 200
#define INNER_ID 300

SEC("tc/vlan")
int push_vlan(struct __sk_buff *frame)
{
    return bpf_skb_vlan_push(frame, GW_BE16(GW_ETHERTYPE_VLAN), CUSTOMER_ID) == 0 ? TC_ACT_OK
                                                                                  : TC_ACT_SHOT;
}

SEC("tc/qinq")
int push_qinq(struct __sk_buff *frame)
{
    if (bpf_skb_vlan_push(frame, GW_BE16(GW_ETHERTYPE_VLAN), INNER_ID) != 0) {
        return TC_ACT_SHOT;
    }
    return bpf_skb_vlan_push(frame, GW_BE16(GW_ETHERTYPE_QINQ), SERVICE_ID) == 0 ? TC_ACT_OK
                                                                                 : TC_ACT_SHOT;
}

// Untagged frames come too: the load balancer sends with the tags of the way out.
SEC("tc/untag")
int pop_all(struct __sk_buff *frame)
{
    if (frame->vlan_present) {
        bpf_skb_vlan_pop(frame);
    }
    if (frame->vlan_present) {
        bpf_skb_vlan_pop(frame);
    }
    return TC_ACT_OK;
}

char tagger_license[] SEC("license") = "Dual BSD/GPL";
