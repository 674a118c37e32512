#include "control/daemon/fields.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "control/daemon/render.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

std::string path_text(const api::Request &request)
{
    std::string text;
    for (const auto &segment : request.path) {
        text += "/" + segment;
    }
    return text.empty() ? "/" : text;
}

}  // namespace

api::Response failure(unsigned status, std::string error)
{
    return {status, {{"error", std::move(error)}}};
}

api::Response refused(const Refusal &refusal)
{
    json body = {{"error", refusal.error}};
    if (!refusal.problems.empty()) {
        body["problems"] = json::array();
        for (const auto &problem : refusal.problems) {
            body["problems"].push_back(render_problem(problem));
        }
    }
    return {refusal.status, std::move(body)};
}

Result<std::string> text_field(const json &body, const char *name)
{
    const auto at = body.find(name);
    if (at == body.end() || !at->is_string()) {
        return fail(std::string("the body lacks '") + name + "', a string");
    }
    return at->get<std::string>();
}

Result<std::optional<int64_t>> number_field(const json &body, const char *name, int64_t least,
                                            int64_t most)
{
    const auto at = body.find(name);
    if (at == body.end() || at->is_null()) {
        return std::nullopt;
    }
    if (!at->is_number_integer() || at->is_number_float() ||
        (at->is_number_unsigned() &&
         at->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) ||
        at->get<int64_t>() < least || at->get<int64_t>() > most) {
        return fail(std::string("'") + name + "' is not a whole number from " +
                    std::to_string(least) + " to " + std::to_string(most));
    }
    return at->get<int64_t>();
}

Result<bool> flag_field(const json &body, const char *name)
{
    const auto at = body.find(name);
    if (at == body.end() || at->is_null()) {
        return false;
    }
    if (!at->is_boolean()) {
        return fail(std::string("'") + name + "' is neither true nor false");
    }
    return at->get<bool>();
}

Result<void> only_fields(const json &body, std::initializer_list<const char *> known)
{
    for (const auto &[name, value] : body.items()) {
        bool found = false;
        for (const char *one : known) {
            found = found || name == one;
        }
        if (!found) {
            return fail("the body has an unknown field '" + name + "'");
        }
    }
    return {};
}

api::Response no_such_path(const api::Request &request)
{
    return failure(404, "there is no " + path_text(request) + "; docs/api.md lists the paths");
}

api::Response wrong_method(const api::Request &request)
{
    return failure(405, path_text(request) + " does not take " + request.method);
}

api::Response changed(const Instance &instance, const std::expected<Change, Refusal> &change)
{
    if (!change) {
        return refused(change.error());
    }
    return {200,
            {{"revision", change->revision},
             {"changed", change->changed},
             {"summary", change->summary},
             {"overrides", render_overrides(instance)}}};
}

Result<void> read_query(const api::Request &request,
                        std::initializer_list<Parameter *> parameters)
{
    for (const auto &[name, text] : request.query) {
        const auto *found = std::ranges::find_if(
            parameters, [&](const Parameter *parameter) { return name == parameter->name; });
        if (found == parameters.end()) {
            return fail("the query has an unknown parameter '" + name + "'");
        }
        int64_t value = 0;
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size() || value < 0 ||
            value > (*found)->most) {
            return fail("'" + name + "' is not a whole number from 0 to " +
                        std::to_string((*found)->most));
        }
        (*found)->value = value;
    }
    return {};
}

}  // namespace guideway::daemon
