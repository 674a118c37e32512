// Connections, drains and events.
#include <algorithm>

#include "control/daemon/render.hpp"
#include "control/model/validate.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

double share_not_stable(const plane::SlotCounts &slots)
{
    const uint64_t unsettled = uint64_t{slots.moving} + slots.pinned;
    const uint64_t all = unsettled + slots.stable + slots.every_flow;
    return all == 0 ? 0 : static_cast<double>(unsettled) / static_cast<double>(all);
}

// The plane's clock is a steady one. Null for a time that is over.
json wall_time(plane::Milliseconds until)
{
    const auto left = until - std::chrono::duration_cast<plane::Milliseconds>(
                                  std::chrono::steady_clock::now().time_since_epoch());
    if (left <= plane::Milliseconds(0)) {
        return nullptr;
    }
    return rfc3339(
        std::chrono::ceil<std::chrono::seconds>(std::chrono::system_clock::now() + left));
}

json render_event(const model::Event &event)
{
    return {{"sequence", event.sequence},
            {"time", rfc3339(std::chrono::system_clock::time_point(
                         std::chrono::milliseconds(event.time_ms)))},
            {"kind", event.kind},
            {"pool", event.pool},
            {"backend", event.backend},
            {"service", event.service},
            {"text", event.text}};
}

}  // namespace

json render_slots(const plane::SlotCounts &slots)
{
    return {{"stable", slots.stable},
            {"moving", slots.moving},
            {"pinned", slots.pinned},
            {"every_flow", slots.every_flow},
            {"share_not_stable", share_not_stable(slots)}};
}

json render_pins_in_use(const Instance &instance)
{
    return {{"used", instance.plane().selection().pins_in_use()},
            {"max", instance.fast_path().tables().capacity().pins_max}};
}

json render_drain(const Instance &instance, const plane::BackendView &view,
                  const std::vector<plane::Milliseconds> &learning_ends)
{
    const bool is_leaving = view.state == plane::BackendState::kLeaving;
    if (!is_leaving && view.state != plane::BackendState::kDraining) {
        return nullptr;
    }
    const bool has_deadline = view.backend.drain_deadline != 0;
    json drain = {{"deadline",
                   has_deadline ? json(model::utc_text(view.backend.drain_deadline)) : json()},
                  {"connections", 0},
                  {"confirmed", 0},
                  {"learning_until", nullptr},
                  {"cut", false},
                  {"done", true}};
    if (view.index) {
        const auto &selection = instance.plane().selection();
        const auto pins = selection.pins_of_backend(*view.index);
        drain["connections"] = pins.pins;
        drain["confirmed"] = pins.confirmed;
        drain["learning_until"] = wall_time(learning_ends[*view.index]);
        drain["cut"] = selection.backend_is_dead(*view.index);
        drain["done"] = selection.backend_is_free(*view.index);
    }
    return drain;
}

json render_connections(const Instance &instance)
{
    json connections = {{"pins", nullptr}, {"services", json::array()}};
    if (!instance.serving()) {
        return connections;
    }
    connections["pins"] = render_pins_in_use(instance);
    const auto learning_ends = instance.plane().selection().learning_ends();
    for (const auto &service : instance.plane().services()) {
        json backends = json::array();
        for (const auto &backend : service.backends) {
            backends.push_back({{"pool", backend.pool},
                                {"name", backend.name},
                                {"state", plane::name_of(backend.state)},
                                {"slots", backend.slots},
                                {"connections", backend.pins.pins},
                                {"confirmed", backend.pins.confirmed},
                                {"elsewhere", backend.pins.elsewhere},
                                {"learning_until", wall_time(learning_ends[backend.index])}});
        }
        connections["services"].push_back({{"name", service.service.name},
                                           {"slots", render_slots(service.slots)},
                                           {"backends", std::move(backends)}});
    }
    return connections;
}

json render_events(const std::vector<model::Event> &events)
{
    json rendered = json::array();
    for (const auto &event : events) {
        rendered.push_back(render_event(event));
    }
    return rendered;
}

json render_events(const Events::Page &page)
{
    return {{"events", render_events(page.events)},
            {"newest", page.newest},
            {"missed", page.missed}};
}

}  // namespace guideway::daemon
