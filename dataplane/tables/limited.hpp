// What the tables hold of sources, for people to see: those that exceed a limit, and what the
// lists say of an address.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "dataplane/tables/tables_view.hpp"

namespace guideway {

// What was told of a source that exceeds a limit. It stays with the record, so that the next
// daemon knows.
enum class Told : uint8_t { kNothing, kAlone, kAmongOthers };

// A record of a source that exceeds a limit.
struct LimitedSource {
    uint32_t record = 0;  // its index
    uint64_t fingerprint = 0;
    gw_address source{};    // masked
    uint64_t since_ns = 0;  // the limits' clock
    uint64_t last_ns = 0;
    uint64_t packets = 0;  // in excess
    uint64_t bytes = 0;
    uint32_t limit = 0;
    uint32_t service = 0;
    Told told = Told::kNothing;
};

// All that are complete, in the order of their records. Packets go on changing them. Of two
// records of one source, which two processors have made at the same time, the first gets what
// the second has, and the second is given up.
[[nodiscard]] std::vector<LimitedSource> limited_sources(const Tables &tables);

// Whether the limit that a source exceeded is there still. What was made for a former limit of
// its index is not of this one.
[[nodiscard]] bool is_of_present_limit(const Tables &tables, const LimitedSource &source);

// Notes in its record what was told of a source.
void mark_told(const Tables &tables, const LimitedSource &source, Told told);

// Gives the record up; the source's next excess makes another. False when it is another
// source's by now.
bool give_up(const Tables &tables, const LimitedSource &source);

// Copies the records of `from` to `to`, which has its limits at the same indices, as far as there
// is room.
void copy_limited(const TablesView &from, const Tables &to);

// What the lists in force say of an address.
[[nodiscard]] gw_list_verdict verdict_on(const Tables &tables, const gw_address &source);

}  // namespace guideway
