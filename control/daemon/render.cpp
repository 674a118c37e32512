#include "control/daemon/render.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "control/daemon/render_engine.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

std::string mac_text(const model::Mac &mac)
{
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2],
                       mac[3], mac[4], mac[5]);
}

std::string listen_text(const model::Service &service)
{
    const std::string address = service.address.to_string();
    return fmt::format("{}://{}:{}", service.protocol == model::Protocol::kTcp ? "tcp" : "udp",
                       service.address.is_ipv6() ? "[" + address + "]" : address, service.port);
}

json render_next_hop(const std::optional<model::NextHop> &next_hop)
{
    if (!next_hop) {
        return nullptr;
    }
    json vlans = json::array();
    for (const auto &tag : next_hop->tags) {
        vlans.push_back(tag.id);
    }
    return {{"interface", next_hop->interface},
            {"via", next_hop->via.to_string()},
            {"mac", mac_text(next_hop->destination)},
            {"vlans", std::move(vlans)},
            {"mtu", next_hop->mtu_bytes}};
}

std::string reason_of(const Instance &instance, plane::BackendState state,
                      const std::string &reason, const std::string &pool,
                      const std::string &name)
{
    return state == plane::BackendState::kFailed ? instance.failure(pool, name) : reason;
}

json render_service(const Instance &instance, const plane::ServiceView &view,
                    const CounterTotals &totals)
{
    uint32_t all = 0;
    uint32_t forwarding = 0;
    for (const auto &backend : view.backends) {
        all += backend.slots;
        forwarding += backend.slots > 0 ? 1 : 0;
    }
    json backends = json::array();
    for (const auto &backend : view.backends) {
        backends.push_back(
            {{"pool", backend.pool},
             {"name", backend.name},
             {"state", plane::name_of(backend.state)},
             {"reason",
              reason_of(instance, backend.state, backend.reason, backend.pool, backend.name)},
             {"slots", backend.slots},
             {"share", all == 0 ? 0.0 : static_cast<double>(backend.slots) / all},
             {"pins", backend.pins.pins}});
    }
    const auto traffic = traffic_of(totals.services, view.index);
    return {{"name", view.service.name},
            {"listen", listen_text(view.service)},
            {"forwarding", "ipip"},
            {"pool", view.service.pool},
            {"ring_size", view.service.ring_size},
            {"unmatched", view.service.unmatched == model::Unmatched::kPass ? "pass" : "drop"},
            {"packets", traffic.packets},
            {"bytes", traffic.bytes},
            {"backends_forwarding", forwarding},
            {"slots", render_slots(view.slots)},
            {"backends", std::move(backends)}};
}

json render_interfaces(const Instance &instance)
{
    if (instance.effective().engine == model::Engine::kDpdk) {
        return render_ports(instance.engine().page(), instance.effective());
    }
    json interfaces = json::array();
    for (const auto &interface : instance.fast_path().interfaces()) {
        interfaces.push_back(
            {{"name", interface.name},
             {"ifindex", interface.ifindex},
             {"mode", interface.mode == xdp::Mode::kNative ? "native" : "generic"},
             {"attachment",
              interface.attachment == xdp::Attachment::kAlone ? "alone" : "dispatcher"},
             {"program_id", interface.program_id},
             {"note", interface.note}});
    }
    return interfaces;
}

json used_of(size_t used, uint32_t max)
{
    return {{"used", used}, {"max", max}};
}

json render_tables(const Instance &instance)
{
    const auto &tables = instance.fast_path().tables();
    std::vector<model::IpAddress> addresses;
    for (const auto &view : instance.plane().services()) {
        if (std::ranges::find(addresses, view.service.address) == addresses.end()) {
            addresses.push_back(view.service.address);
        }
    }
    const auto in_use = std::ranges::count_if(
        instance.plane().backends(), [](const auto &view) { return view.index.has_value(); });
    const auto &capacity = tables.capacity();
    return {
        {"adopted", instance.fast_path().adopted()},
        {"bytes", tables.layout().total_bytes},
        {"addresses", used_of(addresses.size(), capacity.addresses_max)},
        {"services", used_of(instance.plane().services().size(), capacity.services_max)},
        {"backends", used_of(static_cast<size_t>(in_use), capacity.backends_max)},
        {"ring_slots", used_of(instance.plane().ring_slots_used(), capacity.ring_slots_max)}};
}

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

json render_version()
{
    return {{"version", GUIDEWAY_VERSION}, {"api", 1}, {"pid", getpid()}};
}

json render_problem(const config::Problem &problem)
{
    return {{"file", problem.file},
            {"line", problem.position.line},
            {"column", problem.position.column},
            {"message", problem.message},
            {"hint", problem.hint}};
}

json render_overrides(const Instance &instance)
{
    json overrides = json::array();
    for (const auto &line : instance.overrides()) {
        overrides.push_back(
            {{"pool", line.pool}, {"backend", line.backend}, {"what", line.what}});
    }
    return overrides;
}

json render_status(const Instance &instance, std::chrono::steady_clock::time_point started)
{
    const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - started;
    json status = {{"instance", instance.name()},
                   {"version", GUIDEWAY_VERSION},
                   {"pid", getpid()},
                   {"uptime_s", uptime.count()},
                   {"revision", instance.revision()},
                   {"state", instance.serving() ? "serving" : "idle"},
                   {"engine", "xdp"},
                   {"dpdk", nullptr},
                   {"generation", 0},
                   {"interfaces", json::array()},
                   {"tables", nullptr},
                   {"services", 0},
                   {"backends", {{"total", 0}, {"forwarding", 0}, {"leaving", 0}}},
                   {"overrides", json::array()},
                   {"packets", nullptr},
                   {"connections", nullptr},
                   {"problems", instance.problems()}};
    if (instance.serving()) {
        const auto &backends = instance.plane().backends();
        const auto forwarding = std::ranges::count(backends, plane::BackendState::kForwarding,
                                                   &plane::BackendView::state);
        const auto leaving = std::ranges::count(backends, plane::BackendState::kLeaving,
                                                &plane::BackendView::state);
        if (instance.effective().engine == model::Engine::kDpdk) {
            status["engine"] = "dpdk";
            status["dpdk"] = render_engine(instance.engine().page(), instance.effective().dpdk,
                                           instance.engine().busy_shares());
        }
        status["generation"] = instance.fast_path().generation();
        status["interfaces"] = render_interfaces(instance);
        status["tables"] = render_tables(instance);
        status["services"] = instance.plane().services().size();
        status["backends"] = {{"total", std::ssize(backends) - leaving},
                              {"forwarding", forwarding},
                              {"leaving", leaving}};
        status["overrides"] = render_overrides(instance);
        plane::SlotCounts slots;
        for (const auto &view : instance.plane().services()) {
            slots.stable += view.slots.stable;
            slots.moving += view.slots.moving;
            slots.pinned += view.slots.pinned;
            slots.every_flow += view.slots.every_flow;
        }
        status["connections"] = {{"pins", render_pins_in_use(instance)},
                                 {"slots", render_slots(slots)}};
        status["packets"] = render_packets(instance.fast_path().tables().counters());
    }
    return status;
}

json render_services(const Instance &instance)
{
    json services = json::array();
    if (instance.serving()) {
        const auto totals = instance.fast_path().tables().counters();
        for (const auto &view : instance.plane().services()) {
            services.push_back(render_service(instance, view, totals));
        }
    }
    return services;
}

namespace {

// What an operator has changed of it.
json overridden_of(const Instance &instance, const plane::BackendView &view)
{
    json overridden = json::array();
    const auto at = instance.raw_overrides().find({view.pool, view.backend.name});
    if (at == instance.raw_overrides().end() || at->second.removed) {
        return overridden;
    }
    for (const auto &[is_set, what] : {std::pair{at->second.added_address.has_value(), "added"},
                                       std::pair{at->second.enabled.has_value(), "enabled"},
                                       std::pair{at->second.drain.has_value(), "drained"},
                                       std::pair{at->second.weight.has_value(), "weight"}}) {
        if (is_set) {
            overridden.push_back(what);
        }
    }
    return overridden;
}

json render_view(const Instance &instance, const plane::BackendView &view,
                 const CounterTotals &totals,
                 const std::vector<plane::Milliseconds> &learning_ends)
{
    const auto traffic = traffic_of(totals.backends, view.index);
    return {
        {"pool", view.pool},
        {"name", view.backend.name},
        {"address", view.backend.address.to_string()},
        {"weight", view.backend.weight},
        {"enabled", view.backend.enabled},
        {"state", plane::name_of(view.state)},
        {"since", rfc3339(instance.since(view.pool, view.backend.name))},
        {"next_hop", render_next_hop(view.next_hop)},
        {"reason", reason_of(instance, view.state, view.reason, view.pool, view.backend.name)},
        {"drain", render_drain(instance, view, learning_ends)},
        {"packets", traffic.packets},
        {"bytes", traffic.bytes},
        {"overridden", overridden_of(instance, view)}};
}

}  // namespace

json render_backends(const Instance &instance)
{
    json backends = json::array();
    if (instance.serving()) {
        const auto totals = instance.fast_path().tables().counters();
        const auto learning_ends = instance.plane().selection().learning_ends();
        for (const auto &view : instance.plane().backends()) {
            backends.push_back(render_view(instance, view, totals, learning_ends));
        }
    }
    return backends;
}

json render_backend(const Instance &instance, const model::BackendId &id)
{
    if (!instance.serving()) {
        return nullptr;
    }
    for (const auto &view : instance.plane().backends()) {  // leaving ones come last
        if (view.pool == id.pool && view.backend.name == id.name) {
            return render_view(instance, view, instance.fast_path().tables().counters(),
                               instance.plane().selection().learning_ends());
        }
    }
    return nullptr;
}

}  // namespace guideway::daemon
