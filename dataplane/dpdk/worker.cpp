#include "dataplane/dpdk/worker.hpp"

#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace guideway::dpdk {
namespace {

constexpr uint64_t kHoldNs = 100'000'000;
constexpr uint64_t kAwakeNs = 50'000;  // of empty polls before the first sleep
constexpr uint64_t kSleepFirstNs = 5'000;
constexpr uint64_t kSleepLongestNs = 100'000;

uint64_t monotonic_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<uint64_t>(now.tv_nsec);
}

void sleep_ns(uint64_t ns)
{
    const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(ns)};
    nanosleep(&time, nullptr);
}

// While it lives, the daemon waits for us before it takes away what we may be reading.
class Reading {
  public:
    explicit Reading(uint64_t &epoch) : epoch_(epoch), began_(epoch_.load() + 1)
    {
        epoch_.store(began_, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    Reading(const Reading &) = delete;
    Reading &operator=(const Reading &) = delete;
    ~Reading() { epoch_.store(began_ + 1, std::memory_order_release); }

  private:
    std::atomic_ref<uint64_t> epoch_;
    uint64_t began_;
};

bool is_simple(const rte_mbuf &frame)
{
    return frame.nb_segs == 1 && rte_mbuf_refcnt_read(&frame) == 1 && RTE_MBUF_DIRECT(&frame) &&
           (frame.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0;
}

}  // namespace

Worker::Worker(Common &common, uint32_t index, uint32_t workers, std::optional<uint32_t> cpu)
    : common_(common), index_(index), cpu_(cpu), sends_(common.ports.size())
{
    for (uint32_t place = 0; place < common.ports.size(); place++) {
        Port *port = common.ports[place].get();
        for (uint16_t queue = 0; queue < port->rx_queues(); queue++) {
            if ((place + queue) % workers == index) {
                queues_.push_back({port, place, queue});
            }
        }
        if (port->from_kernel() != nullptr && place % workers == index) {
            relays_.push_back({port, place, 0});
        }
    }
}

void Worker::start()
{
    thread_ = std::thread([this] { run(); });
}

Worker::~Worker()
{
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Worker::run()
{
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    if (cpu_) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(*cpu_, &one);
        sched_setaffinity(0, sizeof(one), &one);
    }
    prctl(PR_SET_TIMERSLACK, 1);  // or a sleep of 5 us takes 55
    // For a cache of buffers of its own; without, it is slower and no less right.
    rte_thread_register();
    while (!common_.stop.load(std::memory_order_relaxed)) {
        take_tables();
        busy_since_ns_ = 0;
        uint32_t frames = 0;
        for (const auto &queue : queues_) {
            frames += poll(queue);
        }
        for (const auto &queue : relays_) {
            frames += relay(queue);
        }
        if (frames != 0) {
            flush_all();
        }
        rest(frames != 0);
    }
    rte_thread_unregister();
}

void Worker::take_tables()
{
    tables_ = common_.tables.current();
    serial_in_use_.store(tables_ == nullptr ? 0 : tables_->serial, std::memory_order_release);
}

uint32_t Worker::poll(const Queue &queue)
{
    Frames burst;
    burst.count = rte_eth_rx_burst(queue.port->id(), queue.queue, burst.frame.data(), kBurst);
    if (burst.count == 0) {
        return 0;
    }
    const uint32_t received = burst.count;
    for (uint32_t i = 0; i < received; i++) {
        rte_prefetch0(rte_pktmbuf_mtod(burst.frame[i], const void *));
    }
    make_usable(burst);
    packets_.add(received);
    bursts_.add(1);
    process(queue, burst, true);
    return received;
}

// The packet logic wants each frame in one buffer of our own, with its tags in it.
void Worker::make_usable(Frames &burst)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < burst.count; i++) {
        rte_mbuf *frame = burst.frame[i];
        if (GW_UNLIKELY(!is_simple(*frame))) {
            if (rte_mbuf_refcnt_read(frame) != 1 || !RTE_MBUF_DIRECT(frame)) {
                rte_mbuf *copy = rte_pktmbuf_copy(frame, frame->pool, 0, UINT32_MAX);
                rte_pktmbuf_free(frame);
                frame = copy;
            }
            const bool is_whole = frame != nullptr && rte_pktmbuf_linearize(frame) == 0 &&
                                  ((frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0 ||
                                   rte_vlan_insert(&frame) == 0);
            if (!is_whole) {
                rte_pktmbuf_free(frame);
                unusable_.add(1);
                continue;
            }
        }
        burst.frame[kept++] = frame;
    }
    burst.count = kept;
}

void Worker::process(const Queue &queue, Frames &burst, bool may_hold)
{
    const uint64_t exact_ns = monotonic_ns();
    busy_since_ns_ = busy_since_ns_ == 0 ? exact_ns : busy_since_ns_;
    Port &port = *queue.port;
    if (tables_ == nullptr) {
        pass(port, burst);
        return;
    }
    const Tables &tables = *tables_->tables;
    const FormerTables *former = tables_->former.get();
    const BurstContext context{.tables = tables.base(),
                               .layout = &tables.layout(),
                               .former_tables = former == nullptr ? nullptr : former->base(),
                               .former_layout = former == nullptr ? nullptr : &former->layout(),
                               .ingress_ifindex = port.ifindex(),
                               .cpu = index_};
    const Moment moment{.now_ns = exact_ns + tables.header().clock_ahead_ns,
                        .exact_ns = exact_ns};
    std::array<gw_outcome, kBurst> outcomes;
    {
        const Reading reading(tables.counters_area(index_).epoch);
        process_burst(std::span(burst.frame).first(burst.count), context, std::span(&moment, 1),
                      outcomes);
    }
    Frames passed;
    Frames dropped;
    Frames inactive;
    for (uint32_t i = 0; i < burst.count; i++) {
        rte_mbuf *frame = burst.frame[i];
        const gw_outcome &outcome = outcomes[i];
        if (GW_LIKELY(outcome.verdict == GW_SEND)) {
            send(queue.place, frame);
        } else if (outcome.verdict == GW_REDIRECT) {
            redirect(outcome.egress_ifindex, frame);
        } else if (outcome.verdict == GW_DROP) {
            dropped.add(frame);
        } else if (outcome.reason == GW_REASON_INACTIVE) {
            inactive.add(frame);
        } else {
            passed.add(frame);
        }
    }
    if (dropped.count != 0) {
        rte_pktmbuf_free_bulk(dropped.frame.data(), dropped.count);
    }
    if (passed.count != 0) {
        pass(port, passed);
    }
    if (GW_LIKELY(inactive.count == 0)) {
        were_active_ = true;
    } else if (may_hold && were_active_) {
        // The daemon has just put other tables in their place.
        hold();
        process(queue, inactive, false);
    } else {
        were_active_ = false;
        pass(port, inactive);
    }
}

// Waits until there are other tables, or these are in use again, but not for long.
void Worker::hold()
{
    flush_all();
    const uint64_t one = 1;
    std::ignore = write(common_.wake_main, &one, sizeof(one));
    const TablesInUse *before = tables_;
    const uint64_t until_ns = monotonic_ns() + kHoldNs;
    while (!common_.stop.load(std::memory_order_relaxed) && monotonic_ns() < until_ns) {
        const TablesInUse *now = common_.tables.current();
        if (now != before || now->are_active()) {
            break;
        }
        sleep_ns(kAwakeNs);
    }
    take_tables();
}

void Worker::pass(Port &port, Frames &frames)
{
    if (port.to_kernel() == nullptr) {
        rte_pktmbuf_free_bulk(frames.frame.data(), frames.count);  // the kernel has seen them
        return;
    }
    common_.kernel.pass(port, frames.frame.data(), frames.count);
}

void Worker::send(uint32_t place, rte_mbuf *frame)
{
    Sends &sends = sends_[place];
    if (sends.count == kSendsMax) {
        flush(place);
    }
    frame->ol_flags = 0;
    sends.frames[sends.count++] = frame;
}

void Worker::redirect(uint32_t ifindex, rte_mbuf *frame)
{
    for (uint32_t place = 0; place < common_.ports.size(); place++) {
        if (common_.ports[place]->ifindex() == ifindex) {
            send(place, frame);
            return;
        }
    }
    no_port_.add(1);
    rte_pktmbuf_free(frame);
}

void Worker::flush(uint32_t place)
{
    Sends &sends = sends_[place];
    common_.ports[place]->send(index_, sends.frames.data(), sends.count);
    sends.count = 0;
}

void Worker::flush_all()
{
    for (uint32_t place = 0; place < sends_.size(); place++) {
        if (sends_[place].count != 0) {
            flush(place);
        }
    }
}

// What the kernel sends by a port of ours.
uint32_t Worker::relay(const Queue &queue)
{
    std::array<void *, kBurst> frames;
    const uint32_t count =
        rte_ring_dequeue_burst(queue.port->from_kernel(), frames.data(), kBurst, nullptr);
    for (uint32_t i = 0; i < count; i++) {
        send(queue.place, static_cast<rte_mbuf *>(frames[i]));
    }
    return count;
}

void Worker::rest(bool was_busy)
{
    if (was_busy) {
        if (busy_since_ns_ != 0) {
            busy_ns_.add(monotonic_ns() - busy_since_ns_);
        }
        idle_since_ns_ = 0;
        sleep_ns_ = 0;
        return;
    }
    empty_polls_.add(1);
    if (common_.idle == Idle::kPoll) {
        rte_pause();
        return;
    }
    const uint64_t now_ns = monotonic_ns();
    idle_since_ns_ = idle_since_ns_ == 0 ? now_ns : idle_since_ns_;
    if (now_ns - idle_since_ns_ < kAwakeNs) {
        rte_pause();
        return;
    }
    sleep_ns_ = std::clamp(sleep_ns_ * 2, kSleepFirstNs, kSleepLongestNs);
    sleep_ns(sleep_ns_);
}

WorkerPage Worker::describe() const
{
    return {.cpu = cpu_.value_or(0xffffffff),
            .reserved = 0,
            .packets = packets_.get(),
            .bursts = bursts_.get(),
            .empty_polls = empty_polls_.get(),
            .busy_ns = busy_ns_.get(),
            .no_port = no_port_.get(),
            .unusable = unusable_.get()};
}

}  // namespace guideway::dpdk
