#include <gtest/gtest.h>

#include "tests/unit/health_world.hpp"

namespace guideway::health {
namespace {

using Mode = World::Mode;
using Lines = std::vector<std::string>;

TEST(PoolHealth, UsesBackendsOnceTheyHaveAnswered)
{
    World world(pool_of(3, tcp()), 1);
    EXPECT_TRUE(world.condition(0).failed) << "not probed yet";
    EXPECT_FALSE(world.condition(0).cut);
    EXPECT_FALSE(world.health().first_round_is_over());
    world.run(10ms);
    EXPECT_TRUE(world.health().first_round_is_over());
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(world.condition(i), model::Condition());
    }
    Lines events = world.events();
    std::ranges::sort(events);
    EXPECT_EQ(events, (Lines{"up gw-0: answered 1 probe", "up gw-1: answered 1 probe",
                             "up gw-2: answered 1 probe"}));
}

TEST(PoolHealth, WithoutChecksAllAreAlwaysUsed)
{
    World world(pool_of(3, {}), 1);
    world.run(1min);
    EXPECT_TRUE(world.health().first_round_is_over());
    EXPECT_EQ(world.condition(0), model::Condition());
    EXPECT_EQ(world.probes(), 0U);
    EXPECT_EQ(world.events(), Lines{});
    EXPECT_EQ(world.health().next_wake(), Time::max());
}

TEST(PoolHealth, ChecksThatAreSwitchedOnOrOffCutNobody)
{
    World world(pool_of(4, {}), 1);
    world.pool().health = tcp();
    world.set(0, Mode::kRefuses);
    world.configure();
    EXPECT_EQ(world.condition(1), model::Condition()) << "used until a probe says otherwise";
    world.run(10s);
    EXPECT_TRUE(world.condition(0).cut);
    EXPECT_EQ(world.condition(1), model::Condition());

    world.pool().health = {};
    world.configure();
    EXPECT_EQ(world.condition(0), model::Condition());
    world.run(1min);
    world.pool().health = tcp();
    world.configure();
    const size_t probes = world.probes();
    world.run(10s);
    EXPECT_TRUE(world.condition(0).failed);
    EXPECT_GT(world.probes(), probes + 12);
}

TEST(PoolHealth, AFailedBackendIsOutAndCutAndComesBack)
{
    World world(pool_of(3, tcp()), 1);
    world.run(20s);
    world.events();
    world.set(1, Mode::kRefuses);
    world.run(10s);
    EXPECT_EQ(world.condition(1), (model::Condition{.failed = true, .cut = true}));
    EXPECT_EQ(world.condition(0), model::Condition());
    world.set(1, Mode::kAlive);
    world.run(10s);
    EXPECT_EQ(world.condition(1), model::Condition());
    EXPECT_EQ(world.events(), (Lines{"down gw-1: refused, 3 probes in a row",
                                     "up gw-1: answered 2 probes in a row"}));

    world.pool().on_failure = model::OnFailure::kKeep;
    world.set(1, Mode::kSilent);
    world.configure();
    world.run(10s);
    EXPECT_EQ(world.condition(1), (model::Condition{.failed = true, .cut = false}));
}

TEST(PoolHealth, SharesGrowInStepsAfterAReturn)
{
    model::Health health = tcp();
    health.slow_start = 30s;
    World world(pool_of(3, health), 1);
    world.run(1s);
    EXPECT_EQ(world.condition(1).share_percent, 100U) << "all began together";
    world.set(1, Mode::kRefuses);
    world.run(10s);
    world.set(1, Mode::kAlive);
    while (world.condition(1).failed) {
        world.run(1ms);
    }
    const Milliseconds begin = world.since_start();
    std::vector<std::pair<int64_t, uint32_t>> steps;
    while (world.since_start() - begin < 40s) {
        const uint32_t share = world.condition(1).share_percent;
        if (steps.empty() || steps.back().second != share) {
            steps.emplace_back((world.since_start() - begin).count() / 100 * 100, share);
        }
        world.run(1ms);
    }
    EXPECT_EQ(steps, (std::vector<std::pair<int64_t, uint32_t>>{
                         {0, 25}, {10'000, 50}, {20'000, 75}, {30'000, 100}}));
    // So does one that is added.
    world.pool().backends.push_back({.name = "new", .address = address_of(9)});
    world.configure();
    EXPECT_TRUE(world.condition(9).failed);
    world.run(1s);
    EXPECT_EQ(world.condition(9), (model::Condition{.share_percent = 25}));
}

TEST(PoolHealth, TooFewHealthyBackendsArePanic)
{
    World world(pool_of(4, tcp()), 1);
    world.run(20s);
    world.events();
    world.set(0, Mode::kRefuses);
    world.run(20s);
    world.set(1, Mode::kRefuses);
    world.run(20s);
    EXPECT_FALSE(world.health().is_panic()) << "half are enough";
    EXPECT_TRUE(world.condition(0).cut && world.condition(1).cut);
    world.set(2, Mode::kRefuses);
    world.run(20s);
    EXPECT_TRUE(world.health().is_panic());
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT_EQ(world.condition(i), model::Condition());
    }
    EXPECT_EQ(
        world.events().back(),
        "panic begins: 25 % of the weight looks healthy, less than 50 %; all backends are "
        "used");
    world.set(2, Mode::kAlive);
    world.run(20s);
    EXPECT_FALSE(world.health().is_panic());
    EXPECT_TRUE(world.condition(0).cut && world.condition(1).cut);
    EXPECT_EQ(world.condition(2), model::Condition()) << "was in use: no slow start";
    EXPECT_EQ(world.events().back(), "panic ends: 50 % of the weight looks healthy");
}

TEST(PoolHealth, AFailureWaitsWhileOthersAreFailingToo)
{
    model::Health health = tcp();
    health.recheck = health.interval;
    World world(pool_of(5, health), 1);
    world.run(20s);
    world.set(0, Mode::kRefuses);
    world.set(1, Mode::kRefuses);
    const auto is_down = [&](uint32_t i) {
        return world.member(i).health.state() == State::kDown;
    };
    while (!is_down(0) && !is_down(1)) {
        world.run(1ms);
    }
    const uint32_t first = is_down(0) ? 0 : 1;
    ASSERT_FALSE(is_down(1 - first));
    EXPECT_FALSE(world.condition(first).failed);
    world.run(health.interval - 1ms);
    EXPECT_FALSE(world.condition(first).failed);
    world.run(2ms);
    EXPECT_TRUE(world.condition(first).cut) << "at that moment, whatever the probes do";
    EXPECT_FALSE(world.health().is_panic());
}

TEST(PoolHealth, PanicGoesByWeight)
{
    model::Pool pool = pool_of(4, tcp());
    pool.backends[0].weight = 1000;
    pool.backends[3].enabled = false;
    World world(pool, 1);
    world.run(20s);
    world.set(1, Mode::kRefuses);
    world.set(2, Mode::kRefuses);
    world.set(3, Mode::kRefuses);
    world.run(20s);
    EXPECT_FALSE(world.health().is_panic());
    EXPECT_TRUE(world.condition(1).failed);
    world.set(0, Mode::kRefuses);
    world.run(20s);
    EXPECT_TRUE(world.health().is_panic());
    // A drained backend is no reason for panic, and does not end it.
    world.set(0, Mode::kAlive);
    world.run(20s);
    EXPECT_FALSE(world.health().is_panic());
    world.pool().backends[0].drained = true;
    world.configure();
    EXPECT_TRUE(world.health().is_panic());
}

TEST(PoolHealth, ANewPoolThatAnswersNothingIsInPanic)
{
    for (const uint32_t threshold : {0U, 50U}) {
        model::Health health = tcp();
        health.panic_threshold_percent = threshold;
        World world(pool_of(3, health), 1);
        world.set_all(Mode::kRefuses);
        world.run(10s);
        EXPECT_TRUE(world.health().is_panic());
        EXPECT_EQ(world.condition(0), model::Condition());
        const Lines events = world.events();
        EXPECT_EQ(std::ranges::count(events,
                                     "panic begins: no backend has answered a probe yet; all "
                                     "are used"),
                  1);
        world.set_all(Mode::kAlive);
        world.run(10s);
        EXPECT_FALSE(world.health().is_panic());
        world.set_all(Mode::kRefuses);
        world.run(20s);
        EXPECT_EQ(world.health().is_panic(), threshold != 0);
        EXPECT_EQ(world.condition(0).failed, threshold == 0);
    }
}

TEST(PoolHealth, BackendsThatAreNotThereYetCauseNoPanic)
{
    World world(pool_of(3, tcp()), 1);
    world.run(10s);
    for (uint32_t i = 3; i < 9; i++) {
        world.pool().backends.push_back(
            {.name = "gw-" + std::to_string(i), .address = address_of(i)});
        world.set(i, Mode::kRefuses);
    }
    world.configure();
    world.run(20s);
    EXPECT_FALSE(world.health().is_panic());
    EXPECT_TRUE(world.condition(5).failed);
    // Those that work are in panic; these stay out.
    for (uint32_t i = 0; i < 3; i++) {
        world.set(i, Mode::kRefuses);
    }
    world.run(20s);
    EXPECT_TRUE(world.health().is_panic());
    EXPECT_FALSE(world.condition(1).failed);
    EXPECT_TRUE(world.condition(5).failed);
    world.set(5, Mode::kAlive);
    world.run(20s);
    EXPECT_FALSE(world.condition(5).failed);
    EXPECT_TRUE(world.member(5).counts);
}

TEST(PoolHealth, TheCheckersOwnFaultChangesNothing)
{
    World world(pool_of(3, tcp()), 1);
    world.run(10s);
    world.events();
    world.set_all(Mode::kUnprobed);
    world.run(90s);
    EXPECT_EQ(world.condition(0), model::Condition());
    const Lines events = world.events();
    EXPECT_EQ(events.size(), 2U) << "one a minute";
    EXPECT_TRUE(
        events[0].ends_with(": no sockets; what is known of the backends stays as it is"))
        << events[0];

    World blind(pool_of(3, tcp()), 1);
    blind.set_all(Mode::kUnprobed);
    blind.run(1s);
    EXPECT_TRUE(blind.health().first_round_is_over());
    EXPECT_EQ(blind.condition(0), model::Condition()) << "nothing speaks against it";
}

TEST(PoolHealth, RepeatedSynsEject)
{
    model::Health health = tcp();
    health.passive = model::PassiveHealth{.syn_repeats_percent = 50, .at_least = 20};
    World world(pool_of(4, health), 1);
    world.run(10s);
    world.events();
    SynCounts counts{1000, 900};  // from before
    const auto observe = [&](uint64_t syns, uint64_t repeats) {
        counts.syns += syns;
        counts.repeats += repeats;
        world.health().observe_syns(address_of(1), counts, world.now().time);
    };
    observe(0, 0);
    world.run(1s);
    observe(19, 19);
    EXPECT_FALSE(world.condition(1).failed) << "too few to say";
    world.run(11s);
    observe(30, 0);
    EXPECT_FALSE(world.condition(1).failed) << "39 %";
    world.run(1s);
    observe(10, 4);
    observe(10, 5);
    EXPECT_FALSE(world.condition(1).failed) << "45 % since the window began";
    world.run(1s);
    observe(2, 2);
    EXPECT_EQ(world.condition(1), (model::Condition{.failed = true, .cut = true}));
    EXPECT_EQ(
        world.events(),
        Lines{"ejected gw-1: clients repeat their SYNs: 11 of 22 within 2s; held down for "
              "30s"});
    world.run(29s);
    EXPECT_TRUE(world.condition(1).failed) << "its probes succeed all the time";
    world.run(3s);
    EXPECT_FALSE(world.condition(1).failed);
    // Again, for twice as long; other tables begin to count at zero.
    counts = {};
    observe(0, 0);
    EXPECT_FALSE(world.condition(1).failed);
    observe(20, 20);
    world.run(59s);
    EXPECT_TRUE(world.condition(1).failed);
    world.run(3s);
    EXPECT_FALSE(world.condition(1).failed);
}

TEST(PoolHealth, EjectingTooManyIsPanic)
{
    model::Health health = tcp();
    health.passive = model::PassiveHealth{};
    World world(pool_of(4, health), 1);
    world.run(10s);
    for (uint32_t i = 0; i < 3; i++) {
        world.health().observe_syns(address_of(i), {}, world.now().time);
        world.health().observe_syns(address_of(i), {100, 100}, world.now().time);
        world.run(5s);
    }
    EXPECT_TRUE(world.health().is_panic());
    EXPECT_EQ(world.condition(0), model::Condition());
}

TEST(PoolHealth, IsTrustedAfterARestart)
{
    model::Health health = tcp();
    health.slow_start = 10min;
    World before(pool_of(4, health), 1);
    before.run(10s);
    before.set(1, Mode::kRefuses);
    before.set(2, Mode::kRefuses);
    before.run(10s);
    before.set(2, Mode::kAlive);
    before.run(5min);
    ASSERT_EQ(before.condition(2).share_percent, 50U);
    const RememberedPool remembered = before.health().remembered(before.now());

    World after(pool_of(5, health), 2, remembered);
    EXPECT_EQ(after.condition(0), model::Condition());
    EXPECT_EQ(after.condition(1), (model::Condition{.failed = true, .cut = true}));
    EXPECT_TRUE(after.condition(4).failed) << "was added while the daemon was away";
    EXPECT_FALSE(after.member(4).counts);
    EXPECT_FALSE(after.health().first_round_is_over());
    EXPECT_EQ(after.events(), Lines{});
    EXPECT_EQ(after.health().remembered(after.now()).at(address_of(1)).reason, "refused");
    after.set(3, Mode::kRefuses);
    after.run(10ms);
    EXPECT_FALSE(after.condition(3).failed) << "one failure is not enough";
    EXPECT_TRUE(after.condition(1).failed) << "nor is one success";
    after.run(10s);
    EXPECT_TRUE(after.condition(3).failed);
    EXPECT_EQ(after.condition(1).share_percent, 25U);
}

TEST(PoolHealth, WhatWaitedBeforeARestartWaitsOn)
{
    model::Health health = tcp();
    health.interval = 20s;
    health.fall = 2;
    World before(pool_of(6, health), 1);
    before.run(1min);
    before.set(0, Mode::kRefuses);
    before.run(1min);
    ASSERT_TRUE(before.condition(0).cut);
    before.set(1, Mode::kRefuses);
    before.set(2, Mode::kRefuses);
    while (before.member(1).waits_until == Time::min() &&
           before.member(2).waits_until == Time::min()) {
        before.run(1ms);
    }
    const uint32_t waiting = before.member(1).waits_until == Time::min() ? 2 : 1;
    World after(before.pool(), 2, before.health().remembered(before.now()));
    EXPECT_TRUE(after.condition(0).cut) << "was out already";
    EXPECT_EQ(after.condition(waiting), model::Condition());
    after.set_all(Mode::kRefuses);
    after.run(21s);
    EXPECT_TRUE(after.health().is_panic() || after.condition(waiting).cut);
}

TEST(PoolHealth, FollowsTheConfiguration)
{
    World world(pool_of(3, tcp()), 1);
    world.run(10s);
    world.set(2, Mode::kRefuses);
    world.run(10s);
    EXPECT_TRUE(world.condition(2).failed);
    world.pool().backends.erase(world.pool().backends.begin());
    world.pool().backends[0].name = "renamed";
    world.configure();
    EXPECT_EQ(world.health().members().size(), 2U);
    EXPECT_EQ(world.member(1).name, "renamed");
    EXPECT_EQ(world.condition(1), model::Condition()) << "a name is not what it is known by";
    world.pool().health.interval = 1h;
    world.configure();
    world.run(3h);
    world.pool().health.interval = 2s;
    world.configure();
    const size_t probes = world.probes();
    world.run(3s);
    EXPECT_GE(world.probes(), probes + 2) << "does not wait for the hour to end";
    // A result of one that is gone.
    world.health().report(address_of(0), {}, world.now().time);
    world.pool().backends.clear();
    world.configure();
    EXPECT_FALSE(world.health().is_panic());
    EXPECT_TRUE(world.health().first_round_is_over());
}

}  // namespace
}  // namespace guideway::health
