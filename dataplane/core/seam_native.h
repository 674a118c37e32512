// The native engine's side of seam.h: a frame in a buffer, tables at an address.
#pragma once

#include "tables.h"
#include "types.h"

struct gw_memo;

// The frame occupies [data, end) of a buffer that begins at `head`.
struct gw_packet {
    uint8_t *head;
    uint8_t *data;
    uint8_t *end;
    uint8_t *tables;
    const struct gw_layout *layout;
    uint64_t now_ns;
    uint64_t exact_ns;
    uint32_t ingress_ifindex;
    uint32_t cpu;
    uint32_t generation;
    uint8_t *former_tables;  // none: 0
    const struct gw_layout *former_layout;
};

GW_INLINE uint8_t *gw_data(struct gw_packet *packet)
{
    return packet->data;
}

GW_INLINE uint8_t *gw_data_end(struct gw_packet *packet)
{
    return packet->end;
}

GW_INLINE uint32_t gw_frame_bytes(struct gw_packet *packet)
{
    return (uint32_t)(packet->end - packet->data);
}

GW_INLINE int gw_grow_head(struct gw_packet *packet, int bytes)
{
    if (bytes > packet->data - packet->head || -bytes > packet->end - packet->data) {
        return -1;
    }
    packet->data -= bytes;
    return 0;
}

GW_INLINE int gw_cut_tail(struct gw_packet *packet, uint32_t frame_bytes)
{
    if (frame_bytes > gw_frame_bytes(packet)) {
        return -1;
    }
    packet->end = packet->data + frame_bytes;
    return 0;
}

GW_INLINE uint32_t gw_ingress_ifindex(struct gw_packet *packet)
{
    return packet->ingress_ifindex;
}

GW_INLINE uint64_t gw_now_ns(struct gw_packet *packet)
{
    return packet->now_ns;
}

GW_INLINE uint64_t gw_exact_ns(struct gw_packet *packet)
{
    return packet->exact_ns;
}

GW_INLINE uint32_t gw_cpu(struct gw_packet *packet)
{
    return packet->cpu;
}

GW_INLINE uint8_t *gw_tables(struct gw_packet *packet)
{
    return packet->tables;
}

GW_INLINE const struct gw_layout *gw_tables_layout(struct gw_packet *packet)
{
    return packet->layout;
}

GW_INLINE uint8_t *gw_former_tables(struct gw_packet *packet)
{
    return packet->former_tables;
}

GW_INLINE const struct gw_layout *gw_former_layout(struct gw_packet *packet)
{
    return packet->former_layout;
}

GW_INLINE uint32_t gw_generation(struct gw_packet *packet)
{
    return packet->generation;
}

GW_INLINE struct gw_memo *gw_lookup_memo(struct gw_packet *packet)
{
    (void)packet;
    return GW_NULL;
}

typedef struct gw_packet *gw_handle;

GW_INLINE gw_handle gw_to_handle(struct gw_packet *packet)
{
    return packet;
}

GW_INLINE struct gw_packet *gw_from_handle(gw_handle handle)
{
    return handle;
}
