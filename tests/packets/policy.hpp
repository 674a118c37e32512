// What a case says of limits and of the allow and deny lists.
#pragma once

#include <string>
#include <vector>

#include "dataplane/tables/lists.hpp"
#include "dataplane/tables/tables.hpp"
#include "tests/packets/words.hpp"

namespace guideway::packets {

struct World;

struct Limit {
    std::string name;
    gw_limit_kind kind = GW_LIMIT_PACKETS;
    uint64_t interval_ns = 0;
    uint64_t burst = 1;
    uint8_t ipv4_bits = 32;
    uint8_t ipv6_bits = 64;
    bool all_sources = false;
    bool observes = false;
    bool exact_clock = false;
    std::vector<std::string> services;
};

// Parse a "limit ...", "deny ..." or "allow ..." statement, whose keyword has been read.
[[nodiscard]] Limit parse_limit(Words &words);
void parse_prefixes(Words &words, gw_list_verdict verdict, std::vector<ListedPrefix> &prefixes);

// Writes the world's limits, by their order in it, and its lists into `tables`, which hold its
// services. Those of one service take the order that the core asks for.
[[nodiscard]] Result<void> write_policy(const Tables &tables, const World &world);

// Whether the world's limits read the exact clock; all do, or none.
[[nodiscard]] bool uses_exact_clock(const World &world);

// Add `ticks` of the pins' clock, which may be negative, to all times of sources' states, and
// of the records of those that exceed.
void shift_states(const Tables &tables, int64_t ticks);
void shift_limited(const Tables &tables, int64_t ticks);

// The limits' clock of an engine whose pins' clock is `ticks`.
[[nodiscard]] constexpr uint64_t limits_clock_ns(uint32_t ticks)
{
    return uint64_t{ticks} << GW_PIN_TICK_SHIFT;
}

}  // namespace guideway::packets
