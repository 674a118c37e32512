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

inline constexpr uint32_t kMaglevRingMax = 1u << 27;  // slots
inline constexpr uint32_t kMaglevMembersMax = 65535;

// A backend is known by its address, so that hosts that name it differently agree. The
// value must never change between versions: edge hosts of two versions share traffic.
[[nodiscard]] uint64_t maglev_identity(const IpAddress &address);

[[nodiscard]] bool is_prime(uint32_t number);

// Fills `ring` (a prime number of slots) with positions in `members`, so that each owns
// slots in proportion to its weight; weight zero owns none. A pure function of the set of
// (identity, weight), the ring's size and the seed: the order of `members` changes only
// the positions written, not who owns a slot. Weights count only relative to each other.
// Source: Eisenbud et al., Maglev, NSDI 2016, section 3.4; the weighting is ours, see
// docs/design/0004-weighted-maglev.md.
// Fails, leaving `ring` untouched, when the size is not a prime up to kMaglevRingMax, when
// there are more than kMaglevMembersMax members, when none has weight, or when two have
// the same identity.
[[nodiscard]] Result<void> maglev_fill(std::span<uint16_t> ring,
                                       std::span<const MaglevMember> members, uint64_t seed);

// The order in which a member wants the slots of a ring of M: offset, offset + skip,
// offset + 2 * skip, … modulo M. Offset below M; skip from 1 to M - 1.
struct MaglevPreference {
    uint32_t offset = 0;
    uint32_t skip = 0;
    uint32_t weight = 1;
};

// The filler below maglev_fill(), for those who bring their own preferences. Members take
// turns; in each a member takes the free slot that it wants most. Turn k (from 0) of a
// member of weight w comes at time k / w; at the same time the heavier comes first, then
// the one given first. `ring` must be of prime size; it is untouched when no member has
// weight.
void maglev_populate(std::span<uint16_t> ring, std::span<const MaglevPreference> preferences);

}  // namespace guideway::model
