#include "control/health/backend_health.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace guideway::health {
namespace {

using namespace std::chrono_literals;
using model::Milliseconds;

constexpr Time kStart{std::chrono::hours(1)};
const ProbeReport kOk{Outcome::kOk, "", 5ms};
const ProbeReport kFailed{Outcome::kFailed, "connection refused", 1ms};
const ProbeReport kNotProbed{Outcome::kNotProbed, "too many open files", 0ms};

model::Health tcp()
{
    return {.type = model::HealthType::kTcp, .jitter_percent = 0};
}

// One backend, whose probes take 5 ms.
struct Probed {
    explicit Probed(model::Health with = tcp()) : settings(with) {}

    Change probe(const ProbeReport &report)
    {
        now = std::max(now, health.due());
        health.probe_begins(now);
        now += 5ms;
        return health.probe_ends(settings, report, now, random);
    }
    void probe(const ProbeReport &report, int times)
    {
        for (int i = 0; i < times; i++) {
            probe(report);
        }
    }
    // Time from the beginning of the last probe to the next.
    Milliseconds wait() const
    {
        return std::chrono::duration_cast<Milliseconds>(health.due() - (now - 5ms));
    }

    model::Health settings;
    Time now = kStart;
    BackendHealth health{kStart};
    Random random{1};
};

TEST(BackendHealth, ItsFirstProbeDecides)
{
    Probed one;
    EXPECT_EQ(one.health.state(), State::kUnknown);
    EXPECT_EQ(one.health.due(), kStart);
    EXPECT_EQ(one.probe(kOk), Change::kUp);
    EXPECT_EQ(one.health.latency(), 5ms);
    Probed other;
    EXPECT_EQ(other.probe(kFailed), Change::kDown);
    EXPECT_EQ(other.health.reason(), "connection refused");
}

TEST(BackendHealth, FallsAndRisesByResultsInARow)
{
    Probed one;
    one.probe(kOk);
    EXPECT_EQ(one.probe(kFailed), Change::kNone);
    EXPECT_EQ(one.probe(kFailed), Change::kNone);
    EXPECT_EQ(one.probe(kOk), Change::kNone);
    EXPECT_EQ(one.health.failures(), 0U);
    EXPECT_EQ(one.probe(kFailed), Change::kNone);
    EXPECT_EQ(one.probe(kFailed), Change::kNone);
    EXPECT_EQ(one.probe(kFailed), Change::kDown);
    EXPECT_EQ(one.health.since(), one.now);
    EXPECT_EQ(one.probe(kOk), Change::kNone);
    EXPECT_EQ(one.probe(kFailed), Change::kNone);
    EXPECT_EQ(one.probe(kOk), Change::kNone);
    EXPECT_EQ(one.probe(kOk), Change::kUp);
}

TEST(BackendHealth, IsProbedMoreOftenWhileItIsChanging)
{
    Probed one;
    one.probe(kOk, 2);
    EXPECT_EQ(one.wait(), 2s);
    one.probe(kFailed);
    EXPECT_TRUE(one.health.is_changing(one.now));
    EXPECT_EQ(one.wait(), 500ms);
    one.probe(kFailed, 2);
    EXPECT_EQ(one.wait(), 2s) << "down, and stays so";
    one.probe(kOk);
    EXPECT_EQ(one.wait(), 500ms);
    one.probe(kOk);
    EXPECT_EQ(one.wait(), 2s);
    EXPECT_FALSE(one.health.is_changing(one.now));
}

TEST(BackendHealth, ProbesNeverOverlap)
{
    Probed one;
    one.health.probe_begins(kStart);
    EXPECT_EQ(one.health.due(), Time::max());
    one.health.hasten(kStart);
    EXPECT_EQ(one.health.due(), Time::max());
    one.health.probe_ends(one.settings, kFailed, kStart + 10s, one.random);
    EXPECT_EQ(one.health.due(), kStart + 10s + model::kProbePause) << "a late one is followed";
    EXPECT_EQ(one.health.probe_ends(one.settings, kOk, kStart + 11s, one.random), Change::kNone)
        << "none is under way";
    EXPECT_EQ(one.health.failures(), 1U);
}

TEST(BackendHealth, JitterOnlyShortens)
{
    Probed one;
    one.settings.jitter_percent = 25;
    one.probe(kOk);
    Milliseconds least = 1h;
    Milliseconds most = 0ms;
    for (int i = 0; i < 2000; i++) {
        one.probe(kOk);
        least = std::min(least, one.wait());
        most = std::max(most, one.wait());
    }
    EXPECT_GE(least, 1500ms);
    EXPECT_LT(least, 1510ms);
    EXPECT_LE(most, 2000ms);
    EXPECT_GT(most, 1990ms);
    // After the first probes, which are simultaneous, the second are spread.
    Milliseconds earliest = 1h;
    for (uint64_t seed = 0; seed < 100; seed++) {
        Probed other;
        other.random.seed(seed);
        other.probe(kOk);
        EXPECT_LE(other.wait(), 2s);
        earliest = std::min(earliest, other.wait());
    }
    EXPECT_LT(earliest, 200ms);
}

TEST(BackendHealth, TheCheckersFaultIsNotItsOwn)
{
    Probed one;
    one.probe(kNotProbed);
    EXPECT_EQ(one.health.state(), State::kUnknown);
    EXPECT_TRUE(one.health.attempted());
    one.probe(kOk);
    one.probe(kFailed, 2);
    one.probe(kNotProbed, 10);
    EXPECT_EQ(one.health.state(), State::kUp);
    EXPECT_EQ(one.health.failures(), 2U);
    EXPECT_EQ(one.probe(kFailed), Change::kDown);
}

TEST(BackendHealth, FlappingIsHeldDownLongerAndLonger)
{
    Probed one;
    one.probe(kOk);
    const auto flap = [&] {
        one.probe(kFailed, 2);
        return one.probe(kFailed);
    };
    for (size_t i = 0; i < kFlapsMax; i++) {
        EXPECT_EQ(flap(), Change::kDown);
        one.probe(kOk, 2);
        EXPECT_EQ(one.health.state(), State::kUp);
    }
    std::chrono::seconds expected = kHoldFirst;
    for (int i = 0; i < 8; i++) {
        EXPECT_EQ(flap(), Change::kDownAndHeld);
        const Time held_until = one.health.held_until();
        EXPECT_EQ(held_until - one.now, expected);
        while (one.health.state() == State::kDown) {
            one.probe(kOk);
        }
        EXPECT_GE(one.now, held_until);
        EXPECT_LE(one.now, held_until + 2500ms);
        expected = std::min<std::chrono::seconds>(expected * 2, kHoldMax);
        if (expected >= kFlapWindow) {
            break;  // held for so long that what was before is forgotten
        }
    }
    // Ten steady minutes, and it begins anew.
    while (one.now - one.health.since() < kFlapWindow) {
        one.probe(kOk);
    }
    for (size_t i = 0; i < kFlapsMax; i++) {
        EXPECT_EQ(flap(), Change::kDown);
        one.probe(kOk, 2);
    }
    EXPECT_EQ(flap(), Change::kDownAndHeld);
    EXPECT_EQ(one.health.held_until() - one.now, kHoldFirst);
}

TEST(BackendHealth, AnEjectedBackendIsHeldDown)
{
    Probed one;
    EXPECT_EQ(one.health.eject("SYNs", one.now), Change::kNone) << "is not up";
    one.probe(kOk);
    EXPECT_EQ(one.health.eject("SYNs", one.now), Change::kDownAndHeld);
    EXPECT_EQ(one.health.eject("SYNs", one.now), Change::kNone);
    EXPECT_EQ(one.health.reason(), "SYNs");
    const Time ejected = one.now;
    while (one.probe(kOk) != Change::kUp) {
    }
    EXPECT_GE(one.now - ejected, kHoldFirst);
    EXPECT_LE(one.now - ejected, kHoldFirst + 2500ms);
}

TEST(BackendHealth, StateOutlivesAnotherClock)
{
    Probed one;
    one.probe(kOk);
    for (size_t i = 0; i <= kFlapsMax; i++) {
        one.probe(kFailed, 3);
        while (i < kFlapsMax && one.probe(kOk) != Change::kUp) {
        }
    }
    one.probe(kOk);
    const Now before{one.now, 1'767'225'600'000};
    const Remembered remembered = one.health.remembered(before);
    EXPECT_EQ(remembered.state, State::kDown);
    EXPECT_EQ(remembered.successes, 1U);
    EXPECT_EQ(remembered.downs.size(), kFlapsMax + 1);
    // Seven seconds later, in a process whose clock began elsewhere.
    const Now after{Time(5s), before.unix_ms + 7000};
    const BackendHealth again(remembered, after);
    EXPECT_EQ(again.state(), State::kDown);
    EXPECT_EQ(again.reason(), "connection refused");
    EXPECT_EQ(again.due(), after.time);
    EXPECT_EQ(after.time - again.since(), one.now - one.health.since() + 7s);
    EXPECT_EQ(again.held_until() - after.time, one.health.held_until() - one.now - 7s);
    EXPECT_EQ(again.remembered(after), remembered);
}

TEST(BackendHealth, NonsenseThatIsRememberedDoesNoHarm)
{
    const Now now{kStart, 1'767'225'600'000};
    for (const int64_t time :
         {INT64_MIN, int64_t{-1}, int64_t{1}, now.unix_ms + 1, INT64_MAX}) {
        const Remembered remembered{.state = State::kDown,
                                    .since = time,
                                    .successes = UINT32_MAX,
                                    .failures = UINT32_MAX,
                                    .downs = std::vector<int64_t>(1000, time),
                                    .holds = UINT32_MAX,
                                    .held_until = time,
                                    .slow_since = time};
        BackendHealth health(remembered, now);
        EXPECT_LE(health.since(), now.time);
        EXPECT_LE(health.held_until(), now.time + kHoldMax);
        EXPECT_LE(health.remembered(now).downs.size(), kFlapsMax + 1);
        Random random(1);
        health.probe_begins(now.time);
        health.probe_ends(tcp(), kOk, now.time + 5ms, random);
        health.probe_begins(now.time + kHoldMax);
        EXPECT_EQ(health.probe_ends(tcp(), kOk, now.time + kHoldMax, random),
                  health.state() == State::kUp && health.since() < now.time + kHoldMax
                      ? Change::kNone
                      : Change::kUp);
        health.eject("SYNs", now.time + kHoldMax);
        EXPECT_LE(health.held_until(), now.time + kHoldMax + kHoldMax);
    }
}

// The rules said once more, as simply as possible, and held against random histories.
TEST(BackendHealth, KeepsItsRulesOverRandomHistories)
{
    for (uint64_t seed = 0; seed < 1000; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Probed one;
        one.random.seed(seed);
        Random random(seed);
        one.settings.rise = 1 + random() % 4;
        one.settings.fall = 1 + random() % 4;
        one.settings.jitter_percent = random() % 51;
        uint32_t oks = 0;
        uint32_t failures = 0;
        for (int i = 0; i < 200; i++) {
            const State before = one.health.state();
            const uint64_t what = random() % 20;
            if (what == 0) {
                EXPECT_EQ(one.health.eject("SYNs", one.now) == Change::kDownAndHeld,
                          before == State::kUp);
                oks = before == State::kUp ? 0 : oks;
                continue;
            }
            if (what == 1) {
                const Now now{one.now, 1'767'225'600'000};
                const Remembered remembered = one.health.remembered(now);
                one.health = BackendHealth(remembered, now);
                EXPECT_EQ(one.health.remembered(now), remembered);
                continue;
            }
            const bool is_ok = random() % 100 < 20 + seed % 60;
            oks = is_ok ? oks + 1 : 0;
            failures = is_ok ? 0 : failures + 1;
            const bool was_held = one.health.is_held(std::max(one.now, one.health.due()) + 5ms);
            const Change change = one.probe(is_ok ? kOk : kFailed);
            State expected = before;
            if (before == State::kUnknown) {
                expected = is_ok ? State::kUp : State::kDown;
            } else if (before == State::kUp && failures >= one.settings.fall) {
                expected = State::kDown;
            } else if (before == State::kDown && oks >= one.settings.rise && !was_held) {
                expected = State::kUp;
            }
            EXPECT_EQ(one.health.state(), expected);
            EXPECT_EQ(change != Change::kNone, before != expected);
            EXPECT_GE(one.wait(), 5ms + model::kProbePause);
            EXPECT_LE(one.wait(), one.settings.interval);
            EXPECT_LE(one.health.held_until(), one.now + kHoldMax);
        }
        ASSERT_FALSE(HasFailure());
    }
}

}  // namespace
}  // namespace guideway::health
