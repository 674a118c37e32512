// What became of each flow, in names: what builds tell each other, a JSON object a line.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>

#include "dataplane/replay/tally.hpp"
#include "tools/replay/world.hpp"

namespace guideway::cli {

// The first line names format and build; the last one has "end". Builds that are compared may be
// years apart: members are added, and keep their meaning while the version stays.
inline constexpr const char *kFlowsFormat = "guideway-flows";
inline constexpr uint64_t kFlowsVersion = 1;

struct FlowResult {
    std::string flow;           // "tcp 192.0.2.1:51234 -> 203.0.113.10:443"
    uint64_t first_packet = 0;  // its number in the capture
    uint64_t packets = 0;
    std::string service;  // empty: of none
    std::string backend;  // POOL/NAME of the first packet that was forwarded; empty: none was
    std::string address;  // the backend's
    std::string reason;   // of the first packet that was not forwarded; empty: all were
    uint64_t forwarded = 0;
    uint64_t refused = 0;  // by lists and limits
    uint64_t others = 0;
    uint64_t moves = 0;  // between backends
    std::string digest;  // of decisions and bytes

    bool operator==(const FlowResult &) const = default;
};

[[nodiscard]] FlowResult flow_result(const World &world, const replay::FlowTable &flows,
                                     uint32_t flow, uint32_t lane);
[[nodiscard]] nlohmann::json to_json(const FlowResult &flow);
// Nothing when it is no flow.
[[nodiscard]] std::optional<FlowResult> flow_from_json(const nlohmann::json &line);

// All of them, with the first line and the last.
void write_flows(std::ostream &out, World &world, const replay::FlowTable &flows,
                 const nlohmann::json &capture);

[[nodiscard]] const char *reason_name(gw_reason reason);
[[nodiscard]] const char *reason_meaning(gw_reason reason);

}  // namespace guideway::cli
