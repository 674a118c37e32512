// /v1/limits: what limits there are, who exceeds them, and who sends most.
#pragma once

#include "control/api/server.hpp"
#include "control/daemon/instance.hpp"

namespace guideway::daemon {

[[nodiscard]] api::Response limit_route(Instance &instance, const api::Request &request);

}  // namespace guideway::daemon
