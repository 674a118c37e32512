#include "tools/replay/report.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "control/model/limit.hpp"
#include "dataplane/tables/reason_texts.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Flows by service and backend, of those that were told apart.
struct FlowCounts {
    std::map<uint32_t, uint64_t> services;
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> backends;
    uint64_t moved = 0;    // went to several backends
    uint64_t limited = 0;  // had packets refused
};

FlowCounts count_flows(const replay::FlowTable &flows, uint32_t lane)
{
    FlowCounts counts;
    for (uint32_t i = 0; i < flows.flows().size(); i++) {
        const auto &fate = flows.fate(i, lane);
        if (fate.service != replay::kNone) {
            counts.services[fate.service]++;
        }
        if (fate.backend != replay::kNone) {
            counts.backends[{fate.service, fate.backend}]++;
        }
        counts.moved += fate.moves > 0 ? 1 : 0;
        counts.limited += fate.refused > 0 ? 1 : 0;
    }
    return counts;
}

json reasons_json(const replay::Decisions &decisions)
{
    json reasons = json::array();
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        if (decisions.reasons[i] > 0) {
            reasons.push_back({{"name", kReasonTexts[i].name},
                               {"verdict", kReasonTexts[i].verdict},
                               {"packets", decisions.reasons[i]},
                               {"meaning", kReasonTexts[i].meaning}});
        }
    }
    return reasons;
}

json backend_json(const World &world, const plane::ServiceView &service,
                  const plane::ServiceBackendView &backend, const FlowCounts &flows,
                  const replay::Decisions &decisions)
{
    uint64_t of_service = 0;
    for (const auto &[key, count] : flows.backends) {
        of_service += key.first == service.index ? count : 0;
    }
    const auto found = flows.backends.find({service.index, backend.index});
    const uint64_t count = found == flows.backends.end() ? 0 : found->second;
    const auto traffic = decisions.backends.find({service.index, backend.index});
    const auto *view = world.backend(backend.index);
    return {{"pool", backend.pool},
            {"name", backend.name},
            {"address", view == nullptr ? "?" : view->backend.address.to_string()},
            {"slots", backend.slots},
            {"slots_share", share(backend.slots, service.service.ring_size)},
            {"flows", count},
            {"flows_share", share(count, of_service)},
            {"packets", traffic == decisions.backends.end() ? 0 : traffic->second.packets},
            {"bytes", traffic == decisions.backends.end() ? 0 : traffic->second.bytes}};
}

json services_json(const World &world, const replay::Tally &tally, uint32_t lane)
{
    const auto flows = count_flows(tally.flows(), lane);
    const auto &decisions = tally.decisions(lane);
    const auto totals = world.tables().counters();
    json services = json::array();
    for (const auto &service : world.services()) {
        json refused = json::object();
        uint64_t packets = 0;
        if (const auto found = decisions.services.find(service.index);
            found != decisions.services.end()) {
            for (size_t i = 0; i < GW_REASON_COUNT; i++) {
                packets += found->second[i];
                if (found->second[i] > 0 && i != GW_REASON_FORWARDED) {
                    refused[kReasonTexts[i].name] = found->second[i];
                }
            }
        }
        json backends = json::array();
        for (const auto &backend : service.backends) {
            backends.push_back(backend_json(world, service, backend, flows, decisions));
        }
        const auto count = flows.services.find(service.index);
        services.push_back({{"name", service.service.name},
                            {"listen", listen_text(service.service)},
                            {"pool", service.service.pool},
                            {"packets", packets},
                            {"forwarded", totals.services[service.index].packets},
                            {"bytes", totals.services[service.index].bytes},
                            {"flows", count == flows.services.end() ? 0 : count->second},
                            {"not_forwarded", std::move(refused)},
                            {"backends", std::move(backends)}});
    }
    return services;
}

json limits_json(const World &world)
{
    json limits = json::array();
    for (const auto &view : world.plane().policing().limits()) {
        limits.push_back(
            {{"name", view.service.empty() ? view.name : view.service + "/" + view.name},
             {"of", model::kLimitOfNames[static_cast<size_t>(view.of)]},
             {"rate", model::rate_text(view.rate)},
             {"burst", model::burst_text(view.of, view.burst)},
             {"mode", model::kLimitModeNames[static_cast<size_t>(view.mode)]},
             {"excess", {{"packets", view.excess.packets}, {"bytes", view.excess.bytes}}}});
    }
    return limits;
}

}  // namespace

json capture_json(const std::string &file, const replay::Frames &frames)
{
    const auto &counts = frames.counts();
    const double seconds = static_cast<double>(counts.last_ns - counts.first_ns) / 1e9;
    json capture = {
        {"file", file},
        {"link", replay::name_of(frames.reader().link())},
        {"packets", counts.packets},
        {"bytes", counts.bytes},
        {"first_ns", counts.first_ns},
        {"last_ns", counts.last_ns},
        {"seconds", seconds},
        {"packets_per_second",
         seconds > 0 ? json(static_cast<double>(counts.packets) / seconds) : json()},
        {"cut", counts.cut},
        {"cut_headers", counts.cut_headers},
        {"not_replayed",
         {{"too_short", counts.too_short},
          {"too_long", counts.too_long},
          {"no_ethernet_type", counts.foreign}}},
        {"times_impossible", counts.times_clamped},
        {"times_back", frames.clock().times_back()},
        {"times_leapt", frames.clock().leaps()},
        {"damage", nullptr}};
    if (const auto &damage = frames.reader().damage()) {
        capture["damage"] = {{"offset", damage->offset},
                             {"packet", damage->packet},
                             {"corrupt", damage->is_corrupt},
                             {"message", damage->message}};
    }
    return capture;
}

json world_json(const World &world, const replay::Tally &tally, uint32_t lane)
{
    const auto &decisions = tally.decisions(lane);
    const auto &flows = tally.flows();
    const auto counts = count_flows(flows, lane);
    const auto totals = world.tables().counters();
    json verdicts = json::object();
    for (const auto verdict : {replay::Verdict::kSend, replay::Verdict::kPass,
                               replay::Verdict::kDrop, replay::Verdict::kRedirect}) {
        verdicts[std::string(replay::name_of(verdict))] =
            decisions.verdicts[static_cast<size_t>(verdict)];
    }
    json events = json::array();
    for (size_t i = 0; i < GW_EVENT_COUNT; i++) {
        if (totals.events[i] > 0) {
            events.push_back({{"name", kEventTexts[i].name},
                              {"count", totals.events[i]},
                              {"meaning", kEventTexts[i].meaning}});
        }
    }
    return {{"configuration", world.file()},
            {"packets", decisions.packets},
            {"verdicts", std::move(verdicts)},
            {"reasons", reasons_json(decisions)},
            {"events", std::move(events)},
            {"services", services_json(world, tally, lane)},
            {"limits", limits_json(world)},
            {"flows",
             {{"count", flows.flows().size()},
              {"max", flows.flows_max()},
              {"packets_beyond", flows.packets_beyond()},
              {"several_backends", counts.moved},
              {"limited", counts.limited}}}};
}

}  // namespace guideway::cli
