// A pool, its backends, and a prober in simulated time. What must always hold is checked
// after every step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/health/pool_health.hpp"

namespace guideway::health {

using namespace std::chrono_literals;
using model::Milliseconds;

inline model::IpAddress address_of(uint32_t i)
{
    return *model::IpAddress::parse("10.2." + std::to_string(i / 200) + "." +
                                    std::to_string(1 + i % 200));
}

inline model::Pool pool_of(uint32_t backends, const model::Health &health)
{
    model::Pool pool{.name = "gws", .backends = {}, .health = health};
    for (uint32_t i = 0; i < backends; i++) {
        pool.backends.push_back({.name = "gw-" + std::to_string(i), .address = address_of(i)});
    }
    return pool;
}

inline model::Health tcp()
{
    return {.type = model::HealthType::kTcp};
}

class World {
  public:
    enum class Mode { kAlive, kRefuses, kSilent, kUnprobed };

    World(model::Pool pool, uint64_t seed, RememberedPool remembered = {})
        : pool_(std::move(pool)), health_(seed, std::move(remembered)), random_(seed)
    {
        configure();
    }

    // Lets time pass.
    void run(Milliseconds duration)
    {
        const Time until = now_ + duration;
        while (true) {
            start();
            const Time next = std::min(ends_.empty() ? Time::max() : ends_.begin()->first,
                                       health_.next_wake());
            if (next > until) {
                break;
            }
            ASSERT_GT(next, now_ - 1ns);
            now_ = std::max(next, now_);
            steps_++;
            ASSERT_LT(steps_, 5'000'000U) << "time stands still";
            deliver();
            health_.advance(now_);
            check();
        }
        now_ = until;
    }

    void configure()
    {
        health_.configure(pool_, now());
        check();
    }

    model::Pool &pool() { return pool_; }
    PoolHealth &health() { return health_; }
    Now now() const { return {now_, kEpochMs + since_start().count()}; }
    Milliseconds since_start() const
    {
        return std::chrono::duration_cast<Milliseconds>(now_ - kStart);
    }
    void set(uint32_t i, Mode mode) { modes_[address_of(i)] = mode; }
    void set_all(Mode mode)
    {
        for (const model::Backend &backend : pool_.backends) {
            modes_[backend.address] = mode;
        }
    }
    const Member &member(uint32_t i) const { return health_.members().at(address_of(i)); }
    model::Condition condition(uint32_t i) const { return member(i).condition; }

    // Runs until the backend has failed; how long that took, or `most` if it did not.
    Milliseconds time_to_fail(uint32_t i, Milliseconds most)
    {
        const Time begin = now_;
        while (!condition(i).failed && now_ - begin < most) {
            run(1ms);
        }
        return std::chrono::duration_cast<Milliseconds>(now_ - begin);
    }

    size_t cuts() const { return cuts_; }  // of backends that were used before
    // "up gw-1: answered 2 probes in a row"
    std::vector<std::string> events()
    {
        std::vector<std::string> lines;
        for (const Event &event : health_.take_events()) {
            EXPECT_EQ(event.pool, "gws");
            lines.push_back(std::string(to_string(event.kind)) +
                            (event.backend.empty() ? "" : " " + event.backend) + ": " +
                            event.text);
        }
        return lines;
    }
    size_t probes() const { return probes_; }
    uint64_t below(uint64_t bound) { return random_() % bound; }

  private:
    static constexpr Time kStart{std::chrono::hours(1)};
    static constexpr int64_t kEpochMs = 1'767'225'600'000;

    void start()
    {
        for (const model::IpAddress &address : health_.start_due(now_)) {
            ASSERT_TRUE(running_.insert(address).second) << "two probes of one at a time";
            probes_++;
            const Milliseconds latency{1 + random_() % 5};
            switch (modes_[address]) {
                case Mode::kAlive:
                    ends_.emplace(now_ + latency, std::pair(address, ProbeReport{}));
                    break;
                case Mode::kRefuses:
                    ends_.emplace(now_ + latency,
                                  std::pair(address, ProbeReport{Outcome::kFailed, "refused"}));
                    break;
                case Mode::kSilent:
                    ends_.emplace(
                        now_ + pool_.health.timeout,
                        std::pair(address, ProbeReport{Outcome::kFailed, "no answer"}));
                    break;
                case Mode::kUnprobed:
                    ends_.emplace(
                        now_ + latency,
                        std::pair(address, ProbeReport{Outcome::kNotProbed, "no sockets"}));
                    break;
            }
        }
    }

    void deliver()
    {
        while (!ends_.empty() && ends_.begin()->first <= now_) {
            const auto [address, report] = ends_.begin()->second;
            ends_.erase(ends_.begin());
            running_.erase(address);
            health_.report(address, report, now_);
            check();
        }
    }

    void check()
    {
        uint64_t weight = 0;
        uint64_t healthy = 0;
        for (const auto &[address, member] : health_.members()) {
            const model::Condition &is = member.condition;
            const State state = member.health.state();
            const bool is_waiting = state == State::kUnknown && !member.health.attempted();
            EXPECT_TRUE(!is.failed || state == State::kDown || is_waiting);
            EXPECT_TRUE(!is.cut || (is.failed && state == State::kDown));
            EXPECT_FALSE(is.cut && pool_.on_failure == model::OnFailure::kKeep);
            EXPECT_FALSE(is.failed && member.counts && health_.is_panic());
            EXPECT_TRUE(is.share_percent == 100 || state == State::kUp);
            EXPECT_TRUE(is.share_percent % 25 == 0 && is.share_percent > 0);
            EXPECT_FALSE(is.failed && pool_.health.type == model::HealthType::kNone);
            if (member.counts) {
                weight += member.weight;
                healthy += state == State::kDown ? 0 : member.weight;
            }
            bool &was_used = was_used_[address];
            cuts_ += was_used && is.cut ? 1 : 0;
            was_used = !is.failed;
        }
        if (!health_.is_panic()) {
            EXPECT_GE(healthy * 100, weight * pool_.health.panic_threshold_percent);
        }
    }

    model::Pool pool_;
    PoolHealth health_;
    Random random_;
    Time now_ = kStart;
    std::map<model::IpAddress, Mode> modes_;
    std::multimap<Time, std::pair<model::IpAddress, ProbeReport>> ends_;
    std::set<model::IpAddress> running_;
    std::map<model::IpAddress, bool> was_used_;
    size_t cuts_ = 0;
    size_t steps_ = 0;
    size_t probes_ = 0;
};

}  // namespace guideway::health
