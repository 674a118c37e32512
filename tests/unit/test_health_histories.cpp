// Health of pools over thousands of random histories, in simulated time. A failure prints
// its seed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/unit/health_world.hpp"

namespace guideway::health {
namespace {

using Mode = World::Mode;

constexpr uint64_t kSeeds = 1000;

// GUIDEWAY_SEED runs that one alone.
template <typename Run>
void for_each_seed(Run run)
{
    const char *only = std::getenv("GUIDEWAY_SEED");
    const uint64_t first = only == nullptr ? 0 : std::strtoull(only, nullptr, 10);
    for (uint64_t seed = first; seed < (only == nullptr ? kSeeds : first + 1); seed++) {
        SCOPED_TRACE("GUIDEWAY_SEED=" + std::to_string(seed));
        Random random(seed);
        run(seed, random);
        if (testing::Test::HasFailure()) {
            return;
        }
    }
}

// Settings that a file may hold.
model::Health settings(Random &random)
{
    model::Health health = tcp();
    while (true) {
        health.interval = Milliseconds(200 + random() % 5000);
        health.timeout = Milliseconds(50 + random() % 3000);
        health.recheck = random() % 2 == 0 ? model::default_recheck(health.interval)
                                           : Milliseconds(50 + random() % 5000);
        health.fall = 1 + random() % 5;
        health.rise = 1 + random() % 4;
        health.jitter_percent = random() % 51;
        if (health.timeout < health.interval && health.recheck <= health.interval &&
            model::detection_max(health) <= model::detection_bound(health)) {
            return health;
        }
    }
}

TEST(HealthHistories, ADeadBackendIsOutInTime)
{
    for_each_seed([](uint64_t seed, Random &random) {
        const uint32_t count = 3 + random() % 8;
        World world(pool_of(count, settings(random)), seed);
        const Milliseconds bound = model::detection_bound(world.pool().health);
        world.run(Milliseconds(random() % 20'000) + 100ms);
        const auto dead = static_cast<uint32_t>(random() % count);
        world.set(dead, random() % 2 == 0 ? Mode::kSilent : Mode::kRefuses);
        EXPECT_LE(world.time_to_fail(dead, bound + 10s), bound);
        EXPECT_TRUE(world.condition(dead).cut);
    });
}

TEST(HealthHistories, OfSeveralEachIsOutOneIntervalLaterAtMost)
{
    for_each_seed([](uint64_t seed, Random &random) {
        const uint32_t count = 8 + random() % 8;
        World world(pool_of(count, settings(random)), seed);
        const Milliseconds bound =
            model::detection_bound(world.pool().health) + world.pool().health.interval;
        world.run(Milliseconds(random() % 20'000) + 100ms);
        Milliseconds died[3];
        for (uint32_t i = 0; i < 3; i++) {
            world.set(i, random() % 2 == 0 ? Mode::kSilent : Mode::kRefuses);
            died[i] = world.since_start();
            world.run(Milliseconds(random() % 500));
        }
        for (uint32_t i = 0; i < 3; i++) {
            world.time_to_fail(i, 60s);
            EXPECT_LE(world.since_start() - died[i], bound);
            EXPECT_TRUE(world.condition(i).cut);
        }
        EXPECT_FALSE(world.health().is_panic());
    });
}

TEST(HealthHistories, AFaultOfAllCutsNobody)
{
    for_each_seed([](uint64_t seed, Random &random) {
        const uint32_t count = 1 + random() % 30;
        model::Health health = settings(random);
        health.fall = std::max(health.fall, 2U);
        health.slow_start = Milliseconds(random() % 2 * 20'000);
        World world(pool_of(count, health), seed);
        world.run(Milliseconds(random() % 20'000) + 100ms);
        world.set_all(random() % 2 == 0 ? Mode::kSilent : Mode::kRefuses);
        world.run(model::detection_bound(health) + Milliseconds(random() % 20'000));
        EXPECT_TRUE(world.health().is_panic());
        world.set_all(Mode::kAlive);
        world.run(60s);
        EXPECT_FALSE(world.health().is_panic());
        EXPECT_EQ(world.cuts(), 0U);
    });
}

TEST(HealthHistories, AShortFaultOfAllCutsNobody)
{
    for_each_seed([](uint64_t seed, Random &random) {
        World world(pool_of(2 + random() % 30, tcp()), seed);
        world.run(Milliseconds(random() % 20'000) + 100ms);
        world.set_all(Mode::kRefuses);
        world.run(Milliseconds(random() % 5'000));
        world.set_all(Mode::kAlive);
        world.run(60s);
        EXPECT_EQ(world.cuts(), 0U);
    });
}

TEST(HealthHistories, WhateverHappensTheRulesHold)
{
    for_each_seed([](uint64_t seed, Random &random) {
        model::Health health = settings(random);
        health.slow_start = Milliseconds(random() % 3 * 5'000);
        health.panic_threshold_percent = random() % 101;
        model::Pool pool = pool_of(random() % 6, health);
        pool.on_failure =
            random() % 2 == 0 ? model::OnFailure::kReset : model::OnFailure::kKeep;
        if (random() % 2 == 0) {
            pool.health.passive = model::PassiveHealth{};
        }
        World world(pool, seed);
        uint32_t next = static_cast<uint32_t>(pool.backends.size());
        for (int i = 0; i < 60; i++) {
            auto &backends = world.pool().backends;
            const auto some = backends.empty() ? 0 : random() % backends.size();
            switch (random() % 9) {
                case 0:
                    backends.push_back(
                        {.name = "gw-" + std::to_string(next), .address = address_of(next)});
                    next++;
                    break;
                case 1:
                    if (!backends.empty()) {
                        backends.erase(backends.begin() + static_cast<ptrdiff_t>(some));
                    }
                    break;
                case 2:
                    if (!backends.empty()) {
                        backends[some].weight = random() % 3 * 50;
                        backends[some].drained = random() % 4 == 0;
                    }
                    break;
                case 3:
                    world.pool().health.type =
                        random() % 4 == 0 ? model::HealthType::kNone : model::HealthType::kTcp;
                    break;
                case 4:
                    world.health().observe_syns(
                        address_of(static_cast<uint32_t>(random() % (next + 1))),
                        {random() % 1000, random() % 1000}, world.now().time);
                    break;
                case 5:
                    world.set_all(static_cast<Mode>(random() % 4));
                    break;
                default:
                    world.set(static_cast<uint32_t>(random() % (next + 1)),
                              static_cast<Mode>(random() % 4));
                    break;
            }
            world.configure();
            world.run(Milliseconds(random() % 10'000));
            const RememberedPool kept = world.health().remembered(world.now());
            World restarted(world.pool(), seed, kept);
            const bool is_checked = world.pool().health.type != model::HealthType::kNone;
            for (const auto &[address, member] : restarted.health().members()) {
                const Member &original = world.health().members().at(address);
                EXPECT_EQ(member.health.state(), original.health.state());
                EXPECT_EQ(member.health.failures(), original.health.failures());
                EXPECT_TRUE(!is_checked || member.counts == original.counts);
            }
        }
        world.set_all(Mode::kAlive);
        world.run(20min);
        EXPECT_FALSE(world.health().is_panic());
        for (const auto &[address, member] : world.health().members()) {
            EXPECT_EQ(member.condition, model::Condition());
        }
    });
}

}  // namespace
}  // namespace guideway::health
