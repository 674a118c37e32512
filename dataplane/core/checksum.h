// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// Sums are of 16-bit words in memory order: one's complement addition gives the same
// bytes in either order, so nothing is swapped.
#pragma once

#include "types.h"

// Folds all carries: a sum of up to 2^32-1 needs the second fold (one fold alone is the
// fault that gives 3 % wrong echo replies elsewhere).
GW_INLINE uint16_t gw_sum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

GW_INLINE uint16_t gw_sum_fold64(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    return gw_sum_fold((uint32_t)sum);
}

// `checksum` after one word changed from `before` to `after`: HC' = ~(~HC + ~m + m'),
// RFC 1624 equation 3, which does not turn a zero into 0xffff.
GW_INLINE uint16_t gw_checksum_update(uint16_t checksum, uint16_t before, uint16_t after)
{
    uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~before + after;
    return (uint16_t)~gw_sum_fold(sum);
}
