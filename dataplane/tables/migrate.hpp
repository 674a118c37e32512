// Moves what tables hold into tables of another capacity, or of another build's layout, while
// packets go on by the old ones.
//
// In this order: migrate() into new, empty tables; packets are led to the new ones, by programs
// that still look for pins in the old ones; when none looks at the old ones alone any more,
// move_pins() (dataplane/tables/pins.hpp), merge_sources() (dataplane/tables/sources.hpp) and
// move_counters(). Slots and limits must not change from the first to the last step.
#pragma once

#include <cstdint>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables_view.hpp"

namespace guideway {

// Checks, as input, what a daemon follows that adopts tables as they are: the directory names
// services that there are, rings lie within the slots, those of services in the directory apart
// from each other, and slots name backends that there can be.
[[nodiscard]] Result<void> check_content(const TablesView &tables);

// Copies directory, services, rings, backends and limits, and of the header the pins' lifetimes,
// the writer's serial and the last generation. Indices stay as they are. `from` is checked as
// input: bounds, owners, what the directory names. Fails when it is damaged, or when what is in
// use does not fit into `to`; the message says which capacity it takes. `to` is then of no use.
[[nodiscard]] Result<void> migrate(const TablesView &from, const Tables &to);

// Adds what was counted in `from` to the last area of `to`, which no packet counts in, and
// zeroes it there. No packet may count in `from` any more.
void move_counters(const TablesView &from, const Tables &to);

}  // namespace guideway
