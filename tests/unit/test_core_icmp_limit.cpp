// The limit on answers to packets that do not fit, with a clock in the test's hand.
#include <gtest/gtest.h>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"

namespace {

// Asks for an answer `count` times at one moment; how many are allowed.
int allowed_at(gw_counters_area &area, uint64_t now_ns, int count)
{
    gw_walk walk{};
    walk.counters = reinterpret_cast<uint8_t *>(&area);
    int allowed = 0;
    for (int i = 0; i < count; i++) {
        allowed += gw_icmp_answer_allowed(&walk, now_ns);
    }
    return allowed;
}

TEST(IcmpLimit, ABurstIsAllowedAtOnceAndThenNothing)
{
    gw_counters_area area{};
    EXPECT_EQ(allowed_at(area, 1'000'000'000, 1000), GW_ICMP_BURST);
    EXPECT_EQ(allowed_at(area, 1'000'000'000, 1000), 0);
}

TEST(IcmpLimit, OneMoreIsAllowedForEachIntervalThatPasses)
{
    gw_counters_area area{};
    uint64_t now_ns = 5'000'000'000;
    EXPECT_EQ(allowed_at(area, now_ns, 1000), GW_ICMP_BURST);
    for (int i = 0; i < 100; i++) {
        now_ns += GW_ICMP_INTERVAL_NS;
        ASSERT_EQ(allowed_at(area, now_ns, 10), 1);
    }
    now_ns += 7 * GW_ICMP_INTERVAL_NS;
    EXPECT_EQ(allowed_at(area, now_ns, 1000), 7);
}

TEST(IcmpLimit, IdlenessGivesNoMoreThanOneBurst)
{
    gw_counters_area area{};
    EXPECT_EQ(allowed_at(area, 1'000'000'000, 1000), GW_ICMP_BURST);
    EXPECT_EQ(allowed_at(area, 1'000'000'000 + uint64_t{86'400} * 1'000'000'000 * 90, 1000),
              GW_ICMP_BURST);
}

// Over a long time the rate is exactly that of the interval, with a coarse clock too.
TEST(IcmpLimit, TheRateHoldsWithAClockOfFourMilliseconds)
{
    gw_counters_area area{};
    int allowed = allowed_at(area, 4'000'000, 1000);
    constexpr uint64_t kTicks = 10000;
    for (uint64_t tick = 1; tick <= kTicks; tick++) {
        allowed += allowed_at(area, 4'000'000 * (tick + 1), 100);
    }
    EXPECT_EQ(static_cast<uint64_t>(allowed),
              GW_ICMP_BURST + kTicks * 4'000'000 / GW_ICMP_INTERVAL_NS);
}

// The kernel's tick counter starts shortly before it wraps; time itself begins at zero.
TEST(IcmpLimit, WorksFromTheFirstMoment)
{
    gw_counters_area area{};
    EXPECT_EQ(allowed_at(area, 0, 1000), GW_ICMP_BURST);
}

}  // namespace
