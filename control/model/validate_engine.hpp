// The part of validate() that speaks of the engine.
#pragma once

#include <vector>

#include "control/model/validate.hpp"

namespace guideway::model {

// Appends what does not hold.
void validate_engine(const Desired &desired, std::vector<Violation> &violations);

}  // namespace guideway::model
