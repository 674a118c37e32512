#include <string_view>

#include "control/daemon/render.hpp"
#include "control/daemon/render_engine.hpp"
#include "dataplane/tables/reason_texts.hpp"

namespace guideway::daemon {

using nlohmann::json;

json render_packets(const CounterTotals &totals)
{
    uint64_t forwarded = 0;
    uint64_t passed = 0;
    uint64_t replied = 0;
    uint64_t dropped = 0;
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        const std::string_view verdict = kReasonTexts[i].verdict;
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
                     {"backends", json::array()},
                     {"ports", json::array()}};
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        counters["reasons"].push_back({{"name", kReasonTexts[i].name},
                                       {"verdict", kReasonTexts[i].verdict},
                                       {"packets", totals.reasons[i]},
                                       {"meaning", kReasonTexts[i].meaning}});
    }
    for (size_t i = 0; i < GW_EVENT_COUNT; i++) {
        counters["events"].push_back({{"name", kEventTexts[i].name},
                                      {"count", totals.events[i]},
                                      {"meaning", kEventTexts[i].meaning}});
    }
    if (instance.serving()) {
        counters["ports"] = render_port_counters(instance.engine().page());
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
