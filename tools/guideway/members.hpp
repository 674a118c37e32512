// Members of the API's answers, whatever is there. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tools/guideway/text.hpp"

namespace guideway::cli {

// Null or an empty array where there is none, or something of another type.
[[nodiscard]] const nlohmann::json &member(const nlohmann::json &object, std::string_view key);
[[nodiscard]] const nlohmann::json &array(const nlohmann::json &object, std::string_view key);
// Printable.
[[nodiscard]] std::string text(const nlohmann::json &object, std::string_view key,
                               std::string_view otherwise = "?");
[[nodiscard]] uint64_t number(const nlohmann::json &object, std::string_view key);  // 0
[[nodiscard]] double real(const nlohmann::json &object, std::string_view key);      // NaN
[[nodiscard]] bool truth(const nlohmann::json &object, std::string_view key);
[[nodiscard]] std::string count(const nlohmann::json &object, std::string_view key);  // "?"
[[nodiscard]] std::string joined(const nlohmann::json &strings);
// "POOL/NAME", or the name alone where the pool is not known.
[[nodiscard]] std::string backend_name(const nlohmann::json &backend, std::string_view key);

[[nodiscard]] Colour colour_of_state(std::string_view state);
[[nodiscard]] std::string heading(std::string_view title, bool colours);

}  // namespace guideway::cli
