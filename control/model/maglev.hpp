// Weighted Maglev rings.
#pragma once

#include <cstdint>
#include <span>

#include "control/model/address.hpp"
#include "dataplane/error.hpp"

namespace guideway::model {

struct MaglevMember {
    uint64_t identity = 0;  // maglev_identity(); distinct in a set
    uint32_t weight = 0;
};

// A backend is known by its address, so that hosts that name it differently agree.
[[nodiscard]] uint64_t maglev_identity(const IpAddress &address);

[[nodiscard]] bool is_prime(uint32_t number);

// Fills `ring` (a prime number of slots) with positions in `members`, so that each owns
// slots in proportion to its weight; weight zero owns none. A pure function of the set of
// (identity, weight), the ring's size and the seed: the order of `members` changes only
// the positions written, not who owns a slot.
// Source: Eisenbud et al., Maglev, NSDI 2016, section 3.4.
// Fails, leaving `ring` untouched, when the size is not prime, when no member has weight,
// or when two members have the same identity.
[[nodiscard]] Result<void> maglev_fill(std::span<uint16_t> ring,
                                       std::span<const MaglevMember> members, uint64_t seed);

}  // namespace guideway::model
