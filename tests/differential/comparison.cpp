#include "tests/differential/comparison.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <functional>

#include "tests/differential/policy_states.hpp"
#include "tests/packets/dissect.hpp"

namespace guideway::differential {
namespace {

using packets::Engine;

void set_icmp_limit(Engine &engine, bool exhausted)
{
    auto &tables = engine.tables();
    for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
        tables.counters_area(cpu).icmp_arrival_ns = exhausted ? UINT64_MAX / 2 : 0;
    }
}

// Counters are structs of words.
template <typename Traffic>
bool same(const std::vector<Traffic> &a, const std::vector<Traffic> &b)
{
    return std::ranges::equal(a, b, [](const Traffic &x, const Traffic &y) {
        return std::memcmp(&x, &y, sizeof(x)) == 0;
    });
}

std::string compare_counters(const CounterTotals &native, const CounterTotals &other)
{
    std::string text;
    for (size_t i = 0; i < native.reasons.size(); i++) {
        if (native.reasons[i] != other.reasons[i]) {
            text += "    reason " + std::to_string(i) + ": native " +
                    std::to_string(native.reasons[i]) + ", the other " +
                    std::to_string(other.reasons[i]) + "\n";
        }
    }
    if (native.events != other.events) {
        text += "    events differ\n";
    }
    if (!same(native.services, other.services)) {
        text += "    the services' counters differ\n";
    }
    if (!same(native.backends, other.backends)) {
        text += "    the backends' counters differ\n";
    }
    return text;
}

std::string compare_refusals(const Tables &native, const Tables &other)
{
    auto cells = [](const Tables &tables) {
        std::vector<uint64_t> sums(GW_REFUSAL_CELLS);
        for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
            std::ranges::transform(sums, tables.counters_area(cpu).refused, sums.begin(),
                                   std::plus{});
        }
        return sums;
    };
    return cells(native) == cells(other) ? "" : "    refusals by slot differ\n";
}

// A way's words, its time as an age: the engines' clocks differ. The second word of an empty
// way means nothing.
gw_pin without_clock(const gw_pin &pin, uint32_t now_ticks)
{
    if ((pin.first & ~GW_PIN_OVERFLOW) == 0) {
        return {.first = pin.first, .second = 0};
    }
    const uint64_t age = now_ticks - (pin.second >> GW_PIN_SEEN_SHIFT);
    return {.first = pin.first,
            .second = age << GW_PIN_SEEN_SHIFT |
                      (pin.second & ((uint64_t{1} << GW_PIN_SEEN_SHIFT) - 1))};
}

std::string compare_pins(Engine &native, Engine &other)
{
    std::string text;
    const auto ours = native.tables().pin_buckets();
    const auto theirs = other.tables().pin_buckets();
    for (size_t bucket = 0; bucket < ours.size(); bucket++) {
        for (size_t way = 0; way < GW_PIN_WAYS; way++) {
            const gw_pin a = without_clock(ours[bucket].way[way], native.now_ticks());
            const gw_pin b = without_clock(theirs[bucket].way[way], other.now_ticks());
            if (a.first != b.first || a.second != b.second) {
                std::array<char, 160> line{};
                std::snprintf(line.data(), line.size(),
                              "    pin %zu of bucket %zu, time as age: native %#018lx %#018lx, "
                              "the other %#018lx %#018lx\n",
                              way, bucket, a.first, a.second, b.first, b.second);
                text += line.data();
            }
        }
    }
    return text;
}

// How two engines' results for one packet differ.
std::string compare_results(const packets::Ran &native, const packets::Ran &other)
{
    std::string text;
    if (native.verdict != other.verdict) {
        text += "    verdict: native " + std::string(packets::verdict_name(native.verdict)) +
                ", the other " + std::string(packets::verdict_name(other.verdict)) + "\n";
    }
    if (native.egress_ifindex != other.egress_ifindex && native.egress_ifindex != 0 &&
        other.egress_ifindex != 0) {
        text += "    redirected to " + std::to_string(native.egress_ifindex) +
                " by native, to " + std::to_string(other.egress_ifindex) + " by the other\n";
    }
    if (native.frame != other.frame) {
        text += "    frames, native expected:\n" +
                packets::describe_difference(native.frame, other.frame);
    }
    return text;
}

std::string said_of(const Engine &engine, const std::string &differences)
{
    return differences.empty() ? "" : "    the other is " + engine.name() + "\n" + differences;
}

}  // namespace

Result<Comparison> Comparison::open()
{
    auto native = packets::native_engine();
    if (!native) {
        return std::unexpected(native.error());
    }
    auto xdp = packets::xdp_engine();
    if (!xdp) {
        return std::unexpected(xdp.error());
    }
    auto dpdk = packets::dpdk_engine();
    if (!dpdk) {
        return std::unexpected(dpdk.error());
    }
    std::vector<std::unique_ptr<Engine>> others;
    others.push_back(std::move(*xdp));
    others.push_back(std::move(*dpdk));
    return Comparison(std::move(*native), std::move(others));
}

Result<Comparison> Comparison::open_bursts()
{
    auto native = packets::native_engine();
    if (!native) {
        return std::unexpected(native.error());
    }
    auto dpdk = packets::dpdk_engine();
    if (!dpdk) {
        return std::unexpected(dpdk.error());
    }
    auto *burst = dpdk->get();
    std::vector<std::unique_ptr<Engine>> others;
    others.push_back(std::move(*dpdk));
    Comparison comparison(std::move(*native), std::move(others));
    comparison.burst_ = burst;
    return comparison;
}

Result<void> Comparison::load(const packets::World &world)
{
    world_ = world;
    if (auto loaded = native_->load(world); !loaded) {
        return loaded;
    }
    for (const auto &other : others_) {
        if (auto loaded = other->load(world); !loaded) {
            return loaded;
        }
    }
    return {};
}

std::vector<uint64_t> Comparison::reasons() const
{
    return native_->tables().counters().reasons;
}

std::vector<uint64_t> Comparison::events() const
{
    return native_->tables().counters().events;
}

Result<void> Comparison::change(const packets::Change &change)
{
    const auto apply = [&](Engine &engine) {
        return apply_change(engine.tables(), world_, change, engine.now_ticks());
    };
    if (auto applied = apply(*native_); !applied) {
        return applied;
    }
    for (const auto &other : others_) {
        if (auto applied = apply(*other); !applied) {
            return applied;
        }
    }
    return {};
}

// What comes before a packet. Returns what went wrong.
std::string Comparison::prepare(const Trial &trial)
{
    for (const auto &change : trial.changes) {
        if (auto changed = this->change(change); !changed) {
            return "    " + changed.error().message + "\n";
        }
    }
    set_icmp_limit(*native_, trial.icmp_exhausted);
    for (const auto &other : others_) {
        set_icmp_limit(*other, trial.icmp_exhausted);
    }
    return "";
}

// In what they have counted and remembered.
std::string Comparison::differences(Engine &other)
{
    return compare_counters(native_->tables().counters(), other.tables().counters()) +
           compare_refusals(native_->tables(), other.tables()) + compare_pins(*native_, other) +
           compare_policy(*native_, other, world_);
}

std::optional<std::string> Comparison::compare(const Trial &trial)
{
    for (const auto &other : others_) {
        if (trial.frame.size() < other->frame_bytes_min()) {
            return std::nullopt;
        }
    }
    std::string text = prepare(trial);
    compared_++;
    const auto native = native_->run(trial.frame, trial.headroom_bytes);
    if (!native) {
        return "    " + native.error().message + "\n";
    }
    for (const auto &other : others_) {
        const auto ran = other->run(trial.frame, trial.headroom_bytes);
        text += said_of(*other, ran ? compare_results(*native, *ran) + differences(*other)
                                    : "    " + ran.error().message + "\n");
    }
    return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> Comparison::compare_burst(const std::vector<Trial> &trials)
{
    if (trials.empty()) {
        return std::nullopt;
    }
    std::string text = prepare(trials.front());
    compared_ += trials.size();
    std::vector<packets::Bytes> frames;
    std::vector<packets::Ran> native;
    for (const auto &trial : trials) {
        frames.push_back(trial.frame);
        auto ran = native_->run(trial.frame, trials.front().headroom_bytes);
        if (!ran) {
            return "    " + ran.error().message + "\n";
        }
        native.push_back(std::move(*ran));
    }
    const auto ran = burst_->run_burst(frames, trials.front().headroom_bytes);
    for (size_t i = 0; i < trials.size(); i++) {
        const std::string difference = compare_results(native[i], ran[i]);
        if (!difference.empty()) {
            text += "    frame " + std::to_string(i + 1) + " of a burst of " +
                    std::to_string(trials.size()) + ":\n" + difference;
        }
    }
    text += said_of(*burst_, differences(*burst_));
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace guideway::differential
