// The decapsulator for gateways: takes the outer header off IP in IP (RFC 2003, RFC 2473,
// RFC 4213) to one of the addresses it was given, and hands the inner packet to the host
// as if it had come bare. Everything else is handed on untouched.
//
//   before:  | Ethernet [tag [tag]] | outer IPv4 or IPv6 | IP ...  |
//   after:   |                Ethernet [tag [tag]] | IP ...        |
//
// Attached by tools/decap; docs/decapsulator.md tells an operator what it does.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/checksum.h"
#include "dataplane/core/wire.h"
#include "decap.h"

#define ECN_MASK 3
#define ECN_NOT_CAPABLE 0
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_CONGESTED 3

// Outer destinations to take, IPv4 as ::ffff:a.b.c.d. The value is not used.
struct decap_address {
    uint64_t words[2];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, DECAP_ADDRESSES_MAX);
    __type(key, struct decap_address);
    __type(value, uint32_t);
} decap_addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, DECAP_OUTCOMES);
    __type(key, uint32_t);
    __type(value, uint64_t);
} decap_outcomes SEC(".maps");

// What the checks found out about a packet that is to be stripped.
struct tunnel {
    uint32_t l2_bytes;
    uint32_t outer_bytes;
    uint32_t payload_bytes;  // as the outer header claims
    uint8_t outer_class;     // DSCP and ECN
    uint8_t protocol;        // of the inner packet
    uint16_t inner_type;     // EtherType, network order
};

// Layer 2 with up to two tags. Returns the EtherType in network order, 0 when cut short.
GW_INLINE uint16_t parse_l2(struct tunnel *tunnel, const uint8_t *data, const uint8_t *end)
{
    const struct gw_ethernet *ethernet = (const struct gw_ethernet *)data;
    const struct gw_vlan *vlan = (const struct gw_vlan *)(ethernet + 1);
    uint16_t type;
    if ((const uint8_t *)vlan > end) {
        return 0;
    }
    tunnel->l2_bytes = GW_ETHERNET_BYTES;
    type = ethernet->type.raw;
    if (type != GW_BE16(GW_ETHERTYPE_VLAN) && type != GW_BE16(GW_ETHERTYPE_QINQ)) {
        return type;
    }
    if ((const uint8_t *)(vlan + 1) > end) {
        return 0;
    }
    tunnel->l2_bytes += GW_VLAN_BYTES;
    type = vlan->type.raw;
    if (type != GW_BE16(GW_ETHERTYPE_VLAN)) {
        return type;
    }
    if ((const uint8_t *)(vlan + 2) > end) {
        return 0;
    }
    tunnel->l2_bytes += GW_VLAN_BYTES;
    return vlan[1].type.raw;
}

GW_INLINE int is_ours(uint64_t first, uint64_t second)
{
    struct decap_address address = {{first, second}};
    return bpf_map_lookup_elem(&decap_addresses, &address) != 0;
}

GW_INLINE int is_ip_in_ip(uint8_t protocol)
{
    return protocol == GW_PROTO_IPIP || protocol == GW_PROTO_IPV6;
}

GW_INLINE uint16_t ipv4_header_sum(const struct gw_ipv4 *ip)
{
    const uint16_t *words = (const uint16_t *)ip;
    uint32_t sum = 0;
    int i;
#pragma clang loop unroll(full)
    for (i = 0; i < GW_IPV4_BYTES / 2; i++) {
        sum += words[i];
    }
    return gw_sum_fold(sum);
}

// The outer header, in the order of RFC 791 section 3.1, once the packet is known to be
// for us. Returns DECAPSULATED when the packet may go on.
GW_INLINE enum decap_outcome check_outer_ipv4(struct tunnel *tunnel, const uint8_t *l3,
                                              const uint8_t *end)
{
    const struct gw_ipv4 *ip = (const struct gw_ipv4 *)l3;
    uint32_t total;
    if ((const uint8_t *)(ip + 1) > end || !is_ip_in_ip(ip->protocol)) {
        return DECAP_NOT_TUNNELLED;
    }
    if (!is_ours(0, (uint64_t)ip->destination.raw << 32 | 0xffff0000)) {
        return DECAP_OTHER_DESTINATION;
    }
    if (ip->version_ihl != GW_IPV4_VERSION_IHL) {
        return (ip->version_ihl & 0xf0) == 0x40 && ip->version_ihl > GW_IPV4_VERSION_IHL
                   ? DECAP_OUTER_OPTIONS
                   : DECAP_MALFORMED;
    }
    // The host would have checked the sum; nobody else does once the header is gone.
    if (ipv4_header_sum(ip) != 0xffff) {
        return DECAP_MALFORMED;
    }
    if ((ip->fragment.raw & GW_BE16(GW_IPV4_MORE_FRAGMENTS | GW_IPV4_FRAGMENT_OFFSET)) != 0) {
        return DECAP_OUTER_FRAGMENT;
    }
    total = gw_from_be16(ip->total_bytes);
    if (total < GW_IPV4_BYTES) {
        return DECAP_MALFORMED;
    }
    tunnel->outer_bytes = GW_IPV4_BYTES;
    tunnel->payload_bytes = total - GW_IPV4_BYTES;
    tunnel->outer_class = ip->tos;
    tunnel->protocol = ip->protocol;
    return DECAP_DECAPSULATED;
}

// The same for RFC 8200 section 3. Extension headers hide what they carry: not tunnelled.
GW_INLINE enum decap_outcome check_outer_ipv6(struct tunnel *tunnel, const uint8_t *l3,
                                              const uint8_t *end)
{
    const struct gw_ipv6 *ip = (const struct gw_ipv6 *)l3;
    uint32_t first_word;
    if ((const uint8_t *)(ip + 1) > end || !is_ip_in_ip(ip->next_header)) {
        return DECAP_NOT_TUNNELLED;
    }
    if (!is_ours(ip->destination[0], ip->destination[1])) {
        return DECAP_OTHER_DESTINATION;
    }
    first_word = gw_from_be32(ip->version_class_label);
    if (first_word >> 28 != 6) {
        return DECAP_MALFORMED;
    }
    tunnel->outer_bytes = GW_IPV6_BYTES;
    tunnel->payload_bytes = gw_from_be16(ip->payload_bytes);
    tunnel->outer_class = (uint8_t)(first_word >> 20);
    tunnel->protocol = ip->next_header;
    return DECAP_DECAPSULATED;
}

// The ECN field that leaves the tunnel, RFC 6040 figure 4; -1 for "drop".
GW_INLINE int ecn_out(uint8_t outer, uint8_t inner)
{
    if (outer == ECN_CONGESTED) {
        return inner == ECN_NOT_CAPABLE ? -1 : ECN_CONGESTED;
    }
    return outer == ECN_ECT_1 && inner == ECN_ECT_0 ? ECN_ECT_1 : inner;
}

GW_INLINE enum decap_outcome check_inner_ipv4(struct tunnel *tunnel, uint8_t *l3,
                                              const uint8_t *end)
{
    struct gw_ipv4 *ip = (struct gw_ipv4 *)l3;
    uint8_t inner_ecn;
    int ecn;
    if ((const uint8_t *)(ip + 1) > end || (ip->version_ihl & 0xf0) != 0x40 ||
        ip->version_ihl < GW_IPV4_VERSION_IHL ||
        gw_from_be16(ip->total_bytes) > tunnel->payload_bytes) {
        return DECAP_MALFORMED;
    }
    inner_ecn = ip->tos & ECN_MASK;
    ecn = ecn_out(tunnel->outer_class & ECN_MASK, inner_ecn);
    if (ecn < 0) {
        return DECAP_ECN_INCAPABLE;
    }
    if (ecn != inner_ecn) {
        uint16_t before = gw_load16(ip);
        ip->tos = (uint8_t)((ip->tos & ~ECN_MASK) | ecn);
        ip->checksum.raw = gw_checksum_update(ip->checksum.raw, before, gw_load16(ip));
    }
    tunnel->inner_type = GW_BE16(GW_ETHERTYPE_IPV4);
    return DECAP_DECAPSULATED;
}

GW_INLINE enum decap_outcome check_inner_ipv6(struct tunnel *tunnel, uint8_t *l3,
                                              const uint8_t *end)
{
    struct gw_ipv6 *ip = (struct gw_ipv6 *)l3;
    uint32_t first_word;
    uint8_t inner_ecn;
    int ecn;
    if ((const uint8_t *)(ip + 1) > end) {
        return DECAP_MALFORMED;
    }
    first_word = gw_from_be32(ip->version_class_label);
    if (first_word >> 28 != 6 ||
        GW_IPV6_BYTES + (uint32_t)gw_from_be16(ip->payload_bytes) > tunnel->payload_bytes) {
        return DECAP_MALFORMED;
    }
    inner_ecn = first_word >> 20 & ECN_MASK;
    ecn = ecn_out(tunnel->outer_class & ECN_MASK, inner_ecn);
    if (ecn < 0) {
        return DECAP_ECN_INCAPABLE;
    }
    ip->version_class_label =
        gw_to_be32((first_word & ~((uint32_t)ECN_MASK << 20)) | (uint32_t)ecn << 20);
    tunnel->inner_type = GW_BE16(GW_ETHERTYPE_IPV6);
    return DECAP_DECAPSULATED;
}

// Moves Layer 2 up to the inner packet. The caller has seen at least 20 bytes behind
// Layer 2, so that whole words can be read and written whatever the number of tags.
GW_INLINE enum decap_outcome strip(struct xdp_md *context, const struct tunnel *tunnel)
{
    uint8_t *data = (uint8_t *)(long)context->data;
    const uint8_t *end = (const uint8_t *)(long)context->data_end;
    uint64_t macs_first;
    uint32_t macs_last, outer_tag, inner_tag;
    if (data + GW_L2_BYTES_MAX > end) {
        return DECAP_MALFORMED;
    }
    macs_first = gw_load64(data);
    macs_last = gw_load32(data + 8);
    outer_tag = gw_load32(data + 12);
    inner_tag = gw_load32(data + 16);
    if (bpf_xdp_adjust_head(context, (int)tunnel->outer_bytes) != 0) {
        return DECAP_MALFORMED;
    }
    data = (uint8_t *)(long)context->data;
    end = (const uint8_t *)(long)context->data_end;
    if (data + GW_L2_BYTES_MAX > end) {
        return DECAP_MALFORMED;
    }
    gw_store64(data, macs_first);
    gw_store32(data + 8, macs_last);
    if (tunnel->l2_bytes == GW_ETHERNET_BYTES) {
        gw_store16(data + 12, tunnel->inner_type);
    } else if (tunnel->l2_bytes == GW_ETHERNET_BYTES + GW_VLAN_BYTES) {
        gw_store32(data + 12, outer_tag);
        gw_store16(data + 16, tunnel->inner_type);
    } else {
        gw_store32(data + 12, outer_tag);
        gw_store32(data + 16, inner_tag);
        gw_store16(data + 20, tunnel->inner_type);
    }
    return DECAP_DECAPSULATED;
}

GW_INLINE enum decap_outcome decapsulate(struct xdp_md *context)
{
    uint8_t *data = (uint8_t *)(long)context->data;
    const uint8_t *end = (const uint8_t *)(long)context->data_end;
    struct tunnel tunnel = {0};
    enum decap_outcome outcome;
    uint16_t type = parse_l2(&tunnel, data, end);
    uint8_t *l3 = data + tunnel.l2_bytes;

    if (type == GW_BE16(GW_ETHERTYPE_IPV4)) {
        outcome = check_outer_ipv4(&tunnel, l3, end);
    } else if (type == GW_BE16(GW_ETHERTYPE_IPV6)) {
        outcome = check_outer_ipv6(&tunnel, l3, end);
    } else {
        return DECAP_NOT_TUNNELLED;
    }
    if (outcome != DECAP_DECAPSULATED) {
        return outcome;
    }
    // Also counts what lies beyond the first page.
    if (tunnel.l2_bytes + tunnel.outer_bytes + tunnel.payload_bytes >
        (uint32_t)bpf_xdp_get_buff_len(context)) {
        return DECAP_MALFORMED;
    }
    l3 += tunnel.outer_bytes;
    outcome = tunnel.protocol == GW_PROTO_IPIP ? check_inner_ipv4(&tunnel, l3, end)
                                               : check_inner_ipv6(&tunnel, l3, end);
    return outcome == DECAP_DECAPSULATED ? strip(context, &tunnel) : outcome;
}

SEC("xdp.frags")
int guideway_decap(struct xdp_md *context)
{
    enum decap_outcome outcome = decapsulate(context);
    uint32_t index = outcome;
    uint64_t *packets = bpf_map_lookup_elem(&decap_outcomes, &index);
    if (packets) {
        *packets += 1;
    }
    return outcome == DECAP_MALFORMED || outcome == DECAP_ECN_INCAPABLE ? XDP_DROP : XDP_PASS;
}

char decap_license[] SEC("license") = "Dual BSD/GPL";
