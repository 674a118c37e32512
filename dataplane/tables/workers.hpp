// Workers that are threads (the DPDK engine's), as the writer of the tables sees them: when has
// every burst ended that was under way? Each has a counters area, and an epoch in it that is odd
// while it reads the tables. XDP programs have no epoch: xdp/host.hpp waits for those.
#pragma once

#include <chrono>
#include <functional>

#include "dataplane/tables/tables_view.hpp"

namespace guideway {

// Returns true once every burst that was under way at the call has ended, false when one has not
// within `longest`: its worker hangs, or died inside it.
[[nodiscard]] bool wait_for_workers(const TablesView &tables,
                                    std::chrono::milliseconds longest);
[[nodiscard]] bool wait_for_workers(const Tables &tables, std::chrono::milliseconds longest);

// Says that no worker is at work. For an engine that begins, and for who knows that none runs.
void forget_workers(const TablesView &tables);
void forget_workers(const Tables &tables);

// Longer than any burst takes, also on a host that is overloaded.
inline constexpr std::chrono::milliseconds kBurstLongest{5'000};

// What makes sure that every burst that was under way at the call has ended.
using SettleWorkers = std::function<void(const TablesView &)>;
// That which knows nothing of engines: a worker that has not ended in kBurstLongest is dead.
void settle_workers(const TablesView &tables);

}  // namespace guideway
