// Pins: where the flows go that a ring slot alone does not decide.
//
// A pin is two words. The first alone decides: fingerprint and backend. It changes only by
// compare-and-swap; the second is written only while the first is claimed, or by
// compare-and-swap.
//
//   first   63 .................. 17  16        15       14         13 ....... 0
//           +-----------------------+---------+--------+-----------+-----------+
//           | fingerprint, keyed    | overflow| claimed| confirmed | backend   |
//           +-----------------------+---------+--------+-----------+-----------+
//   second  63 ........... 41  40       39 ....... 27  26 .................... 0
//           +----------------+---------+-------------+-------------------------+
//           | last seen      | closing | service     | slot, of all rings      |
//           +----------------+---------+-------------+-------------------------+
//
// A way is empty when its first word is zero but for the overflow bit, which says of the
// whole bucket (in way 0 only) that some of its flows may be in their second bucket; it is
// set before a flow goes there, and cleared only while no slot is tracked.
//
// A flow has two candidate buckets of one cache line. Only expired pins, and unconfirmed ones
// older than a handshake, are replaced: without room the pin is refused.
//
// The fingerprint alone says which buckets they are, so that a pin can be moved to a table of
// another size: its low 23 bits the first one, the others the second. In a table of 2^b buckets
// a flow is thus taken for another of the same bucket with probability 2^(b - 47): with a million
// pins, for one in 10^8 of the flows that are looked up.
#pragma once

#include "walk.h"

GW_INLINE uint64_t gw_pin_word(uint64_t fingerprint, uint32_t backend, uint64_t confirmed)
{
    return fingerprint << GW_PIN_FINGERPRINT_SHIFT | confirmed | (backend & GW_OWNER_MASK);
}

// The fingerprint, never zero, names service and flow: a service that takes the place of
// another at the same address has another index.
GW_INLINE uint64_t gw_pin_hash(const struct gw_walk *walk)
{
    uint64_t hash = walk->hash ^ (walk->service + 1ULL) * 0x9e3779b97f4a7c15ULL;
    return hash >> GW_PIN_FINGERPRINT_SHIFT != 0 ? hash
                                                 : hash | 1ULL << GW_PIN_FINGERPRINT_SHIFT;
}

// The other bucket of a flow, from either; the same only where there is one bucket.
GW_INLINE uint32_t gw_pin_other_bucket(uint32_t bucket, uint64_t fingerprint, uint32_t mask)
{
    return (bucket ^ ((uint32_t)(fingerprint >> 23) | 1)) & mask;
}

GW_INLINE struct gw_pin_bucket *gw_pin_bucket_at(const struct gw_walk *walk, uint32_t bucket)
{
    return (struct gw_pin_bucket *)(walk->tables + walk->layout->pins_offset) +
           (bucket & walk->layout->pin_buckets_mask);
}

// Whether a pin may give its place to another: also when its handshake never ended.
GW_INLINE int gw_pin_is_replaceable(const struct gw_pin_times *times, uint64_t first,
                                    uint64_t second, uint32_t now)
{
    uint32_t age = gw_pin_age(second, now);
    return gw_pin_is_expired(times, second, now) ||
           ((first & GW_PIN_CONFIRMED) == 0 && age <= GW_PIN_AGE_MAX &&
            age > times->handshake_ticks);
}

GW_INLINE struct gw_pin *gw_pin_in_bucket(struct gw_pin_bucket *bucket, uint64_t fingerprint,
                                          uint64_t *first)
{
    int i;
    for (i = 0; i < GW_PIN_WAYS; i++) {
        *first = gw_read_once64(&bucket->way[i].first);
        if (*first >> GW_PIN_FINGERPRINT_SHIFT == fingerprint) {
            return &bucket->way[i];
        }
    }
    return GW_NULL;
}

// The flow's pin and what its first word was, or 0.
GW_INLINE struct gw_pin *gw_pin_find(const struct gw_walk *walk, uint64_t hash, uint64_t *first)
{
    uint64_t fingerprint = hash >> GW_PIN_FINGERPRINT_SHIFT;
    struct gw_pin_bucket *bucket = gw_pin_bucket_at(walk, (uint32_t)fingerprint);
    struct gw_pin *pin = gw_pin_in_bucket(bucket, fingerprint, first);
    if (pin || GW_LIKELY((gw_read_once64(&bucket->way[0].first) & GW_PIN_OVERFLOW) == 0)) {
        return pin;
    }
    bucket = gw_pin_bucket_at(walk, gw_pin_other_bucket((uint32_t)fingerprint, fingerprint,
                                                        walk->layout->pin_buckets_mask));
    return gw_pin_in_bucket(bucket, fingerprint, first);
}

// Takes a pin away if it is still what was read, but for the overflow and the confirmed bit,
// each of which may be set meanwhile, once.
GW_INLINE int gw_pin_clear(struct gw_pin *pin, uint64_t first)
{
    int i;
    for (i = 0; i < 3; i++) {
        uint64_t found = gw_compare_exchange64(&pin->first, first, first & GW_PIN_OVERFLOW);
        if (GW_LIKELY(found == first)) {
            return 1;
        }
        if (((found ^ first) & ~(GW_PIN_OVERFLOW | GW_PIN_CONFIRMED)) != 0) {
            return 0;
        }
        first = found;
    }
    return 0;
}

// Claims a way of `bucket`: an empty one, or else one whose pin may be replaced. 0: no room.
GW_INLINE struct gw_pin *gw_pin_claim(struct gw_pin_bucket *bucket,
                                      const struct gw_pin_times *times, uint32_t now)
{
    int i;
    for (i = 0; i < GW_PIN_WAYS; i++) {
        struct gw_pin *pin = &bucket->way[i];
        uint64_t first = gw_read_once64(&pin->first);
        if ((first & ~GW_PIN_OVERFLOW) == 0 &&
            gw_compare_exchange64(&pin->first, first,
                                  (first & GW_PIN_OVERFLOW) | GW_PIN_CLAIMED) == first) {
            return pin;
        }
    }
    for (i = 0; i < GW_PIN_WAYS; i++) {
        struct gw_pin *pin = &bucket->way[i];
        uint64_t first = gw_read_once64(&pin->first);
        if ((first & GW_PIN_CLAIMED) == 0 &&
            gw_pin_is_replaceable(times, first, gw_pin_read_second(pin, first), now)) {
            GW_INTERLEAVE();
            if (gw_compare_exchange64(&pin->first, first,
                                      (first & GW_PIN_OVERFLOW) | GW_PIN_CLAIMED) == first) {
                return pin;
            }
        }
    }
    return GW_NULL;
}

// Fills a claimed way. Only the overflow bit can change under us, and only once.
GW_INLINE void gw_pin_publish(struct gw_pin *pin, uint64_t word, uint64_t second)
{
    uint64_t claimed;
    *(volatile uint64_t *)&pin->second = second;
    GW_INTERLEAVE();
    claimed = gw_compare_exchange64(&pin->first, GW_PIN_CLAIMED, word);
    if (GW_UNLIKELY(claimed != GW_PIN_CLAIMED)) {
        gw_compare_exchange64(&pin->first, GW_PIN_CLAIMED | GW_PIN_OVERFLOW,
                              word | GW_PIN_OVERFLOW);
    }
}

// Takes away whatever other pin of the flow a bucket holds.
GW_INLINE void gw_pin_clear_others(struct gw_pin_bucket *bucket, uint64_t fingerprint,
                                   const struct gw_pin *own)
{
    int i;
    for (i = 0; i < GW_PIN_WAYS; i++) {
        uint64_t first = gw_read_once64(&bucket->way[i].first);
        if (first >> GW_PIN_FINGERPRINT_SHIFT == fingerprint && &bucket->way[i] != own) {
            gw_pin_clear(&bucket->way[i], first);
        }
    }
}

// Two processors may have pinned one flow at once. The lower place stays, and is the one that
// every lookup finds; whoever published later sees both, and takes the higher away, or it
// would come back when the lower goes. Returns the backend to go to.
GW_INLINE uint32_t gw_pin_keep_lower(const struct gw_walk *walk, uint64_t hash,
                                     struct gw_pin *own, uint64_t word)
{
    uint64_t fingerprint = hash >> GW_PIN_FINGERPRINT_SHIFT;
    uint32_t mask = walk->layout->pin_buckets_mask;
    struct gw_pin_bucket *bucket = gw_pin_bucket_at(walk, (uint32_t)fingerprint);
    uint64_t lower;
    struct gw_pin *found = gw_pin_find(walk, hash, &lower);
    if (GW_UNLIKELY(found && found != own)) {
        gw_pin_clear(own, word);
        return (uint32_t)lower & GW_OWNER_MASK;
    }
    gw_pin_clear_others(bucket, fingerprint, own);
    if ((gw_read_once64(&bucket->way[0].first) & GW_PIN_OVERFLOW) != 0) {
        gw_pin_clear_others(gw_pin_bucket_at(walk, gw_pin_other_bucket((uint32_t)fingerprint,
                                                                       fingerprint, mask)),
                            fingerprint, own);
    }
    return (uint32_t)word & GW_OWNER_MASK;
}

// Pins the flow to `backend`. Returns the backend that the flow is pinned to, which is another
// if another processor was first, or GW_INDEX_NONE when there is no room.
GW_INLINE uint32_t gw_pin_insert(const struct gw_walk *walk, uint64_t hash, uint32_t backend,
                                 uint64_t confirmed, uint64_t second)
{
    const struct gw_pin_times *times = &gw_walk_header(walk)->pin_times;
    uint32_t now = (uint32_t)(second >> GW_PIN_SEEN_SHIFT);
    uint64_t fingerprint = hash >> GW_PIN_FINGERPRINT_SHIFT;
    uint64_t word = gw_pin_word(fingerprint, backend, confirmed);
    struct gw_pin_bucket *bucket = gw_pin_bucket_at(walk, (uint32_t)fingerprint);
    struct gw_pin *pin = gw_pin_claim(bucket, times, now);
    if (!pin) {
        uint64_t head = gw_read_once64(&bucket->way[0].first);
        // Somebody else's change of the way is no reason to go without; the next packet tries
        // again.
        if ((head & GW_PIN_OVERFLOW) == 0 &&
            gw_compare_exchange64(&bucket->way[0].first, head, head | GW_PIN_OVERFLOW) !=
                head) {
            return GW_INDEX_NONE;
        }
        bucket = gw_pin_bucket_at(walk, gw_pin_other_bucket((uint32_t)fingerprint, fingerprint,
                                                            walk->layout->pin_buckets_mask));
        pin = gw_pin_claim(bucket, times, now);
        if (!pin) {
            return GW_INDEX_NONE;
        }
    }
    gw_pin_publish(pin, word, second);
    GW_INTERLEAVE();
    return gw_pin_keep_lower(walk, hash, pin, word);
}
