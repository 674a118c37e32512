// Stage: which backend does this flow go to?
//
// The ring slot alone decides.
#pragma once

#include "walk.h"

// Sets walk->backend. FORWARDED or NO_BACKEND.
GW_INLINE enum gw_reason gw_select(struct gw_walk *walk)
{
    const struct gw_service *service =
        (const struct gw_service *)(walk->tables + walk->layout->services_offset) +
        (walk->service & walk->layout->services_mask);
    // The upper hash half as a fraction of the ring: even to within ring_size / 2^32.
    uint32_t index = service->ring_offset +
                     (uint32_t)(((walk->hash >> 32) * (uint64_t)service->ring_size) >> 32);
    const gw_slot *rings = (const gw_slot *)(walk->tables + walk->layout->rings_offset);
    uint32_t owner;
    GW_KEEP(index);
    if (GW_UNLIKELY(index >= walk->layout->ring_slots_max)) {
        return GW_REASON_NO_BACKEND;
    }
    owner = gw_slot_owner(gw_read_once32(&rings[index]));
    walk->backend = owner;
    return owner == GW_OWNER_NONE ? GW_REASON_NO_BACKEND : GW_REASON_FORWARDED;
}
