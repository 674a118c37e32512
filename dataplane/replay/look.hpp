// What the packet logic finds of a frame before it decides, for people. Changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/core/reasons.h"
#include "dataplane/tables/tables.hpp"

namespace guideway::replay {

struct Look {
    // FORWARDED where a service was found, ECHO_REPLIED of an echo request, or else why the walk
    // ends there.
    gw_reason classified = GW_REASON_INACTIVE;
    uint32_t service = UINT32_MAX;
    bool is_icmp_error = false;    // which follows the flow that it quotes
    std::vector<uint32_t> limits;  // of the service, in their order; by index
    // Of a service's flow:
    uint32_t slot_index = 0;  // in its ring
    gw_slot slot = 0;
    std::optional<uint32_t> pinned;  // to this backend
};
[[nodiscard]] Look look_at(const Tables &tables, std::span<const uint8_t> frame,
                           uint64_t now_ns);

}  // namespace guideway::replay
