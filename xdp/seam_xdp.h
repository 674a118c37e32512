// The XDP engine's side of dataplane/core/seam.h.
#pragma once

#include "seam_bpf.h"

struct gw_packet {
    struct xdp_md *context;
};

// Frozen when the program is loaded.
const volatile uint32_t gw_generation_constant = 0;

GW_INLINE uint8_t *gw_data(struct gw_packet *packet)
{
    return (uint8_t *)(long)packet->context->data;
}

GW_INLINE uint8_t *gw_data_end(struct gw_packet *packet)
{
    return (uint8_t *)(long)packet->context->data_end;
}

GW_INLINE uint32_t gw_frame_bytes(struct gw_packet *packet)
{
    return (uint32_t)bpf_xdp_get_buff_len(packet->context);
}

GW_INLINE int gw_grow_head(struct gw_packet *packet, int bytes)
{
    return (int)bpf_xdp_adjust_head(packet->context, -bytes);
}

GW_INLINE int gw_cut_tail(struct gw_packet *packet, uint32_t frame_bytes)
{
    return (int)bpf_xdp_adjust_tail(packet->context,
                                    (int)frame_bytes - (int)gw_frame_bytes(packet));
}

GW_INLINE uint32_t gw_ingress_ifindex(struct gw_packet *packet)
{
    return packet->context->ingress_ifindex;
}

GW_INLINE uint32_t gw_generation(struct gw_packet *packet)
{
    (void)packet;
    return gw_generation_constant;
}
