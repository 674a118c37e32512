#include "control/daemon/render_engine.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>

#include "control/daemon/engine_file.hpp"
#include "control/daemon/render.hpp"

namespace guideway::daemon {
namespace {

using dpdk::EnginePage;
using dpdk::EngineState;
using dpdk::PortKind;
using dpdk::PortPage;
using nlohmann::json;

constexpr uint32_t kNoCpu = 0xffffffff;

struct PortCounter {
    const char *name;
    uint64_t PortPage::*count;
    const char *meaning;
};
constexpr PortCounter kPortCounters[] = {
    {"rx_packets", &PortPage::rx_packets, "received"},
    {"rx_bytes", &PortPage::rx_bytes, "bytes of those"},
    {"tx_packets", &PortPage::tx_packets, "sent"},
    {"tx_bytes", &PortPage::tx_bytes, "bytes of those"},
    {"rx_missed", &PortPage::rx_missed, "lost: the device had no room, workers were too slow"},
    {"rx_errors", &PortPage::rx_errors, "received damaged"},
    {"rx_no_buffer", &PortPage::rx_no_buffer, "lost: there was no packet buffer left"},
    {"tx_errors", &PortPage::tx_errors, "the device failed to send"},
    {"tx_full", &PortPage::tx_full, "dropped: the device took no more"},
    {"to_kernel", &PortPage::to_kernel, "given to the host's kernel"},
    {"from_kernel", &PortPage::from_kernel, "sent for the host's kernel"},
    {"kernel_dropped", &PortPage::kernel_dropped,
     "dropped on the way to or from the host's kernel, for want of room"},
};

const char *name_of(EngineState state)
{
    switch (state) {
        case EngineState::kStarting:
            return "starting";
        case EngineState::kWaiting:
            return "waiting";
        case EngineState::kRunning:
            return "running";
        case EngineState::kFailed:
            return "failed";
        case EngineState::kNone:
        case EngineState::kEnded:
            break;
    }
    return "ended";
}

const char *name_of(PortKind kind)
{
    return kind == PortKind::kShared     ? "shared"
           : kind == PortKind::kDiverted ? "diverted"
                                         : "owned";
}

json render_worker(const dpdk::WorkerPage &worker, double busy_share)
{
    return {{"cpu", worker.cpu == kNoCpu ? json(nullptr) : json(worker.cpu)},
            {"packets", worker.packets},
            {"bursts", worker.bursts},
            {"empty_polls", worker.empty_polls},
            {"no_port", worker.no_port},
            {"unusable", worker.unusable},
            {"busy_share", busy_share}};
}

const PortPage *port_of(const EnginePage &page, const std::string &interface)
{
    const auto *const end = page.port.data() + page.ports;
    const auto *const port = std::find_if(page.port.data(), end, [&](const PortPage &each) {
        return page_text(each.interface) == interface;
    });
    return port == end ? nullptr : port;
}

}  // namespace

json render_engine(const std::optional<EnginePage> &page, const model::Dpdk &dpdk,
                   const std::vector<double> &shares)
{
    json engine = {
        {"state", page ? name_of(page->state) : "not running"},
        {"start", model::kEngineStartNames[static_cast<size_t>(dpdk.start)]},
        {"pid", nullptr},
        {"since", nullptr},
        {"build", nullptr},
        {"memory", nullptr},
        {"buffers", nullptr},
        {"workers", json::array()},
    };
    if (!page) {
        return engine;
    }
    engine["pid"] = page->pid;
    engine["since"] = rfc3339(std::chrono::system_clock::from_time_t(
        static_cast<time_t>(std::min<uint64_t>(page->started_unix, model::kUnixTimeMax))));
    engine["build"] = page_text(page->build);
    engine["memory"] = page_text(page->memory);
    engine["buffers"] = {{"total", page->buffers}, {"free", page->buffers_free}};
    for (uint32_t i = 0; i < page->workers; i++) {
        engine["workers"].push_back(
            render_worker(page->worker[i], i < shares.size() ? shares[i] : 0.0));
    }
    return engine;
}

json render_ports(const std::optional<EnginePage> &page, const model::Desired &desired)
{
    json ports = json::array();
    for (const auto &interface : desired.interfaces) {
        const auto configured =
            std::ranges::find(desired.dpdk.ports, interface, &model::EnginePort::interface);
        json port = {{"name", interface},
                     {"ifindex", if_nametoindex(interface.c_str())},
                     {"mode", "dpdk"},
                     {"device", configured == desired.dpdk.ports.end()
                                    ? std::string(model::kDeviceDefault)
                                    : configured->device},
                     {"driver", nullptr},
                     {"kind", nullptr},
                     {"link", nullptr},
                     {"speed_mbps", nullptr},
                     {"mtu", nullptr},
                     {"mac", nullptr},
                     {"queues", nullptr}};
        const PortPage *found = page ? port_of(*page, interface) : nullptr;
        if (found != nullptr) {
            const auto &mac = found->mac;
            port["device"] = page_text(found->device);
            port["driver"] = page_text(found->driver);
            port["kind"] = name_of(found->kind);
            port["link"] = found->is_up != 0 ? "up" : "down";
            port["speed_mbps"] =
                found->speed_mbps == 0 ? json(nullptr) : json(found->speed_mbps);
            port["mtu"] = found->mtu_bytes;
            port["mac"] = fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0],
                                      mac[1], mac[2], mac[3], mac[4], mac[5]);
            port["queues"] = {{"rx", found->rx_queues}, {"tx", found->tx_queues}};
            for (const auto &counter : kPortCounters) {
                port[counter.name] = found->*counter.count;
            }
        }
        ports.push_back(std::move(port));
    }
    return ports;
}

json render_port_counters(const std::optional<EnginePage> &page)
{
    json rows = json::array();
    for (uint32_t i = 0; page && i < page->ports; i++) {
        for (const auto &counter : kPortCounters) {
            rows.push_back({{"port", page_text(page->port[i].interface)},
                            {"name", counter.name},
                            {"count", page->port[i].*counter.count},
                            {"meaning", counter.meaning}});
        }
    }
    return rows;
}

}  // namespace guideway::daemon
