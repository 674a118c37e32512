#include "tests/differential/comparison.hpp"

#include <algorithm>
#include <cstring>

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
    note_reasons();
    if (auto loaded = native_->load(world); !loaded) {
        return loaded;
    }
    return xdp_->load(world);
}

void Comparison::note_reasons()
{
    const auto totals = native_->tables().counters();
    for (size_t i = 0; i < reasons_.size(); i++) {
        reasons_[i] += totals.reasons[i];
    }
}

std::optional<std::string> Comparison::compare(const Trial &trial)
{
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
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace guideway::differential
