// The parts of requests, and answers to what is wrong with them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "control/api/server.hpp"
#include "control/daemon/instance.hpp"
#include "dataplane/error.hpp"

namespace guideway::daemon {

[[nodiscard]] api::Response failure(unsigned status, std::string error);
[[nodiscard]] api::Response refused(const Refusal &refusal);
[[nodiscard]] api::Response no_such_path(const api::Request &request);
[[nodiscard]] api::Response wrong_method(const api::Request &request);
// What a change answers; docs/api.md.
[[nodiscard]] api::Response changed(const Instance &instance,
                                    const std::expected<Change, Refusal> &change);

// Fields of a body. Each complains of a field that is missing or of another type.
[[nodiscard]] Result<std::string> text_field(const nlohmann::json &body, const char *name);
[[nodiscard]] Result<std::optional<int64_t>> number_field(const nlohmann::json &body,
                                                          const char *name, int64_t least,
                                                          int64_t most);
[[nodiscard]] Result<bool> flag_field(const nlohmann::json &body, const char *name);
[[nodiscard]] Result<void> only_fields(const nlohmann::json &body,
                                       std::initializer_list<const char *> known);

// A query's parameters: whole numbers, each with its default and its greatest value. Others
// are complained of.
struct Parameter {
    const char *name;
    int64_t value;
    int64_t most;
};
[[nodiscard]] Result<void> read_query(const api::Request &request,
                                      std::initializer_list<Parameter *> parameters);

}  // namespace guideway::daemon
