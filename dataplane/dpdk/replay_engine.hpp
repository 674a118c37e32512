// The DPDK engine's bursts as an engine of replays. Buffers are all that a burst sees of DPDK, so
// this needs no port, no huge page and no root.
#pragma once

#include <memory>

#include "dataplane/replay/engine.hpp"

namespace guideway::dpdk {

[[nodiscard]] Result<std::unique_ptr<replay::Engine>> replay_engine(
    const gw_capacity &capacity, const gw_hash_key &hash_key);

}  // namespace guideway::dpdk
