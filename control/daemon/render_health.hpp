// What the API says of health, as JSON; docs/api.md describes the shape.
#pragma once

#include <nlohmann/json.hpp>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {

[[nodiscard]] nlohmann::json render_health(const Instance &instance);

}  // namespace guideway::daemon
