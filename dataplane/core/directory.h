// Stage: is this address ours, and which service has this port on it?
#pragma once

#include "walk.h"

// The current copy of the directory.
GW_INLINE const struct gw_directory *gw_directory_current(const struct gw_walk *walk)
{
    uint32_t active = gw_read_once32(&gw_walk_header(walk)->active_directory);
    uint32_t offset =
        active ? walk->layout->directory_offset[1] : walk->layout->directory_offset[0];
    return (const struct gw_directory *)(walk->tables + offset);
}

// Returns the address's index, or GW_INDEX_NONE when no service has this address.
GW_INLINE uint32_t gw_address_find(const struct gw_walk *walk, struct gw_packet *packet,
                                   const struct gw_directory *directory, uint64_t high,
                                   uint64_t low)
{
    struct gw_memo *memo = gw_lookup_memo(packet);
    uint32_t bucket_index;
    const struct gw_address_bucket *bucket;
    uint32_t way;
    if (memo && GW_UNLIKELY(memo->directory != directory)) {
        memo->directory = directory;
        memo->high = memo->low = memo->port_key = 0;
    }
    if (memo && GW_LIKELY(memo->low == low && memo->high == high)) {
        return memo->address;
    }
    bucket_index =
        gw_address_hash(directory->seed, high, low) & walk->layout->address_buckets_mask;
    bucket = (const struct gw_address_bucket *)(directory + 1) + bucket_index;
#pragma GCC unroll 4
    for (way = 0; way < GW_ADDRESS_WAYS; way++) {
        if (bucket->way[way].low == low && bucket->way[way].high == high) {
            if (memo) {
                memo->high = high;
                memo->low = low;
                memo->address = bucket_index * GW_ADDRESS_WAYS + way;
            }
            return bucket_index * GW_ADDRESS_WAYS + way;
        }
        // Ways are filled from the first, and no address is all zero.
        if ((bucket->way[way].low | bucket->way[way].high) == 0) {
            break;
        }
    }
    return GW_INDEX_NONE;
}

// Returns the low 16 bits of the way with this key, or GW_INDEX_NONE.
GW_INLINE uint32_t gw_port_find(const struct gw_walk *walk,
                                const struct gw_directory *directory, uint64_t key)
{
    uint32_t bucket_index =
        gw_port_hash(directory->seed, key) & walk->layout->port_buckets_mask;
    const struct gw_port_bucket *bucket =
        (const struct gw_port_bucket *)((const uint8_t *)directory +
                                        walk->layout->ports_offset) +
        bucket_index;
    uint32_t way;
#pragma GCC unroll 8
    for (way = 0; way < GW_PORT_WAYS; way++) {
        uint64_t word = bucket->way[way];
        if ((word & ~0xffffULL) == key) {
            return (uint32_t)word & 0xffff;
        }
        if (word == 0) {
            break;
        }
    }
    return GW_INDEX_NONE;
}

// What becomes of a packet to one of our addresses that matches no service.
GW_INLINE enum gw_reason gw_unmatched_reason(const struct gw_walk *walk,
                                             const struct gw_directory *directory,
                                             uint32_t address_index)
{
    uint32_t unmatched = gw_port_find(walk, directory, gw_port_key(address_index, 0, 0));
    return unmatched == GW_UNMATCHED_PASS ? GW_REASON_UNMATCHED_PASS : GW_REASON_NO_SUCH_PORT;
}

// Finds the service of a TCP or UDP flow and remembers it in the walk. FORWARDED: found.
GW_INLINE enum gw_reason gw_service_find(struct gw_walk *walk, struct gw_packet *packet,
                                         const struct gw_directory *directory,
                                         uint32_t address_index, uint8_t protocol,
                                         uint16_t port_raw)
{
    struct gw_memo *memo = gw_lookup_memo(packet);
    uint64_t key = gw_port_key(address_index, protocol, port_raw);
    uint32_t service;
    if (memo && GW_LIKELY(memo->port_key == key)) {
        walk->service = memo->service;
        return GW_REASON_FORWARDED;
    }
    service = gw_port_find(walk, directory, key);
    if (GW_UNLIKELY(service == GW_INDEX_NONE)) {
        return gw_unmatched_reason(walk, directory, address_index);
    }
    if (memo) {
        memo->port_key = key;
        memo->service = service;
    }
    walk->service = service;
    return GW_REASON_FORWARDED;
}
