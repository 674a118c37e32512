// What the API says of limits and of who sends most; docs/api.md describes the shapes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control/daemon/instance.hpp"
#include "control/daemon/sight.hpp"

namespace guideway::daemon {

[[nodiscard]] nlohmann::json render_limits(const Instance &instance);
// One, with the sources that exceed it now; null when there is none. `service` is empty for the
// instance's.
[[nodiscard]] nlohmann::json render_limit(const Instance &instance, const std::string &service,
                                          const std::string &name);
[[nodiscard]] nlohmann::json render_top(const Sight::Top &top, TopBy by);
[[nodiscard]] const char *name_of(TopBy by);

}  // namespace guideway::daemon
