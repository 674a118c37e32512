#include "dataplane/dpdk/burst.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "dataplane/core/prefetch.h"
#include "dataplane/core/process.h"

namespace guideway::dpdk {
namespace {

gw_packet packet_of(const rte_mbuf &frame, const BurstContext &context, const Moment &moment)
{
    auto *head = static_cast<uint8_t *>(frame.buf_addr);
    return {.head = head,
            .data = head + frame.data_off,
            .end = head + frame.data_off + frame.data_len,
            .tables = context.tables,
            .layout = context.layout,
            .now_ns = moment.now_ns,
            .exact_ns = moment.exact_ns,
            .ingress_ifindex = context.ingress_ifindex,
            .cpu = context.cpu,
            .generation = GW_GENERATION_ALONE,
            .former_tables = context.former_tables,
            .former_layout = context.former_layout};
}

void give_back(const gw_packet &packet, rte_mbuf &frame)
{
    frame.data_off = static_cast<uint16_t>(packet.data - packet.head);
    frame.data_len = static_cast<uint16_t>(packet.end - packet.data);
    frame.pkt_len = frame.data_len;
}

}  // namespace

void process_burst(std::span<rte_mbuf *const> frames, const BurstContext &context,
                   std::span<const Moment> moments, std::span<gw_outcome> outcomes)
{
    std::array<gw_packet, kBurst> packets;
    std::array<gw_walk, kBurst> walks;
    std::array<gw_reason, kBurst> reasons;
    std::array<const gw_slot *, kBurst> slots;
    const size_t count = std::min<size_t>(frames.size(), kBurst);
    const size_t moment_step = moments.size() == 1 ? 0 : 1;

    for (size_t i = 0; i < count; i++) {
        packets[i] = packet_of(*frames[i], context, moments[i * moment_step]);
        gw_outcome_init(&outcomes[i]);
        slots[i] = nullptr;
        if (gw_walk_begin(&walks[i], &packets[i]) == 0) {
            return;  // the worker has no counters area: every frame passes
        }
        reasons[i] = GW_REASON_INACTIVE;
        if (GW_LIKELY(gw_walk_acts(&walks[i], &packets[i]))) {
            reasons[i] = gw_walk_classify(&walks[i], &packets[i]);
            if (GW_LIKELY(reasons[i] == GW_REASON_FORWARDED)) {
                slots[i] = gw_prefetch_slot(&walks[i]);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (GW_LIKELY(slots[i] != nullptr)) {
            gw_prefetch_flow(&walks[i], slots[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (reasons[i] != GW_REASON_INACTIVE) {
            reasons[i] = gw_walk_decide(&walks[i], &packets[i], reasons[i]);
        }
        gw_walk_end(&walks[i], &packets[i], reasons[i], &outcomes[i]);
        if (outcomes[i].verdict != GW_PASS) {
            give_back(packets[i], *frames[i]);
        }
    }
}

}  // namespace guideway::dpdk
