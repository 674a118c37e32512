// The XDP program as an engine of replays: each frame is a test run in the kernel.
#pragma once

#include <memory>

#include "dataplane/replay/engine.hpp"

namespace guideway::xdp {

// Needs root. Its program is attached to the loopback of a network namespace that is made for it
// and goes with it, because the kernel runs an attached program ten thousand times faster.
[[nodiscard]] Result<std::unique_ptr<replay::Engine>> replay_engine(
    const gw_capacity &capacity, const gw_hash_key &hash_key);

}  // namespace guideway::xdp
