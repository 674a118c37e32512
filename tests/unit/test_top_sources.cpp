// Which sources send most, by samples, against what was really sent.
#include "control/daemon/top_sources.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace guideway::daemon {
namespace {

gw_sample sample(uint32_t source, uint32_t bytes = 100, bool is_syn = false,
                 uint32_t service = 0)
{
    return {.high = GW_IPV4_TAG,
            .low = source,
            .service = service,
            .bytes = bytes,
            .is_syn = is_syn ? 1U : 0U,
            .reserved = 0};
}

TEST(TopSources, AreSortedByWhatIsAskedFor)
{
    const auto first_by = [](TopBy by) {
        TopSources top(by);
        for (int i = 0; i < 10; i++) {
            top.add(sample(1, 60), 1);
        }
        top.add(sample(2, 1500), 1);
        for (int i = 0; i < 3; i++) {
            top.add(sample(3, 40, true), 1);
        }
        return top.best(1).at(0).source.low;
    };
    EXPECT_EQ(first_by(TopBy::kPackets), 1U);
    EXPECT_EQ(first_by(TopBy::kBytes), 2U);
    EXPECT_EQ(first_by(TopBy::kConnections), 3U);
}

TEST(TopSources, AreExactWhenEveryPacketIsSampled)
{
    TopSources top(TopBy::kPackets);
    for (int i = 0; i < 100; i++) {
        top.add(sample(static_cast<uint32_t>(i % 3), 50, i % 10 == 0, i % 3 == 0 ? 7 : 8), 1);
    }
    const auto rows = top.best(10);
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].source.low, 0U);
    EXPECT_EQ(rows[0].packets, 34);
    EXPECT_EQ(rows[0].bytes, 34 * 50);
    EXPECT_EQ(rows[0].connections, 4);
    EXPECT_EQ(rows[0].error, 0);
    EXPECT_EQ(rows[0].service, 7U);
    EXPECT_EQ(top.packets(), 100);
    EXPECT_EQ(top.left_out_most(), 0);
    EXPECT_EQ(top.best(2).size(), 2U);
}

TEST(TopSources, OfIpv6AreCountedByTheirUpperHalf)
{
    TopSources top(TopBy::kPackets);
    for (uint64_t low = 0; low < 5; low++) {
        top.add({.high = 42, .low = low, .bytes = 100}, 1);
    }
    ASSERT_EQ(top.best(10).size(), 1U);
    EXPECT_EQ(top.best(1)[0].packets, 5);
    EXPECT_EQ(top.best(1)[0].source.low, 0U);
}

TEST(TopSources, WithoutConnectionsAreNoTopOfThese)
{
    TopSources top(TopBy::kConnections);
    top.add(sample(1), 1);
    EXPECT_TRUE(top.best(10).empty());
    top.add(sample(1, 60, true), 1);
    top.add(sample(1), 1);
    EXPECT_EQ(top.best(10).at(0).packets, 2);
}

// 19 of 20 errors lie within what is told.
TEST(TopSources, TellTheErrorThatSamplingBrings)
{
    std::mt19937 random(1);
    constexpr int kRounds = 1000;
    constexpr double kPackets = 20'000;
    int inside = 0;
    for (int round = 0; round < kRounds; round++) {
        TopSources top(TopBy::kPackets);
        std::binomial_distribution<int> sampled(static_cast<int>(kPackets), 1.0 / 64);
        for (int i = sampled(random); i > 0; i--) {
            top.add(sample(1), 64);
        }
        const auto row = top.best(1).at(0);
        EXPECT_LT(row.error, 0.15);
        inside += std::abs(row.packets - kPackets) <= row.error * row.packets ? 1 : 0;
    }
    EXPECT_GT(inside, kRounds * 0.93);
    EXPECT_LT(inside, kRounds * 0.97);
}

// Many more sources than there is room for, all but a few of which send one packet.
TEST(TopSources, ThatSendMuchAreFoundAmongAnyNumberOfOthers)
{
    constexpr size_t kRoom = 64;
    TopSources top(TopBy::kPackets, kRoom);
    std::mt19937 random(2);
    constexpr int kPackets = 200'000;
    std::map<uint32_t, int> sent;
    for (int i = 0; i < kPackets; i++) {
        // Sources 1 to 4 send 2 % each.
        const uint32_t roll = random() % 100;
        const uint32_t source = roll < 8 ? 1 + roll / 2 : 1000 + static_cast<uint32_t>(i);
        top.add(sample(source), 1);
        sent[source]++;
        ASSERT_LE(top.sources(), 2 * kRoom);
    }
    EXPECT_GT(top.left_out_most(), 0);
    EXPECT_LE(top.left_out_most(), kPackets / static_cast<double>(kRoom));
    const auto rows = top.best(4);
    ASSERT_EQ(rows.size(), 4U);
    for (const auto &row : rows) {
        ASSERT_LT(row.source.low, 1000U);
        const double really = sent[static_cast<uint32_t>(row.source.low)];
        EXPECT_LE(row.packets, really);
        EXPECT_GE(row.packets + top.left_out_most(), really);
    }
}

}  // namespace
}  // namespace guideway::daemon
