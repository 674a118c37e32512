#include "control/daemon/limit_routes.hpp"

#include <optional>
#include <utility>

#include "control/daemon/fields.hpp"
#include "control/daemon/render_limits.hpp"

namespace guideway::daemon {
namespace {

std::optional<TopBy> top_by(const std::string &text)
{
    for (const TopBy by : {TopBy::kPackets, TopBy::kBytes, TopBy::kConnections}) {
        if (text == name_of(by)) {
            return by;
        }
    }
    return std::nullopt;
}

api::Response one(const Instance &instance, const std::string &service, const std::string &name)
{
    auto limit = render_limit(instance, service, name);
    if (limit.is_null()) {
        return failure(404, "there is no limit '" + full_limit_name(service, name) +
                                "'; see 'guideway limit list'");
    }
    return {200, std::move(limit)};
}

// The answer comes when packets have been watched for so long.
api::Response top(Instance &instance, const api::Request &request)
{
    constexpr int64_t kSeconds = 5;
    constexpr int64_t kSecondsMax = 20;
    constexpr int64_t kCount = 20;
    api::Request rest = request;
    const auto asked = rest.query.extract("by");
    const auto by = asked ? top_by(asked.mapped()) : TopBy::kPackets;
    Parameter seconds{"seconds", kSeconds, kSecondsMax};
    Parameter count{"count", kCount, static_cast<int64_t>(Sight::kRowsMax)};
    if (auto good = read_query(rest, {&seconds, &count}); !good) {
        return failure(400, good.error().message);
    }
    if (!by) {
        return failure(400, "'by' is none of packets, bytes and connections");
    }
    if (seconds.value == 0 || count.value == 0) {
        return failure(400, "'seconds' and 'count' are at least 1");
    }
    if (!instance.serving()) {
        return failure(409, "no configuration is applied yet");
    }
    api::Response response;
    response.later = [&instance, seconds = std::chrono::seconds(seconds.value), by = *by,
                      count = static_cast<size_t>(count.value)](api::Response::Reply reply) {
        auto ticket =
            instance.sight().watch(seconds, by, count, [by, reply](Result<Sight::Top> seen) {
                reply(seen ? api::Response{200, render_top(*seen, by)}
                           : failure(409, seen.error().message));
            });
        if (!ticket) {
            reply(failure(503, "already " + std::to_string(Sight::kWatchesMax) +
                                   " clients watch who sends most; wait until one of them has "
                                   "its answer"));
        }
        return ticket;
    };
    return response;
}

}  // namespace

api::Response limit_route(Instance &instance, const api::Request &request)
{
    const auto &path = request.path;
    if (path.size() > 4) {
        return no_such_path(request);
    }
    if (request.method != "GET") {
        return wrong_method(request);
    }
    if (path.size() == 2) {
        return {200, {{"limits", render_limits(instance)}}};
    }
    if (path.size() == 4) {
        return one(instance, path[2], path[3]);
    }
    return path[2] == "top" ? top(instance, request) : one(instance, "", path[2]);
}

}  // namespace guideway::daemon
