// Limits and the states of their sources, brought into other tables: of another size, or of
// another build's layout.
#pragma once

#include <cstdint>

#include "dataplane/tables/tables_view.hpp"

namespace guideway {

// Checks, as input, that a service's words name limits that there are, and of a kind and an
// index that this build knows.
[[nodiscard]] Result<void> check_limits(const TablesView &tables, uint32_t service,
                                        const gw_service &record);

// Copies the limits of `from` to the same indices of `to`, which is empty.
void copy_limits(const TablesView &from, const Tables &to);

struct MergedSources {
    uint64_t states = 0;  // that were found
    uint64_t shared = 0;  // of them, those that found no place of their own
};

// Moves the states in `to` on to where those of `from` are: of a source's two states the later
// one stays, so nobody has a burst again. Where a bucket of `to` is too full, the states that
// are least ahead share a cell. To be called again when no packet uses `from` any more; packets
// may use `to` meanwhile. The limits must have been copied.
[[nodiscard]] MergedSources merge_sources(const TablesView &from, const TablesView &to);

}  // namespace guideway
