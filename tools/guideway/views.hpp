// The API's answers as an operator reads them. Pure: JSON in, text out. A field that a
// daemon of another version does not send is shown as "?" or left out, never an error.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace guideway::cli {

[[nodiscard]] std::string status_view(const nlohmann::json &status, bool colours);
[[nodiscard]] std::string services_view(const nlohmann::json &services, bool colours);
[[nodiscard]] std::string service_view(const nlohmann::json &service, bool colours);
[[nodiscard]] std::string backends_view(const nlohmann::json &backends, bool colours);
// Without `all`, what is zero is left out.
[[nodiscard]] std::string counters_view(const nlohmann::json &counters, bool all, bool colours);
// What an apply or a change of a backend answers.
[[nodiscard]] std::string change_view(const nlohmann::json &change, bool colours);
[[nodiscard]] std::string connections_view(const nlohmann::json &connections, bool colours);
[[nodiscard]] std::string health_view(const nlohmann::json &health, bool colours);
// Of the verbs deny and allow.
[[nodiscard]] std::string list_entries_view(const nlohmann::json &entries, bool colours);
[[nodiscard]] std::string lists_view(const nlohmann::json &lists, bool colours);
[[nodiscard]] std::string list_change_view(const nlohmann::json &change, bool colours);
[[nodiscard]] std::string list_test_view(const nlohmann::json &test, bool colours);
[[nodiscard]] std::string limits_view(const nlohmann::json &limits, bool colours);
[[nodiscard]] std::string limit_view(const nlohmann::json &limit, bool colours);
[[nodiscard]] std::string top_view(const nlohmann::json &top, bool colours);
// How far a drain is, in words.
[[nodiscard]] std::string drain_text(const nlohmann::json &drain);
// One event as a line, without its end.
[[nodiscard]] std::string event_line(const nlohmann::json &event, bool colours);
[[nodiscard]] std::string history_view(const nlohmann::json &history, bool colours);
// "FILE:LINE:COLUMN: MESSAGE; HINT"
[[nodiscard]] std::string problem_view(const nlohmann::json &problem);

}  // namespace guideway::cli
