// What the benchmarks of the packet path run on: four services with rings of the default
// size over a hundred backends of each family.
#pragma once

#include "tests/packets/world.hpp"

namespace guideway::bench {

[[nodiscard]] gw_capacity capacity(uint32_t cpus);
[[nodiscard]] packets::World world();

}  // namespace guideway::bench
