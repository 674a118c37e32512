// A thread that takes bursts from queues of ports, sends them through the packet logic, and on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "dataplane/dpdk/burst.hpp"
#include "dataplane/dpdk/kernel_path.hpp"
#include "dataplane/dpdk/pinned_tables.hpp"
#include "dataplane/dpdk/port.hpp"

namespace guideway::dpdk {

// What workers and the main thread share. All of it outlives the workers.
struct Common {
    const PinnedTables &tables;
    const std::vector<std::unique_ptr<Port>> &ports;
    KernelPath &kernel;
    Idle idle = Idle::kSleep;
    int wake_main = -1;  // eventfd: a worker has found its tables out of use
    std::atomic<bool> stop = false;
};

class Worker {
  public:
    // Serves queue q of port p where (p + q) % workers is its index; so queues are spread.
    Worker(Common &common, uint32_t index, uint32_t workers, std::optional<uint32_t> cpu);
    void start();

    [[nodiscard]] WorkerPage describe() const;
    // No tables published before those of this serial are used by this worker.
    [[nodiscard]] uint64_t serial_in_use() const
    {
        return serial_in_use_.load(std::memory_order_acquire);
    }

    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;
    ~Worker();  // after common.stop: waits for the end of its burst

  private:
    static constexpr uint32_t kSendsMax = 2 * kBurst;
    struct Sends {
        std::array<rte_mbuf *, kSendsMax> frames;
        uint32_t count = 0;
    };
    struct Queue {
        Port *port;
        uint32_t place;  // of the port
        uint16_t queue;
    };
    struct Frames {
        std::array<rte_mbuf *, kBurst> frame;
        uint32_t count = 0;
        void add(rte_mbuf *each) { frame[count++] = each; }
    };

    void run();
    void take_tables();
    [[nodiscard]] uint32_t poll(const Queue &queue);
    void make_usable(Frames &burst);
    void process(const Queue &queue, Frames &burst, bool may_hold);
    void hold();
    void pass(Port &port, Frames &frames);
    void send(uint32_t place, rte_mbuf *frame);
    void redirect(uint32_t ifindex, rte_mbuf *frame);
    void flush(uint32_t place);
    void flush_all();
    [[nodiscard]] uint32_t relay(const Queue &queue);
    void rest(bool was_busy);

    // Counts that only this thread writes.
    class Own {
      public:
        void add(uint64_t more)
        {
            value_.store(value_.load(std::memory_order_relaxed) + more,
                         std::memory_order_relaxed);
        }
        [[nodiscard]] uint64_t get() const { return value_.load(std::memory_order_relaxed); }

      private:
        std::atomic<uint64_t> value_ = 0;
    };

    Common &common_;
    uint32_t index_;
    std::optional<uint32_t> cpu_;
    std::vector<Queue> queues_;
    std::vector<Queue> relays_;  // ports whose kernel's packets this worker sends
    std::vector<Sends> sends_;   // by port
    const TablesInUse *tables_ = nullptr;
    bool were_active_ = false;  // packets of the last burst
    uint64_t busy_since_ns_ = 0;
    uint64_t idle_since_ns_ = 0;
    uint64_t sleep_ns_ = 0;

    alignas(64) Own packets_;
    Own bursts_;
    Own empty_polls_;
    Own busy_ns_;
    Own no_port_;
    Own unusable_;
    std::atomic<uint64_t> serial_in_use_ = 0;
    std::thread thread_;
};

}  // namespace guideway::dpdk
