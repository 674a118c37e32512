#include "dataplane/dpdk/buffers.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "dataplane/dpdk/burst.hpp"
#include "dataplane/dpdk/eal.hpp"

namespace guideway::dpdk {
namespace {

constexpr uint32_t kCacheBuffers = 256;  // of each worker
constexpr uint64_t kMib = 1024 * 1024;

// One buffer for a frame of any port, without continuation.
uint32_t room_bytes(const Ports &ports)
{
    uint32_t bytes = frame_room_bytes(0);
    for (const auto &port : ports) {
        bytes = std::max(bytes, frame_room_bytes(port->mtu_bytes()));
    }
    return bytes + RTE_PKTMBUF_HEADROOM;
}

// What a buffer takes of memory. `is_whole`: none may lie across two pages that need not be side by
// side in the machine's memory, because a device or the kernel reads it by that.
uint64_t buffer_bytes(uint32_t room, bool is_whole)
{
    rte_mempool_objsz sizes{};
    const uint64_t bytes = rte_mempool_calc_obj_size(sizeof(rte_mbuf) + room, 0, &sizes);
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    if (!is_whole || rte_eal_has_hugepages() != 0) {
        return bytes;
    }
    return bytes > page ? (bytes + page - 1) / page * page : page / (page / bytes);
}

// As rte_pktmbuf_pool_create(), which knows of no flags.
Pool create_pool(uint32_t count, uint32_t room, bool is_whole)
{
    const unsigned flags = is_whole ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
    Pool pool(rte_mempool_create_empty("gw-packets", count, sizeof(rte_mbuf) + room,
                                       kCacheBuffers, sizeof(rte_pktmbuf_pool_private),
                                       SOCKET_ID_ANY, flags));
    if (!pool ||
        rte_mempool_set_ops_byname(pool.get(), rte_mbuf_best_mempool_ops(), nullptr) != 0) {
        return {};
    }
    rte_pktmbuf_pool_private how{};
    how.mbuf_data_room_size = static_cast<uint16_t>(room);
    rte_pktmbuf_pool_init(pool.get(), &how);
    if (const int populated = rte_mempool_populate_default(pool.get()); populated < 0) {
        rte_errno = -populated;
        return {};
    }
    rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
    return pool;
}

}  // namespace

void FreePool::operator()(rte_mempool *pool) const
{
    rte_mempool_free(pool);
}

Result<Pool> make_pool(const Options &options, const Ports &ports)
{
    uint32_t needed = options.workers * (kCacheBuffers * 2 + 2 * kBurst);
    bool is_whole = rte_eal_has_hugepages() != 0;
    for (const auto &port : ports) {
        needed += port->buffers();
        is_whole = is_whole || port->kind() == PortKind::kDiverted;
    }
    const uint32_t room = room_bytes(ports);
    const uint64_t each = buffer_bytes(room, is_whole);
    const uint64_t count = options.memory_mib * kMib / each;
    if (count < needed) {
        return fail(
            "--memory " + std::to_string(options.memory_mib) + ": " + std::to_string(count) +
            " packet buffers fit into that, and the queues of " + std::to_string(ports.size()) +
            " ports and " + std::to_string(options.workers) + " workers need " +
            std::to_string(needed) + ": give at least " +
            std::to_string((needed * each + kMib - 1) / kMib) + " MiB");
    }
    std::ignore = dpdk_reason();
    Pool pool = create_pool(static_cast<uint32_t>(count), room, is_whole);
    if (!pool) {
        return fail("cannot make " + std::to_string(count) + " packet buffers: " +
                    rte_strerror(rte_errno) + "; free memory or lower --memory, which is " +
                    std::to_string(options.memory_mib) + " MiB");
    }
    return pool;
}

}  // namespace guideway::dpdk
