#include "dataplane/replay/look.hpp"

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include <vector>

#include "dataplane/core/process.h"
#include "dataplane/replay/engine.hpp"

namespace guideway::replay {

Look look_at(const Tables &tables, std::span<const uint8_t> frame, uint64_t now_ns)
{
    std::vector<uint8_t> copy(frame.begin(), frame.end());
    gw_packet packet{.head = copy.data(),
                     .data = copy.data(),
                     .end = copy.data() + copy.size(),
                     .tables = tables.base(),
                     .layout = &tables.layout(),
                     .now_ns = now_ns,
                     .exact_ns = now_ns,
                     .ingress_ifindex = kInterface,
                     .cpu = 0,
                     .generation = GW_GENERATION_ALONE};
    Look look;
    gw_walk walk;
    if (gw_walk_begin(&walk, &packet) == 0 || gw_walk_acts(&walk, &packet) == 0) {
        return look;
    }
    look.classified = gw_walk_classify(&walk, &packet);
    look.service = walk.service;
    look.is_icmp_error = walk.is_icmp_error != 0;
    if (look.classified != GW_REASON_FORWARDED) {
        return look;
    }
    const gw_service &service = tables.services()[walk.service];
    for (uint32_t i = 0; i < GW_SERVICE_LIMITS_MAX && gw_service_limit(&service, i) != 0; i++) {
        look.limits.push_back(gw_service_limit(&service, i) - 1);
    }
    gw_walk_locate(&walk);
    look.slot_index = static_cast<uint32_t>(walk.slot - service.ring_offset);
    look.slot = tables.ring_slots()[walk.slot];
    if (gw_slot_state_of(look.slot) != GW_SLOT_STABLE) {
        uint64_t first = 0;
        if (gw_pin_find(&walk, gw_pin_hash(&walk), &first) != nullptr) {
            look.pinned = static_cast<uint32_t>(first) & GW_OWNER_MASK;
        }
    }
    return look;
}

}  // namespace guideway::replay
