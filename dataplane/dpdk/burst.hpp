// A burst of frames through the packet logic.
//
// One frame after the other would wait for memory each time. So the steps of gw_process() are taken
// for all frames together, and what a step will read is asked for in the step before:
//
//   classify all      frame, directory      asks for: ring slots
//   prefetch all      ring slots            asks for: backends; buckets of pins
//   decide each       policy, pins, backends; encapsulation, counters
//
// Only the last step writes anything or looks at what another frame may have written, and it takes
// the frames in their order: what comes out is what gw_process() makes of one after the other.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/core/outcome.h"
#include "dataplane/core/tables.h"

struct rte_mbuf;

namespace guideway::dpdk {

inline constexpr uint32_t kBurst = 32;

// The clocks of the core's seam.
struct Moment {
    uint64_t now_ns;
    uint64_t exact_ns;
};

struct BurstContext {
    uint8_t *tables;
    const gw_layout *layout;
    uint8_t *former_tables;  // none: nullptr
    const gw_layout *former_layout;
    uint32_t ingress_ifindex;
    uint32_t cpu;  // the worker's counters area
};

// Sends up to kBurst frames, each in one segment, through the core. `moments` has one for all, or
// one for each. What became of frame i is in outcomes[i]; the frame itself begins and ends in its
// buffer where the verdict wants it. No buffer is freed.
void process_burst(std::span<rte_mbuf *const> frames, const BurstContext &context,
                   std::span<const Moment> moments, std::span<gw_outcome> outcomes);

}  // namespace guideway::dpdk
