#include "control/daemon/render_limits.hpp"

#include <algorithm>
#include <map>

#include "control/model/limit.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

json or_null(const std::optional<model::Rate> &rate)
{
    return rate ? json(model::rate_text(*rate)) : json();
}

json one_limit(const plane::LimitView &view, size_t sources_now)
{
    json limit = {
        {"name", full_limit_name(view.service, view.name)},
        {"service", view.service.empty() ? json() : json(view.service)},
        {"kind", view.is_admission ? "admission" : "limit"},
        {"per", view.is_admission ? json() : json(model::describe_per(view.per, view.family))},
        {"of", model::kLimitOfNames[static_cast<size_t>(view.of)]},
        {"rate", model::rate_text(view.rate)},
        {"burst", model::burst_text(view.of, view.burst)},
        {"mode", model::kLimitModeNames[static_cast<size_t>(view.mode)]},
        {"clock", view.exact_clock ? "exact" : "tick"},
        {"sources_now", view.is_admission ? json() : json(sources_now)},
        {"excess", {{"packets", view.excess.packets}, {"bytes", view.excess.bytes}}}};
    if (view.is_admission) {
        limit["backends"] = view.backends;
        limit["admission"] = {{"new_connections", or_null(view.admission.new_connections)},
                              {"per_backend", or_null(view.admission.per_backend)}};
    }
    return limit;
}

json one_source(const Instance &instance, const plane::LimitView &view,
                const LimitedSource &source, const std::map<uint32_t, std::string> &services)
{
    const auto service = services.find(source.service);
    const Sight &sight = instance.sight();
    return {{"source", source_text(source.source, view.per.ipv4, view.per.ipv6)},
            {"service", service == services.end() ? json() : json(service->second)},
            {"since_s", sight.seconds_since(source.since_ns)},
            {"last_s", sight.seconds_since(source.last_ns)},
            {"packets", source.packets},
            {"bytes", source.bytes}};
}

json per_second(double sum, double seconds)
{
    return seconds > 0 ? sum / seconds : 0.0;
}

json one_row(const Sight::Row &row, double seconds)
{
    const auto &sums = row.sums;
    return {{"source", source_text(sums.source, 32, 64)},
            {"service", row.service},
            {"packets_per_s", per_second(sums.packets, seconds)},
            {"bytes_per_s", per_second(sums.bytes, seconds)},
            {"connections_per_s", per_second(sums.connections, seconds)},
            {"error", sums.error},
            {"exceeds", row.exceeds},
            {"list", row.verdict == GW_LIST_DENY    ? json("deny")
                     : row.verdict == GW_LIST_ALLOW ? json("allow")
                                                    : json()}};
}

}  // namespace

json render_limits(const Instance &instance)
{
    json limits = json::array();
    if (!instance.serving()) {
        return limits;
    }
    std::map<uint32_t, size_t> sources_now;
    for (const auto &source : instance.sight().limited()) {
        sources_now[source.limit]++;
    }
    for (const auto &view : instance.plane().policing().limits()) {
        limits.push_back(one_limit(view, sources_now[view.index]));
    }
    return limits;
}

json render_limit(const Instance &instance, const std::string &service, const std::string &name)
{
    if (!instance.serving()) {
        return nullptr;
    }
    for (const auto &view : instance.plane().policing().limits()) {
        if (view.service != service || view.name != name) {
            continue;
        }
        auto sources = instance.sight().limited();
        std::erase_if(sources, [&view](const LimitedSource &source) {
            return source.limit != view.index;
        });
        std::ranges::sort(sources, std::ranges::greater(), &LimitedSource::packets);
        json limit = one_limit(view, sources.size());
        limit["sources"] = json::array();
        const auto services = instance.plane().service_names();
        for (const auto &source : sources) {
            limit["sources"].push_back(one_source(instance, view, source, services));
        }
        return limit;
    }
    return nullptr;
}

const char *name_of(TopBy by)
{
    return by == TopBy::kPackets ? "packets" : by == TopBy::kBytes ? "bytes" : "connections";
}

json render_top(const Sight::Top &top, TopBy by)
{
    json body = {{"seconds", top.seconds},
                 {"by", name_of(by)},
                 {"samples", top.samples},
                 {"sources", top.sources},
                 {"left_out_per_s", per_second(top.left_out, top.seconds)},
                 {"total",
                  {{"packets_per_s", per_second(top.packets, top.seconds)},
                   {"bytes_per_s", per_second(top.bytes, top.seconds)},
                   {"connections_per_s", per_second(top.connections, top.seconds)}}},
                 {"top", json::array()}};
    for (const auto &row : top.rows) {
        body["top"].push_back(one_row(row, top.seconds));
    }
    return body;
}

}  // namespace guideway::daemon
