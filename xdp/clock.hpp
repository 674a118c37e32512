// The clocks that the XDP program reads, as the control plane reads them: the two would drift
// apart if each took its own.
#pragma once

#include <cstdint>

#include "dataplane/error.hpp"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

// By how much the kernel's coarse clock is ahead of its exact one, in ns modulo 2^64: the same, to
// within a tick, for as long as the kernel runs. `tick_ns` as in the tables' header.
[[nodiscard]] Result<uint64_t> clock_ahead_ns(uint32_t tick_ns);

class PinClock {
  public:
    // `tick_ns` as in the tables' header.
    [[nodiscard]] static Result<PinClock> open(uint32_t tick_ns);

    // In units of GW_PIN_TICK_SHIFT.
    [[nodiscard]] Result<uint32_t> now() const;

  private:
    explicit PinClock(Descriptor program) : program_(std::move(program)) {}
    Descriptor program_;
};

}  // namespace guideway::xdp
