#include "dataplane/dpdk/buffers.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <string>

#include "dataplane/dpdk/burst.hpp"
#include "dataplane/dpdk/eal.hpp"

namespace guideway::dpdk {
namespace {

constexpr uint32_t kCacheBuffers = 256;  // of each worker
constexpr uint64_t kMib = 1024 * 1024;

uint64_t object_bytes(uint32_t room)
{
    rte_mempool_objsz sizes{};
    return rte_mempool_calc_obj_size(sizeof(rte_mbuf) + room, 0, &sizes);
}

uint64_t page_bytes()
{
    return static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// net_af_xdp hands buffers to the kernel as they are, which takes none that is longer than a page
// (struct xdp_umem_reg, chunk_size). It gets the longest: an MTU may grow while it is open.
uint32_t page_room_bytes()
{
    auto room = static_cast<uint32_t>(page_bytes());
    while (object_bytes(room) > page_bytes()) {
        room -= RTE_CACHE_LINE_SIZE;
    }
    return room;
}

// One buffer for a frame of any port, without continuation.
Result<uint32_t> room_bytes(const Ports &ports)
{
    if (!has_diverted(ports)) {
        uint32_t bytes = frame_room_bytes(0);
        for (const auto &port : ports) {
            bytes = std::max(bytes, frame_room_bytes(port->mtu_bytes()));
        }
        return bytes + RTE_PKTMBUF_HEADROOM;
    }
    const uint32_t room = page_room_bytes();
    const uint32_t frame = room - RTE_PKTMBUF_HEADROOM;
    for (const auto &port : ports) {
        const bool is_diverted = port->kind() == PortKind::kDiverted;
        const uint32_t mtu_most = (is_diverted ? frame : std::bit_floor(frame)) - kBesideMtu;
        if (port->mtu_bytes() > mtu_most) {
            return fail("port " + port->interface() + ": its MTU is " +
                        std::to_string(port->mtu_bytes()) + ", and can be " +
                        std::to_string(mtu_most) +
                        " where a port is of net_af_xdp, whose buffers are of a page at most: "
                        "lower it, or use net_af_packet");
        }
    }
    return room;
}

// What a buffer takes of memory. `is_whole`: none may lie across two pages that need not be side by
// side in the machine's memory, because a device or the kernel reads it by that.
uint64_t buffer_bytes(uint32_t room, bool is_whole)
{
    const uint64_t bytes = object_bytes(room);
    const uint64_t page = page_bytes();
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

bool has_diverted(const Ports &ports)
{
    return std::ranges::any_of(
        ports, [](const auto &port) { return port->kind() == PortKind::kDiverted; });
}

void FreePool::operator()(rte_mempool *pool) const
{
    rte_mempool_free(pool);
}

Result<Pool> make_pool(const Options &options, const Ports &ports)
{
    uint32_t needed = options.workers * (kCacheBuffers * 2 + 2 * kBurst);
    const bool is_whole = rte_eal_has_hugepages() != 0 || has_diverted(ports);
    for (const auto &port : ports) {
        needed += port->buffers();
    }
    const auto room = room_bytes(ports);
    if (!room) {
        return std::unexpected(room.error());
    }
    const uint64_t each = buffer_bytes(*room, is_whole);
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
    Pool pool = create_pool(static_cast<uint32_t>(count), *room, is_whole);
    if (!pool) {
        return fail("cannot make " + std::to_string(count) + " packet buffers: " +
                    rte_strerror(rte_errno) + "; free memory or lower --memory, which is " +
                    std::to_string(options.memory_mib) + " MiB");
    }
    return pool;
}

}  // namespace guideway::dpdk
