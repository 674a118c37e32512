// The packet buffers that all ports and workers share.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/dpdk/options.hpp"
#include "dataplane/dpdk/port.hpp"
#include "dataplane/error.hpp"

struct rte_mempool;

namespace guideway::dpdk {

struct FreePool {
    void operator()(rte_mempool *pool) const;
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;
using Ports = std::vector<std::unique_ptr<Port>>;
[[nodiscard]] bool has_diverted(const Ports &ports);

// As many as fit into the memory that `options` give, each with room for a frame of any port.
// Fails where the ports' queues and the workers need more; the message says how much.
[[nodiscard]] Result<Pool> make_pool(const Options &options, const Ports &ports);

}  // namespace guideway::dpdk
