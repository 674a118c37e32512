// What a limit lets through, against the virtual scheduling algorithm written down plainly.
#include "tests/unit/core_limits_fixture.hpp"

#include <random>
#include <thread>
#include <vector>

namespace guideway {
namespace {

// ITU-T I.371 annex A, in 2^-4 ns.
class Reference {
  public:
    explicit Reference(const Rate &rate)
        : interval_(rate.interval_ns << GW_ARRIVAL_SHIFT),
          tolerance_((rate.burst - 1) * interval_)
    {
    }

    bool conforms(uint64_t at_ns, uint64_t units = 1)
    {
        const auto now = static_cast<__int128>(at_ns) << GW_ARRIVAL_SHIFT;
        if (arrival_ - now > static_cast<__int128>(tolerance_)) {
            return false;
        }
        arrival_ = std::max(arrival_, now) + static_cast<__int128>(units) * interval_;
        return true;
    }

  private:
    uint64_t interval_;
    uint64_t tolerance_;
    __int128 arrival_ = 0;
};

TEST_F(CoreLimits, AnIdleSourceHasItsBurstAndThenItsRate)
{
    set(0, {.interval_ns = kSecond, .burst = 20});
    EXPECT_EQ(admitted({}, 100, 0), 20);
    EXPECT_EQ(visit({.at_ns = kStart + kSecond - 1}), GW_REASON_LIMITED);
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_FORWARDED);
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_LIMITED);
    EXPECT_EQ(admitted({.at_ns = kStart + 1000 * kSecond}, 100, 0), 20);
}

TEST_F(CoreLimits, DecideAsTheReferenceForEveryPacket)
{
    std::mt19937_64 random(7);
    const Rate rates[] = {{.interval_ns = 600'000'000, .burst = 20},
                          {.interval_ns = 20'000, .burst = 1},
                          {.interval_ns = 1, .burst = 1'000'000},
                          {.interval_ns = 86'400 * kSecond, .burst = 3}};
    for (const Rate &rate : rates) {
        make(1024);
        set(0, rate);
        Reference reference(rate);
        Visit next;
        for (int i = 0; i < 200'000; i++) {
            ASSERT_EQ(visit(next) == GW_REASON_FORWARDED, reference.conforms(next.at_ns))
                << "packet " << i << ", interval " << rate.interval_ns;
            // Bursts, the rate itself, and long silence.
            const uint64_t kind = random() % 100;
            next.at_ns += kind < 60   ? 0
                          : kind < 95 ? random() % (2 * rate.interval_ns)
                          : kind < 99 ? random() % (rate.burst * rate.interval_ns * 2)
                                      : random() % (5 * rate.burst * rate.interval_ns);
        }
    }
}

TEST_F(CoreLimits, BytesAreChargedByThePacketsLength)
{
    const Rate rate{.interval_ns = 1000, .burst = 10'000, .kind = GW_LIMIT_BYTES};
    set(0, rate);
    Reference reference(rate);
    std::mt19937_64 random(8);
    Visit next;
    for (int i = 0; i < 100'000; i++) {
        next.bytes = static_cast<uint32_t>(40 + random() % 1460);
        ASSERT_EQ(visit(next) == GW_REASON_FORWARDED,
                  reference.conforms(next.at_ns, next.bytes));
        next.at_ns += random() % 2'000'000;
    }
}

TEST_F(CoreLimits, OnlySynsAreNewConnections)
{
    set(0, {.burst = 2, .kind = GW_LIMIT_NEW_CONNECTIONS});
    EXPECT_EQ(admitted({.is_syn = true}, 10, 0), 2);
    EXPECT_EQ(admitted({}, 1000, 0), 1000) << "established connections";
}

TEST_F(CoreLimits, ATickIsNoReasonToAdmitMoreOrLess)
{
    // 4 ms ticks; a rate of 10,000/s whose burst covers four of them.
    const Rate rate{.interval_ns = 100'000, .burst = 160};
    set(0, rate);
    Reference exact(rate);
    uint64_t passed = 0;
    uint64_t expected = 0;
    for (uint64_t at = kStart; at < kStart + 10 * kSecond; at += 20'000) {
        passed += visit({.at_ns = at / 4'000'000 * 4'000'000}) == GW_REASON_FORWARDED ? 1 : 0;
        expected += exact.conforms(at) ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(passed), static_cast<double>(expected),
                static_cast<double>(expected) / 100);
}

TEST_F(CoreLimits, AfterIdleMonthsASourceHasItsBurstAndNoMore)
{
    set(0, {.interval_ns = kSecond, .burst = 5});
    EXPECT_EQ(admitted({}, 10, 0), 5);
    EXPECT_EQ(admitted({.at_ns = kStart + 200ULL * 86'400 * kSecond}, 10, 0), 5);
}

TEST_F(CoreLimits, AStateGoesOnWhereItsWordWraps)
{
    const uint64_t second = kSecond << GW_ARRIVAL_SHIFT;
    const uint64_t tolerance = 4 * second;
    uint64_t now = 0 - 2 * second;
    uint64_t arrival = now - second;
    const auto admitted = [&] {
        int count = 0;
        while (gw_arrival_charge(&arrival, now, tolerance, second) != 0) {
            count++;
        }
        return count;
    };
    EXPECT_EQ(admitted(), 5);
    now += second;
    EXPECT_EQ(admitted(), 1);
    now += 3 * second;  // past the wrap
    EXPECT_EQ(admitted(), 3);
    now += 100 * second;
    EXPECT_EQ(admitted(), 5);
}

TEST_F(CoreLimits, AClockThatStepsBackBlocksASourceForNoLongerThanItsBurst)
{
    set(0, {.interval_ns = kSecond, .burst = 5});
    EXPECT_EQ(admitted({.at_ns = kStart + 1'000'000 * kSecond}, 10, 0), 5);
    EXPECT_EQ(visit({}), GW_REASON_LIMITED);
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_FORWARDED);
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_LIMITED);
}

// As a virtual processor that stands still between its reading of the clock and the charge.
TEST_F(CoreLimits, APacketWithAnOldClockLetsNobodyThroughAgain)
{
    constexpr uint64_t kMillisecond = kSecond / 1000;
    set(0, {.interval_ns = kMillisecond, .burst = 50});
    EXPECT_EQ(admitted({}, 100, 0), 50);
    EXPECT_EQ(admitted({.at_ns = kStart + 500 * kMillisecond}, 100, 0), 50);
    EXPECT_EQ(visit({.at_ns = kStart + 100 * kMillisecond}), GW_REASON_LIMITED);
    EXPECT_EQ(visit({.at_ns = kStart + 500 * kMillisecond}), GW_REASON_LIMITED)
        << "400 packets' time was given back";
    EXPECT_EQ(visit({.at_ns = kStart + 501 * kMillisecond}), GW_REASON_FORWARDED);
}

TEST_F(CoreLimits, ALimitThatIsChangedKeepsTheStateOfItsSources)
{
    set(0, {.interval_ns = 10 * kSecond, .burst = 6});
    EXPECT_EQ(admitted({}, 10, 0), 6);
    set(0, {.interval_ns = kSecond, .burst = 6});
    EXPECT_EQ(visit({}), GW_REASON_LIMITED) << "no refill";
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_FORWARDED)
        << "and not held to the slower rate's time";
    EXPECT_EQ(visit({.at_ns = kStart + kSecond}), GW_REASON_LIMITED);
}

TEST_F(CoreLimits, SourcesOfOnePrefixShareAStateAndOthersDoNot)
{
    set(0, {.burst = 4, .ipv4_bits = 24, .ipv6_bits = 56});
    EXPECT_EQ(admitted({.source = 0x0a000001}, 3, 0), 3);
    EXPECT_EQ(admitted({.source = 0x0a0000ff}, 3, 0), 1);
    EXPECT_EQ(admitted({.source = 0x0a000101}, 9, 0), 4);
    const uint64_t network = __builtin_bswap64(0x20010db800000100);
    EXPECT_EQ(admitted({.source = 1, .high = network}, 3, 0), 3);
    EXPECT_EQ(admitted({.source = 2, .high = network | __builtin_bswap64(0xff)}, 3, 0), 1);
    EXPECT_EQ(admitted({.source = 1, .high = __builtin_bswap64(0x20010db800000200)}, 9, 0), 4);
    set(0, {.burst = 4, .ipv4_bits = 0, .ipv6_bits = 128});
    EXPECT_EQ(admitted({.source = 1, .high = network}, 9, 0), 4);
    EXPECT_EQ(admitted({.source = 2, .high = network}, 9, 0), 4);
    EXPECT_EQ(admitted({.source = 0x01020304}, 3, 0), 3);
    EXPECT_EQ(admitted({.source = 0xf1020304}, 3, 0), 1) << "one state for all";
}

TEST_F(CoreLimits, WhatALaterLimitRefusesIsNotChargedToAnEarlierOne)
{
    set(0, {.interval_ns = kSecond, .burst = 10}, 0);
    set(1, {.interval_ns = 100 * kSecond, .burst = 2}, 1);
    EXPECT_EQ(admitted({}, 50, 0), 2);
    tables_->services()[kService].limits[1] = 0;
    EXPECT_EQ(admitted({}, 50, 0), 8);
}

TEST_F(CoreLimits, AnObservingLimitCountsAndLetsThrough)
{
    set(0, {.burst = 2, .flags = GW_LIMIT_OBSERVE});
    EXPECT_EQ(admitted({}, 10, 0), 10);
    EXPECT_EQ(event(GW_EVENT_LIMIT_OBSERVED), 8);
    const auto *excess = reinterpret_cast<const gw_excess *>(
        reinterpret_cast<const uint8_t *>(&tables_->counters_area(0)) +
        tables_->layout().counters_excess_offset);
    EXPECT_EQ(excess[0].packets, 8);
    EXPECT_EQ(excess[0].bytes, 800);
}

TEST_F(CoreLimits, AdmissionCountsAllSourcesTogetherAndLeavesConnectionsAlone)
{
    set(0, {.burst = 3, .kind = GW_LIMIT_NEW_CONNECTIONS, .flags = GW_LIMIT_ALL_SOURCES});
    for (uint32_t source = 1; source <= 3; source++) {
        EXPECT_EQ(visit({.source = source, .is_syn = true}), GW_REASON_FORWARDED);
    }
    EXPECT_EQ(visit({.source = 4, .is_syn = true}), GW_REASON_SHED);
    EXPECT_EQ(visit({.source = 4}), GW_REASON_FORWARDED);
}

// ---- A table that is full.

TEST_F(CoreLimits, NeitherFreesNorRefillsAnAbuserWhenSpoofedSourcesFillTheTable)
{
    make(16);
    set(0, {.interval_ns = kSecond, .burst = 5});
    EXPECT_EQ(admitted({.source = 1}, 100, 0), 5);
    // A flood, with the abuser in between, for five seconds.
    uint32_t spoofed = 1000;
    uint64_t passed = 0;
    for (uint64_t at = kStart; at < kStart + 5 * kSecond; at += kSecond / 1000) {
        std::ignore = visit({.at_ns = at, .source = spoofed++});
        passed += visit({.at_ns = at, .source = 1}) == GW_REASON_FORWARDED ? 1 : 0;
    }
    EXPECT_LE(passed, 5) << "one a second";
    EXPECT_GE(passed, 4);
    EXPECT_GT(event(GW_EVENT_SOURCE_SHARED), 1000);
}

TEST_F(CoreLimits, AnAbuserThatComesWhileTheTableIsFullIsLimitedToo)
{
    make(16);
    set(0, {.interval_ns = 1000 * kSecond, .burst = 5});
    for (uint32_t spoofed = 1000; spoofed < 1100; spoofed++) {
        std::ignore = visit({.source = spoofed});
    }
    EXPECT_LE(admitted({.source = 1}, 100, 0), 5);
    // When there is room again, what it was charged in its cell is not forgotten.
    for (uint32_t i = 0; i < 16; i++) {
        way(i) = {};
    }
    EXPECT_EQ(admitted({.source = 1}, 100, 0), 0);
    EXPECT_EQ(admitted({.at_ns = kStart + 1000 * kSecond, .source = 1}, 100, 0), 1);
}

TEST_F(CoreLimits, StatesThatSayNothingMakeRoom)
{
    make(16);
    set(0, {.interval_ns = kSecond, .burst = 5});
    uint64_t at = kStart;
    for (uint32_t source = 1; source <= 10'000; source++) {
        ASSERT_EQ(visit({.at_ns = at, .source = source}), GW_REASON_FORWARDED);
        at += kSecond;
    }
    EXPECT_EQ(event(GW_EVENT_SOURCE_SHARED), 0);
}

// ---- Several processors.

// Two packets of one source that has no place yet, the second between any two steps of the first.
TEST_F(CoreLimits, ASourceThatComesOnTwoProcessorsAtOnceHasOneState)
{
    int point = 0;
    for (bool reached = true; reached; point++) {
        make(16);
        set(0, {.interval_ns = kSecond, .burst = 3});
        gw_reason other = GW_REASON_DENIED;
        interleaving.begin(point, [&] { other = visit({.cpu = 1}); });
        const gw_reason own = visit({});
        reached = interleaving.end();
        EXPECT_EQ(own, GW_REASON_FORWARDED);
        EXPECT_TRUE(!reached || other == GW_REASON_FORWARDED);
        EXPECT_EQ(admitted({}, 10, 0), reached ? 1 : 2) << "at point " << point;
    }
    EXPECT_GE(point, 3);
}

// The same, where the second is of another source that takes the first one's place.
TEST_F(CoreLimits, ASourceWhosePlaceIsTakenMeanwhileIsChargedAllTheSame)
{
    int point = 0;
    for (bool reached = true; reached; point++) {
        make(16);
        set(0, {.interval_ns = kSecond, .burst = 3});
        const Visit late{.at_ns = kStart + 100 * kSecond};
        std::ignore = visit({});  // has a place, which says nothing at the later time
        interleaving.begin(point, [&] {
            for (uint32_t source = 100; source < 140; source++) {
                std::ignore = visit({.at_ns = late.at_ns, .source = source, .cpu = 1});
            }
        });
        // Those that share a cell with it may have had all that it could have.
        const uint64_t passed = visit(late) == GW_REASON_FORWARDED ? 1 : 0;
        reached = interleaving.end();
        EXPECT_LE(passed + admitted(late, 10, 0), 3) << "at point " << point;
    }
    EXPECT_GE(point, 2);
}

TEST_F(CoreLimits, ASourceWhosePlaceIsTakenMeanwhileHasItsBurstInAnother)
{
    // One of four comes into its bucket.
    for (uint32_t other = 100; other < 132; other++) {
        int point = 0;
        for (bool reached = true; reached; point++) {
            make(16);
            set(0, {.interval_ns = kSecond, .burst = 3});
            const Visit late{.at_ns = kStart + 100 * kSecond};
            std::ignore = visit({});  // has a place, which says nothing at the later time
            interleaving.begin(point, [&] {
                std::ignore = visit({.at_ns = late.at_ns, .source = other, .cpu = 1});
            });
            const uint64_t passed = visit(late) == GW_REASON_FORWARDED ? 1 : 0;
            reached = interleaving.end();
            EXPECT_EQ(passed + admitted(late, 10, 0), 3) << other << " at point " << point;
        }
    }
}

TEST_F(CoreLimits, DoNotLetOffWhoSharesACellWithSourcesOfAShorterLimit)
{
    const Rate slow{.interval_ns = 100 * kSecond, .burst = 10};
    make(16);
    set(0, slow);
    for (uint32_t source = 1000; source < 1200; source++) {
        std::ignore = visit({.source = source});
    }
    const Visit abuser{.source = 7};
    std::ignore = admitted(abuser, 100, 0);
    ASSERT_EQ(visit(abuser), GW_REASON_LIMITED);
    set(1, {.interval_ns = kSecond, .burst = 1});
    for (uint32_t source = 2000; source < 2200; source++) {
        std::ignore = visit({.source = source});
    }
    set(0, slow);
    EXPECT_EQ(admitted(abuser, 100, 0), 0);
}

TEST_F(CoreLimits, LetThroughNoMoreWhenProcessorsChargeOneSourceAtOnce)
{
    // Time stands still, so exactly the burst passes; places are taken anew each round.
    constexpr uint64_t kBurst = 1000;
    for (uint64_t round = 0; round < 50; round++) {
        make(16);
        set(0, {.interval_ns = kSecond, .burst = kBurst});
        std::vector<uint64_t> passed(4);
        {
            std::vector<std::jthread> threads;
            for (uint32_t cpu = 0; cpu < 4; cpu++) {
                threads.emplace_back([this, cpu, &passed, round] {
                    for (int i = 0; i < 1000; i++) {
                        passed[cpu] += visit({.source = static_cast<uint32_t>(round),
                                              .cpu = cpu}) == GW_REASON_FORWARDED
                                           ? 1
                                           : 0;
                    }
                });
            }
        }
        const uint64_t sum = passed[0] + passed[1] + passed[2] + passed[3];
        EXPECT_LE(sum, kBurst);
        EXPECT_GE(sum, kBurst * 99 / 100);
    }
}

TEST_F(CoreLimits, ExceedingSourcesAreRememberedOnce)
{
    set(0, {.burst = 1, .ipv4_bits = 24});
    EXPECT_EQ(admitted({.source = 0x0a000005, .bytes = 50}, 4, 1000), 1);
    uint32_t found = 0;
    const auto *records = reinterpret_cast<const gw_limited *>(
        tables_->base() + tables_->layout().limited_offset);
    for (uint32_t i = 0; i < GW_LIMITED_MAX; i++) {
        if (records[i].fingerprint == 0) {
            continue;
        }
        found++;
        EXPECT_EQ(records[i].high, GW_IPV4_TAG);
        EXPECT_EQ(records[i].low, __builtin_bswap32(0x0a000000));
        EXPECT_EQ(records[i].since_ns, kStart + 1000);
        EXPECT_EQ(records[i].last_ns, kStart + 3000);
        EXPECT_EQ(records[i].packets, 3);
        EXPECT_EQ(records[i].bytes, 150);
        EXPECT_EQ(records[i].limit, 0);
        EXPECT_EQ(records[i].service, kService);
    }
    EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace guideway
