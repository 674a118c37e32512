// What the benchmarks of the packet path run on: services with rings of the default size over
// a hundred backends of each family.
#pragma once

#include "tests/packets/world.hpp"

namespace guideway::bench {

[[nodiscard]] gw_capacity capacity(uint32_t cpus, uint32_t pins_max, uint32_t sources_max,
                                   uint32_t prefixes_max);
// All slots of service "moving" are moving, those of the others stable.
[[nodiscard]] packets::World world();

// Fills every place for a pin with one that has not ended its handshake, of flows that have no
// packets. `now` is the pins' clock.
void fill_pins(const Tables &tables, uint32_t now);

// Whether such pins give their places to others, which they do a tick later.
void set_replaceable(const Tables &tables, bool replaceable);

}  // namespace guideway::bench
