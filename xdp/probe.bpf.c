// The way of health probes into the tunnel: a tc program on the egress of the interfaces by
// which the host would send packets to service addresses. What carries a probe's mark gets the
// outer headers of the backend that the mark names, and leaves by that backend's interface.
//
//   before:             | Ethernet | IP, TCP ... |     by the host's route
//   after:   | Ethernet, tags | outer IP | IP, TCP ... |     to the backend
//
// It reads the same record of the backend as the fast path, so a probe takes the way that
// packets take. Everything without the mark goes on untouched.
#include "seam_bpf.h"
// (the seam comes first)
#include <linux/pkt_cls.h>

#include "dataplane/core/outer.h"
#include "probe.h"

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, GW_PROBE_OUTCOMES);
    __type(key, uint32_t);
    __type(value, uint64_t);
} probe_outcomes SEC(".maps");

// The host sets no bounds to what it sends with a mark, so the headers are looked at like any
// others. Fills what the outer header takes from the inner one. Returns 0 for what is no IP.
GW_INLINE int parse_inner(struct gw_walk *walk, struct __sk_buff *context, uint8_t *hops)
{
    const uint8_t *l3 = (const uint8_t *)(long)context->data + GW_ETHERNET_BYTES;
    const uint8_t *end = (const uint8_t *)(long)context->data_end;
    if (context->protocol == GW_BE16(GW_ETHERTYPE_IPV4)) {
        const struct gw_ipv4 *ip = (const struct gw_ipv4 *)l3;
        if ((const uint8_t *)(ip + 1) > end || (ip->version_ihl & 0xf0) != 0x40) {
            return 0;
        }
        walk->inner_class = ip->tos;
        *hops = ip->ttl;
        walk->is_ipv6 = 0;
    } else if (context->protocol == GW_BE16(GW_ETHERTYPE_IPV6)) {
        const struct gw_ipv6 *ip = (const struct gw_ipv6 *)l3;
        uint32_t first_word;
        if ((const uint8_t *)(ip + 1) > end) {
            return 0;
        }
        first_word = gw_from_be32(ip->version_class_label);
        if (first_word >> 28 != 6) {
            return 0;
        }
        walk->inner_class = (uint8_t)(first_word >> 20);
        *hops = ip->hop_limit;
        walk->is_ipv6 = 1;
    } else {
        return 0;
    }
    walk->inner_bytes = context->len - GW_ETHERNET_BYTES;
    walk->hash = context->hash;
    return 1;
}

// Of a packet that the device or the kernel will cut into segments, one of those counts.
GW_INLINE int fits(const struct gw_walk *walk, struct __sk_buff *context,
                   const struct gw_encapsulation *encapsulation)
{
    uint32_t bytes = walk->inner_bytes;
    if (context->gso_size != 0) {
        bytes = context->gso_size + GW_IPV6_BYTES + 60;  // TCP's largest header
    }
    return bytes <= encapsulation->inner_bytes_max;
}

GW_INLINE int set_hops(const struct gw_walk *walk, struct __sk_buff *context, uint8_t before)
{
    uint8_t hops = GW_PROBE_HOPS;
    if (walk->is_ipv6) {
        return (int)bpf_skb_store_bytes(
            context, GW_ETHERNET_BYTES + __builtin_offsetof(struct gw_ipv6, hop_limit), &hops,
            sizeof(hops), 0);
    }
    // The first byte of its 16-bit word; the second, the protocol, stays.
    if (bpf_l3_csum_replace(context,
                            GW_ETHERNET_BYTES + __builtin_offsetof(struct gw_ipv4, checksum),
                            before, GW_PROBE_HOPS, sizeof(uint16_t)) != 0) {
        return -1;
    }
    return (int)bpf_skb_store_bytes(context,
                                    GW_ETHERNET_BYTES + __builtin_offsetof(struct gw_ipv4, ttl),
                                    &hops, sizeof(hops), 0);
}

GW_INLINE int push_outer(const struct gw_walk *walk, struct __sk_buff *context,
                         const struct gw_encapsulation *encapsulation, const uint8_t *outer)
{
    uint8_t l3[GW_IPV6_BYTES] __attribute__((aligned(8))) = {0};
    if (encapsulation->l3_bytes == GW_IPV4_BYTES) {
        gw_write_outer_ipv4(l3, outer + GW_OUTER_L3_OFFSET, encapsulation, walk);
        if (bpf_skb_adjust_room(context, GW_IPV4_BYTES, BPF_ADJ_ROOM_MAC,
                                BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_FIXED_GSO) != 0) {
            return -1;
        }
        return (int)bpf_skb_store_bytes(context, GW_ETHERNET_BYTES, l3, GW_IPV4_BYTES, 0);
    }
    gw_write_outer_ipv6(l3, outer + GW_OUTER_L3_OFFSET, walk);
    if (bpf_skb_adjust_room(context, GW_IPV6_BYTES, BPF_ADJ_ROOM_MAC,
                            BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | BPF_F_ADJ_ROOM_FIXED_GSO) != 0) {
        return -1;
    }
    return (int)bpf_skb_store_bytes(context, GW_ETHERNET_BYTES, l3, GW_IPV6_BYTES, 0);
}

// The tag at `at`: type and control information. The kernel keeps it beside the packet or in
// it, as the device wants.
GW_INLINE int push_tag(struct __sk_buff *context, const uint8_t *at)
{
    gw_be16 control;
    control.raw = gw_load16(at + 2);
    return (int)bpf_skb_vlan_push(context, gw_load16(at), gw_from_be16(control));
}

// The Ethernet header of the next hop in place of that of the host's route; tags after that,
// the inner one first.
GW_INLINE int write_l2(struct __sk_buff *context, const uint8_t *outer, uint32_t l2_bytes)
{
    uint8_t l2[16] __attribute__((aligned(8)));
    const uint8_t *type = outer + GW_OUTER_L3_OFFSET - 2;
    const uint8_t *macs = type - 12;
    if (l2_bytes == GW_ETHERNET_BYTES + GW_VLAN_BYTES) {
        macs -= GW_VLAN_BYTES;
    } else if (l2_bytes != GW_ETHERNET_BYTES) {
        macs -= 2 * GW_VLAN_BYTES;
    }
    gw_store64(l2, gw_load64(macs));
    gw_store32(l2 + 8, gw_load32(macs + 8));
    gw_store16(l2 + 12, gw_load16(type));
    if (bpf_skb_store_bytes(context, 0, l2, GW_ETHERNET_BYTES, 0) != 0) {
        return -1;
    }
    if (l2_bytes == GW_ETHERNET_BYTES) {
        return 0;
    }
    if (push_tag(context, type - GW_VLAN_BYTES) != 0) {
        return -1;
    }
    return l2_bytes == GW_L2_BYTES_MAX ? push_tag(context, type - 2 * GW_VLAN_BYTES) : 0;
}

GW_INLINE enum gw_probe_outcome encapsulate(struct __sk_buff *context, uint32_t *egress_ifindex)
{
    struct gw_walk walk = {0};
    const struct gw_encapsulation *encapsulation;
    const struct gw_backend *backend;
    const uint8_t *outer;
    uint32_t state, copy;
    uint8_t hops = 0;
    walk.tables = gw_tables(0);
    walk.layout = gw_tables_layout(0);
    walk.backend = context->mark & ~GW_PROBE_MARK_MASK;
    if (!walk.tables || walk.backend > walk.layout->backends_mask) {
        return GW_PROBE_NO_SUCH_BACKEND;
    }
    if (!parse_inner(&walk, context, &hops)) {
        return GW_PROBE_MALFORMED;
    }
    backend = (const struct gw_backend *)(walk.tables + walk.layout->backends_offset) +
              (walk.backend & walk.layout->backends_mask);
    state = gw_read_once32(&backend->state);
    if (!(state & GW_BACKEND_IN_USE)) {
        return GW_PROBE_NO_SUCH_BACKEND;
    }
    if (!(state & GW_BACKEND_RESOLVED)) {
        return GW_PROBE_UNRESOLVED;
    }
    copy = state & GW_BACKEND_COPY ? 1 : 0;
    encapsulation = &backend->encapsulation[copy];
    outer = backend->outer[copy];
    if (!fits(&walk, context, encapsulation)) {
        return GW_PROBE_TOO_BIG;
    }
    if (set_hops(&walk, context, hops) != 0 ||
        push_outer(&walk, context, encapsulation, outer) != 0 ||
        write_l2(context, outer, encapsulation->l2_bytes) != 0) {
        return GW_PROBE_REFUSED;
    }
    *egress_ifindex = encapsulation->egress_ifindex;
    return GW_PROBE_SENT;
}

SEC("tc")
int guideway_probe(struct __sk_buff *context)
{
    enum gw_probe_outcome outcome;
    uint32_t egress_ifindex = 0;
    uint32_t index;
    uint64_t *packets;
    if ((context->mark & GW_PROBE_MARK_MASK) != GW_PROBE_MARK) {
        return TC_ACT_UNSPEC;
    }
    outcome = encapsulate(context, &egress_ifindex);
    index = outcome;
    packets = (uint64_t *)bpf_map_lookup_elem(&probe_outcomes, &index);
    if (packets) {
        *packets += 1;
    }
    if (outcome != GW_PROBE_SENT) {
        return TC_ACT_SHOT;
    }
    // The interface that it leaves by may carry this program too, and must not meet it again.
    context->mark = 0;
    return (int)bpf_redirect(egress_ifindex, 0);
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
