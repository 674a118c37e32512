// Programs that measure what the packet path costs.
//
// A kernel test run repeats a program without restoring its packet, so each program here
// first undoes the encapsulation of the iteration before and writes a fresh packet, of the
// next of `flows` flows. For each kind of packet there are two programs: one that stops
// there (the harness) and one that goes on to gw_process. Their difference is the packet
// path and the one bpf_xdp_adjust_head that undoes it; bench_adjust tells what that costs.
// The kernel's clock, moved on by the packets where a measurement wants pins to age.
#define gw_now_ns gw_kernel_now_ns
#include "xdp/seam_xdp.h"
#undef gw_now_ns
GW_INLINE uint64_t gw_now_ns(struct gw_packet *packet);

#include "xdp/process_xdp.h"

#define SOURCE_MAC_LOW 0xaa000002u
#define PAYLOAD_BYTES_IPV4 40  // of the IPv4 packet
#define PAYLOAD_BYTES_IPV6 20  // behind the IPv6 header
#define FRAME_BYTES_IPV4 60
#define FRAME_BYTES_IPV6 74

// Written by the measuring process between samples; read in every iteration.
struct {
    uint32_t flows_mask;
    uint32_t first_flow;
    uint32_t next_flow;
    uint32_t tick_shift;  // 2^this packets make a tick of the pins' clock
} bench_state;

GW_INLINE uint64_t gw_now_ns(struct gw_packet *packet)
{
    uint64_t ticks = (uint64_t)bench_state.next_flow >> (bench_state.tick_shift & 63);
    return gw_kernel_now_ns(packet) + (ticks << GW_PIN_TICK_SHIFT);
}

#define BE32(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

// Addresses and ports, in memory order; the measuring process configures the same.
#define FLOW_MULTIPLIER 0x9e3779b1u  // odd
#define SERVICE_IPV4 BE32(203, 0, 113, 10)
#define OTHER_IPV4 BE32(203, 0, 113, 11)
#define SERVICE_IPV6_HIGH 0x00000000b80d0120ull          // 2001:db8::
#define SERVICE_IPV6_LOW(last) ((uint64_t)(last) << 56)  // ::last

GW_INLINE uint32_t next_flow(void)
{
    uint32_t flow = bench_state.first_flow + (bench_state.next_flow++ & bench_state.flows_mask);
    return flow;
}

// Takes off what the last iteration put in front. The same test is in every program.
GW_INLINE uint8_t *fresh_frame(struct xdp_md *context, uint32_t frame_bytes)
{
    uint32_t has = (uint32_t)(context->data_end - context->data);
    if (has > frame_bytes) {
        bpf_xdp_adjust_head(context, (int)(has - frame_bytes));
    }
    uint8_t *data = (uint8_t *)(long)context->data;
    if (data + FRAME_BYTES_IPV4 > (uint8_t *)(long)context->data_end) {
        return 0;
    }
    return data;
}

// In the widths in which the packet path reads, so that its loads do not wait for two
// stores to be joined.
GW_INLINE void write_ethernet(uint8_t *data, uint16_t type)
{
    *(uint32_t *)data = 0x01000002u;
    *(uint16_t *)(data + 4) = 0x0100;
    *(uint32_t *)(data + 6) = SOURCE_MAC_LOW;
    *(uint16_t *)(data + 10) = 0;
    *(uint16_t *)(data + 12) = type;
}

// Every flow has its own address, any in 32.0.0.0/3 and so far from that of the next one, and
// every 65536 its own port.
GW_INLINE uint32_t flow_address(uint32_t flow)
{
    return __builtin_bswap32(0x20000000u | (flow * FLOW_MULTIPLIER & 0x1fffffffu));
}

GW_INLINE void write_ipv4(uint8_t *data, uint8_t protocol, uint32_t destination, uint16_t port,
                          uint8_t flags)
{
    uint32_t flow = next_flow();
    struct gw_ipv4 *ip = (struct gw_ipv4 *)(data + GW_ETHERNET_BYTES);
    uint8_t *l4 = (uint8_t *)(ip + 1);
    write_ethernet(data, GW_BE16(GW_ETHERTYPE_IPV4));
    ip->version_ihl = GW_IPV4_VERSION_IHL;
    ip->tos = 0;
    ip->total_bytes.raw = GW_BE16(PAYLOAD_BYTES_IPV4);
    ip->id.raw = 0;
    ip->fragment.raw = GW_BE16(GW_IPV4_DONT_FRAGMENT);
    ip->ttl = 60;
    ip->protocol = protocol;
    ip->checksum.raw = 0;
    ip->source.raw = flow_address(flow);
    ip->destination.raw = destination;
    *(uint32_t *)l4 = ((1024 + (flow >> 16)) & 0xffff) | (uint32_t)__builtin_bswap16(port)
                                                             << 16;
    *(uint32_t *)(l4 + 4) = 0;
    *(uint32_t *)(l4 + 8) = 0;
    *(uint32_t *)(l4 + 12) = 0x50 | (uint32_t)flags << 8;
    *(uint32_t *)(l4 + 16) = 0;
}

GW_INLINE int write_ipv6(uint8_t *data, const struct xdp_md *context, uint8_t last)
{
    uint32_t flow;
    struct gw_ipv6 *ip = (struct gw_ipv6 *)(data + GW_ETHERNET_BYTES);
    uint8_t *l4 = (uint8_t *)(ip + 1);
    if (data + FRAME_BYTES_IPV6 > (uint8_t *)(long)context->data_end) {
        return 0;
    }
    flow = next_flow();
    write_ethernet(data, GW_BE16(GW_ETHERTYPE_IPV6));
    ip->version_class_label.raw = 0x60;
    ip->payload_bytes.raw = GW_BE16(PAYLOAD_BYTES_IPV6);
    ip->next_header = GW_PROTO_TCP;
    ip->hop_limit = 60;
    ip->source[0] = SERVICE_IPV6_HIGH | (uint64_t)flow_address(flow) << 32;
    ip->source[1] = SERVICE_IPV6_LOW(1);
    ip->destination[0] = SERVICE_IPV6_HIGH;
    ip->destination[1] = SERVICE_IPV6_LOW(last);
    *(uint32_t *)l4 = (1024 + (flow >> 16)) | (uint32_t)GW_BE16(443) << 16;
    *(uint32_t *)(l4 + 4) = 0;
    *(uint32_t *)(l4 + 8) = 0;
    *(uint32_t *)(l4 + 12) = 0x00001050;
    *(uint32_t *)(l4 + 16) = 0;
    return 1;
}

// A pair: `harness_NAME` writes the packet, `path_NAME` also processes it.
#define BENCH_IPV4(name, protocol, destination, port, flags)    \
    SEC("xdp.frags") int harness_##name(struct xdp_md *context) \
    {                                                           \
        uint8_t *data = fresh_frame(context, FRAME_BYTES_IPV4); \
        if (!data) {                                            \
            return XDP_ABORTED;                                 \
        }                                                       \
        write_ipv4(data, protocol, destination, port, flags);   \
        return XDP_TX;                                          \
    }                                                           \
    SEC("xdp.frags") int path_##name(struct xdp_md *context)    \
    {                                                           \
        uint8_t *data = fresh_frame(context, FRAME_BYTES_IPV4); \
        if (!data) {                                            \
            return XDP_ABORTED;                                 \
        }                                                       \
        write_ipv4(data, protocol, destination, port, flags);   \
        return gw_process_xdp(context);                         \
    }

#define BENCH_IPV6(name, last)                                  \
    SEC("xdp.frags") int harness_##name(struct xdp_md *context) \
    {                                                           \
        uint8_t *data = fresh_frame(context, FRAME_BYTES_IPV6); \
        if (!data || !write_ipv6(data, context, last)) {        \
            return XDP_ABORTED;                                 \
        }                                                       \
        return XDP_TX;                                          \
    }                                                           \
    SEC("xdp.frags") int path_##name(struct xdp_md *context)    \
    {                                                           \
        uint8_t *data = fresh_frame(context, FRAME_BYTES_IPV6); \
        if (!data || !write_ipv6(data, context, last)) {        \
            return XDP_ABORTED;                                 \
        }                                                       \
        return gw_process_xdp(context);                         \
    }

BENCH_IPV4(tcp_v4, GW_PROTO_TCP, SERVICE_IPV4, 443, GW_TCP_ACK)
BENCH_IPV4(udp_v4, GW_PROTO_UDP, SERVICE_IPV4, 443, GW_TCP_ACK)
BENCH_IPV4(no_service, GW_PROTO_TCP, OTHER_IPV4, 443, GW_TCP_ACK)
BENCH_IPV4(no_such_port, GW_PROTO_TCP, SERVICE_IPV4, 80, GW_TCP_ACK)
BENCH_IPV4(moving_ack, GW_PROTO_TCP, SERVICE_IPV4, 444, GW_TCP_ACK)
BENCH_IPV4(moving_syn, GW_PROTO_TCP, SERVICE_IPV4, 444, GW_TCP_SYN)
BENCH_IPV6(v6_in_v6, 0x10)
BENCH_IPV6(v6_in_v4, 0x11)

// Nothing at all: what a repetition of a test run costs.
SEC("xdp.frags") int bench_empty(struct xdp_md *context)
{
    (void)context;
    return XDP_TX;
}

// The harness of tcp_v4 with the head moved out and, next time, back.
SEC("xdp.frags") int bench_adjust(struct xdp_md *context)
{
    uint8_t *data = fresh_frame(context, FRAME_BYTES_IPV4);
    if (!data) {
        return XDP_ABORTED;
    }
    write_ipv4(data, GW_PROTO_TCP, SERVICE_IPV4, 443, GW_TCP_ACK);
    return bpf_xdp_adjust_head(context, -GW_IPV4_BYTES) == 0 ? XDP_TX : XDP_ABORTED;
}

char gw_license[] SEC("license") = "Dual BSD/GPL";
