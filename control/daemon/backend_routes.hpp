// The API's paths below /v1/backends.
#pragma once

#include "control/api/server.hpp"
#include "control/daemon/instance.hpp"

namespace guideway::daemon {

// POST /v1/backends
[[nodiscard]] api::Response add_backend(Instance &instance, const nlohmann::json &body);

// /v1/backends/POOL/NAME[/drain|enable|disable|weight]
[[nodiscard]] api::Response backend_route(Instance &instance, const api::Request &request);

}  // namespace guideway::daemon
