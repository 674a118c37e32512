// What the API says of an instance, as JSON; docs/api.md describes the shapes.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {

[[nodiscard]] nlohmann::json render_version();
[[nodiscard]] nlohmann::json render_status(const Instance &instance,
                                           std::chrono::steady_clock::time_point started);
[[nodiscard]] nlohmann::json render_services(const Instance &instance);
[[nodiscard]] nlohmann::json render_backends(const Instance &instance);
[[nodiscard]] nlohmann::json render_counters(const Instance &instance);
[[nodiscard]] nlohmann::json render_overrides(const Instance &instance);
[[nodiscard]] nlohmann::json render_problem(const config::Problem &problem);

}  // namespace guideway::daemon
