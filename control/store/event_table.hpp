// Events in the store's database: the newest ones, for operators who look back.
#pragma once

#include <span>
#include <vector>

#include "control/model/event.hpp"
#include "control/store/database.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

inline constexpr int64_t kEventsKept = 10'000;

// One transaction; the oldest beyond kEventsKept go. The table is made when it is first needed
// and older versions do not look at it, so that the format's number stays.
[[nodiscard]] Result<void> append_events(Database &database,
                                         std::span<const model::Event> events);

// The newest `most` of them, oldest first.
[[nodiscard]] Result<std::vector<model::Event>> newest_events(Database &database, size_t most);

}  // namespace guideway::store
