// Pins, moved from tables into others: of another size, or of another build's layout.
#pragma once

#include <cstdint>
#include <set>

#include "dataplane/tables/tables_view.hpp"

namespace guideway {

struct PinsInUse {
    uint64_t pins = 0;
    std::set<uint32_t> backends;  // that they name; whether there are such is not looked at
};
[[nodiscard]] PinsInUse pins_in_use(const TablesView &tables);

struct MovedPins {
    uint64_t moved = 0;
    uint64_t forgotten = 0;  // of a service that is gone or a backend that is dead
    uint64_t no_room = 0;    // left where they were
};

// Inserts the pins of `from` into `to` where their flow has none there, with all that is known
// of them, and takes them out of `from`. Packets may use both meanwhile, if they look for pins
// in `to` before they do in `from`.
[[nodiscard]] MovedPins move_pins(const TablesView &from, const TablesView &to);

// The same, leaving them in `from` too, which packets still use alone.
[[nodiscard]] MovedPins copy_pins(const TablesView &from, const TablesView &to);

}  // namespace guideway
