#include "control/daemon/routes.hpp"

#include <limits>
#include <map>
#include <utility>

#include "control/daemon/backend_routes.hpp"
#include "control/daemon/fields.hpp"
#include "control/daemon/limit_routes.hpp"
#include "control/daemon/list_routes.hpp"
#include "control/daemon/render.hpp"
#include "control/daemon/render_health.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

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
            return backend_route(instance_, request);
        }
        if (room == "deny" || room == "allow") {
            return list_route(instance_, request);
        }
        if (room == "limits") {
            return limit_route(instance_, request);
        }
        if (room == "services" && depth == 3) {
            return only("GET", request, [&] { return service(request.path[2]); });
        }
        if (room == "connections" && depth == 3) {
            return only("GET", request, [&] { return connections_of(request.path[2]); });
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
            {"connections", {{"GET", &Routes::connections}}},
            {"counters", {{"GET", &Routes::counters}}},
            {"health", {{"GET", &Routes::health}}},
            {"events", {{"GET", &Routes::events}}},
            {"history", {{"GET", &Routes::history}}},
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
    api::Response health(const api::Request &)
    {
        return {200, {{"pools", render_health(instance_)}}};
    }

    api::Response service(const std::string &name)
    {
        for (auto &one : render_services(instance_)) {
            if (one["name"] == name) {
                return {200, std::move(one)};
            }
        }
        return no_service(name);
    }

    static api::Response no_service(const std::string &name)
    {
        return failure(404, "there is no service '" + name + "'; see 'guideway service list'");
    }

    api::Response add_backend(const api::Request &request)
    {
        return guideway::daemon::add_backend(instance_, request.body);
    }

    api::Response connections(const api::Request &)
    {
        return {200, render_connections(instance_)};
    }

    api::Response connections_of(const std::string &name)
    {
        auto body = render_connections(instance_);
        auto &services = body["services"];
        for (auto &one : services) {
            if (one["name"] == name) {
                services = json::array({json(std::move(one))});
                return {200, std::move(body)};
            }
        }
        return no_service(name);
    }

    // With `wait`, the answer may come later: as soon as there is something to tell.
    api::Response events(const api::Request &request)
    {
        constexpr int64_t kWaitMax = 60;  // s
        Parameter after{"after", 0, std::numeric_limits<int64_t>::max()};
        Parameter wait{"wait", 0, kWaitMax};
        Parameter limit{"limit", Events::kKept, Events::kKept};
        if (auto good = read_query(request, {&after, &wait, &limit}); !good) {
            return failure(400, good.error().message);
        }
        const auto most = static_cast<size_t>(limit.value);
        auto page = instance_.events().after(after.value, most);
        if (wait.value == 0 || !page.events.empty() || page.newest < after.value) {
            return {200, render_events(page)};
        }
        api::Response response;
        response.later = [this, after, wait, most](api::Response::Reply reply) {
            auto ticket = instance_.events().wait(
                after.value, std::chrono::seconds(wait.value), [this, after, most, reply] {
                    reply({200, render_events(instance_.events().after(after.value, most))});
                });
            if (!ticket) {
                reply(failure(503, "already " + std::to_string(Events::kWatchersMax) +
                                       " clients wait for events; end one of them"));
            }
            return ticket;
        };
        return response;
    }

    api::Response history(const api::Request &request)
    {
        constexpr int64_t kDefault = 100;
        Parameter limit{"limit", kDefault, 10'000};
        if (auto good = read_query(request, {&limit}); !good) {
            return failure(400, good.error().message);
        }
        const auto events = instance_.history(static_cast<size_t>(limit.value));
        if (!events) {
            return failure(500, events.error().message);
        }
        return {200, {{"events", render_events(*events)}}};
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
