// Stage: which backend does this flow go to?
//
// The ring slot decides, and where the slot's owner has changed lately, the flow's pin:
//
//   slot         pin found     no pin, SYN           no pin, not SYN
//   stable       -- owner, nothing is looked up --
//   moving       its backend   owner, pinned         previous owner, pinned
//   ending       its backend   owner, pinned         previous owner, pinned
//   pinned       its backend   owner                 owner
//   every flow   its backend   owner, pinned         owner, pinned
//
// While tables are being replaced by others, a flow without a pin in the new ones may still have
// one in the former: it counts as its pin, and is made anew.
//
// (Ending: pinned, with a previous owner.) Without room for a pin, a moving slot's packet goes
// to the previous owner: where a later packet without a pin would go. Of an ending slot, or one
// whose previous owner has died, it is not known where that will be: another change may be
// written already. So a SYN is dropped, to be sent again. A dead previous owner has no
// connections, and what is no SYN goes to the owner. docs/design/0006-selection.md says why.
#pragma once

#include "pins.h"
#include "walk.h"

GW_INLINE int gw_backend_is_dead(const struct gw_walk *walk, uint32_t backend)
{
    const struct gw_backend *backends =
        (const struct gw_backend *)(walk->tables + walk->layout->backends_offset);
    return (gw_read_once32(&backends[backend & walk->layout->backends_mask].state) &
            GW_BACKEND_DEAD) != 0;
}

GW_INLINE int gw_is_closing(const struct gw_walk *walk)
{
    return (walk->tcp_flags & (GW_TCP_FIN | GW_TCP_RST)) != 0;
}

GW_INLINE uint64_t gw_pin_second(const struct gw_walk *walk, uint32_t slot_index, uint32_t now)
{
    return (uint64_t)now << GW_PIN_SEEN_SHIFT | (gw_is_closing(walk) ? GW_PIN_CLOSING : 0) |
           (uint64_t)(walk->service & GW_PIN_SERVICE_MASK) << GW_PIN_SERVICE_SHIFT |
           (slot_index & GW_PIN_SLOT_MASK);
}

// Notes that the flow of a pin lives: confirmed by what is not a SYN, closing by FIN or RST.
// Returns 0 when the pin was replaced before that could be noted.
GW_INLINE int gw_pin_refresh(const struct gw_walk *walk, struct gw_pin *pin, uint64_t first,
                             uint32_t now)
{
    uint64_t second = gw_pin_read_second(pin, first);
    uint64_t refreshed;
    GW_INTERLEAVE();
    // If the pin was replaced, what was read is another flow's, and none of our business.
    if (((gw_read_once64(&pin->first) ^ first) >> GW_PIN_FINGERPRINT_SHIFT) != 0) {
        return 0;
    }
    if ((first & GW_PIN_CONFIRMED) == 0 && !gw_is_syn(walk)) {
        uint64_t found = gw_compare_exchange64(&pin->first, first, first | GW_PIN_CONFIRMED);
        // The bucket may have begun to overflow in this moment.
        if (GW_UNLIKELY(found != first) && found == (first | GW_PIN_OVERFLOW)) {
            gw_compare_exchange64(&pin->first, found, found | GW_PIN_CONFIRMED);
        }
    }
    GW_INTERLEAVE();
    refreshed = (second & ~((uint64_t)GW_PIN_TICKS_MASK << GW_PIN_SEEN_SHIFT)) |
                (uint64_t)now << GW_PIN_SEEN_SHIFT | (gw_is_closing(walk) ? GW_PIN_CLOSING : 0);
    if (refreshed != second) {
        gw_compare_exchange64(&pin->second, second, refreshed);
    }
    return ((gw_read_once64(&pin->first) ^ first) >> GW_PIN_FINGERPRINT_SHIFT) == 0;
}

// Where a packet goes whose flow has no pin, and whether it makes one.
struct gw_pinless {
    uint32_t backend;
    uint32_t unpinned;  // backend where a pin is refused
    uint8_t is_pinned;
    uint8_t confirmed;
};

GW_INLINE struct gw_pinless gw_select_pinless(const struct gw_walk *walk, gw_slot slot)
{
    struct gw_pinless choice = {gw_slot_owner(slot), gw_slot_owner(slot), 0, !gw_is_syn(walk)};
    enum gw_slot_state state = gw_slot_state_of(slot);
    uint32_t previous = gw_slot_previous(slot);
    if (previous <= walk->layout->backends_mask && state != GW_SLOT_EVERY_FLOW) {
        int is_dead = gw_backend_is_dead(walk, previous);
        if (gw_is_syn(walk)) {
            choice.is_pinned = 1;
            choice.unpinned = state == GW_SLOT_PINNED || is_dead ? GW_OWNER_NONE : previous;
        } else if (!is_dead) {
            choice.is_pinned = 1;
            choice.backend = choice.unpinned = previous;
        }
    } else if (state == GW_SLOT_EVERY_FLOW) {
        choice.is_pinned = 1;
        choice.confirmed = 0;
    }
    if ((walk->tcp_flags & GW_TCP_RST) != 0 || walk->is_icmp_error ||
        choice.backend == GW_OWNER_NONE || gw_backend_is_dead(walk, choice.backend)) {
        choice.is_pinned = 0;
    }
    return choice;
}

GW_INLINE void gw_count_refused(const struct gw_walk *walk, gw_slot slot, uint32_t slot_index)
{
    struct gw_counters_area *area = (struct gw_counters_area *)walk->counters;
    // Where every flow is pinned there is nothing to learn that would have to begin again.
    if (gw_slot_state_of(slot) != GW_SLOT_EVERY_FLOW) {
        area->refused[slot_index & (GW_REFUSAL_CELLS - 1)]++;
    }
    gw_count_event(walk, GW_EVENT_PIN_REFUSED);
}

// gw_pin_insert, for the verifier to check by itself: only packets that make pins pay for the call.
GW_SUBPROGRAM uint32_t gw_pin_make(gw_handle handle, uint64_t hash, uint32_t backend,
                                   uint64_t confirmed, uint64_t second)
{
    struct gw_packet *packet = gw_from_handle(handle);
    struct gw_walk walk;
    walk.tables = gw_tables(packet);
    walk.layout = gw_tables_layout(packet);
    if (!walk.tables) {
        return GW_INDEX_NONE;
    }
    return gw_pin_insert(&walk, hash, backend, confirmed, second);
}

// The backend that the former tables have pinned the flow to, which is pinned to it again here;
// GW_OWNER_NONE: none. `is_over`: what they know of the flow does not hold any more.
GW_INLINE uint32_t gw_select_former(const struct gw_walk *walk, struct gw_packet *packet,
                                    uint64_t hash, uint64_t second, int is_over)
{
    struct gw_walk former = *walk;
    struct gw_pin *pin;
    uint64_t first = 0;
    uint64_t former_second;
    uint32_t backend;
    former.tables = gw_former_tables(packet);
    former.layout = gw_former_layout(packet);
    if (GW_LIKELY(!former.tables)) {
        return GW_OWNER_NONE;
    }
    pin = gw_pin_find(&former, hash, &first);
    if (!pin) {
        return GW_OWNER_NONE;
    }
    backend = (uint32_t)first & GW_OWNER_MASK;
    former_second = gw_pin_read_second(pin, first);
    if (is_over || gw_backend_is_dead(walk, backend) ||
        ((former_second & GW_PIN_CLOSING) != 0 && gw_is_syn(walk))) {
        gw_pin_clear(pin, first);
        return GW_OWNER_NONE;
    }
    gw_count_event(walk, GW_EVENT_PIN_HIT);
    if (!walk->is_icmp_error) {
        // Without room it stays where it is.
        gw_pin_make(gw_to_handle(packet), hash, backend,
                    (first & GW_PIN_CONFIRMED) | (gw_is_syn(walk) ? 0 : GW_PIN_CONFIRMED),
                    second | (former_second & GW_PIN_CLOSING));
    }
    return backend;
}

// A slot that is not stable.
GW_OUTLINE uint32_t gw_select_tracked(struct gw_walk *walk, struct gw_packet *packet,
                                      gw_slot slot, uint32_t slot_index)
{
    uint32_t now = gw_pins_clock(packet);
    uint64_t hash = gw_pin_hash(walk);
    uint64_t first = 0;
    struct gw_pin *pin = gw_pin_find(walk, hash, &first);
    struct gw_pinless choice;
    uint32_t pinned;

    gw_count_event(walk, GW_EVENT_PIN_LOOKED_UP);
    if (pin) {
        uint32_t backend = (uint32_t)first & GW_OWNER_MASK;
        uint64_t second = gw_pin_read_second(pin, first);
        if (gw_backend_is_dead(walk, backend)) {
            if (gw_pin_clear(pin, first)) {
                gw_count_event(walk, GW_EVENT_PIN_DEAD);
            }
        } else if ((second & GW_PIN_CLOSING) != 0 && gw_is_syn(walk)) {
            gw_pin_clear(pin, first);
        } else if (walk->is_icmp_error || gw_pin_refresh(walk, pin, first, now)) {
            gw_count_event(walk, GW_EVENT_PIN_HIT);
            return backend;
        }
        // Gone in this moment, as nobody's: its backend is not pinned again, for the control
        // plane may have seen that no pin to it is left.
    }

    pinned = gw_select_former(walk, packet, hash, gw_pin_second(walk, slot_index, now),
                              pin != GW_NULL);
    if (GW_UNLIKELY(pinned != GW_OWNER_NONE)) {
        return pinned;
    }
    choice = gw_select_pinless(walk, slot);
    if (!choice.is_pinned) {
        return choice.backend;
    }
    GW_INTERLEAVE();
    pinned = gw_pin_make(gw_to_handle(packet), hash, choice.backend,
                         choice.confirmed ? GW_PIN_CONFIRMED : 0,
                         gw_pin_second(walk, slot_index, now));
    if (GW_UNLIKELY(pinned == GW_INDEX_NONE)) {
        gw_count_refused(walk, slot, slot_index);
        return choice.unpinned;
    }
    gw_count_event(walk, GW_EVENT_PIN_MADE);
    return pinned;
}

// Where the flow falls among all rings' slots, and whether its service has policy. The upper hash
// half is taken as a fraction of the ring: even to within ring_size / 2^32.
GW_INLINE void gw_walk_locate(struct gw_walk *walk)
{
    const struct gw_service *service =
        (const struct gw_service *)(walk->tables + walk->layout->services_offset) +
        (walk->service & walk->layout->services_mask);
    walk->policy = gw_read_once32(&service->policy);
    walk->slot = service->ring_offset +
                 (uint32_t)(((walk->hash >> 32) * (uint64_t)service->ring_size) >> 32);
}

// Sets walk->backend by walk->slot. FORWARDED, NO_BACKEND or NO_PIN.
GW_INLINE enum gw_reason gw_select_at_slot(struct gw_walk *walk, struct gw_packet *packet)
{
    uint64_t index = walk->slot;
    const gw_slot *rings = (const gw_slot *)(walk->tables + walk->layout->rings_offset);
    gw_slot slot;
    if (GW_UNLIKELY(index >= walk->layout->ring_slots_max)) {
        return GW_REASON_NO_BACKEND;
    }
    GW_BELOW(index, walk->layout->ring_slots_max);
    slot = gw_read_once32(&rings[index]);
    walk->backend = gw_slot_owner(slot);
    if (GW_UNLIKELY(gw_slot_state_of(slot) != GW_SLOT_STABLE)) {
        GW_INTERLEAVE();
        walk->backend = gw_select_tracked(walk, packet, slot, (uint32_t)index);
    }
    if (GW_LIKELY(walk->backend != GW_OWNER_NONE)) {
        return GW_REASON_FORWARDED;
    }
    return gw_slot_owner(slot) == GW_OWNER_NONE ? GW_REASON_NO_BACKEND : GW_REASON_NO_PIN;
}

GW_INLINE enum gw_reason gw_select(struct gw_walk *walk, struct gw_packet *packet)
{
    gw_walk_locate(walk);
    return gw_select_at_slot(walk, packet);
}
