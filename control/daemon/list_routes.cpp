#include "control/daemon/list_routes.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "control/daemon/fields.hpp"
#include "control/model/validate.hpp"

namespace guideway::daemon {
namespace {

using model::ListId;
using model::ListKind;
using model::PolicyEntry;
using model::PolicyLists;
using nlohmann::json;

constexpr size_t kPageDefault = 1000;
constexpr size_t kPageMax = 5000;  // some milliseconds of the event loop
constexpr size_t kSourceBytesMax = 1024;

json time_or_null(int64_t time)
{
    return time == 0 ? json() : json(model::utc_text(time));
}

json render(const PolicyLists::Match &match)
{
    return {{"prefix", match.entry.prefix.to_string()},
            {"list", match.list.name},
            {"reason", match.entry.reason},
            {"until", time_or_null(match.entry.until)}};
}

json render_with_kind(const PolicyLists::Match &match)
{
    json entry = render(match);
    entry["kind"] = to_string(match.list.kind);
    return entry;
}

// One request about one of the two kinds.
class ListRoute {
  public:
    ListRoute(Instance &instance, const api::Request &request)
        : instance_(instance),
          request_(request),
          kind_(request.path[1] == "deny" ? ListKind::kDeny : ListKind::kAllow)
    {
    }

    api::Response answer()
    {
        const size_t depth = request_.path.size();
        const std::string room = depth > 2 ? request_.path[2] : "";
        if (room == "entries" && depth == 3) {
            return request_.method == "GET"    ? entries()
                   : request_.method == "POST" ? add()
                                               : wrong_method(request_);
        }
        if (room == "entries" && depth == 4) {
            return request_.method == "DELETE" ? remove() : wrong_method(request_);
        }
        if (room == "lists" && depth == 3) {
            return request_.method == "GET" ? lists() : wrong_method(request_);
        }
        if (room == "lists" && depth == 4) {
            return request_.method == "PUT"      ? load()
                   : request_.method == "DELETE" ? clear()
                                                 : wrong_method(request_);
        }
        if (room == "test" && depth == 4) {
            return request_.method == "GET" ? test() : wrong_method(request_);
        }
        return no_such_path(request_);
    }

  private:
    [[nodiscard]] const PolicyLists &all() const { return instance_.lists().lists(); }

    // The parameters of the query that are in `known`; others are complained of.
    Result<std::map<std::string, std::string>> query(std::initializer_list<const char *> known)
    {
        for (const auto &[name, value] : request_.query) {
            if (std::ranges::find(known, name) == known.end()) {
                return fail("the query has an unknown parameter '" + name + "'");
            }
        }
        return request_.query;
    }

    Result<size_t> page_size(const std::map<std::string, std::string> &given)
    {
        const auto at = given.find("limit");
        if (at == given.end()) {
            return kPageDefault;
        }
        const std::string &text = at->second;
        size_t size = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
        if (error != std::errc() || end != text.data() + text.size() || size == 0 ||
            size > kPageMax) {
            return fail("'limit' is not a whole number from 1 to " + std::to_string(kPageMax));
        }
        return size;
    }

    api::Response entries()
    {
        const auto given = query({"limit", "after", "list", "covering"});
        const auto size = given ? page_size(*given) : std::unexpected(given.error());
        if (!size) {
            return failure(400, size.error().message);
        }
        std::map<std::string, model::Prefix> prefixes;
        for (const auto *name : {"after", "covering"}) {
            if (given->contains(name)) {
                const auto prefix = model::parse_source_prefix(given->at(name));
                if (!prefix) {
                    return failure(400, prefix.error().message);
                }
                prefixes[name] = *prefix;
            }
        }
        const std::string list = given->contains("list") ? given->at("list") : "";
        json body = {{"kind", to_string(kind_)},
                     {"total", all().size(kind_)},
                     {"next", nullptr},
                     {"entries", json::array()}};
        if (prefixes.contains("covering")) {
            for (const auto &match : all().covering(prefixes["covering"])) {
                if (match.list.kind == kind_ && (list.empty() || match.list.name == list)) {
                    body["entries"].push_back(render(match));
                }
            }
            return {200, std::move(body)};
        }
        const auto page = all().page(
            kind_, list,
            prefixes.contains("after") ? std::optional(prefixes["after"]) : std::nullopt,
            *size + 1);
        // One more than asked for says that there are more; no prefix is parted.
        size_t end = page.size();
        if (page.size() > *size) {
            end = *size;
            while (end < page.size() && page[end].entry.prefix == page[end - 1].entry.prefix) {
                end++;
            }
        }
        for (size_t i = 0; i < end; i++) {
            body["entries"].push_back(render(page[i]));
        }
        if (end < page.size()) {
            body["next"] = page[end - 1].entry.prefix.to_string();
        }
        return {200, std::move(body)};
    }

    // Fields that are not there, or null, are empty.
    static Result<std::string> optional_text(const json &body, const char *name)
    {
        const auto at = body.find(name);
        return at == body.end() || at->is_null() ? std::string() : text_field(body, name);
    }

    // Of an entry or of a file's entries.
    struct Note {
        std::string reason;
        int64_t until = 0;
    };
    static Result<Note> note(const std::string &reason, const std::string &time)
    {
        auto good = model::parse_reason(reason);
        const auto until =
            time.empty() ? Result<int64_t>(0) : model::parse_until(time, unix_now());
        if (!good || !until) {
            return std::unexpected(!good ? good.error() : until.error());
        }
        return Note{std::move(*good), *until};
    }

    api::Response add()
    {
        const json &body = request_.body;
        const auto known = only_fields(body, {"prefix", "reason", "for"});
        const auto text = text_field(body, "prefix");
        const auto reason = optional_text(body, "reason");
        const auto time = optional_text(body, "for");
        if (!known || !text || !reason || !time) {
            return failure(400, (!known    ? known.error()
                                 : !text   ? text.error()
                                 : !reason ? reason.error()
                                           : time.error())
                                    .message);
        }
        const auto prefix = model::parse_source_prefix(*text);
        auto noted = note(*reason, *time);
        if (!prefix || !noted) {
            return failure(400, (!prefix ? prefix.error() : noted.error()).message);
        }
        const PolicyEntry entry{
            .prefix = *prefix, .until = noted->until, .reason = std::move(noted->reason)};
        return later([this_kind = kind_, entry](Lists &lists, Lists::Reply reply) {
            lists.add(this_kind, entry, std::move(reply));
        });
    }

    api::Response remove()
    {
        const auto prefix = model::parse_source_prefix(request_.path[3]);
        if (!prefix) {
            return failure(400, prefix.error().message);
        }
        return later([kind = kind_, prefix = *prefix](Lists &lists, Lists::Reply reply) {
            lists.remove(kind, prefix, std::move(reply));
        });
    }

    api::Response lists()
    {
        json shown = json::array();
        for (const auto &[id, list] : all().lists()) {
            if (id.kind != kind_) {
                continue;
            }
            shown.push_back({{"name", id.name},
                             {"entries", list->entries().size()},
                             {"source", list->source()},
                             {"loaded", time_or_null(list->loaded_at())},
                             {"next_end", time_or_null(list->next_end())}});
        }
        json body = {{"kind", to_string(kind_)},
                     {"entries", all().size(kind_)},
                     {"lists", std::move(shown)},
                     {"prefixes", nullptr}};
        if (instance_.serving()) {
            // Of both kinds: each prefix takes its place once.
            body["prefixes"] = {
                {"used", instance_.lists().prefixes_in_force()},
                {"max", instance_.fast_path().tables().capacity().prefixes_max}};
        }
        return {200, std::move(body)};
    }

    Result<ListId> list_id() const
    {
        auto name = model::parse_list_name(request_.path[3]);
        if (!name) {
            return std::unexpected(std::move(name.error()));
        }
        return ListId{kind_, std::move(*name)};
    }

    api::Response load()
    {
        auto id = list_id();
        auto given = query({"source", "reason", "for"});
        if (!id || !given) {
            return failure(400, (!id ? id.error() : given.error()).message);
        }
        if (id->name == model::kSingleEntries) {
            return failure(409, "the list '" + id->name +
                                    "' has the entries that are added one by one; load the "
                                    "file into a list of another name");
        }
        auto noted = note((*given)["reason"], (*given)["for"]);
        if (!noted) {
            return failure(400, noted.error().message);
        }
        if ((*given)["source"].size() > kSourceBytesMax) {
            return failure(
                400, "'source' has more than " + std::to_string(kSourceBytesMax) + " bytes");
        }
        auto file = std::make_shared<Lists::File>(
            Lists::File{.id = std::move(*id),
                        .source = (*given)["source"].empty() ? "the file" : (*given)["source"],
                        .text = request_.text,
                        .reason = std::move(noted->reason),
                        .until = noted->until});
        return later([file](Lists &lists, Lists::Reply reply) {
            lists.load(std::move(*file), std::move(reply));
        });
    }

    api::Response clear()
    {
        const auto id = list_id();
        if (!id) {
            return failure(400, id.error().message);
        }
        return later([id = *id](Lists &lists, Lists::Reply reply) {
            lists.clear(id, std::move(reply));
        });
    }

    // What becomes of a source, whichever of the kinds is asked.
    api::Response test()
    {
        const auto address = model::IpAddress::parse(request_.path[3]);
        if (!address) {
            return failure(400, model::quoted(request_.path[3]) + " is not an IP address");
        }
        const auto matches = all().covering({*address, address->bits()});
        json also = json::array();
        for (size_t i = 1; i < matches.size(); i++) {
            also.push_back(render_with_kind(matches[i]));
        }
        return {200,
                {{"address", address->to_string()},
                 {"verdict",
                  matches.empty() ? json("none") : json(to_string(matches.front().list.kind))},
                 {"entry", matches.empty() ? json() : render_with_kind(matches.front())},
                 {"also", std::move(also)},
                 {"in_force", instance_.serving() && instance_.lists().problem().empty()}}};
    }

    // The answer comes when the change is in force.
    api::Response later(std::function<void(Lists &, Lists::Reply)> begin)
    {
        api::Response response;
        response.later = [&lists = instance_.lists(),
                          begin = std::move(begin)](api::Response::Reply reply) {
            begin(lists, [reply = std::move(reply)](
                             const std::expected<Lists::Change, Refusal> &done) {
                if (!done) {
                    reply(refused(done.error()));
                    return;
                }
                reply({200,
                       {{"changed", done->changed},
                        {"summary", done->summary},
                        {"entries", done->entries},
                        {"duplicates", done->duplicates}}});
            });
            return nullptr;
        };
        return response;
    }

    Instance &instance_;
    const api::Request &request_;
    ListKind kind_;
};

}  // namespace

api::Response list_route(Instance &instance, const api::Request &request)
{
    return ListRoute(instance, request).answer();
}

bool takes_list_file(const api::Request &request)
{
    return request.method == "PUT" && request.path.size() == 4 && request.path[0] == "v1" &&
           (request.path[1] == "deny" || request.path[1] == "allow") &&
           request.path[2] == "lists";
}

}  // namespace guideway::daemon
