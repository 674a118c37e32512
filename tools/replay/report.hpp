// What a replay has found, as JSON, and as people read it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/replay/frames.hpp"
#include "dataplane/replay/tally.hpp"
#include "tools/replay/world.hpp"

namespace guideway::cli {

// Of how the capture was read.
[[nodiscard]] nlohmann::json capture_json(const std::string &file,
                                          const replay::Frames &frames);
// Of what one engine with one configuration made of it: `lane` of the tally.
[[nodiscard]] nlohmann::json world_json(const World &world, const replay::Tally &tally,
                                        uint32_t lane);

[[nodiscard]] std::string replay_view(const nlohmann::json &report, bool colours);
// Without the capture's own part of it.
[[nodiscard]] std::string capture_view(const nlohmann::json &capture, bool colours);

// "2026-01-31 12:00:00.123456789 UTC"
[[nodiscard]] std::string time_text(uint64_t timestamp_ns);
// "1.204 s", "3h 12m"
[[nodiscard]] std::string span_text(double seconds);
// Why a capture could not be read on; `damage` as in capture_json().
[[nodiscard]] std::string damage_text(const nlohmann::json &capture);

}  // namespace guideway::cli
