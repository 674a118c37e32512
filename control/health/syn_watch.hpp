// Passive health: whether the clients of a backend repeat their SYNs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/health/backend_health.hpp"

namespace guideway::health {

// Since the tables were made; they only grow.
struct SynCounts {
    uint64_t syns = 0;
    uint64_t repeats = 0;  // of them, those seen before, of the same flow
};

class SynWatch {
  public:
    // Why the backend should be ejected, such as "clients repeat their SYNs: 40 of 60 within
    // 4s", if it should. Looks at what came since the window began; a window that is over, or
    // has given its answer, is followed by the next.
    [[nodiscard]] std::optional<std::string> observe(const model::PassiveHealth &settings,
                                                     const SynCounts &counts, Time now);

  private:
    bool has_begun_ = false;
    Time begun_;
    SynCounts at_begin_;
};

}  // namespace guideway::health
