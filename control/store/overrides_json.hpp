// Overrides as JSON text, the form in which the store keeps them. Pure.
//
//     [{"pool": "gateways", "backend": "gw-a", "weight": 50},
//      {"pool": "gateways", "backend": "gw-d", "added": "10.2.0.5", "enabled": false},
//      {"pool": "gateways", "backend": "gw-b", "removed": true},
//      {"pool": "gateways", "backend": "gw-c", "drained": {"deadline": 1767225600}}]
#pragma once

#include <string>
#include <string_view>

#include "control/model/desired.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

[[nodiscard]] std::string overrides_to_json(const model::Overrides &overrides);

// Strict: a key that this version does not know would be an override silently lost.
[[nodiscard]] Result<model::Overrides> overrides_from_json(std::string_view text);

}  // namespace guideway::store
