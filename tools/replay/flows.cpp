#include "tools/replay/flows.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/tables/reason_texts.hpp"
#include "tools/guideway/members.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

// Members of a flow.
constexpr const char *kStrings[] = {"flow",    "service", "backend",
                                    "address", "reason",  "digest"};
constexpr const char *kNumbers[] = {"first_packet", "packets", "forwarded",
                                    "refused",      "others",  "moves"};

// As it is: not for a terminal.
std::string string_of(const json &object, const char *key)
{
    const json &value = member(object, key);
    return value.is_string() ? value.get<std::string>() : "";
}

void put_line(std::ostream &out, const json &line)
{
    out << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
}

}  // namespace

const char *reason_name(gw_reason reason)
{
    return reason < GW_REASON_COUNT ? kReasonTexts[reason].name : "";
}

const char *reason_meaning(gw_reason reason)
{
    return reason < GW_REASON_COUNT ? kReasonTexts[reason].meaning : "";
}

FlowResult flow_result(const World &world, const replay::FlowTable &flows, uint32_t flow,
                       uint32_t lane)
{
    const auto &of = flows.flows()[flow];
    const auto &fate = flows.fate(flow, lane);
    FlowResult result{.flow = replay::to_string(of.key),
                      .first_packet = of.first_packet,
                      .packets = of.packets,
                      .service = "",
                      .backend = "",
                      .address = "",
                      .reason = reason_name(fate.reason),
                      .forwarded = fate.forwarded,
                      .refused = fate.refused,
                      .others = fate.others,
                      .moves = fate.moves,
                      .digest = fmt::format("{:016x}", fate.digest)};
    if (const auto *service = world.service(fate.service)) {
        result.service = service->service.name;
    }
    if (const auto *backend = world.backend(fate.backend)) {
        result.backend = backend->pool + "/" + backend->backend.name;
        result.address = backend->backend.address.to_string();
    }
    return result;
}

json to_json(const FlowResult &flow)
{
    return {{"flow", flow.flow},       {"first_packet", flow.first_packet},
            {"packets", flow.packets}, {"service", flow.service},
            {"backend", flow.backend}, {"address", flow.address},
            {"reason", flow.reason},   {"forwarded", flow.forwarded},
            {"refused", flow.refused}, {"others", flow.others},
            {"moves", flow.moves},     {"digest", flow.digest}};
}

std::optional<FlowResult> flow_from_json(const json &line)
{
    // Each version has these.
    const auto is_string = [&](const char *key) { return member(line, key).is_string(); };
    const auto is_number = [&](const char *key) {
        return member(line, key).is_number_unsigned();
    };
    if (!std::ranges::all_of(kStrings, is_string) ||
        !std::ranges::all_of(kNumbers, is_number)) {
        return std::nullopt;
    }
    return FlowResult{.flow = string_of(line, "flow"),
                      .first_packet = number(line, "first_packet"),
                      .packets = number(line, "packets"),
                      .service = string_of(line, "service"),
                      .backend = string_of(line, "backend"),
                      .address = string_of(line, "address"),
                      .reason = string_of(line, "reason"),
                      .forwarded = number(line, "forwarded"),
                      .refused = number(line, "refused"),
                      .others = number(line, "others"),
                      .moves = number(line, "moves"),
                      .digest = string_of(line, "digest")};
}

void write_flows(std::ostream &out, World &world, const replay::FlowTable &flows,
                 const json &capture)
{
    put_line(out, {{"format", kFlowsFormat},
                   {"version", kFlowsVersion},
                   {"build", GUIDEWAY_VERSION},
                   {"engine", world.engine().name()},
                   {"configuration", world.file()}});
    for (uint32_t i = 0; i < flows.flows().size(); i++) {
        put_line(out, to_json(flow_result(world, flows, i, 0)));
    }
    put_line(out, {{"end", true},
                   {"flows", flows.flows().size()},
                   {"packets_beyond", flows.packets_beyond()},
                   {"capture", capture}});
}

}  // namespace guideway::cli
