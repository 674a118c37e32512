// One port of DPDK, and the kernel interface that it stands for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/dpdk/netdev.hpp"
#include "dataplane/dpdk/options.hpp"
#include "dataplane/error.hpp"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace guideway::dpdk {

// Counters that several threads add to, seldom.
using Count = std::atomic<uint64_t>;

class Port {
  public:
    // Asks DPDK for the device. `index` is the port's place on the command line.
    [[nodiscard]] static Result<std::unique_ptr<Port>> open(const PortOption &option,
                                                            uint32_t index, uint32_t workers,
                                                            uint32_t queues);
    // Buffers that its queues may hold.
    [[nodiscard]] uint32_t buffers() const;
    [[nodiscard]] uint32_t mtu_bytes() const { return mtu_bytes_; }
    // Sets up its queues, the tap if it has one, and lets packets in.
    [[nodiscard]] Result<void> start(rte_mempool *buffers);

    [[nodiscard]] uint16_t id() const { return id_; }
    [[nodiscard]] PortKind kind() const { return kind_; }
    [[nodiscard]] const std::string &interface() const { return interface_; }
    [[nodiscard]] uint16_t rx_queues() const { return rx_queues_; }
    // 0 while the kernel has no interface of that name.
    [[nodiscard]] uint32_t ifindex() const { return ifindex_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::optional<Tap> &tap() { return tap_; }
    [[nodiscard]] rte_ring *to_kernel() const { return to_kernel_; }
    [[nodiscard]] rte_ring *from_kernel() const { return from_kernel_; }

    // Hands frames to the device for `worker`; what it does not take is freed and counted.
    void send(uint32_t worker, rte_mbuf **frames, uint32_t count);

    // Looks at the kernel's interface again. False when it was made anew, so that what DPDK holds
    // of it is dead, or when its frames have outgrown the buffers: the port has to be opened again.
    [[nodiscard]] bool look_again();
    void describe(PortPage &page) const;

    Count sent_to_kernel = 0;
    Count received_from_kernel = 0;
    Count kernel_dropped = 0;

    Port(const Port &) = delete;
    Port &operator=(const Port &) = delete;
    ~Port();

  private:
    Port() = default;
    [[nodiscard]] Result<void> probe(const Device &device, uint32_t workers, uint32_t queues);
    [[nodiscard]] Result<void> set_up_queues(rte_mempool *buffers);
    [[nodiscard]] Result<void> set_up_tap(uint32_t index);
    [[nodiscard]] Error error(std::string_view attempted, int code) const;
    [[nodiscard]] Error probe_error(const Device &device) const;

    std::string interface_;
    std::string given_;  // devargs
    std::string driver_;
    PortKind kind_ = PortKind::kOwned;
    uint32_t index_ = 0;
    uint16_t id_ = 0xffff;
    bool is_started_ = false;
    uint16_t rx_queues_ = 1;
    uint16_t tx_queues_ = 1;
    uint16_t rx_descriptors_ = 1024;
    uint16_t tx_descriptors_ = 1024;
    bool is_tx_shared_ = false;
    uint32_t mtu_bytes_ = 1500;
    uint32_t room_bytes_ = 0;  // for a frame, of a shared interface
    Mac mac_{};
    std::atomic<uint32_t> ifindex_ = 0;
    std::atomic<bool> is_up_ = false;
    uint32_t speed_mbps_ = 0;
    std::optional<Tap> tap_;
    rte_ring *to_kernel_ = nullptr;
    rte_ring *from_kernel_ = nullptr;
    Count tx_full_ = 0;
    struct alignas(64) Lock {
        std::atomic_flag taken;
    };
    std::unique_ptr<Lock[]> tx_locks_;
};

}  // namespace guideway::dpdk
