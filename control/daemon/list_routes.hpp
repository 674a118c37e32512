// Requests about the allow and deny lists: /v1/deny and /v1/allow.
#pragma once

#include "control/api/server.hpp"
#include "control/daemon/instance.hpp"

namespace guideway::daemon {

// For requests whose path begins with /v1/deny or /v1/allow.
[[nodiscard]] api::Response list_route(Instance &instance, const api::Request &request);

// Whether the body of such a request is a list's file.
[[nodiscard]] bool takes_list_file(const api::Request &request);

}  // namespace guideway::daemon
