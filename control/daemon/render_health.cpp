#include "control/daemon/render_health.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace guideway::daemon {
namespace {

using nlohmann::json;

// An instant of the monotonic clock as an operator's clock shows it; null: none.
json wall_time(health::Time time)
{
    if (time == health::Time::min() || time == health::Time::max()) {
        return nullptr;
    }
    const auto ago = std::chrono::steady_clock::now() - time;
    const auto wall = std::chrono::system_clock::now() -
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(ago);
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(wall)));
}

const char *name_of(health::State state)
{
    switch (state) {
        case health::State::kUnknown:
            return "unknown";
        case health::State::kUp:
            return "up";
        case health::State::kDown:
            return "down";
    }
    return "unknown";
}

json render_member(const Instance &instance, const model::Pool &pool,
                   const model::IpAddress &address, const health::Member &member)
{
    const auto &backend = member.health;
    const bool is_checked = pool.health.type != model::HealthType::kNone;
    json entry = {{"name", member.name},
                  {"address", address.to_string()},
                  {"state", is_checked ? name_of(backend.state()) : "not checked"},
                  {"since", wall_time(backend.since())},
                  {"in_use", !member.condition.failed},
                  {"share_percent", member.condition.share_percent},
                  {"successes", backend.successes()},
                  {"failures", backend.failures()},
                  {"reason", backend.reason()},
                  {"latency_ms", nullptr},
                  {"held_until", nullptr},
                  {"syns", 0},
                  {"syn_repeats", 0}};
    if (backend.latency().count() > 0) {
        entry["latency_ms"] = static_cast<double>(backend.latency().count()) / 1000;
    }
    if (backend.is_held(std::chrono::steady_clock::now())) {
        entry["held_until"] = wall_time(backend.held_until());
    }
    const auto &views = instance.plane().backends();
    const auto view = std::ranges::find_if(views, [&](const auto &each) {
        return each.pool == pool.name && each.backend.address == address && each.index;
    });
    if (view != views.end()) {
        const auto traffic = instance.fast_path().tables().backend_counters(*view->index);
        entry["syns"] = traffic.syns;
        entry["syn_repeats"] = traffic.syn_repeats;
    }
    return entry;
}

json render_pool(const Instance &instance, const model::Pool &pool)
{
    const auto *health = instance.checks().pool(pool.name);
    const auto *service = model::probed_service(instance.effective(), pool);
    const bool is_checked = pool.health.type != model::HealthType::kNone;
    json entry = {
        {"pool", pool.name},
        {"type", model::to_string(pool.health.type)},
        {"service", service != nullptr && is_checked ? json(service->name) : json()},
        {"through", pool.health.through == model::ProbeThrough::kTunnel ? "tunnel" : "direct"},
        {"panic", health != nullptr && health->is_panic()},
        {"panic_threshold_percent", pool.health.panic_threshold_percent},
        {"backends", json::array()}};
    if (health == nullptr) {
        return entry;
    }
    for (const auto &backend : pool.backends) {  // in the order of the pool
        const auto member = health->members().find(backend.address);
        if (member != health->members().end()) {
            entry["backends"].push_back(
                render_member(instance, pool, member->first, member->second));
        }
    }
    return entry;
}

}  // namespace

json render_health(const Instance &instance)
{
    json pools = json::array();
    if (instance.serving()) {
        for (const auto &pool : instance.effective().pools) {
            pools.push_back(render_pool(instance, pool));
        }
    }
    return pools;
}

}  // namespace guideway::daemon
