// What engines have in common that run in this process: tables in its own memory, and a clock that
// stands still.
#pragma once

#include "dataplane/core/outcome.h"
#include "tests/packets/engine.hpp"

namespace guideway::packets {

// Two days: what a case ages lies in the past, not before the clock's beginning.
inline constexpr uint32_t kHostTicks = (1 << 20) + 7;

class HostTables {
  public:
    // Of the sizes that a case has unless it says otherwise.
    [[nodiscard]] static Result<HostTables> make();

    [[nodiscard]] Tables &get() { return tables_; }
    // See Engine::load().
    [[nodiscard]] Result<void> load(const World &world);

  private:
    explicit HostTables(Tables tables) : tables_(std::move(tables)) {}
    Tables tables_;
};

[[nodiscard]] Ran ran_of(const gw_outcome &outcome, Bytes frame);

}  // namespace guideway::packets
