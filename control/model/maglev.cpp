#include "control/model/maglev.hpp"

#include <algorithm>
#include <string>
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

// Which slots of a ring are taken. One bit each, so that it stays in the first-level cache
// where the ring itself does not.
class TakenSlots {
  public:
    explicit TakenSlots(size_t slots) : words_((slots + 63) / 64) {}
    [[nodiscard]] bool has(uint32_t slot) const { return words_[slot / 64] >> slot % 64 & 1; }
    void add(uint32_t slot) { words_[slot / 64] |= uint64_t{1} << slot % 64; }

  private:
    std::vector<uint64_t> words_;
};

// A member's walk along its permutation of the slots.
struct Walk {
    uint32_t slot;  // not yet tried
    uint32_t skip;
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
    const auto size = static_cast<uint32_t>(ring.size());
    // Members in the order of turns at time zero: by weight, then as given.
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < preferences.size(); i++) {
        if (preferences[i].weight != 0) {
            order.push_back(i);
        }
    }
    std::ranges::stable_sort(order, std::ranges::greater{},
                             [&](uint32_t i) { return preferences[i].weight; });
    std::vector<Walk> walks;
    std::vector<Group> groups;
    for (const uint32_t i : order) {
        const MaglevPreference &member = preferences[i];
        if (groups.empty() || groups.back().weight != member.weight) {
            groups.push_back(
                {.weight = member.weight, .first = static_cast<uint32_t>(walks.size())});
        }
        groups.back().count++;
        walks.push_back({.slot = member.offset, .skip = member.skip});
    }
    if (groups.empty()) {
        return;
    }

    TakenSlots taken(size);
    uint32_t left = size;
    std::ranges::make_heap(groups, comes_later);
    for (;;) {
        const Group &group = groups.front();
        for (uint32_t k = group.first; k < group.first + group.count; k++) {
            uint32_t slot = walks[k].slot;
            const uint32_t skip = walks[k].skip;
            while (taken.has(slot)) {
                slot += skip;
                slot -= slot >= size ? size : 0;
            }
            taken.add(slot);
            walks[k].slot = slot;
            ring[slot] = static_cast<uint16_t>(order[k]);
            if (--left == 0) {
                return;
            }
        }
        std::ranges::pop_heap(groups, comes_later);
        groups.back().turn++;
        std::ranges::push_heap(groups, comes_later);
    }
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
    for (size_t i = 0; i < by_identity.size(); i++) {
        by_identity[i] = static_cast<uint16_t>(i);
    }
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
    maglev_populate(ring, preferences);
    for (uint16_t &owner : ring) {
        owner = by_identity[owner];
    }
    return {};
}

}  // namespace guideway::model
