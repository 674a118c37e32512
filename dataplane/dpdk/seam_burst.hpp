// The DPDK engine's side of dataplane/core/seam.h: a frame in a buffer, and what it shares with the
// others of its burst.
#pragma once

#include "dataplane/dpdk/burst.hpp"

// The frame occupies [data, end) of a buffer that begins at `head`.
struct gw_packet {
    uint8_t *head;
    uint8_t *data;
    uint8_t *end;
    const guideway::dpdk::BurstContext *burst;
    const guideway::dpdk::Moment *moment;
    struct gw_memo *memo;
};

using gw_handle = gw_packet *;
struct gw_memo;

GW_INLINE uint8_t *gw_data(gw_packet *packet)
{
    return packet->data;
}

GW_INLINE uint8_t *gw_data_end(gw_packet *packet)
{
    return packet->end;
}

GW_INLINE uint32_t gw_frame_bytes(gw_packet *packet)
{
    return static_cast<uint32_t>(packet->end - packet->data);
}

GW_INLINE int gw_grow_head(gw_packet *packet, int bytes)
{
    if (bytes > packet->data - packet->head || -bytes > packet->end - packet->data) {
        return -1;
    }
    packet->data -= bytes;
    return 0;
}

GW_INLINE int gw_cut_tail(gw_packet *packet, uint32_t frame_bytes)
{
    if (frame_bytes > gw_frame_bytes(packet)) {
        return -1;
    }
    packet->end = packet->data + frame_bytes;
    return 0;
}

GW_INLINE uint32_t gw_ingress_ifindex(gw_packet *packet)
{
    return packet->burst->ingress_ifindex;
}

GW_INLINE uint64_t gw_now_ns(gw_packet *packet)
{
    return packet->moment->now_ns;
}

GW_INLINE uint64_t gw_exact_ns(gw_packet *packet)
{
    return packet->moment->exact_ns;
}

GW_INLINE uint32_t gw_cpu(gw_packet *packet)
{
    return packet->burst->cpu;
}

GW_INLINE uint8_t *gw_tables(gw_packet *packet)
{
    return packet->burst->tables;
}

GW_INLINE const gw_layout *gw_tables_layout(gw_packet *packet)
{
    return packet->burst->layout;
}

GW_INLINE uint8_t *gw_former_tables(gw_packet *packet)
{
    return packet->burst->former_tables;
}

GW_INLINE const gw_layout *gw_former_layout(gw_packet *packet)
{
    return packet->burst->former_layout;
}

GW_INLINE struct gw_memo *gw_lookup_memo(gw_packet *packet)
{
    return packet->memo;
}

// The engine acts whenever anybody is to.
GW_INLINE uint32_t gw_generation(gw_packet *packet)
{
    (void)packet;
    return GW_GENERATION_ALONE;
}

GW_INLINE gw_handle gw_to_handle(gw_packet *packet)
{
    return packet;
}

GW_INLINE gw_packet *gw_from_handle(gw_handle handle)
{
    return handle;
}
