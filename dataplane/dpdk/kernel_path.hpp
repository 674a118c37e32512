// The way of packets that are not ours to the host's kernel, and of its own out of the port: a
// thread between the taps of ports and rings that workers fill and empty. Workers never wait for
// it; what does not fit into a ring is dropped and counted.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/descriptor.hpp"
#include "dataplane/dpdk/port.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

class KernelPath {
  public:
    // Serves those of `ports` that have a tap, until destruction. They must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<KernelPath>> start(
        const std::vector<std::unique_ptr<Port>> &ports, rte_mempool *buffers);

    // Of any worker: takes `frames`, all of which are gone from the caller afterwards.
    void pass(Port &port, rte_mbuf **frames, uint32_t count);

    KernelPath(const KernelPath &) = delete;
    KernelPath &operator=(const KernelPath &) = delete;
    ~KernelPath();

  private:
    explicit KernelPath(rte_mempool *buffers) : buffers_(buffers) {}
    [[nodiscard]] Result<void> set_up(const std::vector<std::unique_ptr<Port>> &ports);
    void run();
    [[nodiscard]] bool deliver(Port &port);
    void collect(Port &port);
    void wake() const;

    rte_mempool *buffers_;
    std::vector<Port *> ports_;
    Descriptor epoll_;
    Descriptor wake_;  // eventfd
    std::atomic<bool> sleeps_ = false;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

}  // namespace guideway::dpdk
