// The clock that the XDP program reads, as the control plane reads it: the two would drift
// apart if each took its own.
#pragma once

#include <cstdint>

#include "dataplane/error.hpp"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

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
