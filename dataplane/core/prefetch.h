// For engines that carry many packets at once: brings what gw_walk_decide() is going to read into
// the cache. Hints only; nothing here decides anything, counts or writes.
#pragma once

#include "pins.h"
#include "police.h"
#include "select.h"
#include "walk.h"

// Of a walk that gw_walk_classify() has let pass: its slot.
GW_INLINE const gw_slot *gw_prefetch_slot(const struct gw_walk *walk)
{
    const gw_slot *rings = (const gw_slot *)(walk->tables + walk->layout->rings_offset);
    const gw_slot *slot = &rings[walk->slot < walk->layout->ring_slots_max ? walk->slot : 0];
    __builtin_prefetch(slot);
    return slot;
}

// The states of the packet's source for the first two limits of a service that has policy.
#define GW_PREFETCHED_LIMITS 2
GW_OUTLINE void gw_prefetch_policy(const struct gw_walk *walk, struct gw_packet *packet)
{
    const struct gw_service *service = gw_service_at(walk->tables, walk->layout, walk->service);
    struct gw_visit visit = {0, 0, 0, 0, 0, 0};
    uint32_t i;
    if (!gw_walk_source(walk, packet, &visit)) {
        return;
    }
    for (i = 0; i < GW_PREFETCHED_LIMITS; i++) {
        uint32_t index = gw_service_limit(service, i);
        const struct gw_limit *limit = gw_limit_at(walk->tables, walk->layout, index - 1);
        uint64_t high = visit.high, low = visit.low, fingerprint;
        if (index == 0 || (limit->flags & GW_LIMIT_ALL_SOURCES) != 0) {
            return;
        }
        gw_limit_mask(limit, &high, &low);
        fingerprint = gw_source_fingerprint(&gw_walk_header(walk)->hash_key, limit, high, low);
        __builtin_prefetch(
            gw_source_at(
                walk->tables, walk->layout,
                ((uint32_t)fingerprint & walk->layout->source_buckets_mask) * GW_SOURCE_WAYS),
            1);
    }
}

// What a slot that has arrived leads to: its owner, and the bucket of the flow's pin.
GW_INLINE void gw_prefetch_flow(const struct gw_walk *walk, const gw_slot *slot)
{
    gw_slot word = gw_read_once32(slot);
    __builtin_prefetch(
        (const struct gw_backend *)(walk->tables + walk->layout->backends_offset) +
        (gw_slot_owner(word) & walk->layout->backends_mask));
    if (gw_slot_state_of(word) != GW_SLOT_STABLE) {
        __builtin_prefetch(
            gw_pin_bucket_at(walk, (uint32_t)(gw_pin_hash(walk) >> GW_PIN_FINGERPRINT_SHIFT)),
            1);
    }
}
