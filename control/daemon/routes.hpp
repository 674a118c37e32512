// The API's paths, as docs/api.md lists them, on an Instance.
#pragma once

#include <functional>

#include "control/api/server.hpp"
#include "control/daemon/instance.hpp"

namespace guideway::daemon {

// `stop` ends the daemon once the present answer is sent.
[[nodiscard]] api::Handler make_handler(Instance &instance, std::function<void()> stop);

}  // namespace guideway::daemon
