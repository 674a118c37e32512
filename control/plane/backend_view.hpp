// What the plane says of a backend.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/model/desired.hpp"
#include "control/model/next_hop.hpp"

namespace guideway::plane {

enum class BackendState : uint8_t {
    kForwarding,
    kUnresolved,
    kDisabled,
    kDraining,   // gets no new flows, keeps those it has: drained, or of weight 0
    kFailed,     // its health checks say so
    kUnchecked,  // its first health check has not ended
    kReturning,  // about to forward again, once no pin of its former connections is left
    kLeaving,    // not desired any more; draining until nothing names it
    kUnused,
};

// As the API and the log call it; docs/api.md says what each means.
[[nodiscard]] constexpr const char *name_of(BackendState state)
{
    switch (state) {
        case BackendState::kForwarding:
            return "forwarding";
        case BackendState::kUnresolved:
            return "unresolved";
        case BackendState::kDisabled:
            return "disabled";
        case BackendState::kDraining:
            return "draining";
        case BackendState::kFailed:
            return "failed";
        case BackendState::kUnchecked:
            return "unchecked";
        case BackendState::kReturning:
            return "returning";
        case BackendState::kLeaving:
            return "leaving";
        case BackendState::kUnused:
            return "unused";
    }
    return "unknown";
}

struct BackendView {
    std::string pool;  // empty: of a leaving backend that an earlier daemon knew
    model::Backend backend;
    BackendState state = BackendState::kUnused;
    std::string reason;  // why unresolved
    std::optional<model::NextHop> next_hop;
    std::optional<uint32_t> index;  // in the tables; none while no service uses the pool
    uint32_t ring_weight = 0;       // while it starts slowly, less than the backend's
};

}  // namespace guideway::plane
