// For engines that carry many packets at once: brings what gw_walk_decide() is going to read into
// the cache. Hints only; nothing here decides anything, counts or writes.
#pragma once

#include "pins.h"
#include "select.h"
#include "walk.h"

// Of a walk that gw_walk_classify() has let pass: its slot.
GW_INLINE const gw_slot *gw_prefetch_slot(const struct gw_walk *walk)
{
    const struct gw_service *service =
        (const struct gw_service *)(walk->tables + walk->layout->services_offset) +
        (walk->service & walk->layout->services_mask);
    uint64_t index = gw_slot_index(walk, service);
    const gw_slot *rings = (const gw_slot *)(walk->tables + walk->layout->rings_offset);
    if (index >= walk->layout->ring_slots_max) {
        index = 0;
    }
    __builtin_prefetch(&rings[index]);
    return &rings[index];
}

GW_INLINE void gw_prefetch_backend(const struct gw_walk *walk, uint32_t backend)
{
    const struct gw_backend *record =
        (const struct gw_backend *)(walk->tables + walk->layout->backends_offset) +
        (backend & walk->layout->backends_mask);
    __builtin_prefetch(record);
    __builtin_prefetch(record->outer[0]);
    __builtin_prefetch(
        (const struct gw_backend_traffic *)(walk->counters +
                                            walk->layout->counters_backends_offset) +
            (backend & walk->layout->backends_mask),
        1);
}

// What a slot that has arrived leads to: its owner, or the bucket of the flow's pin. Returns the
// bucket, if that is what was asked for.
GW_INLINE const struct gw_pin_bucket *gw_prefetch_flow(const struct gw_walk *walk,
                                                       const gw_slot *slot)
{
    gw_slot word = gw_read_once32(slot);
    struct gw_pin_bucket *bucket;
    gw_prefetch_backend(walk, gw_slot_owner(word));
    if (GW_LIKELY(gw_slot_state_of(word) == GW_SLOT_STABLE)) {
        return GW_NULL;
    }
    bucket = gw_pin_bucket_at(walk, (uint32_t)(gw_pin_hash(walk) >> GW_PIN_FINGERPRINT_SHIFT));
    __builtin_prefetch(bucket, 1);
    return bucket;
}
