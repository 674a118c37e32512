// The part of validate() that speaks of health checks.
#pragma once

#include <vector>

#include "control/model/validate.hpp"

namespace guideway::model {

// Appends what does not hold.
void validate_health(const Desired &desired, std::vector<Violation> &violations);

}  // namespace guideway::model
