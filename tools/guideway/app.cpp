#include "tools/guideway/app.hpp"

#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <map>
#include <utility>

#include "control/config/config.hpp"
#include "tools/guideway/generate.hpp"
#include "tools/guideway/grammar.hpp"
#include "tools/guideway/input.hpp"
#include "tools/guideway/list_verbs.hpp"
#include "tools/guideway/patient.hpp"
#include "tools/guideway/problems.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"
#include "tools/replay/verb.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

// What the daemon takes, less what JSON adds to it.
constexpr size_t kFileBytesMax = size_t{4} << 20;

// One verb at work. Each member prints its result to `streams.out`.
class Session {
  public:
    Session(const Options &options, const Streams &streams, const CLI::App &app)
        : options_(options), streams_(streams), app_(app)
    {
    }

    Outcome<void> run(const std::string &verb);

  private:
    using View = std::function<std::string(const json &)>;

    [[nodiscard]] Outcome<std::string> read_file() const;
    [[nodiscard]] Outcome<json> ask(const std::string &method, const std::string &target,
                                    const json &body, const std::string &attempted) const;
    void print(const json &body, const View &view) const;
    // Asks, and prints the answer as JSON or by `view`.
    Outcome<void> show(const std::string &target, const std::string &attempted,
                       const View &view) const;
    Outcome<void> change(const std::string &method, const std::string &target, const json &body,
                         const std::string &attempted) const;

    Outcome<void> check() const;
    Outcome<void> check_by_daemon(const std::string &text) const;
    Outcome<void> apply() const;
    Outcome<void> backend(const std::string &verb) const;
    Outcome<void> drain(const std::string &target) const;
    Outcome<void> watch_events() const;
    Outcome<void> version() const;
    Outcome<void> detach() const;

    // A view that also wants to know about colours.
    [[nodiscard]] View with_colours(std::string (*view)(const json &, bool)) const
    {
        return [view, colours = streams_.colours](const json &body) {
            return view(body, colours);
        };
    }

    const Options &options_;
    const Streams &streams_;
    const CLI::App &app_;
};

std::string dump(const json &body)
{
    return body.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Outcome<std::string> Session::read_file() const
{
    return read_input(
        {.file = options_.file, .noun = "configuration", .bytes_max = kFileBytesMax},
        streams_.in);
}

Outcome<json> Session::ask(const std::string &method, const std::string &target,
                           const json &body, const std::string &attempted) const
{
    const auto socket = find_socket(options_.socket);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    return Client(*socket).ask(method, target, body, attempted);
}

void Session::print(const json &body, const View &view) const
{
    streams_.out << (options_.json ? dump(body) : view(body));
}

Outcome<void> Session::show(const std::string &target, const std::string &attempted,
                            const View &view) const
{
    const auto body = ask("GET", target, nullptr, attempted);
    if (!body) {
        return std::unexpected(body.error());
    }
    print(*body, view);
    return {};
}

Outcome<void> Session::change(const std::string &method, const std::string &target,
                              const json &body, const std::string &attempted) const
{
    const auto answer = ask(method, target, body, attempted);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    print(*answer, with_colours(change_view));
    return {};
}

Outcome<void> Session::check() const
{
    const auto text = read_file();
    if (!text) {
        return std::unexpected(text.error());
    }
    const auto document = config::parse(options_.file, *text);
    if (!document) {
        return std::unexpected(refused(options_.file, document.error()));
    }
    if (options_.on_host) {
        return check_by_daemon(*text);
    }
    size_t backends = 0;
    for (const auto &pool : document->desired.pools) {
        backends += pool.backends.size();
    }
    const std::string summary = fmt::format(
        "{}, {} in {}", count_text(document->desired.services.size(), "service"),
        count_text(backends, "backend"), count_text(document->desired.pools.size(), "pool"));
    print({{"ok", true}, {"summary", summary}}, [&](const json &) {
        return fmt::format("{} is good: {}\n", printable(options_.file), summary);
    });
    return {};
}

Outcome<void> Session::check_by_daemon(const std::string &text) const
{
    const auto answer = ask("POST", "/v1/check", {{"file", options_.file}, {"text", text}},
                            "check " + options_.file);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    print(*answer, [&](const json &body) {
        return fmt::format("{} is good on this host: {}\n", printable(options_.file),
                           printable(body.value("summary", "")));
    });
    return {};
}

Outcome<void> Session::apply() const
{
    const auto text = read_file();
    if (!text) {
        return std::unexpected(text.error());
    }
    json body = {{"file", options_.file},
                 {"text", *text},
                 {"reset_overrides", options_.reset_overrides}};
    if (options_.if_revision) {
        body["if_revision"] = *options_.if_revision;
    }
    return change("POST", "/v1/apply", body, "apply " + options_.file);
}

Outcome<void> Session::backend(const std::string &verb) const
{
    const auto slash = options_.backend.find('/');
    const std::string pool = options_.backend.substr(0, slash);
    const std::string name = options_.backend.substr(slash + 1);
    if (verb == "add") {
        json body = {{"pool", pool}, {"name", name}, {"address", options_.address}};
        if (options_.weight) {
            body["weight"] = *options_.weight;
        }
        return change("POST", "/v1/backends", body, "add backend " + options_.backend);
    }
    const std::string target = "/v1/backends/" + path_segment(pool) + "/" + path_segment(name);
    const std::string attempted = verb + " backend " + options_.backend;
    if (verb == "drain") {
        return drain(target);
    }
    if (verb == "remove") {
        return change("DELETE", target, options_.now ? json{{"now", true}} : json(), attempted);
    }
    if (verb == "weight") {
        return change("POST", target + "/weight", {{"weight", *options_.weight}},
                      "change the weight of backend " + options_.backend);
    }
    return change("POST", target + "/" + verb, nullptr, attempted);
}

Outcome<void> Session::drain(const std::string &target) const
{
    const json body =
        options_.deadline.empty() ? json() : json{{"deadline", options_.deadline}};
    auto answer = ask("POST", target + "/drain", body, "drain backend " + options_.backend);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    if (!options_.wait) {
        print(*answer, with_colours(change_view));
        return {};
    }
    if (!options_.json) {
        print(*answer, with_colours(change_view));
        streams_.out.flush();
    }
    const auto socket = find_socket(options_.socket);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto last = wait_for_drain(PatientClient(Client(*socket), streams_.err), target,
                                     options_.backend, streams_);
    if (!last) {
        return std::unexpected(last.error());
    }
    (*answer)["drain"] = *last;
    if (options_.json) {
        print(*answer, nullptr);
    }
    return {};
}

Outcome<void> Session::watch_events() const
{
    const auto socket = find_socket(options_.socket);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    return watch(PatientClient(Client(*socket), streams_.err), options_.since, options_.json,
                 streams_);
}

// Knowing one's own version needs no daemon.
Outcome<void> Session::version() const
{
    const auto daemon = ask("GET", "/v1/version", nullptr, "ask for the daemon's version");
    json body = {{"guideway", GUIDEWAY_VERSION}, {"guidewayd", daemon ? *daemon : json()}};
    print(body, [&](const json &) {
        std::string text = fmt::format("guideway   {}\n", GUIDEWAY_VERSION);
        if (daemon) {
            text += fmt::format("guidewayd  {} (API {}, pid {})\n",
                                printable(daemon->value("version", "?")),
                                daemon->value("api", 0), daemon->value("pid", 0));
        } else {
            text +=
                fmt::format("guidewayd  not reached: {}\n", printable(daemon.error().message));
        }
        return text;
    });
    return {};
}

Outcome<void> Session::detach() const
{
    const auto answer =
        ask("POST", "/v1/detach", nullptr, "remove the XDP program from its interfaces");
    if (!answer) {
        return std::unexpected(answer.error());
    }
    print(*answer, [](const json &body) {
        std::string names;
        for (const auto &name : body.value("detached", json::array())) {
            names += (names.empty() ? "" : ", ") +
                     (name.is_string() ? name.get<std::string>() : name.dump());
        }
        return names.empty() ? "nothing was attached; guidewayd is ending\n"
                             : "detached from " + printable(names) +
                                   "; services are not forwarded any more, and guidewayd is "
                                   "ending\n";
    });
    return {};
}

Outcome<void> Session::run(const std::string &verb)
{
    if (verb.starts_with("backend ") && verb != "backend list") {
        return backend(verb.substr(verb.find(' ') + 1));
    }
    if (verb.starts_with("deny ") || verb.starts_with("allow ")) {
        return list_verb(verb, options_, streams_);
    }
    if (verb == "replay") {
        return replay_verb(options_, streams_);
    }
    const std::map<std::string, std::function<Outcome<void>()>> verbs = {
        {"status",
         [&] { return show("/v1/status", "show the status", with_colours(status_view)); }},
        {"check", [&] { return check(); }},
        {"apply", [&] { return apply(); }},
        {"export",
         [&] {
             return show("/v1/export", "export the configuration",
                         [](const json &body) { return body.value("text", ""); });
         }},
        {"service list",
         [&] { return show("/v1/services", "list services", with_colours(services_view)); }},
        {"service show",
         [&] {
             return show("/v1/services/" + path_segment(options_.service),
                         "show service " + options_.service, with_colours(service_view));
         }},
        {"backend list",
         [&] { return show("/v1/backends", "list backends", with_colours(backends_view)); }},
        {"counters",
         [&] {
             return show("/v1/counters", "show counters", [&](const json &body) {
                 return counters_view(body, options_.all, streams_.colours);
             });
         }},
        {"connections",
         [&] {
             const std::string of =
                 options_.service.empty() ? "" : "/" + path_segment(options_.service);
             return show("/v1/connections" + of, "show connections",
                         with_colours(connections_view));
         }},
        {"health",
         [&] { return show("/v1/health", "show health", with_colours(health_view)); }},
        {"limit list",
         [&] { return show("/v1/limits", "list limits", with_colours(limits_view)); }},
        {"limit show",
         [&] {
             return show("/v1/limits/" + path_segments(options_.limit_name),
                         "show limit " + options_.limit_name, with_colours(limit_view));
         }},
        {"limit top",
         [&] {
             return show(fmt::format("/v1/limits/top?seconds={}&by={}&count={}",
                                     options_.seconds, options_.by, options_.count),
                         "see who sends most", with_colours(top_view));
         }},
        {"watch", [&] { return watch_events(); }},
        {"history",
         [&] {
             const uint32_t limit = options_.limit == 0 ? 100 : options_.limit;
             return show("/v1/history?limit=" + std::to_string(limit), "show the history",
                         with_colours(history_view));
         }},
        {"version", [&] { return version(); }},
        {"detach", [&] { return detach(); }},
        {"completion",
         [&]() -> Outcome<void> {
             streams_.out << completion_script(app_, options_.shell);
             return {};
         }},
        {"man", [&]() -> Outcome<void> {
             const auto help = [&] {
                 return std::string{std::istreambuf_iterator<char>(streams_.in), {}};
             };
             streams_.out << (options_.daemon   ? daemon_manual_page(help())
                              : options_.engine ? engine_manual_page(help())
                                                : manual_page(app_));
             return {};
         }}};
    return verbs.at(verb)();
}

// A failure as one line, after the problems that it stands for.
void report(const Failure &failure, bool as_json, const Streams &streams)
{
    if (as_json) {
        streams.out << dump(failure.body.is_null() ? json{{"error", failure.message}}
                                                   : failure.body);
    } else if (const auto problems = failure.body.find("problems");
               problems != failure.body.end() && problems->is_array()) {
        for (const auto &problem : *problems) {
            streams.err << problem_view(problem) << "\n";
        }
    }
    streams.err << "guideway: " << printable(failure.message) << "\n";
}

// CLI11's errors in words that name what was typed.
std::string usage_error(const CLI::App &app, const CLI::ParseError &error)
{
    const CLI::App *deepest = &app;
    while (!deepest->get_subcommands().empty()) {
        deepest = deepest->get_subcommands().front();
    }
    std::string verbs;
    for (const CLI::App *verb : deepest->get_subcommands(
             [](const CLI::App *candidate) { return !candidate->get_group().empty(); })) {
        verbs += (verbs.empty() ? "" : ", ") + verb->get_name();
    }
    const auto words = app.remaining(true);
    for (const auto &word : words) {
        if (!verbs.empty() && !word.starts_with('-')) {
            return "there is no verb '" + word + "' here; verbs are " + verbs;
        }
    }
    if (!words.empty()) {
        return (words.front().starts_with('-') ? "there is no option '" : "unexpected word '") +
               words.front() + "' here";
    }
    std::string said = error.what();
    if (!verbs.empty() && dynamic_cast<const CLI::RequiredError *>(&error) != nullptr) {
        return "a verb is missing; verbs are " + verbs;
    }
    if (dynamic_cast<const CLI::ArgumentMismatch *>(&error) != nullptr) {
        return said.substr(0, said.find(':')) + " needs a value";
    }
    return said;
}

}  // namespace

const std::vector<ExitMeaning> &exit_meanings()
{
    static const std::vector<ExitMeaning> meanings = {
        {static_cast<int>(Exit::kOk), "done"},
        {static_cast<int>(Exit::kFailed),
         "refused or failed; nothing was changed unless the error says so"},
        {static_cast<int>(Exit::kUsage), "the command line is wrong"},
        {static_cast<int>(Exit::kUnreachable),
         "the daemon cannot be reached: not running, no permission, or several to choose from"},
        {static_cast<int>(Exit::kNotUnderstood),
         "the daemon is of another version, or what answers is not guidewayd"},
        {static_cast<int>(Exit::kDamaged),
         "replay: the capture is damaged; what could be read of it was replayed"}};
    return meanings;
}

Exit run(const std::vector<std::string> &arguments, const Streams &streams)
{
    Options options;
    const auto app = make_grammar(options);
    try {
        app->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::Success &asked) {  // help or version
        app->exit(asked, streams.out, streams.err);
        return Exit::kOk;
    } catch (const CLI::ParseError &error) {
        const std::string verb = chosen_verb(*app);
        streams.err << "guideway: " << printable(usage_error(*app, error)) << "; see 'guideway "
                    << (verb.empty() ? "" : verb + " ") << "--help'\n";
        return Exit::kUsage;
    }
    const auto done = Session(options, streams, *app).run(chosen_verb(*app));
    if (!done) {
        report(done.error(), options.json, streams);
        return done.error().exit;
    }
    streams.out.flush();
    if (!streams.out) {
        streams.err << "guideway: cannot write the result to standard output\n";
        return Exit::kFailed;
    }
    return Exit::kOk;
}

}  // namespace guideway::cli
