// The part of validate() that speaks of limits and admission.
#pragma once

#include <vector>

#include "control/model/validate.hpp"

namespace guideway::model {

// Appends what does not hold.
void validate_limits(const Desired &desired, std::vector<Violation> &violations);

}  // namespace guideway::model
