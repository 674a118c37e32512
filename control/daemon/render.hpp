// What the API says of an instance, as JSON; docs/api.md describes the shapes.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {

[[nodiscard]] nlohmann::json render_version();
[[nodiscard]] nlohmann::json render_status(const Instance &instance,
                                           std::chrono::steady_clock::time_point started);
[[nodiscard]] nlohmann::json render_services(const Instance &instance);
[[nodiscard]] nlohmann::json render_backends(const Instance &instance);
// One by name, or the one of that name that is leaving; null when there is none.
[[nodiscard]] nlohmann::json render_backend(const Instance &instance,
                                            const model::BackendId &id);
[[nodiscard]] nlohmann::json render_connections(const Instance &instance);
[[nodiscard]] nlohmann::json render_events(const Events::Page &page);
[[nodiscard]] nlohmann::json render_events(const std::vector<model::Event> &events);
[[nodiscard]] nlohmann::json render_counters(const Instance &instance);
[[nodiscard]] nlohmann::json render_overrides(const Instance &instance);
[[nodiscard]] nlohmann::json render_problem(const config::Problem &problem);

// Parts of the above.
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point time);
[[nodiscard]] nlohmann::json render_packets(const CounterTotals &totals);
[[nodiscard]] nlohmann::json render_slots(const plane::SlotCounts &slots);
[[nodiscard]] nlohmann::json render_pins_in_use(const Instance &instance);
// How far the drain of a backend is; null when it does not drain. `learning_ends` as
// Selection has it.
[[nodiscard]] nlohmann::json render_drain(
    const Instance &instance, const plane::BackendView &view,
    const std::vector<plane::Milliseconds> &learning_ends);
template <typename Traffic>
[[nodiscard]] Traffic traffic_of(const std::vector<Traffic> &all, std::optional<uint32_t> index)
{
    return index && *index < all.size() ? all[*index] : Traffic{};
}

}  // namespace guideway::daemon
