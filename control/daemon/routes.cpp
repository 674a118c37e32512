#include "control/daemon/routes.hpp"

#include <limits>
#include <map>
#include <utility>

#include "control/daemon/render.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;
using Path = std::vector<std::string>;

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

// Fields of a body. Each complains of a field that is missing or of another type.
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

class Routes {
  public:
    Routes(Instance &instance, std::function<void()> stop)
        : instance_(instance), stop_(std::move(stop))
    {
    }

    api::Response handle(const api::Request &request)
    {
        if (request.path.empty() || request.path[0] != "v1" || request.path.size() < 2) {
            return no_such_path(request);
        }
        const std::string &room = request.path[1];
        const size_t depth = request.path.size();
        if (room == "backends" && depth > 2) {
            return backend(request);
        }
        if (room == "services" && depth == 3) {
            return only("GET", request, [&] { return service(request.path[2]); });
        }
        if (depth != 2) {
            return no_such_path(request);
        }
        using Answer = api::Response (Routes::*)(const api::Request &);
        static const std::map<std::string, std::map<std::string, Answer>> answers = {
            {"version", {{"GET", &Routes::version}}},
            {"status", {{"GET", &Routes::status}}},
            {"services", {{"GET", &Routes::services}}},
            {"backends", {{"GET", &Routes::backends}, {"POST", &Routes::add_backend}}},
            {"counters", {{"GET", &Routes::counters}}},
            {"export", {{"GET", &Routes::export_file}}},
            {"check", {{"POST", &Routes::check}}},
            {"apply", {{"POST", &Routes::apply}}},
            {"detach", {{"POST", &Routes::detach}}},
        };
        const auto methods = answers.find(room);
        if (methods == answers.end()) {
            return no_such_path(request);
        }
        const auto answer = methods->second.find(request.method);
        if (answer == methods->second.end()) {
            return wrong_method(request);
        }
        return (this->*answer->second)(request);
    }

  private:
    static std::string path_text(const api::Request &request)
    {
        std::string text;
        for (const auto &segment : request.path) {
            text += "/" + segment;
        }
        return text.empty() ? "/" : text;
    }

    static api::Response no_such_path(const api::Request &request)
    {
        return failure(404,
                       "there is no " + path_text(request) + "; docs/api.md lists the paths");
    }

    static api::Response wrong_method(const api::Request &request)
    {
        return failure(405, path_text(request) + " does not take " + request.method);
    }

    template <typename Answer>
    static api::Response only(const char *method, const api::Request &request, Answer answer)
    {
        return request.method == method ? answer() : wrong_method(request);
    }

    api::Response version(const api::Request &) { return {200, render_version()}; }
    api::Response status(const api::Request &)
    {
        return {200, render_status(instance_, started_)};
    }
    api::Response services(const api::Request &)
    {
        return {200, {{"services", render_services(instance_)}}};
    }
    api::Response backends(const api::Request &)
    {
        return {200, {{"backends", render_backends(instance_)}}};
    }
    api::Response counters(const api::Request &) { return {200, render_counters(instance_)}; }

    api::Response service(const std::string &name)
    {
        for (auto &one : render_services(instance_)) {
            if (one["name"] == name) {
                return {200, std::move(one)};
            }
        }
        return failure(404, "there is no service '" + name + "'; see 'guideway service list'");
    }

    api::Response export_file(const api::Request &)
    {
        if (!instance_.serving()) {
            return failure(409, "no configuration is applied yet");
        }
        return {200,
                {{"revision", instance_.revision()},
                 {"text", config::emit(instance_.effective())}}};
    }

    api::Response check(const api::Request &request)
    {
        const auto file = text_field(request.body, "file");
        const auto text = text_field(request.body, "text");
        for (const auto &result : {only_fields(request.body, {"file", "text"})}) {
            if (!result) {
                return failure(400, result.error().message);
            }
        }
        if (!file || !text) {
            return failure(400, (!file ? file : text).error().message);
        }
        const auto change = instance_.check(*file, *text);
        if (!change) {
            return refused(change.error());
        }
        return {200,
                {{"ok", true}, {"changes", change->changed}, {"summary", change->summary}}};
    }

    api::Response apply(const api::Request &request)
    {
        const auto known =
            only_fields(request.body, {"file", "text", "reset_overrides", "if_revision"});
        const auto file = text_field(request.body, "file");
        const auto text = text_field(request.body, "text");
        const auto reset = flag_field(request.body, "reset_overrides");
        const auto revision =
            number_field(request.body, "if_revision", 0, std::numeric_limits<int64_t>::max());
        if (!known) {
            return failure(400, known.error().message);
        }
        if (!file || !text) {
            return failure(400, (!file ? file : text).error().message);
        }
        if (!reset) {
            return failure(400, reset.error().message);
        }
        if (!revision) {
            return failure(400, revision.error().message);
        }
        return changed(instance_, instance_.apply({.file = *file,
                                                   .text = *text,
                                                   .reset_overrides = *reset,
                                                   .if_revision = *revision}));
    }

    api::Response detach(const api::Request &)
    {
        auto detached = instance_.detach();
        if (!detached) {
            return failure(500, detached.error().message);
        }
        stop_();
        return {200, {{"detached", *detached}}};
    }

    api::Response add_backend(const api::Request &request)
    {
        const auto known = only_fields(request.body, {"pool", "name", "address", "weight"});
        const auto pool = text_field(request.body, "pool");
        const auto name = text_field(request.body, "name");
        const auto address_text = text_field(request.body, "address");
        const auto weight = number_field(request.body, "weight", 0, model::kWeightMax);
        if (!known) {
            return failure(400, known.error().message);
        }
        for (const auto *field : {&pool, &name, &address_text}) {
            if (!*field) {
                return failure(400, field->error().message);
            }
        }
        if (!weight) {
            return failure(400, weight.error().message);
        }
        const auto address = model::IpAddress::parse(*address_text);
        if (!address) {
            return failure(400, "'" + *address_text + "' is not an IP address");
        }
        const auto weight_number =
            static_cast<uint32_t>(weight->value_or(model::kWeightDefault));
        return changed(instance_,
                       instance_.override_backends(
                           "backend add", "backend " + *pool + "/" + *name + " added",
                           [&](const model::Desired &file, model::Overrides overrides) {
                               return model::add_backend(file, std::move(overrides),
                                                         {*pool, *name}, *address,
                                                         weight_number);
                           }));
    }

    // /v1/backends/POOL/NAME[/enable|disable|weight]
    api::Response backend(const api::Request &request)
    {
        if (request.path.size() < 4 || request.path.size() > 5) {
            return no_such_path(request);
        }
        const model::BackendId id{request.path[2], request.path[3]};
        if (request.path.size() == 4) {
            return only("DELETE", request, [&] { return remove_backend(id); });
        }
        const std::string &verb = request.path[4];
        if (verb != "enable" && verb != "disable" && verb != "weight") {
            return no_such_path(request);
        }
        return only("POST", request, [&] {
            return verb == "weight" ? weigh_backend(id, request.body)
                                    : enable_backend(id, verb == "enable");
        });
    }

    api::Response remove_backend(const model::BackendId &id)
    {
        return edit("backend remove", id, "removed",
                    [&](const model::Desired &file, model::Overrides overrides) {
                        return model::remove_backend(file, std::move(overrides), id);
                    });
    }

    api::Response enable_backend(const model::BackendId &id, bool enabled)
    {
        return edit(enabled ? "backend enable" : "backend disable", id,
                    enabled ? "enabled" : "disabled",
                    [&](const model::Desired &file, model::Overrides overrides) {
                        return model::set_enabled(file, std::move(overrides), id, enabled);
                    });
    }

    api::Response weigh_backend(const model::BackendId &id, const json &body)
    {
        const auto known = only_fields(body, {"weight"});
        const auto weight = number_field(body, "weight", 0, model::kWeightMax);
        if (!known || !weight) {
            return failure(400, !known ? known.error().message : weight.error().message);
        }
        if (!*weight) {
            return failure(400, "the body lacks 'weight', a whole number");
        }
        const auto number = static_cast<uint32_t>(**weight);
        return edit("backend weight", id, "weight " + std::to_string(number),
                    [&](const model::Desired &file, model::Overrides overrides) {
                        return model::set_weight(file, std::move(overrides), id, number);
                    });
    }

    api::Response edit(const std::string &cause, const model::BackendId &id,
                       const std::string &what, const OverrideEdit &make)
    {
        return changed(instance_,
                       instance_.override_backends(
                           cause, "backend " + id.pool + "/" + id.name + " " + what, make));
    }

    Instance &instance_;
    std::function<void()> stop_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace

api::Handler make_handler(Instance &instance, std::function<void()> stop)
{
    auto routes = std::make_shared<Routes>(instance, std::move(stop));
    return [routes](const api::Request &request) { return routes->handle(request); };
}

}  // namespace guideway::daemon
