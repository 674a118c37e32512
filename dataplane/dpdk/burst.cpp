#include "dataplane/dpdk/burst.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "dataplane/dpdk/seam_burst.hpp"
// (the seam comes first)
#include "dataplane/core/prefetch.h"
#include "dataplane/core/process.h"

namespace guideway::dpdk {
namespace {

// A frame between two steps.
struct Carried {
    gw_packet packet;
    gw_walk walk;
    gw_reason reason;
    const gw_slot *slot;  // where it has one
};

GW_INLINE void classify(Carried &carried)
{
    carried.reason = gw_walk_classify(&carried.walk, &carried.packet);
    carried.slot = nullptr;
    if (GW_LIKELY(carried.reason == GW_REASON_FORWARDED)) {
        gw_walk_locate(&carried.walk);
        carried.slot = gw_prefetch_slot(&carried.walk);
        if (GW_UNLIKELY(carried.walk.policy != 0)) {
            gw_prefetch_policy(&carried.walk, &carried.packet);
        }
    }
}

GW_INLINE void give_back(const gw_packet &packet, rte_mbuf &frame)
{
    frame.data_off = static_cast<uint16_t>(packet.data - packet.head);
    frame.data_len = static_cast<uint16_t>(packet.end - packet.data);
    frame.pkt_len = frame.data_len;
}

}  // namespace

void process_burst(std::span<rte_mbuf *const> frames, const BurstContext &context,
                   std::span<const Moment> moments, std::span<gw_outcome> outcomes)
{
    std::array<Carried, kBurst> carried;
    const size_t count = std::min<size_t>(frames.size(), kBurst);
    const size_t moment_step = moments.size() == 1 ? 0 : 1;

    // The same for all frames of a burst: its tables, counters, and whether they are in force.
    gw_memo memo{};
    gw_packet first{.head = nullptr,
                    .data = nullptr,
                    .end = nullptr,
                    .burst = &context,
                    .moment = moments.data(),
                    .memo = &memo};
    gw_walk begun;
    if (gw_walk_begin(&begun, &first) == 0) {
        std::ranges::for_each(outcomes.first(count),
                              [](auto &outcome) { gw_outcome_init(&outcome); });
        return;
    }
    if (GW_UNLIKELY(!gw_walk_acts(&begun, &first))) {
        for (size_t i = 0; i < count; i++) {
            gw_walk_end(&begun, &first, GW_REASON_INACTIVE, &outcomes[i]);
        }
        return;
    }

    for (size_t i = 0; i < count; i++) {
        auto *head = static_cast<uint8_t *>(frames[i]->buf_addr);
        carried[i].packet = {.head = head,
                             .data = head + frames[i]->data_off,
                             .end = head + frames[i]->data_off + frames[i]->data_len,
                             .burst = &context,
                             .moment = &moments[i * moment_step],
                             .memo = &memo};
        carried[i].walk = begun;
        classify(carried[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (GW_LIKELY(carried[i].slot != nullptr)) {
            gw_prefetch_flow(&carried[i].walk, carried[i].slot);
        }
    }
    for (size_t i = 0; i < count; i++) {
        auto &[packet, walk, reason, slot] = carried[i];
        gw_walk_end(&walk, &packet, gw_walk_decide(&walk, &packet, reason), &outcomes[i]);
        if (outcomes[i].verdict != GW_PASS) {
            give_back(packet, *frames[i]);
        }
    }
}

}  // namespace guideway::dpdk
