#include "tools/guideway/list_verbs.hpp"

#include <fmt/format.h>

#include <iostream>

#include "tools/guideway/input.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

// What the daemon takes.
constexpr size_t kListBytesMax = size_t{32} << 20;
// A load waits for other changes of the lists.
constexpr auto kLoadTimeout = std::chrono::minutes(2);
constexpr const char *kDefaultList = "default";

// How far a load is, on one line of a terminal that is gone when it is done.
class ProgressLine {
  public:
    ProgressLine(std::ostream &err, bool enabled) : err_(err), enabled_(enabled) {}
    ProgressLine(const ProgressLine &) = delete;
    ProgressLine &operator=(const ProgressLine &) = delete;
    ~ProgressLine()
    {
        if (is_shown_) {
            err_ << "\r\x1b[K" << std::flush;
        }
    }

    void sent(size_t bytes, size_t of)
    {
        const std::string line =
            bytes < of ? fmt::format("sent {} of {}", bytes_text(bytes), bytes_text(of))
                       : "building";
        if (enabled_ && line != last_) {
            err_ << "\r\x1b[K" << line << std::flush;
            last_ = line;
            is_shown_ = true;
        }
    }

  private:
    std::ostream &err_;
    bool enabled_;
    bool is_shown_ = false;
    std::string last_;
};

// One verb at work, of one of the two kinds.
class ListVerb {
  public:
    ListVerb(std::string kind, const Options &options, const Streams &streams)
        : kind_(std::move(kind)), root_("/v1/" + kind_), options_(options), streams_(streams)
    {
    }

    Outcome<void> run(const std::string &verb)
    {
        if (verb == "add") {
            return add();
        }
        if (verb == "remove") {
            return ask("DELETE", root_ + "/entries/" + path_segment(options_.prefix), nullptr,
                       "remove " + options_.prefix, list_change_view);
        }
        if (verb == "list") {
            return list();
        }
        if (verb == "load") {
            return load();
        }
        if (verb == "lists") {
            return ask("GET", root_ + "/lists", nullptr, "show the lists", lists_view);
        }
        if (verb == "clear") {
            return ask("DELETE", root_ + "/lists/" + path_segment(options_.list), nullptr,
                       "clear list " + options_.list, list_change_view);
        }
        return ask("GET", root_ + "/test/" + path_segment(options_.address), nullptr,
                   "test " + options_.address, list_test_view);
    }

  private:
    using View = std::string (*)(const json &, bool);

    Outcome<void> show(const Outcome<json> &answer, View view)
    {
        if (!answer) {
            return std::unexpected(answer.error());
        }
        streams_.out << (options_.json
                             ? answer->dump(2, ' ', false, json::error_handler_t::replace) +
                                   "\n"
                             : view(*answer, streams_.colours));
        return {};
    }

    Outcome<void> ask(const std::string &method, const std::string &target, const json &body,
                      const std::string &attempted, View view)
    {
        const auto socket = find_socket(options_.socket);
        if (!socket) {
            return std::unexpected(socket.error());
        }
        return show(Client(*socket).ask(method, target, body, attempted), view);
    }

    // "?name=value&…" of those that are not empty.
    static std::string query(std::initializer_list<std::pair<const char *, std::string>> all)
    {
        std::string text;
        for (const auto &[name, value] : all) {
            if (!value.empty()) {
                text +=
                    (text.empty() ? "?" : "&") + std::string(name) + "=" + path_segment(value);
            }
        }
        return text;
    }

    Outcome<void> add()
    {
        json body = {{"prefix", options_.prefix}};
        if (!options_.reason.empty()) {
            body["reason"] = options_.reason;
        }
        if (!options_.time.empty()) {
            body["for"] = options_.time;
        }
        return ask("POST", root_ + "/entries", body, "add " + options_.prefix,
                   list_change_view);
    }

    Outcome<void> list()
    {
        return ask(
            "GET",
            root_ + "/entries" +
                query({{"list", options_.list},
                       {"covering", options_.prefix},
                       {"after", options_.after},
                       {"limit", options_.limit == 0 ? "" : std::to_string(options_.limit)}}),
            nullptr, "list entries", list_entries_view);
    }

    Outcome<void> load()
    {
        const auto text = read_input({.file = options_.file,
                                      .noun = "list",
                                      .bytes_max = kListBytesMax,
                                      .must_be_whole = true},
                                     streams_.in);
        if (!text) {
            return std::unexpected(text.error());
        }
        const auto socket = find_socket(options_.socket);
        if (!socket) {
            return std::unexpected(socket.error());
        }
        const std::string name = options_.list.empty() ? kDefaultList : options_.list;
        const std::string target =
            root_ + "/lists/" + path_segment(name) +
            query({{"source", options_.file == "-" ? "standard input" : options_.file},
                   {"reason", options_.reason},
                   {"for", options_.time}});
        return show(send(*socket, target, *text), list_change_view);
    }

    // The progress line is gone when this returns.
    Outcome<json> send(const std::string &socket, const std::string &target,
                       const std::string &text)
    {
        ProgressLine progress(streams_.err, streams_.progress);
        return Client(socket, kLoadTimeout)
            .send_text("PUT", target, text, "load " + options_.file,
                       [&progress, of = text.size()](size_t sent) { progress.sent(sent, of); });
    }

    std::string kind_;
    std::string root_;
    const Options &options_;
    const Streams &streams_;
};

}  // namespace

Outcome<void> list_verb(const std::string &verb, const Options &options, const Streams &streams)
{
    const auto space = verb.find(' ');
    return ListVerb(verb.substr(0, space), options, streams).run(verb.substr(space + 1));
}

}  // namespace guideway::cli
