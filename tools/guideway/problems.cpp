#include "tools/guideway/problems.hpp"

#include <fmt/format.h>

#include "tools/guideway/text.hpp"

namespace guideway::cli {

using nlohmann::json;

Failure refused(const std::string &file, const std::vector<config::Problem> &problems)
{
    const std::string message =
        fmt::format("{} is refused: {}", file, count_text(problems.size(), "problem"));
    json list = json::array();
    for (const auto &problem : problems) {
        list.push_back({{"file", problem.file},
                        {"line", problem.position.line},
                        {"column", problem.position.column},
                        {"message", problem.message},
                        {"hint", problem.hint}});
    }
    return {.exit = Exit::kFailed,
            .message = message,
            .body = {{"error", message}, {"problems", std::move(list)}}};
}

}  // namespace guideway::cli
