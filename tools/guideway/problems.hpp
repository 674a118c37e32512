// A configuration that was refused, as a verb's failure.
#pragma once

#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "tools/guideway/client.hpp"

namespace guideway::cli {

[[nodiscard]] Failure refused(const std::string &file,
                              const std::vector<config::Problem> &problems);

}  // namespace guideway::cli
