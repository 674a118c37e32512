// The clocks that the XDP program reads, as the control plane reads them: the two would drift
// apart if each took its own.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/error.hpp"

struct clock_bpf;

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
    // The coarse clock that it is made of.
    [[nodiscard]] Result<uint64_t> coarse_ns() const;

  private:
    using Skeleton = std::unique_ptr<clock_bpf, void (*)(clock_bpf *)>;
    explicit PinClock(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}
    Skeleton skeleton_;
};

}  // namespace guideway::xdp
