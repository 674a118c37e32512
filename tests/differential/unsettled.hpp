// Worlds in which backends come and go: slots in any state, and too few pins.
#pragma once

#include <vector>

#include "tests/differential/mutate.hpp"
#include "tests/packets/world.hpp"

namespace guideway::differential {

// The world with its slots in random states between its backends, and a table of few pins,
// some of which are of other flows.
[[nodiscard]] packets::World unsettled_world(packets::World world, Random &random);

// What happens between two packets: mostly nothing.
[[nodiscard]] std::vector<packets::Change> random_changes(const packets::World &world,
                                                          Random &random);

}  // namespace guideway::differential
