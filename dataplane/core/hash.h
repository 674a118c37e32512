// The one hash of a flow. Its bits serve the ring slot (bits 32-63), the entropy of the
// outer source or flow label (bits 0-19) and, where a flow is pinned, the fingerprint.
//
// Construction: folded 64x64->128-bit multiplication of key-masked words, as in wyhash
// and rapidhash (Wang Yi, "Modern Non-Cryptographic Hash Function and Pseudorandom Number
// Generator", 2019). The key is secret where an operator sets one, so a sender cannot
// aim flows at a slot. Edge hosts that share traffic must share the key.
#pragma once

#include "types.h"

// High and low halves of the 128-bit product, xored.
GW_INLINE uint64_t gw_fold_multiply_portable(uint64_t a, uint64_t b)
{
    uint64_t a_low = (uint32_t)a, a_high = a >> 32;
    uint64_t b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t low = a_low * b_low;
    uint64_t middle_1 = a_high * b_low + (low >> 32);
    uint64_t middle_2 = a_low * b_high + (uint32_t)middle_1;
    uint64_t high = a_high * b_high + (middle_1 >> 32) + (middle_2 >> 32);
    return high ^ ((middle_2 << 32) | (uint32_t)low);
}

GW_INLINE uint64_t gw_fold_multiply(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__) && !defined(__bpf__)
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
#else
    return gw_fold_multiply_portable(a, b);
#endif
}

struct gw_hash_key {
    uint64_t word[4];
};

// `ports` is the pair as it stands in the packet of the client (source first).
GW_INLINE uint64_t gw_hash_ipv4(const struct gw_hash_key *key, gw_be32 source,
                                gw_be32 destination, uint32_t ports, uint8_t protocol)
{
    uint64_t addresses = (uint64_t)source.raw << 32 | destination.raw;
    uint64_t rest = (uint64_t)protocol << 32 | ports;
    uint64_t hash = gw_fold_multiply(addresses ^ key->word[0], rest ^ key->word[1]);
    return gw_fold_multiply(hash ^ key->word[2], key->word[3]);
}

GW_INLINE uint64_t gw_hash_ipv6(const struct gw_hash_key *key, const uint64_t source[2],
                                const uint64_t destination[2], uint32_t ports, uint8_t protocol)
{
    uint64_t rest = (uint64_t)protocol << 32 | ports;
    uint64_t from = gw_fold_multiply(source[0] ^ key->word[0], source[1] ^ key->word[1]);
    uint64_t to =
        gw_fold_multiply(destination[0] ^ key->word[1], destination[1] ^ key->word[0]);
    uint64_t hash = gw_fold_multiply(from ^ key->word[3], to ^ rest ^ key->word[2]);
    return gw_fold_multiply(hash ^ key->word[2], key->word[3]);
}
