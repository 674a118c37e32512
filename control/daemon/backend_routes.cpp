#include "control/daemon/backend_routes.hpp"

#include <map>
#include <utility>

#include "control/daemon/fields.hpp"
#include "control/daemon/render.hpp"
#include "control/model/validate.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

// One request about one backend.
class BackendRoute {
  public:
    BackendRoute(Instance &instance, const api::Request &request)
        : instance_(instance),
          body_(request.body),
          id_{request.path[2], request.path[3]},
          name_("backend " + request.path[2] + "/" + request.path[3])
    {
    }

    api::Response show()
    {
        if (auto shown = render_backend(instance_, id_); !shown.is_null()) {
            return {200, std::move(shown)};
        }
        return failure(404, "there is no " + name_ + "; see 'guideway backend list'");
    }

    api::Response remove()
    {
        const auto known = only_fields(body_, {"now"});
        const auto now = flag_field(body_, "now");
        if (!known || !now) {
            return failure(400, (!known ? known.error() : now.error()).message);
        }
        auto change = edit("backend remove", *now ? "removed, its connections cut" : "removed",
                           [&](const model::Desired &file, model::Overrides overrides) {
                               return model::remove_backend(file, std::move(overrides), id_);
                           });
        // Also of one that was removed before and still has connections.
        const bool is_cut =
            *now && (change || change.error().status == 409) && instance_.cut_leaving(id_);
        if (!change && is_cut) {
            change = Change{instance_.revision(), true, name_ + "'s connections are cut"};
        } else if (!change && state() == "leaving") {
            return failure(409, "cannot remove " + name_ +
                                    ": it was removed before, and leaves when its connections "
                                    "have ended; --now cuts them");
        }
        return answer(change);
    }

    api::Response drain()
    {
        const auto known = only_fields(body_, {"deadline"});
        if (!known) {
            return failure(400, known.error().message);
        }
        std::optional<int64_t> deadline;
        if (body_.contains("deadline")) {
            const auto text = text_field(body_, "deadline");
            const auto time =
                text ? model::parse_deadline(*text, unix_now()) : std::unexpected(text.error());
            if (!time) {
                return failure(400, time.error().message);
            }
            deadline = *time;
        }
        if (state() == "disabled") {
            return failure(409, "cannot drain " + name_ +
                                    ": it is disabled, and has no connections; enable it first "
                                    "if it is to have some");
        }
        return answer(edit(
            "backend drain", deadline ? "drains until " + model::utc_text(*deadline) : "drains",
            [&](const model::Desired &file, model::Overrides overrides) {
                return model::set_drained(file, std::move(overrides), id_, deadline);
            }));
    }

    api::Response enable() { return set_enabled(true); }
    api::Response disable() { return set_enabled(false); }

    api::Response weigh()
    {
        const auto known = only_fields(body_, {"weight"});
        const auto weight = number_field(body_, "weight", 0, model::kWeightMax);
        if (!known || !weight) {
            return failure(400, !known ? known.error().message : weight.error().message);
        }
        if (!*weight) {
            return failure(400, "the body lacks 'weight', a whole number");
        }
        const auto number = static_cast<uint32_t>(**weight);
        return answer(edit("backend weight",
                           "weight " + std::to_string(number) + (number == 0 ? ": drains" : ""),
                           [&](const model::Desired &file, model::Overrides overrides) {
                               return model::set_weight(file, std::move(overrides), id_,
                                                        number);
                           }));
    }

  private:
    [[nodiscard]] std::string state() const
    {
        const json shown = render_backend(instance_, id_);
        return shown.is_null() ? "" : shown["state"].get<std::string>();
    }

    api::Response set_enabled(bool enabled)
    {
        if (const auto known = only_fields(body_, {}); !known) {
            return failure(400, known.error().message);
        }
        return answer(edit(enabled ? "backend enable" : "backend disable",
                           enabled ? "enabled" : "disabled, its connections cut",
                           [&](const model::Desired &file, model::Overrides overrides) {
                               return model::set_enabled(file, std::move(overrides), id_,
                                                         enabled);
                           }));
    }

    std::expected<Change, Refusal> edit(const std::string &cause, const std::string &what,
                                        const OverrideEdit &make)
    {
        return instance_.override_backends(cause, name_ + " " + what, make);
    }

    // With what is known of the drain, if there is one now.
    api::Response answer(const std::expected<Change, Refusal> &change)
    {
        auto response = changed(instance_, change);
        if (change) {
            const json shown = render_backend(instance_, id_);
            response.body["state"] = shown.is_null() ? json() : shown["state"];
            response.body["drain"] = shown.is_null() ? json() : shown["drain"];
        }
        return response;
    }

    Instance &instance_;
    const json &body_;
    model::BackendId id_;
    std::string name_;
};

}  // namespace

api::Response add_backend(Instance &instance, const json &body)
{
    const auto known = only_fields(body, {"pool", "name", "address", "weight"});
    const auto pool = text_field(body, "pool");
    const auto name = text_field(body, "name");
    const auto address_text = text_field(body, "address");
    const auto weight = number_field(body, "weight", 0, model::kWeightMax);
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
    const auto weight_number = static_cast<uint32_t>(weight->value_or(model::kWeightDefault));
    return changed(instance, instance.override_backends(
                                 "backend add", "backend " + *pool + "/" + *name + " added",
                                 [&](const model::Desired &file, model::Overrides overrides) {
                                     return model::add_backend(file, std::move(overrides),
                                                               {*pool, *name}, *address,
                                                               weight_number);
                                 }));
}

api::Response backend_route(Instance &instance, const api::Request &request)
{
    using Answer = api::Response (BackendRoute::*)();
    static const std::map<std::string, std::map<std::string, Answer>> answers = {
        {"", {{"GET", &BackendRoute::show}, {"DELETE", &BackendRoute::remove}}},
        {"drain", {{"POST", &BackendRoute::drain}}},
        {"enable", {{"POST", &BackendRoute::enable}}},
        {"disable", {{"POST", &BackendRoute::disable}}},
        {"weight", {{"POST", &BackendRoute::weigh}}},
    };
    const auto &path = request.path;
    const bool is_verb = path.size() == 5 && !path[4].empty();
    const auto methods =
        path.size() == 4 || is_verb ? answers.find(is_verb ? path[4] : "") : answers.end();
    if (methods == answers.end()) {
        return no_such_path(request);
    }
    const auto answer = methods->second.find(request.method);
    if (answer == methods->second.end()) {
        return wrong_method(request);
    }
    return (BackendRoute(instance, request).*answer->second)();
}

}  // namespace guideway::daemon
