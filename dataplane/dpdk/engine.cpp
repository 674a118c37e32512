#include "dataplane/dpdk/engine.hpp"

#include <net/if.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sched.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/descriptor.hpp"
#include "dataplane/dpdk/buffers.hpp"
#include "dataplane/dpdk/eal.hpp"
#include "dataplane/dpdk/kernel_path.hpp"
#include "dataplane/dpdk/pinned_tables.hpp"
#include "dataplane/dpdk/port.hpp"
#include "dataplane/dpdk/worker.hpp"

namespace guideway::dpdk {
namespace {

constexpr int kTickMs = 200;

sigset_t ending_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

// What earlier rounds have counted goes on to count.
void add(WorkerPage &to, const WorkerPage &earlier)
{
    to.packets += earlier.packets;
    to.bursts += earlier.bursts;
    to.empty_polls += earlier.empty_polls;
    to.busy_ns += earlier.busy_ns;
    to.no_port += earlier.no_port;
    to.unusable += earlier.unusable;
}

void add(PortPage &to, const PortPage &earlier)
{
    to.rx_packets += earlier.rx_packets;
    to.rx_bytes += earlier.rx_bytes;
    to.tx_packets += earlier.tx_packets;
    to.tx_bytes += earlier.tx_bytes;
    to.rx_missed += earlier.rx_missed;
    to.rx_errors += earlier.rx_errors;
    to.rx_no_buffer += earlier.rx_no_buffer;
    to.tx_errors += earlier.tx_errors;
    to.tx_full += earlier.tx_full;
    to.to_kernel += earlier.to_kernel;
    to.from_kernel += earlier.from_kernel;
    to.kernel_dropped += earlier.kernel_dropped;
}

enum class Ending { kSignal, kReopenPorts };

// Ports, workers and what is between them: all but EAL, which a process has only once.
class Round {
  public:
    Round(const Options &options, const PageFile &page, PinnedTables &tables, int signals)
        : options_(options),
          page_(page),
          tables_(tables),
          signals_(signals),
          earlier_(std::make_unique<EnginePage>(page.page()))
    {
    }
    [[nodiscard]] Result<void> start();
    [[nodiscard]] Result<Ending> run();
    Round(const Round &) = delete;
    Round &operator=(const Round &) = delete;
    ~Round();

  private:
    [[nodiscard]] Result<void> open_ports();
    [[nodiscard]] Result<void> follow_tables(bool is_urgent);
    [[nodiscard]] bool look_at_ports();
    void write_page() const;
    void describe(EnginePage &page) const;
    void say_what_became(bool has_tables);

    const Options &options_;
    const PageFile &page_;
    PinnedTables &tables_;
    int signals_;
    std::unique_ptr<const EnginePage> earlier_;  // as the round before this has left it
    Descriptor wake_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Pool pool_;  // outlives what holds buffers
    Ports ports_;
    std::unique_ptr<KernelPath> kernel_;
    std::unique_ptr<Common> common_;
    std::vector<std::unique_ptr<Worker>> workers_;
    uint64_t said_serial_ = 0;
    bool said_waiting_ = false;
};

Result<void> Round::open_ports()
{
    for (uint32_t index = 0; index < options_.ports.size(); index++) {
        auto port = Port::open(options_.ports[index], index, options_.workers, options_.queues);
        if (!port) {
            return std::unexpected(std::move(port.error()));
        }
        for (const auto &other : ports_) {
            if (other->id() == (*port)->id()) {
                return fail("ports " + other->interface() + " and " + (*port)->interface() +
                            " are the same device, " + options_.ports[index].devargs);
            }
        }
        ports_.push_back(std::move(*port));
    }
    return {};
}

Result<void> Round::start()
{
    if (auto opened = open_ports(); !opened) {
        return opened;
    }
    auto pool = make_pool(options_, ports_);
    if (!pool) {
        return std::unexpected(std::move(pool.error()));
    }
    pool_ = std::move(*pool);
    for (const auto &port : ports_) {
        if (auto started = port->start(pool_.get()); !started) {
            return started;
        }
    }
    auto kernel = KernelPath::start(ports_, pool_.get());
    if (!kernel) {
        return std::unexpected(std::move(kernel.error()));
    }
    kernel_ = std::move(*kernel);
    common_.reset(new Common{.tables = tables_,
                             .ports = ports_,
                             .kernel = *kernel_,
                             .idle = options_.idle,
                             .wake_main = wake_.get()});
    for (uint32_t index = 0; index < options_.workers; index++) {
        std::optional<uint32_t> cpu;
        if (!options_.cores.empty()) {
            cpu = options_.cores[index];
        }
        workers_.push_back(std::make_unique<Worker>(*common_, index, options_.workers, cpu));
    }
    if (auto followed = follow_tables(false); !followed) {
        return followed;
    }
    // Now that nothing can fail any more: an engine that does not start leaves no taps.
    for (const auto &port : ports_) {
        if (port->kind() == PortKind::kOwned) {
            if (auto kept = port->tap()->keep(); !kept) {
                return kept;
            }
        }
    }
    for (const auto &worker : workers_) {
        worker->start();
    }
    return {};
}

Round::~Round()
{
    if (common_) {
        common_->stop = true;
    }
    workers_.clear();
    kernel_.reset();
    if (page_.page().remove_taps != 0) {
        for (const auto &port : ports_) {
            if (port->tap()) {
                port->tap()->remove();
            }
        }
    }
    ports_.clear();
}

void Round::say_what_became(bool has_tables)
{
    if (!has_tables) {
        if (!said_waiting_) {
            spdlog::info("waiting for the tables of instance {}, which guidewayd makes ({})",
                         options_.instance, options_.pin_directory().native());
        }
        said_waiting_ = true;
        return;
    }
    const TablesInUse &now = *tables_.current();
    if (now.serial != said_serial_) {
        spdlog::info("using the tables in {}{}", options_.pin_directory().native(),
                     now.former ? ", and the pins of those that they replace" : "");
    }
    said_serial_ = now.serial;
}

// `is_urgent`: a worker holds its packets.
Result<void> Round::follow_tables(bool is_urgent)
{
    const TablesInUse *before = tables_.current();
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    while (true) {
        if (auto refreshed = tables_.refresh(); !refreshed) {
            return refreshed;
        }
        const TablesInUse *now = tables_.current();
        if (!is_urgent || now != before || (now != nullptr && now->are_active()) ||
            std::chrono::steady_clock::now() >= until) {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    uint64_t oldest = UINT64_MAX;
    for (const auto &worker : workers_) {
        oldest = std::min(oldest, worker->serial_in_use());
    }
    if (oldest != UINT64_MAX) {
        tables_.forget_before(oldest);
    }
    say_what_became(tables_.current() != nullptr);
    return {};
}

bool Round::look_at_ports()
{
    bool are_same = true;
    for (const auto &port : ports_) {
        if (!port->look_again()) {
            spdlog::warn(
                "{}: the interface was made anew, or its MTU has grown: the ports are to be "
                "opened again",
                port->interface());
            are_same = false;
        }
    }
    return are_same;
}

// Drivers may take their time to tell: the page is not being written meanwhile.
void Round::write_page() const
{
    const auto now = std::make_unique<EnginePage>(page_.page());
    describe(*now);
    page_.update([&](EnginePage &page) {
        page.state = now->state;
        page.buffers = now->buffers;
        page.buffers_free = now->buffers_free;
        page.workers = now->workers;
        page.ports = now->ports;
        page.worker = now->worker;
        page.port = now->port;
    });
}

void Round::describe(EnginePage &page) const
{
    page.state = tables_.current() == nullptr ? EngineState::kWaiting : EngineState::kRunning;
    page.buffers = pool_->size;
    page.buffers_free = rte_mempool_avail_count(pool_.get());
    page.workers = static_cast<uint32_t>(workers_.size());
    page.ports = static_cast<uint32_t>(ports_.size());
    for (size_t i = 0; i < workers_.size(); i++) {
        page.worker[i] = workers_[i]->describe();
        add(page.worker[i], earlier_->worker[i]);
    }
    for (size_t i = 0; i < ports_.size(); i++) {
        page.port[i] = {};
        ports_[i]->describe(page.port[i]);
        add(page.port[i], earlier_->port[i]);
    }
}

Result<Ending> Round::run()
{
    while (true) {
        write_page();
        pollfd waits[] = {{.fd = signals_, .events = POLLIN, .revents = 0},
                          {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
        poll(waits, std::size(waits), kTickMs);
        if (waits[0].revents != 0) {
            signalfd_siginfo signal{};
            std::ignore = read(signals_, &signal, sizeof(signal));
            spdlog::info("ending on signal {}", signal.ssi_signo);
            write_page();
            return Ending::kSignal;
        }
        uint64_t wakes = 0;
        const bool is_urgent =
            waits[1].revents != 0 && read(wake_.get(), &wakes, sizeof(wakes)) > 0;
        if (auto followed = follow_tables(is_urgent); !followed) {
            return std::unexpected(std::move(followed.error()));
        }
        if (!look_at_ports()) {
            write_page();
            if (has_diverted(ports_)) {
                return fail(
                    "net_af_xdp opens a port once in a process: the engine ends, and is "
                    "for its supervisor to start again");
            }
            return Ending::kReopenPorts;
        }
    }
}

}  // namespace

void block_signals()
{
    const sigset_t signals = ending_signals();
    sigprocmask(SIG_BLOCK, &signals, nullptr);
}

// What can be said without DPDK, and so at once and clearly.
Result<void> check_interfaces(const Options &options)
{
    for (const auto &option : options.ports) {
        if (device_of(option, 0, 1).kind != PortKind::kOwned &&
            if_nametoindex(option.interface.c_str()) == 0) {
            return fail("port " + option.interface + "=" + option.devargs +
                        ": there is no interface " + option.interface +
                        " in this network namespace; 'ip link' lists those that there are");
        }
    }
    return {};
}

// By trying: isolated CPUs are allowed, and none of those that we are started on.
Result<void> check_cores(const Options &options)
{
    cpu_set_t before;
    CPU_ZERO(&before);
    if (sched_getaffinity(0, sizeof(before), &before) != 0) {
        return std::unexpected(Error::system("ask for", "the CPUs that may be used"));
    }
    for (const uint32_t core : options.cores) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        const bool is_usable =
            core < CPU_SETSIZE && sched_setaffinity(0, sizeof(one), &one) == 0;
        sched_setaffinity(0, sizeof(before), &before);
        if (!is_usable) {
            return fail("--cores " + options.cores_text + ": there is no CPU " +
                        std::to_string(core) +
                        " that this process may use; 'lscpu' lists CPUs");
        }
    }
    return {};
}

Result<void> run_engine(const Options &options, const PageFile &page)
{
    const sigset_t ending = ending_signals();
    const Descriptor signals(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals.valid()) {
        return std::unexpected(Error::system("wait for", "signals"));
    }
    if (auto checked = check_interfaces(options); !checked) {
        return checked;
    }
    if (auto checked = check_cores(options); !checked) {
        return checked;
    }
    Eal::Wanted wanted{.instance = options.instance,
                       .memory_mib = options.memory_mib,
                       .hugepages = options.hugepages,
                       .pci_devices = {}};
    for (uint32_t index = 0; index < options.ports.size(); index++) {
        if (const Device device = device_of(options.ports[index], index, 1); device.is_pci) {
            wanted.pci_devices.push_back(device.devargs);
        }
    }
    auto eal = Eal::start(wanted);
    if (!eal) {
        return std::unexpected(std::move(eal.error()));
    }
    page.update([&](EnginePage &of) { put_text(of.memory, eal->memory()); });
    PinnedTables tables(options.pin_directory(), options.workers);
    while (true) {
        Round round(options, page, tables, signals.get());
        if (auto started = round.start(); !started) {
            return started;
        }
        spdlog::info("guideway-dpdk is ready: {} ports, {} workers, packet buffers in {}",
                     options.ports.size(), options.workers, eal->memory());
        auto ended = round.run();
        if (!ended) {
            return std::unexpected(std::move(ended.error()));
        }
        if (*ended == Ending::kSignal) {
            return {};
        }
    }
}

}  // namespace guideway::dpdk
