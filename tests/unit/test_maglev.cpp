#include "control/model/maglev.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace guideway::model {
namespace {

std::vector<MaglevMember> equal_members(size_t count, uint64_t seed)
{
    std::mt19937_64 random(seed);
    std::vector<MaglevMember> members(count);
    for (MaglevMember &member : members) {
        member = {.identity = random(), .weight = 100};
    }
    return members;
}

std::vector<uint16_t> filled(size_t slots, const std::vector<MaglevMember> &members,
                             uint64_t seed = 1)
{
    std::vector<uint16_t> ring(slots, 0xffff);
    const auto result = maglev_fill(ring, members, seed);
    EXPECT_TRUE(result) << result.error().message;
    return ring;
}

std::vector<size_t> counts(const std::vector<uint16_t> &ring, size_t members)
{
    std::vector<size_t> slots(members);
    for (const uint16_t owner : ring) {
        slots.at(owner)++;
    }
    return slots;
}

// Owners by identity, which is what hosts must agree on.
std::vector<uint64_t> owners(const std::vector<uint16_t> &ring,
                             const std::vector<MaglevMember> &members)
{
    std::vector<uint64_t> identities;
    for (const uint16_t owner : ring) {
        identities.push_back(members.at(owner).identity);
    }
    return identities;
}

// The slots, in per cent of all, whose owner survives and yet loses them.
double needless_moves(const std::vector<uint64_t> &before, const std::vector<uint64_t> &after,
                      const std::vector<MaglevMember> &survivors)
{
    std::vector<uint64_t> kept;
    for (const MaglevMember &member : survivors) {
        kept.push_back(member.identity);
    }
    std::ranges::sort(kept);
    size_t moved = 0;
    for (size_t slot = 0; slot < before.size(); slot++) {
        const bool survives = std::ranges::binary_search(kept, before[slot]);
        moved += survives && before[slot] != after[slot] ? 1 : 0;
    }
    return 100.0 * static_cast<double>(moved) / static_cast<double>(before.size());
}

TEST(Maglev, FillsTheTableOfThePaper)
{
    // Table 1 of the paper: permutations as offset and skip, before and after B1 leaves.
    const MaglevPreference b0{.offset = 3, .skip = 4};
    const MaglevPreference b1{.offset = 0, .skip = 2};
    const MaglevPreference b2{.offset = 3, .skip = 1};
    std::vector<uint16_t> ring(7);
    maglev_populate(ring, std::vector{b0, b1, b2});
    EXPECT_EQ(ring, (std::vector<uint16_t>{1, 0, 1, 0, 2, 2, 0}));
    maglev_populate(ring, std::vector{b0, b2});
    EXPECT_EQ(ring, (std::vector<uint16_t>{0, 0, 0, 0, 1, 1, 1}));  // B2 is now the second
}

TEST(Maglev, MovesNoMoreSlotsOfSurvivorsThanTheEnvelope)
{
    // Means and largest values of a simulation of the paper's algorithm, in per cent of
    // all slots: needless moves when members are removed, and when one is added.
    struct Case {
        size_t slots, members, removed;
        double mean, largest, added_mean, added_largest;
    };
    constexpr Case kCases[] = {
        {65537, 3, 1, 0.0600, 0.2228, 0.1063, 0.3235},
        {65537, 10, 1, 0.2164, 0.3204, 0.2452, 0.2853},
        {65537, 100, 1, 0.5529, 0.5997, 0.5674, 0.6058},
        {65537, 100, 10, 1.0177, 1.0834, 0.5674, 0.6058},
        {65537, 1000, 10, 2.3320, 2.3803, 0.5752, 0.5951},
        {16381, 160, 1, 1.5618, 1.7459, 1.6208, 1.7459},
        {4093, 10, 1, 1.1788, 1.5636, 1.1422, 1.4171},
        {1021, 10, 1, 2.2968, 3.2321, 2.6004, 3.8198},
    };
    constexpr int kSeeds = 20;
    for (const Case &c : kCases) {
        double removed_sum = 0;
        double added_sum = 0;
        for (int seed = 1; seed <= kSeeds; seed++) {
            const auto members = equal_members(c.members, static_cast<uint64_t>(seed));
            const auto before = owners(filled(c.slots, members), members);
            const std::vector<MaglevMember> survivors(
                members.begin() + static_cast<long>(c.removed), members.end());
            const auto after = owners(filled(c.slots, survivors), survivors);
            removed_sum += needless_moves(before, after, survivors);

            auto more = members;
            more.push_back({.identity = static_cast<uint64_t>(seed) * 7919, .weight = 100});
            const auto with_added = owners(filled(c.slots, more), more);
            size_t moved = 0;
            for (size_t slot = 0; slot < c.slots; slot++) {
                moved +=
                    before[slot] != with_added[slot] && with_added[slot] != more.back().identity
                        ? 1
                        : 0;
            }
            added_sum += 100.0 * static_cast<double>(moved) / static_cast<double>(c.slots);
        }
        const std::string what = std::to_string(c.slots) + " slots, " +
                                 std::to_string(c.members) + " members, " +
                                 std::to_string(c.removed) + " removed";
        // The mean, and half of the way from it to the largest value for so many seeds.
        EXPECT_LE(removed_sum / kSeeds, c.mean + (c.largest - c.mean) / 2) << what;
        EXPECT_LE(added_sum / kSeeds, c.added_mean + (c.added_largest - c.added_mean) / 2)
            << what;
    }
}

TEST(Maglev, SharesEvenlyAmongEqualMembers)
{
    const auto members = equal_members(100, 3);
    const auto slots = counts(filled(65537, members), members.size());
    const auto [least, most] = std::ranges::minmax(slots);
    EXPECT_LE(most - least, 1U);  // 65537 = 655 * 100 + 37
    EXPECT_EQ(least, 655U);
}

TEST(Maglev, SharesInProportionToWeight)
{
    auto members = equal_members(5, 4);
    const uint32_t weights[] = {1, 10, 100, 1000, 10000};
    for (size_t i = 0; i < members.size(); i++) {
        members[i].weight = weights[i];
    }
    const auto slots = counts(filled(655373, members), members.size());
    for (size_t i = 0; i < members.size(); i++) {
        const double exact = 655373.0 * weights[i] / 11111;
        EXPECT_NEAR(static_cast<double>(slots[i]), exact, 2.0 + exact * 0.0001) << i;
    }
}

TEST(Maglev, GivesEveryMemberWithWeightASlot)
{
    auto members = equal_members(101, 5);
    for (MaglevMember &member : members) {
        member.weight = 10000;
    }
    members[50].weight = 1;
    EXPECT_EQ(counts(filled(65537, members), members.size())[50], 1U);
}

TEST(Maglev, GivesNothingToWeightZero)
{
    auto members = equal_members(10, 6);
    members[3].weight = 0;
    const auto ring = filled(1021, members);
    EXPECT_EQ(counts(ring, members.size())[3], 0U);

    auto without = members;
    without.erase(without.begin() + 3);
    EXPECT_EQ(owners(ring, members), owners(filled(1021, without), without));
}

TEST(Maglev, HoldsTheLargestWeights)
{
    auto members = equal_members(1000, 7);
    for (size_t i = 0; i < members.size(); i++) {
        members[i].weight = 0xffffffffU - static_cast<uint32_t>(i % 2);
    }
    const auto slots = counts(filled(65537, members), members.size());
    const auto [least, most] = std::ranges::minmax(slots);
    EXPECT_GE(least, 65U);
    EXPECT_LE(most, 66U);
}

TEST(Maglev, DoesNotDependOnTheOrderOfMembers)
{
    auto members = equal_members(50, 8);
    for (size_t i = 0; i < members.size(); i++) {
        members[i].weight = static_cast<uint32_t>(1 + i % 4 * 50);
    }
    const auto expected = owners(filled(16381, members), members);
    std::mt19937_64 random(8);
    for (int round = 0; round < 10; round++) {
        std::ranges::shuffle(members, random);
        EXPECT_EQ(owners(filled(16381, members), members), expected);
    }
}

TEST(Maglev, CountsWeightsOnlyRelativeToEachOther)
{
    auto members = equal_members(20, 9);
    for (size_t i = 0; i < members.size(); i++) {
        members[i].weight = static_cast<uint32_t>(1 + i % 7);
    }
    const auto expected = filled(16381, members);
    for (MaglevMember &member : members) {
        member.weight *= 1000;
    }
    EXPECT_EQ(filled(16381, members), expected);
}

TEST(Maglev, KeepsMostSlotsWhenOneWeightChanges)
{
    auto members = equal_members(100, 10);
    for (size_t i = 0; i < members.size(); i++) {
        members[i].weight = static_cast<uint32_t>(50 + i % 3 * 50);
    }
    const auto before = owners(filled(65537, members), members);
    members[0].weight = 300;  // now the heaviest
    const auto after = owners(filled(65537, members), members);
    size_t moved = 0;
    for (size_t slot = 0; slot < before.size(); slot++) {
        moved += before[slot] != after[slot] && after[slot] != members[0].identity ? 1 : 0;
    }
    // About 1.6 % must go to the heavier member; those are not counted here.
    EXPECT_LT(100.0 * static_cast<double>(moved) / 65537, 2.0);
}

TEST(Maglev, DependsOnTheSeed)
{
    const auto members = equal_members(10, 11);
    const auto one = filled(65537, members, 1);
    const auto two = filled(65537, members, 2);
    size_t same = 0;
    for (size_t slot = 0; slot < one.size(); slot++) {
        same += one[slot] == two[slot] ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(same) / 65537, 0.1, 0.01);
}

TEST(Maglev, NeverChangesFromVersionToVersion)
{
    // Edge hosts of different versions share traffic. These values are not from a paper;
    // they are what the first version computed.
    EXPECT_EQ(maglev_identity(*IpAddress::parse("10.2.0.2")), 9004926632613905795U);
    EXPECT_EQ(maglev_identity(*IpAddress::parse("2001:db8::2")), 12410527550575585162U);
    const std::vector<MaglevMember> members = {
        {maglev_identity(*IpAddress::parse("10.2.0.2")), 1},
        {maglev_identity(*IpAddress::parse("10.2.0.3")), 2},
        {maglev_identity(*IpAddress::parse("10.2.0.4")), 2}};
    EXPECT_EQ(filled(23, members, 0), (std::vector<uint16_t>{2, 0, 2, 1, 1, 1, 0, 2, 1, 1, 0, 2,
                                                             2, 1, 1, 2, 1, 0, 1, 0, 2, 2, 2}));
}

TEST(Maglev, TellsAddressesOfBothFamiliesApart)
{
    std::map<uint64_t, std::string> seen;
    for (int i = 0; i < 256; i++) {
        for (const std::string &text :
             {"10.0.0." + std::to_string(i), "0.0.10." + std::to_string(i),
              "::a00:" + std::to_string(i),
              std::to_string(i) + "::", "::1:0:0:0:" + std::to_string(i)}) {
            const auto address = IpAddress::parse(text);
            ASSERT_TRUE(address) << text;
            const auto [first, is_new] = seen.emplace(maglev_identity(*address), text);
            EXPECT_TRUE(is_new) << text << " and " << first->second;
        }
    }
}

TEST(Maglev, RefusesWhatItCannotFillAndLeavesTheRingAlone)
{
    const auto members = equal_members(3, 12);
    const auto expect_refused = [](size_t slots, const std::vector<MaglevMember> &bad,
                                   const std::string &why) {
        std::vector<uint16_t> ring(slots, 4711);
        const auto result = maglev_fill(ring, bad, 1);
        ASSERT_FALSE(result);
        EXPECT_NE(result.error().message.find(why), std::string::npos)
            << result.error().message;
        EXPECT_EQ(ring, std::vector<uint16_t>(slots, 4711));
    };
    for (const size_t slots : {0, 1, 4, 65536}) {
        expect_refused(slots, members, "prime");
    }
    expect_refused(7, {}, "no member has weight");
    auto weightless = members;
    for (MaglevMember &member : weightless) {
        member.weight = 0;
    }
    expect_refused(7, weightless, "no member has weight");
    auto twins = members;
    twins[2].identity = twins[0].identity;
    expect_refused(7, twins, "same identity");
    expect_refused(65537, equal_members(kMaglevMembersMax + 1, 1), "at most");
}

TEST(Maglev, FillsTheSmallestRings)
{
    const auto members = equal_members(5, 13);
    for (const size_t slots : {2, 3, 5}) {
        const auto ring = filled(slots, members);
        std::vector<uint16_t> distinct = ring;
        std::ranges::sort(distinct);
        EXPECT_EQ(std::ranges::unique(distinct).begin(), distinct.end()) << slots;
    }
}

TEST(IsPrime, KnowsPrimesFromOtherNumbers)
{
    std::vector<bool> composite(10000);
    for (uint32_t number = 2; number < composite.size(); number++) {
        EXPECT_EQ(is_prime(number), !composite[number]) << number;
        for (uint32_t multiple = number * 2; multiple < composite.size(); multiple += number) {
            composite[multiple] = true;
        }
    }
    EXPECT_FALSE(is_prime(0));
    EXPECT_FALSE(is_prime(1));
    EXPECT_TRUE(is_prime(655373));
    EXPECT_TRUE(is_prime(4294967291U));
    EXPECT_FALSE(is_prime(4294967295U));
    EXPECT_FALSE(is_prime(4294049777U));  // 65521 * 65537
}

}  // namespace
}  // namespace guideway::model
