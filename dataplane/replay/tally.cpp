#include "dataplane/replay/tally.hpp"

#include <algorithm>

namespace guideway::replay {
namespace {

// Indices are each engine's own; the bytes say which backend it was.
bool is_same(const Ran &a, const Ran &b)
{
    return a.decision.verdict == b.decision.verdict && a.decision.reason == b.decision.reason &&
           (!leaves(a.decision.verdict) || std::ranges::equal(a.frame, b.frame));
}

void count(Decisions &decisions, const Decision &decision, uint64_t bytes)
{
    decisions.packets++;
    decisions.verdicts[static_cast<size_t>(decision.verdict)]++;
    decisions.reasons[decision.reason]++;
    if (decision.service != kNone) {
        decisions.services[decision.service][decision.reason]++;
    }
    if (decision.reason == GW_REASON_FORWARDED) {
        Traffic &traffic = decisions.backends[{decision.service, decision.backend}];
        traffic.packets++;
        traffic.bytes += bytes;
    }
}

}  // namespace

void Tally::add(const Frame &frame, std::span<const Ran> ran)
{
    const bool is_ours = std::ranges::any_of(ran, [](const Ran &one) {
        return one.decision.reason != GW_REASON_NOT_OURS &&
               one.decision.reason != GW_REASON_INACTIVE;
    });
    const auto found = is_ours ? dissect(frame.bytes) : Dissection{};
    for (size_t lane = 0; lane < ran.size(); lane++) {
        count(lanes_[lane], ran[lane].decision, found.packet_bytes);
    }
    for (size_t lane = 1; lane < ran.size(); lane++) {
        if (!is_same(ran[0], ran[lane])) {
            packets_apart_++;
            break;
        }
    }
    if (!is_ours) {
        return;
    }
    const uint32_t flow = flows_.note(found.flow, frame.packet.number);
    for (uint32_t lane = 0; flow != kNone && lane < ran.size(); lane++) {
        flows_.decide(flow, lane, ran[lane]);
    }
}

}  // namespace guideway::replay
