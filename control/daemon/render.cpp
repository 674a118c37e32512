#include "control/daemon/render.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace guideway::daemon {
namespace {

using nlohmann::json;

struct ReasonName {
    const char *name;
    const char *verdict;
    const char *meaning;
};
constexpr ReasonName kReasons[] = {
#define GW_REASON_ROW(constant, name, verdict, meaning) {name, verdict, meaning},
    GW_REASON_LIST(GW_REASON_ROW)
#undef GW_REASON_ROW
};

struct EventName {
    const char *name;
    const char *meaning;
};
constexpr EventName kEvents[] = {
#define GW_EVENT_ROW(constant, name, meaning) {name, meaning},
    GW_EVENT_LIST(GW_EVENT_ROW)
#undef GW_EVENT_ROW
};

std::string rfc3339(std::chrono::system_clock::time_point time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

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

template <typename Traffic>
Traffic traffic_of(const std::vector<Traffic> &all, std::optional<uint32_t> index)
{
    return index && *index < all.size() ? all[*index] : Traffic{};
}

json render_service(const plane::ServiceView &view, const CounterTotals &totals)
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
            {"slots",
             {{"stable", view.slots.stable},
              {"moving", view.slots.moving},
              {"pinned", view.slots.pinned},
              {"every_flow", view.slots.every_flow}}},
            {"backends", std::move(backends)}};
}

json render_interfaces(const xdp::FastPath &fast_path)
{
    json interfaces = json::array();
    for (const auto &interface : fast_path.interfaces()) {
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

json render_packets(const CounterTotals &totals)
{
    uint64_t forwarded = 0;
    uint64_t passed = 0;
    uint64_t replied = 0;
    uint64_t dropped = 0;
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        const std::string_view verdict = kReasons[i].verdict;
        (verdict == "forward" ? forwarded
         : verdict == "pass"  ? passed
         : verdict == "reply" ? replied
                              : dropped) += totals.reasons[i];
    }
    return {{"forwarded", forwarded},
            {"passed", passed},
            {"replied", replied},
            {"dropped", dropped}};
}

}  // namespace

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
                   {"generation", 0},
                   {"interfaces", json::array()},
                   {"tables", nullptr},
                   {"services", 0},
                   {"backends", {{"total", 0}, {"forwarding", 0}, {"leaving", 0}}},
                   {"overrides", json::array()},
                   {"packets", nullptr},
                   {"problems", instance.problems()}};
    if (instance.serving()) {
        const auto &backends = instance.plane().backends();
        const auto forwarding = std::ranges::count(backends, plane::BackendState::kForwarding,
                                                   &plane::BackendView::state);
        const auto leaving = std::ranges::count(backends, plane::BackendState::kLeaving,
                                                &plane::BackendView::state);
        status["generation"] = instance.fast_path().generation();
        status["interfaces"] = render_interfaces(instance.fast_path());
        status["tables"] = render_tables(instance);
        status["services"] = instance.plane().services().size();
        status["backends"] = {{"total", std::ssize(backends) - leaving},
                              {"forwarding", forwarding},
                              {"leaving", leaving}};
        status["overrides"] = render_overrides(instance);
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
            services.push_back(render_service(view, totals));
        }
    }
    return services;
}

json render_backends(const Instance &instance)
{
    json backends = json::array();
    if (!instance.serving()) {
        return backends;
    }
    const auto totals = instance.fast_path().tables().counters();
    for (const auto &view : instance.plane().backends()) {
        json overridden = json::array();
        if (const auto at = instance.raw_overrides().find({view.pool, view.backend.name});
            at != instance.raw_overrides().end()) {
            for (const auto &[is_set, what] :
                 {std::pair{at->second.added_address.has_value(), "added"},
                  std::pair{at->second.enabled.has_value(), "enabled"},
                  std::pair{at->second.weight.has_value(), "weight"}}) {
                if (is_set) {
                    overridden.push_back(what);
                }
            }
        }
        const auto traffic = traffic_of(totals.backends, view.index);
        backends.push_back({{"pool", view.pool},
                            {"name", view.backend.name},
                            {"address", view.backend.address.to_string()},
                            {"weight", view.backend.weight},
                            {"enabled", view.backend.enabled},
                            {"state", plane::name_of(view.state)},
                            {"since", rfc3339(instance.since(view.pool, view.backend.name))},
                            {"next_hop", render_next_hop(view.next_hop)},
                            {"reason", view.reason},
                            {"packets", traffic.packets},
                            {"bytes", traffic.bytes},
                            {"overridden", std::move(overridden)}});
    }
    return backends;
}

json render_counters(const Instance &instance)
{
    CounterTotals totals{.reasons = std::vector<uint64_t>(GW_REASON_COUNT),
                         .events = std::vector<uint64_t>(GW_EVENT_COUNT),
                         .services = {},
                         .backends = {}};
    if (instance.serving()) {
        totals = instance.fast_path().tables().counters();
    }
    json counters = {{"reasons", json::array()},
                     {"events", json::array()},
                     {"services", json::array()},
                     {"backends", json::array()}};
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        counters["reasons"].push_back({{"name", kReasons[i].name},
                                       {"verdict", kReasons[i].verdict},
                                       {"packets", totals.reasons[i]},
                                       {"meaning", kReasons[i].meaning}});
    }
    for (size_t i = 0; i < GW_EVENT_COUNT; i++) {
        counters["events"].push_back({{"name", kEvents[i].name},
                                      {"count", totals.events[i]},
                                      {"meaning", kEvents[i].meaning}});
    }
    if (instance.serving()) {
        for (const auto &view : instance.plane().services()) {
            const auto traffic = traffic_of(totals.services, view.index);
            counters["services"].push_back({{"name", view.service.name},
                                            {"packets", traffic.packets},
                                            {"bytes", traffic.bytes}});
        }
        for (const auto &view : instance.plane().backends()) {
            const auto traffic = traffic_of(totals.backends, view.index);
            counters["backends"].push_back({{"pool", view.pool},
                                            {"name", view.backend.name},
                                            {"packets", traffic.packets},
                                            {"bytes", traffic.bytes}});
        }
    }
    return counters;
}

}  // namespace guideway::daemon
