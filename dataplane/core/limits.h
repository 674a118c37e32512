// Limits: the state of a source, and whether it exceeds. The tables are in policy_tables.h.
#pragma once

#include "lists.h"
#include "walk.h"

// What policy sees of a packet to a service.
struct gw_visit {
    uint64_t high;  // source, as struct gw_address has it
    uint64_t low;
    uint32_t service;
    uint32_t bytes;
    uint32_t is_syn;
    uint32_t reserved;
};

// Where a state is: an index into the sources' ways, the cells or the limits.
#define GW_PLACE_SHIFT 30
#define GW_PLACE_INDEX 0x3fffffffu
enum gw_place { GW_PLACE_NONE = 0, GW_PLACE_WAY = 1, GW_PLACE_CELL = 2, GW_PLACE_LIMIT = 3 };

GW_INLINE uint32_t gw_place_make(enum gw_place kind, uint32_t index)
{
    return (uint32_t)kind << GW_PLACE_SHIFT | index;
}

GW_INLINE struct gw_limit *gw_limit_at(uint8_t *tables, const struct gw_layout *layout,
                                       uint32_t index)
{
    return (struct gw_limit *)(tables + layout->limits_offset) + (index & (GW_LIMITS_MAX - 1));
}

GW_INLINE struct gw_source *gw_source_at(uint8_t *tables, const struct gw_layout *layout,
                                         uint32_t way)
{
    return (struct gw_source *)(tables + layout->sources_offset) +
           (way & (layout->source_buckets_mask * GW_SOURCE_WAYS + GW_SOURCE_WAYS - 1));
}

GW_INLINE uint64_t *gw_cell_at(uint8_t *tables, const struct gw_layout *layout, uint32_t cell)
{
    return (uint64_t *)(tables + layout->cells_offset) + (cell & layout->source_buckets_mask);
}

GW_INLINE uint64_t *gw_arrival_at(uint8_t *tables, const struct gw_layout *layout,
                                  uint32_t place)
{
    uint32_t index = place & GW_PLACE_INDEX;
    if (GW_LIKELY(place >> GW_PLACE_SHIFT == GW_PLACE_WAY)) {
        return &gw_source_at(tables, layout, index)->arrival;
    }
    if (place >> GW_PLACE_SHIFT == GW_PLACE_CELL) {
        return gw_cell_at(tables, layout, index);
    }
    return &gw_limit_at(tables, layout, index)->shared_arrival;
}

// How far a state is ahead of the clock, in either's units; negative: it says nothing.
GW_INLINE int64_t gw_arrival_ahead(uint64_t arrival, uint64_t now)
{
    return (int64_t)(arrival - now);
}

GW_INLINE uint32_t gw_limit_cost(const struct gw_limit *limit, const struct gw_visit *visit)
{
    return limit->kind == GW_LIMIT_BYTES     ? visit->bytes
           : limit->kind == GW_LIMIT_PACKETS ? 1
                                             : visit->is_syn;
}

// By how much a packet moves the arrival on.
GW_INLINE uint64_t gw_limit_increment(const struct gw_limit *limit, uint32_t cost)
{
    return cost * gw_read_once64(&limit->interval) >> (GW_INTERVAL_SHIFT - GW_ARRIVAL_SHIFT);
}

// The part of a source's address that shares a state, as in the packet.
GW_INLINE void gw_limit_mask(const struct gw_limit *limit, uint64_t *high, uint64_t *low)
{
    if (*high == GW_IPV4_TAG) {
        *low &= limit->ipv4_bits == 0
                    ? 0
                    : __builtin_bswap32(~0u << ((32u - limit->ipv4_bits) & 31));
        return;
    }
    *high &= gw_prefix_mask64(limit->ipv6_bits);
    *low &= limit->ipv6_bits > 64 ? gw_prefix_mask64(limit->ipv6_bits - 64u) : 0;
}

GW_INLINE uint64_t gw_source_fingerprint(const struct gw_hash_key *key,
                                         const struct gw_limit *limit, uint64_t high,
                                         uint64_t low)
{
    uint64_t hash = gw_fold_multiply(high ^ key->word[0] ^ limit->seed, low ^ key->word[1]);
    // Zero is an empty way, and one a record that is being written.
    return hash > GW_LIMITED_CLAIMED ? hash : hash + 2;
}

// Moves a state on by `increment`, if it is not too far ahead of the clock. Returns whether it
// was not. A state that no packet can have moved so far ahead is of another rate, and is taken
// back to where this one's excess begins.
#define GW_CHARGE_TRIES 4
GW_INLINE int gw_arrival_charge(uint64_t *arrival, uint64_t now, uint64_t tolerance,
                                uint64_t increment)
{
    int i;
    for (i = 0; i < GW_CHARGE_TRIES; i++) {
        uint64_t seen = gw_read_once64(arrival);
        int64_t ahead = gw_arrival_ahead(seen, now);
        uint64_t next;
        if (GW_UNLIKELY(ahead > (int64_t)tolerance)) {
            return 0;
        }
        next = (ahead > 0 ? seen : now) + increment;
        GW_INTERLEAVE();
        if (GW_LIKELY(gw_compare_exchange64(arrival, seen, next) == seen)) {
            return 1;
        }
    }
    // Others were quicker each time, and there may be room for all of us.
    if (gw_arrival_ahead(gw_read_once64(arrival), now) > (int64_t)tolerance) {
        return 0;
    }
    __sync_fetch_and_add(arrival, increment);
    return 1;
}

// Takes a state that is further ahead than `most` back to it. 65575 bytes are the longest packet.
//
// By how much further, says how old `now` may be: a virtual processor may stand still behind its
// reading of the clock while the others charge the state. Taken back to that reading it would let
// through again what they have let through.
#define GW_CLOCK_AGE_MAX (1ULL << 30 << GW_ARRIVAL_SHIFT)  // 1.07 s
GW_INLINE void gw_arrival_clamp(uint64_t *arrival, uint64_t now, const struct gw_limit *limit)
{
    uint64_t most =
        limit->tolerance + gw_limit_increment(limit, limit->kind == GW_LIMIT_BYTES ? 65575 : 1);
    uint64_t seen = gw_read_once64(arrival);
    if (gw_arrival_ahead(seen, now) > (int64_t)(most + GW_CLOCK_AGE_MAX)) {
        gw_compare_exchange64(arrival, seen, now + most);
    }
}

// Puts `arrival` ahead to at least `least`.
GW_INLINE void gw_arrival_raise(uint64_t *arrival, uint64_t least)
{
    uint64_t seen = gw_read_once64(arrival);
    if (gw_arrival_ahead(least, seen) > 0) {
        gw_compare_exchange64(arrival, seen, least);
    }
}

// The way that has `fingerprint`; GW_INDEX_NONE: none.
GW_INLINE uint32_t gw_source_find(uint8_t *tables, const struct gw_layout *layout,
                                  uint64_t fingerprint)
{
    uint32_t first = ((uint32_t)fingerprint & layout->source_buckets_mask) * GW_SOURCE_WAYS;
    const struct gw_source *bucket = gw_source_at(tables, layout, first);
    uint32_t way;
#pragma GCC unroll 4
    for (way = 0; way < GW_SOURCE_WAYS; way++) {
        if (gw_read_once64(&bucket[way].fingerprint) == fingerprint) {
            return first + way;
        }
    }
    return GW_INDEX_NONE;
}

// Two processors may have given one source a way at once. The lower stays; whoever came later
// sees both. Returns the way to use.
GW_INLINE uint32_t gw_source_keep_lower(uint8_t *tables, const struct gw_layout *layout,
                                        uint64_t fingerprint, uint32_t own, uint64_t now)
{
    uint32_t first = ((uint32_t)fingerprint & layout->source_buckets_mask) * GW_SOURCE_WAYS;
    uint32_t way;
    for (way = 0; way < GW_SOURCE_WAYS; way++) {
        struct gw_source *other = gw_source_at(tables, layout, first + way);
        if (first + way == own || gw_read_once64(&other->fingerprint) != fingerprint) {
            continue;
        }
        if (first + way < own) {
            gw_compare_exchange64(&gw_source_at(tables, layout, own)->fingerprint, fingerprint,
                                  0);
            return first + way;
        }
        if (gw_compare_exchange64(&other->fingerprint, fingerprint, 0) == fingerprint) {
            int64_t ahead = gw_arrival_ahead(gw_read_once64(&other->arrival), now);
            if (ahead > 0) {
                gw_arrival_raise(&gw_source_at(tables, layout, own)->arrival,
                                 now + (uint64_t)ahead);
            }
        }
    }
    return own;
}

// Gives a source a way of its bucket whose state says nothing any more, or else its cell.
GW_SUBPROGRAM uint32_t gw_source_place(gw_handle handle, uint64_t fingerprint, uint64_t now,
                                       uint32_t limit_index)
{
    struct gw_packet *packet = gw_from_handle(handle);
    uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    uint32_t cell = (uint32_t)(fingerprint >> 32) & GW_PLACE_INDEX;
    uint32_t way;
    struct gw_limit *limit;
    if (!tables) {
        return 0;
    }
    limit = gw_limit_at(tables, layout, limit_index);
    for (way = 0; way < GW_SOURCE_WAYS; way++) {
        uint32_t index =
            ((uint32_t)fingerprint & layout->source_buckets_mask) * GW_SOURCE_WAYS + way;
        struct gw_source *source = gw_source_at(tables, layout, index);
        uint64_t seen = gw_read_once64(&source->fingerprint);
        if (gw_arrival_ahead(gw_read_once64(&source->arrival), now) > 0 ||
            gw_compare_exchange64(&source->fingerprint, seen, fingerprint) != seen) {
            continue;
        }
        GW_INTERLEAVE();
        // While sources share cells, this one may have.
        if (gw_arrival_ahead(gw_read_once64(&limit->shared_until), now) > 0) {
            gw_arrival_raise(&source->arrival,
                             gw_read_once64(gw_cell_at(tables, layout, cell)));
        }
        return gw_place_make(GW_PLACE_WAY,
                             gw_source_keep_lower(tables, layout, fingerprint, index, now));
    }
    return gw_place_make(GW_PLACE_CELL, cell & layout->source_buckets_mask);
}

// Remembers that a source exceeds a limit. Returns whether there was room.
GW_SUBPROGRAM uint32_t gw_limited_note(gw_handle handle, const struct gw_visit *visit,
                                       uint32_t limit_index, uint64_t now_ns)
{
    struct gw_packet *packet = gw_from_handle(handle);
    uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    struct gw_limited *bucket;
    struct gw_limit *limit;
    uint64_t high, low, fingerprint;
    uint32_t way;
    if (!tables || !visit) {
        return 0;
    }
    limit = gw_limit_at(tables, layout, limit_index);
    high = visit->high;
    low = visit->low;
    gw_limit_mask(limit, &high, &low);
    fingerprint = gw_source_fingerprint(&((const struct gw_tables_header *)tables)->hash_key,
                                        limit, high, low);
    bucket = (struct gw_limited *)(tables + layout->limited_offset) +
             (fingerprint & (GW_LIMITED_MAX / GW_LIMITED_WAYS - 1)) * GW_LIMITED_WAYS;
    for (way = 0; way < GW_LIMITED_WAYS; way++) {
        if (gw_read_once64(&bucket[way].fingerprint) == fingerprint) {
            bucket[way].last_ns = now_ns;
            __sync_fetch_and_add(&bucket[way].packets, 1);
            __sync_fetch_and_add(&bucket[way].bytes, visit->bytes);
            return 1;
        }
    }
    for (way = 0; way < GW_LIMITED_WAYS; way++) {
        struct gw_limited *record = &bucket[way];
        if (gw_compare_exchange64(&record->fingerprint, 0, GW_LIMITED_CLAIMED) == 0) {
            record->high = high;
            record->low = low;
            record->since_ns = now_ns;
            record->last_ns = now_ns;
            record->packets = 1;
            record->bytes = visit->bytes;
            record->limit = limit_index;
            record->service = visit->service;
            gw_compare_exchange64(&record->fingerprint, GW_LIMITED_CLAIMED, fingerprint);
            return 1;
        }
    }
    return 0;
}
