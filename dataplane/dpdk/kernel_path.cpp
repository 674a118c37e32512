#include "dataplane/dpdk/kernel_path.hpp"

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <thread>

namespace guideway::dpdk {
namespace {

constexpr uint32_t kFrames = 32;      // handled at once
constexpr int kSleepLongestMs = 100;  // should a wake-up ever be missed
constexpr auto kWithoutBuffers = std::chrono::milliseconds(1);

}  // namespace

Result<std::unique_ptr<KernelPath>> KernelPath::start(
    const std::vector<std::unique_ptr<Port>> &ports, rte_mempool *buffers)
{
    std::unique_ptr<KernelPath> path(new KernelPath(buffers));
    if (auto set_up = path->set_up(ports); !set_up) {
        return std::unexpected(std::move(set_up.error()));
    }
    if (!path->ports_.empty()) {
        path->thread_ = std::thread([&served = *path] { served.run(); });
    }
    return path;
}

Result<void> KernelPath::set_up(const std::vector<std::unique_ptr<Port>> &ports)
{
    epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
    wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (!epoll_.valid() || !wake_.valid() ||
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
        return std::unexpected(Error::system("wait for", "packets of the kernel"));
    }
    for (const auto &port : ports) {
        if (!port->tap()) {
            continue;
        }
        event.data.ptr = port.get();
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, port->tap()->fd(), &event) != 0) {
            return std::unexpected(
                Error::system("wait for packets of the tap", port->tap()->name()));
        }
        ports_.push_back(port.get());
    }
    return {};
}

KernelPath::~KernelPath()
{
    stop_ = true;
    if (thread_.joinable()) {
        wake();
        thread_.join();
    }
}

void KernelPath::wake() const
{
    const uint64_t one = 1;
    // Full: it is awake.
    std::ignore = write(wake_.get(), &one, sizeof(one));
}

void KernelPath::pass(Port &port, rte_mbuf **frames, uint32_t count)
{
    const uint32_t taken = rte_ring_enqueue_burst(
        port.to_kernel(), reinterpret_cast<void *const *>(frames), count, nullptr);
    if (taken < count) {
        port.kernel_dropped.fetch_add(count - taken, std::memory_order_relaxed);
        rte_pktmbuf_free_bulk(frames + taken, count - taken);
    }
    // The ring is filled before it is asked whether anybody looks; run() has it the other way.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleeps_.load(std::memory_order_relaxed) && sleeps_.exchange(false)) {
        wake();
    }
}

void KernelPath::run()
{
    std::array<epoll_event, kPortsMax + 1> events{};
    while (!stop_) {
        bool was_busy = false;
        for (Port *port : ports_) {
            was_busy = deliver(*port) || was_busy;
        }
        if (!was_busy) {
            sleeps_ = true;
            std::atomic_thread_fence(std::memory_order_seq_cst);
            for (const Port *port : ports_) {
                was_busy = was_busy || rte_ring_empty(port->to_kernel()) == 0;
            }
        }
        const int ready =
            epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                       was_busy ? 0 : kSleepLongestMs);
        sleeps_ = false;
        for (const auto &event : std::span(events).first(ready < 0 ? 0 : ready)) {
            uint64_t wakes = 0;
            if (event.data.ptr != nullptr) {
                collect(*static_cast<Port *>(event.data.ptr));
            } else if (read(wake_.get(), &wakes, sizeof(wakes)) < 0 && errno != EAGAIN) {
                return;  // it is an eventfd: cannot be
            }
        }
    }
}

// Returns whether there was anything.
bool KernelPath::deliver(Port &port)
{
    std::array<void *, kFrames> frames;
    const uint32_t count =
        rte_ring_dequeue_burst(port.to_kernel(), frames.data(), kFrames, nullptr);
    for (void *each : std::span(frames).first(count)) {
        auto *frame = static_cast<rte_mbuf *>(each);
        const auto bytes =
            write(port.tap()->fd(), rte_pktmbuf_mtod(frame, const void *), frame->data_len);
        auto &counted = bytes < 0 ? port.kernel_dropped : port.sent_to_kernel;
        counted.fetch_add(1, std::memory_order_relaxed);
        rte_pktmbuf_free(frame);
    }
    return count != 0;
}

void KernelPath::collect(Port &port)
{
    for (uint32_t i = 0; i < kFrames; i++) {
        rte_mbuf *frame = rte_pktmbuf_alloc(buffers_);
        // Without a buffer the kernel's packet waits, in a queue that the kernel bounds.
        if (frame == nullptr) {
            std::this_thread::sleep_for(kWithoutBuffers);
            return;
        }
        const auto bytes = read(port.tap()->fd(), rte_pktmbuf_mtod(frame, void *),
                                rte_pktmbuf_tailroom(frame));
        if (bytes <= 0) {
            rte_pktmbuf_free(frame);
            return;
        }
        frame->data_len = static_cast<uint16_t>(bytes);
        frame->pkt_len = static_cast<uint32_t>(bytes);
        // What the kernel says on a tap of a diverted interface is for nobody: it sends by the
        // interface itself.
        if (port.kind() != PortKind::kOwned ||
            rte_ring_enqueue(port.from_kernel(), frame) != 0) {
            if (port.kind() == PortKind::kOwned) {
                port.kernel_dropped.fetch_add(1, std::memory_order_relaxed);
            }
            rte_pktmbuf_free(frame);
            continue;
        }
        port.received_from_kernel.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace guideway::dpdk
