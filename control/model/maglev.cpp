#include "control/model/maglev.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace guideway::model {

namespace {

// Finalizer of splitmix64 (Steele et al., "Fast splittable pseudorandom number
// generators", OOPSLA 2014): a bijection whose every output bit depends on every input bit.
constexpr uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

uint64_t load_big_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

// (a + b) mod size, for a and b below it.
uint32_t add(uint32_t a, uint32_t b, uint32_t size)
{
    const uint32_t sum = a + b;
    return std::min(sum, sum - size);  // the difference wraps around below zero
}

// Which slots of a ring are taken: a byte each, 1 or 0, which costs memory and saves the
// shifts that picking a bit would take.
using TakenSlots = std::vector<uint8_t>;

// A member's walk along its permutation of the slots.
constexpr size_t kLookahead = 8;
struct Walk {
    uint32_t slot;  // all before it are taken
    uint32_t skip;
    std::array<int32_t, kLookahead> ahead;  // 0 to 7 skips, modulo the size
    uint32_t stride;                        // 8 skips
};

Walk make_walk(const MaglevPreference &member, uint32_t size)
{
    Walk walk{.slot = member.offset, .skip = member.skip, .ahead = {}, .stride = 0};
    for (int32_t &distance : walk.ahead) {
        distance = static_cast<int32_t>(walk.stride);
        walk.stride = add(walk.stride, member.skip, size);
    }
    return walk;
}

// The first free slot from walk.slot on. Eight steps at a time, because after how many a
// walk ends cannot be foreseen, and a processor that guesses wrong loses more time than it
// takes to look further ahead than is needed. Signed, and without std::min, because this
// is what compilers turn into vector instructions everywhere.
uint32_t next_free(const Walk &walk, const TakenSlots &taken, uint32_t size)
{
    for (uint32_t slot = walk.slot;; slot = add(slot, walk.stride, size)) {
        std::array<int32_t, kLookahead> candidates;
        const auto whole = static_cast<int32_t>(size);
        for (size_t i = 0; i < kLookahead; i++) {
            const int32_t less = static_cast<int32_t>(slot) + walk.ahead[i] - whole;
            candidates[i] = less + (whole & less >> 31);
        }
        uint32_t missed = 0;
        for (size_t i = 0; i < kLookahead; i++) {
            missed |= static_cast<uint32_t>(taken[static_cast<uint32_t>(candidates[i])]) << i;
        }
        if (missed != (1u << kLookahead) - 1) {
            return static_cast<uint32_t>(
                candidates[static_cast<size_t>(std::countr_one(missed))]);
        }
    }
}

// The inverse of `number` modulo the prime `size` (extended Euclid).
uint32_t inverse(uint32_t number, uint32_t size)
{
    int64_t a = size, b = number, x = 0, y = 1;
    while (b != 0) {
        const int64_t quotient = a / b;
        a = std::exchange(b, a - quotient * b);
        x = std::exchange(y, x - quotient * y);
    }
    return static_cast<uint32_t>(x < 0 ? x + size : x);
}

// The last free slots. A walk that meets one slot in a thousand takes long; when few are
// left it is quicker to ask of each how far ahead in the permutation it lies, which is
// (slot - start) / skip modulo the size.
class LastSlots {
  public:
    LastSlots(const TakenSlots &taken, uint32_t size) : size_(size)
    {
        for (uint32_t slot = 0; slot < size; slot++) {
            if (taken[slot] == 0) {
                free_.push_back(slot);
            }
        }
    }

    uint32_t take(const Walk &walk)
    {
        // Shoup's multiplication by a constant: the quotient is estimated from a fraction
        // with 32 bits, and is at most one too small.
        const uint64_t factor = inverse(walk.skip, size_);
        const uint64_t fraction = (factor << 32) / size_;
        uint32_t least = size_;
        size_t nearest = 0;
        for (size_t i = 0; i < free_.size(); i++) {
            const uint64_t gap = add(free_[i], size_ - walk.slot, size_);
            const auto rough =
                static_cast<uint32_t>(gap * factor - ((gap * fraction) >> 32) * size_);
            const uint32_t steps = std::min(rough, rough - size_);
            nearest = steps < least ? i : nearest;
            least = std::min(least, steps);
        }
        const uint32_t slot = free_[nearest];
        free_[nearest] = free_.back();
        free_.pop_back();
        return slot;
    }

  private:
    uint32_t size_;
    std::vector<uint32_t> free_;
};

// Members of one weight, which have all their turns at the same times.
struct Group {
    uint64_t turn = 0;  // turns taken; the next is at time turn / weight
    uint64_t weight = 0;
    uint32_t first = 0;  // of its members in the order of turns
    uint32_t count = 0;
};

// Groups in the order of their next turns, the heavier first of two at the same time.
bool comes_later(const Group &a, const Group &b)
{
    const uint64_t a_time = a.turn * b.weight;
    const uint64_t b_time = b.turn * a.weight;
    return a_time != b_time ? a_time > b_time : a.weight < b.weight;
}

// Lets the members take turns until no slot is free.
void take_turns(std::span<uint16_t> ring, std::span<const uint32_t> owners,
                std::span<Walk> walks, std::vector<Group> &groups)
{
    const auto size = static_cast<uint32_t>(ring.size());
    TakenSlots taken(size);
    std::optional<LastSlots> last;
    // About where asking all free slots becomes cheaper than walking, size / left steps.
    uint32_t walked = size - std::min(size, static_cast<uint32_t>(std::sqrt(size)));
    uint32_t left = size;
    std::ranges::make_heap(groups, comes_later);
    for (;;) {
        const Group &group = groups.front();
        for (uint32_t k = group.first; k < group.first + group.count; k++) {
            Walk &walk = walks[k];
            if (walked > 0) {
                walk.slot = next_free(walk, taken, size);
                taken[walk.slot] = 1;
                walked--;
            } else {
                if (!last) {
                    last.emplace(taken, size);
                }
                walk.slot = last->take(walk);
            }
            ring[walk.slot] = static_cast<uint16_t>(owners[k]);
            if (--left == 0) {
                return;
            }
        }
        std::ranges::pop_heap(groups, comes_later);
        groups.back().turn++;
        std::ranges::push_heap(groups, comes_later);
    }
}

// maglev_populate() with something else than positions to write into the ring.
void populate(std::span<uint16_t> ring, std::span<const MaglevPreference> preferences,
              std::span<const uint16_t> labels)
{
    const auto size = static_cast<uint32_t>(ring.size());
    // Members in the order of turns at time zero: by weight, then as given.
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < preferences.size(); i++) {
        if (preferences[i].weight != 0) {
            order.push_back(i);
        }
    }
    std::ranges::sort(order, [&](uint32_t a, uint32_t b) {
        return std::pair(preferences[b].weight, a) < std::pair(preferences[a].weight, b);
    });
    std::vector<Walk> walks;
    std::vector<Group> groups;
    for (const uint32_t i : order) {
        const MaglevPreference &member = preferences[i];
        if (groups.empty() || groups.back().weight != member.weight) {
            groups.push_back(
                {.weight = member.weight, .first = static_cast<uint32_t>(walks.size())});
        }
        groups.back().count++;
        walks.push_back(make_walk(member, size));
    }
    if (!groups.empty()) {
        for (uint32_t &member : order) {
            member = labels[member];
        }
        take_turns(ring, order, walks, groups);
    }
}

}  // namespace

uint64_t maglev_identity(const IpAddress &address)
{
    if (!address.is_ipv6()) {
        return mix(kGolden * 4 ^ load_big_endian(address.bytes.data(), 4));
    }
    const uint64_t high = mix(kGolden * 6 ^ load_big_endian(address.bytes.data(), 8));
    return mix(high ^ load_big_endian(address.bytes.data() + 8, 8));
}

bool is_prime(uint32_t number)
{
    if (number < 4) {
        return number >= 2;
    }
    if (number % 2 == 0 || number % 3 == 0) {
        return false;
    }
    for (uint64_t divisor = 5; divisor * divisor <= number; divisor += 6) {
        if (number % divisor == 0 || number % (divisor + 2) == 0) {
            return false;
        }
    }
    return true;
}

void maglev_populate(std::span<uint16_t> ring, std::span<const MaglevPreference> preferences)
{
    std::vector<uint16_t> positions(preferences.size());
    std::iota(positions.begin(), positions.end(), uint16_t{0});
    populate(ring, preferences, positions);
}

Result<void> maglev_fill(std::span<uint16_t> ring, std::span<const MaglevMember> members,
                         uint64_t seed)
{
    if (ring.size() > kMaglevRingMax || !is_prime(static_cast<uint32_t>(ring.size()))) {
        return fail("cannot fill a ring of " + std::to_string(ring.size()) +
                    " slots: the size must be a prime up to " + std::to_string(kMaglevRingMax));
    }
    if (members.size() > kMaglevMembersMax) {
        return fail("cannot fill a ring for " + std::to_string(members.size()) +
                    " members: at most " + std::to_string(kMaglevMembersMax));
    }
    std::vector<uint16_t> by_identity(members.size());
    std::iota(by_identity.begin(), by_identity.end(), uint16_t{0});
    const auto identity = [&](uint16_t i) { return members[i].identity; };
    std::ranges::sort(by_identity, {}, identity);
    if (std::ranges::adjacent_find(by_identity, {}, identity) != by_identity.end()) {
        return fail("cannot fill a ring: two members have the same identity");
    }
    if (std::ranges::all_of(members, [](const MaglevMember &m) { return m.weight == 0; })) {
        return fail("cannot fill a ring: no member has weight");
    }

    const auto size = static_cast<uint32_t>(ring.size());
    std::vector<MaglevPreference> preferences;
    preferences.reserve(members.size());
    for (const uint16_t i : by_identity) {
        const uint64_t keyed = mix(members[i].identity ^ mix(seed + kGolden));
        preferences.push_back(
            {.offset = static_cast<uint32_t>(mix(keyed + kGolden) % size),
             .skip = static_cast<uint32_t>(mix(keyed + 2 * kGolden) % (size - 1)) + 1,
             .weight = members[i].weight});
    }
    populate(ring, preferences, by_identity);
    return {};
}

}  // namespace guideway::model
