// How the daemon logs: text for people, or one JSON object a line for collectors.
#pragma once

#include <string>

namespace guideway::daemon {

enum class LogFormat { kText, kJson };

// To standard error. `level` is one of trace, debug, info, warning, error.
void set_up_logging(LogFormat format, const std::string &level);

}  // namespace guideway::daemon
