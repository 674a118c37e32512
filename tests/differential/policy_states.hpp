// What limits hold of their sources, in two engines.
#pragma once

#include <string>

#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"

namespace guideway::differential {

// Where the states of sources, the cells that they share, the records of those that exceed, and
// what is counted of them differ; a line each, times as distances from the engine's clock.
[[nodiscard]] std::string compare_policy(packets::Engine &native, packets::Engine &other,
                                         const packets::World &world);

}  // namespace guideway::differential
