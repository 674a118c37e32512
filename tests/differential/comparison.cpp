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

std::string compare_counters(const CounterTotals &native, const CounterTotals &xdp)
{
    std::string text;
    for (size_t i = 0; i < native.reasons.size(); i++) {
        if (native.reasons[i] != xdp.reasons[i]) {
            text += "    reason " + std::to_string(i) + ": native " +
                    std::to_string(native.reasons[i]) + ", xdp " +
                    std::to_string(xdp.reasons[i]) + "\n";
        }
    }
    if (native.events != xdp.events) {
        text += "    events differ\n";
    }
    if (!same(native.services, xdp.services)) {
        text += "    the services' counters differ\n";
    }
    if (!same(native.backends, xdp.backends)) {
        text += "    the backends' counters differ\n";
    }
    return text;
}

std::string compare_refusals(const Tables &native, const Tables &xdp)
{
    auto cells = [](const Tables &tables) {
        std::vector<uint64_t> sums(GW_REFUSAL_CELLS);
        for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
            std::ranges::transform(sums, tables.counters_area(cpu).refused, sums.begin(),
                                   std::plus{});
        }
        return sums;
    };
    return cells(native) == cells(xdp) ? "" : "    refusals by slot differ\n";
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

std::string compare_pins(Engine &native, Engine &xdp)
{
    std::string text;
    const auto ours = native.tables().pin_buckets();
    const auto theirs = xdp.tables().pin_buckets();
    for (size_t bucket = 0; bucket < ours.size(); bucket++) {
        for (size_t way = 0; way < GW_PIN_WAYS; way++) {
            const gw_pin a = without_clock(ours[bucket].way[way], native.now_ticks());
            const gw_pin b = without_clock(theirs[bucket].way[way], xdp.now_ticks());
            if (a.first != b.first || a.second != b.second) {
                std::array<char, 160> line{};
                std::snprintf(line.data(), line.size(),
                              "    pin %zu of bucket %zu, time as age: native %#018lx %#018lx, "
                              "xdp %#018lx %#018lx\n",
                              way, bucket, a.first, a.second, b.first, b.second);
                text += line.data();
            }
        }
    }
    return text;
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
    return Comparison(std::move(*native), std::move(*xdp));
}

Result<void> Comparison::load(const packets::World &world)
{
    world_ = world;
    if (auto loaded = native_->load(world); !loaded) {
        return loaded;
    }
    return xdp_->load(world);
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
    for (auto *engine : {native_.get(), xdp_.get()}) {
        if (auto applied = apply_change(engine->tables(), world_, change, engine->now_ticks());
            !applied) {
            return applied;
        }
    }
    return {};
}

std::optional<std::string> Comparison::compare(const Trial &trial)
{
    for (const auto &change : trial.changes) {
        if (auto changed = this->change(change); !changed) {
            return "    " + changed.error().message + "\n";
        }
    }
    if (trial.frame.size() < xdp_->frame_bytes_min()) {
        return std::nullopt;
    }
    compared_++;
    set_icmp_limit(*native_, trial.icmp_exhausted);
    set_icmp_limit(*xdp_, trial.icmp_exhausted);
    const auto native = native_->run(trial.frame, trial.headroom_bytes);
    const auto xdp = xdp_->run(trial.frame, trial.headroom_bytes);
    if (!native || !xdp) {
        return "    " + (native ? xdp.error() : native.error()).message + "\n";
    }
    std::string text;
    if (native->verdict != xdp->verdict) {
        text += "    verdict: native " + std::string(packets::verdict_name(native->verdict)) +
                ", xdp " + std::string(packets::verdict_name(xdp->verdict)) + "\n";
    }
    if (native->frame != xdp->frame) {
        text += "    frames, native expected:\n" +
                packets::describe_difference(native->frame, xdp->frame);
    }
    text += compare_counters(native_->tables().counters(), xdp_->tables().counters());
    text += compare_refusals(native_->tables(), xdp_->tables());
    text += compare_pins(*native_, *xdp_);
    text += compare_policy(*native_, *xdp_, world_);
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace guideway::differential
