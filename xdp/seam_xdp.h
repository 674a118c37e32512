// The XDP engine's side of dataplane/core/seam.h.
#pragma once

#include "seam_bpf.h"

struct gw_packet {
    struct xdp_md *context;
};

// Where the pins are that have not been moved yet to gw_region; any map where there are none.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(uint32_t));
    __uint(value_size, sizeof(struct gw_tables_header));
} gw_former SEC(".maps");

// Frozen when the program is loaded.
const volatile struct gw_layout gw_former_constants = {0};  // no pins_offset: no former tables
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

GW_INLINE const struct gw_layout *gw_former_layout(struct gw_packet *packet)
{
    const struct gw_layout *layout = (const struct gw_layout *)&gw_former_constants;
    (void)packet;
    GW_OPAQUE(layout);
    return layout;
}

GW_INLINE uint8_t *gw_former_tables(struct gw_packet *packet)
{
    uint32_t key = 0;
    (void)packet;
    if (gw_former_constants.pins_offset == 0) {
        return 0;
    }
    return (uint8_t *)bpf_map_lookup_elem(&gw_former, &key);
}

GW_INLINE struct gw_memo *gw_lookup_memo(struct gw_packet *packet)
{
    (void)packet;
    return 0;
}

GW_INLINE uint32_t gw_generation(struct gw_packet *packet)
{
    (void)packet;
    return gw_generation_constant;
}
