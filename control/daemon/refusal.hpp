// Why a request was not carried out.
#pragma once

#include <string>
#include <vector>

#include "control/config/config.hpp"

namespace guideway::daemon {

// Nothing was changed. `status` as in docs/api.md.
struct Refusal {
    unsigned status = 409;
    std::string error;
    std::vector<config::Problem> problems;
};

}  // namespace guideway::daemon
