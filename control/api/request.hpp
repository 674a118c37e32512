// From the parts of an HTTP request to what a handler sees. Pure.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/error.hpp"

namespace guideway::api {

// The decoded segments of a request target, in origin form ("/v1/status") or absolute form
// (RFC 9112 section 3.2), without the query.
[[nodiscard]] Result<std::vector<std::string>> parse_target(std::string_view target);

// What follows the question mark, "after=7&wait=20", decoded; no name may be there twice.
[[nodiscard]] Result<std::map<std::string, std::string>> parse_query(std::string_view target);

// An empty body is an empty object. Anything else must be one JSON object, not nested so
// deeply that a small body could take much memory, and with no key twice in one object.
[[nodiscard]] Result<nlohmann::json> parse_body(std::string_view body);

}  // namespace guideway::api
