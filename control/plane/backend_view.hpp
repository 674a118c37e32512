// What the plane says of a backend.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/model/desired.hpp"
#include "control/model/next_hop.hpp"

namespace guideway::plane {

enum class BackendState : uint8_t { kForwarding, kUnresolved, kDisabled, kWeightless, kUnused };

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
        case BackendState::kWeightless:
            return "weightless";
        case BackendState::kUnused:
            return "unused";
    }
    return "unknown";
}

struct BackendView {
    std::string pool;
    model::Backend backend;
    BackendState state = BackendState::kUnused;
    std::string reason;  // why unresolved
    std::optional<model::NextHop> next_hop;
    std::optional<uint32_t> index;  // in the tables; none while no service uses the pool
};

}  // namespace guideway::plane
