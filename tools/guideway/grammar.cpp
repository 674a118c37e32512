#include "tools/guideway/grammar.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "control/model/desired.hpp"
#include "control/model/policy_list.hpp"
#include "control/model/validate.hpp"
#include "tools/guideway/app.hpp"

namespace guideway::cli {
namespace {

std::string check_backend_name(const std::string &text)
{
    const auto slash = text.find('/');
    const bool good = slash != text.npos && slash > 0 && slash + 1 < text.size() &&
                      text.find('/', slash + 1) == text.npos;
    return good ? "" : "'" + text + "' is not of the form POOL/NAME, such as gateways/gw-a";
}

CLI::Validator whole_number(int64_t least, int64_t most)
{
    const auto check = [least, most](const std::string &text) {
        int64_t value = 0;
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), value);
        const bool good = error == std::errc() && end == text.data() + text.size() &&
                          value >= least && value <= most;
        return good
                   ? ""
                   : fmt::format("'{}' is not a whole number from {} to {}", text, least, most);
    };
    return {check, ""};
}

std::string check_deadline(const std::string &text)
{
    const auto deadline = model::parse_deadline(text, 0);
    return deadline ? "" : deadline.error().message;
}

std::string check_prefix(const std::string &text)
{
    const auto prefix = model::parse_source_prefix(text);
    return prefix ? "" : prefix.error().message;
}

std::string check_until(const std::string &text)
{
    const auto until = model::parse_until(text, 0);
    return until ? "" : until.error().message;
}

CLI::Option *add_backend_name(CLI::App &app, Options &options)
{
    return app.add_option("BACKEND", options.backend, "the backend as POOL/NAME")
        ->required()
        ->type_name("POOL/NAME")
        ->check(CLI::Validator(check_backend_name, ""));
}

CLI::Option *add_file(CLI::App &app, Options &options)
{
    return app.add_option("FILE", options.file, "the configuration; - reads standard input")
        ->required()
        ->type_name("");
}

void add_configuration_verbs(CLI::App &app, Options &options)
{
    CLI::App *check =
        app.add_subcommand("check", "Check a configuration file without applying it");
    add_file(*check, options);
    check->add_flag("--on-host", options.on_host,
                    "have the daemon check it too: interfaces, local addresses, and what "
                    "would change");

    CLI::App *apply = app.add_subcommand("apply", "Put a configuration file in force");
    add_file(*apply, options);
    apply->add_flag("--reset-overrides", options.reset_overrides,
                    "drop what was changed with 'backend' since");
    apply
        ->add_option("--if-revision", options.if_revision,
                     "refuse unless this revision is in force now")
        ->type_name("N")
        ->check(whole_number(0, std::numeric_limits<int64_t>::max()));

    app.add_subcommand("export", "Print the effective configuration: file and overrides");
}

void add_service_verbs(CLI::App &app, Options &options)
{
    CLI::App *service = app.add_subcommand("service", "Look at services");
    service->require_subcommand(1);
    service->add_subcommand("list", "List all services");
    service->add_subcommand("show", "Show one service with its backends' shares")
        ->add_option("NAME", options.service, "the service")
        ->required()
        ->type_name("");
}

void add_backend_verbs(CLI::App &app, Options &options)
{
    const auto weights = whole_number(0, model::kWeightMax);
    CLI::App *backend = app.add_subcommand("backend", "Look at backends, and change them");
    backend->require_subcommand(1);
    backend->add_subcommand("list", "List all backends with state and next hop");

    CLI::App *add = backend->add_subcommand("add", "Add a backend to a pool");
    add_backend_name(*add, options);
    add->add_option("ADDRESS", options.address, "its IPv4 or IPv6 address")
        ->required()
        ->type_name("");
    add->add_option("--weight", options.weight,
                    fmt::format("its share relative to the others; {} if not given",
                                model::kWeightDefault))
        ->type_name("N")
        ->check(weights);

    CLI::App *drain = backend->add_subcommand(
        "drain", "Give a backend no new connections; it keeps those it has");
    add_backend_name(*drain, options);
    drain
        ->add_option("--deadline", options.deadline,
                     "when to cut the connections that are left, as 10m from now or as "
                     "2026-01-31T12:00:00Z; without it never, whatever was set before")
        ->type_name("T")
        ->check(CLI::Validator(check_deadline, ""));
    drain->add_flag(
        "--wait", options.wait,
        "end when no connection is left, and tell of the progress; the drain goes on "
        "if this is interrupted");

    CLI::App *remove = backend->add_subcommand(
        "remove", "Remove a backend: it drains, and is gone when no connection is left");
    add_backend_name(*remove, options);
    remove->add_flag("--now", options.now,
                     "cut its connections at once, also those of one that was removed before");
    add_backend_name(*backend->add_subcommand(
                         "enable", "Enable a backend again that was disabled or drained"),
                     options);
    add_backend_name(
        *backend->add_subcommand("disable",
                                 "Take a backend out without removing it: its connections are "
                                 "cut at once; 'drain' keeps them"),
        options);

    CLI::App *weight = backend->add_subcommand("weight", "Change a backend's weight");
    add_backend_name(*weight, options);
    weight->add_option("N", options.weight, "the weight; 0 drains the backend")
        ->required()
        ->type_name("")
        ->check(weights);
}

// The same for deny and allow.
void add_list_verbs(CLI::App &app, Options &options, const std::string &kind,
                    const std::string &denies)
{
    CLI::App *lists = app.add_subcommand(
        kind, (kind == "deny" ? "Stop sources: the longest prefix that covers one decides"
                              : "Exempt sources from deny lists and limits"));
    lists->require_subcommand(1);
    const auto add_prefix = [&](CLI::App &verb) {
        verb.add_option("PREFIX", options.prefix,
                        "203.0.113.0/24 or 2001:db8::/48, or an address alone")
            ->required()
            ->type_name("")
            ->check(CLI::Validator(check_prefix, ""));
    };
    const auto add_note = [&](CLI::App &verb, const std::string &whose) {
        verb.add_option("--reason", options.reason, "why, in one line" + whose)
            ->type_name("TEXT");
        verb.add_option("--for", options.time,
                        "when it ends, as 1h from now or as 2026-01-31T12:00:00Z; without it "
                        "never")
            ->type_name("T")
            ->check(CLI::Validator(check_until, ""));
    };

    CLI::App *add = lists->add_subcommand(
        "add", denies + " one prefix; of one that is there, change reason and end");
    add_prefix(*add);
    add_note(*add, "");
    add_prefix(*lists->add_subcommand("remove", "Take a prefix off every " + kind + " list"));

    CLI::App *list = lists->add_subcommand("list", "List entries by their prefixes");
    list->add_option("--covering", options.prefix,
                     "only those that cover this address or prefix, the longest first")
        ->type_name("PREFIX")
        ->check(CLI::Validator(check_prefix, ""));
    list->add_option("--list", options.list, "only those of this list")->type_name("NAME");
    list->add_option("--after", options.after, "begin after this prefix")
        ->type_name("PREFIX")
        ->check(CLI::Validator(check_prefix, ""));
    list->add_option("--limit", options.limit, "at most so many; 1000 if not given")
        ->type_name("N")
        ->check(whole_number(1, 5000));

    CLI::App *load = lists->add_subcommand(
        "load",
        "Load a file, a prefix a line, in place of what its list has; or nothing of it");
    load->add_option("FILE", options.file, "the file; - reads standard input")
        ->required()
        ->type_name("");
    load->add_option("--list", options.list, "the list's name; default if not given")
        ->type_name("NAME");
    add_note(*load, ", of those that have none in the file");

    lists->add_subcommand("lists", "Show the lists, and how full the tables are");
    lists->add_subcommand("clear", "Remove a whole list; manual has the single entries")
        ->add_option("--list", options.list, "its name")
        ->required()
        ->type_name("NAME");
    lists->add_subcommand("test", "Say what becomes of a source, and by which entry")
        ->add_option("ADDRESS", options.address, "the source")
        ->required()
        ->type_name("");
}

void add_limit_verbs(CLI::App &app, Options &options)
{
    CLI::App *limit = app.add_subcommand("limit", "Look at limits, and at who exceeds them");
    limit->require_subcommand(1);
    limit->add_subcommand("list", "List all limits, and how many sources exceed each now");
    limit->add_subcommand("show", "Show one limit, and the sources that exceed it now")
        ->add_option(
            "NAME", options.limit_name,
            "the limit as 'limit list' has it: SERVICE/NAME, or the name of one of the "
            "whole instance")
        ->required()
        ->type_name("");

    CLI::App *top = limit->add_subcommand(
        "top", "Watch for some seconds which sources send most, limited or not");
    top->add_option("--seconds", options.seconds, "for how long; 5 if not given")
        ->type_name("N")
        ->check(whole_number(1, 20));
    top->add_option("--by", options.by, "what to sort by; packets if not given")
        ->type_name("")
        ->check(CLI::IsMember({"packets", "bytes", "connections"}));
    top->add_option("--count", options.count, "show so many sources; 20 if not given")
        ->type_name("N")
        ->check(whole_number(1, 1000));
}

void add_replay_verb(CLI::App &app, Options &options)
{
    auto &replay = options.replay;
    CLI::App *verb = app.add_subcommand(
        "replay",
        "Send a packet capture through a configuration, without a daemon or a network");
    verb->add_option("CAPTURE", replay.capture,
                     "pcap or pcapng, compressed by gzip or not; - reads standard input")
        ->required()
        ->type_name("");
    add_file(*verb, options);
    verb->add_option("--engine", replay.engine,
                     "what runs the packet logic: native, dpdk, or as root xdp, in the kernel; "
                     "native if not given")
        ->type_name("ENGINE")
        ->check(CLI::IsMember({"native", "xdp", "dpdk"}));
    CLI::Option *out =
        verb->add_option("--out", replay.out, "write what leaves to this file, as pcap")
            ->type_name("PATH");
    CLI::Option *explain =
        verb->add_option("--explain", replay.explain,
                         "tell the story of this packet, the first being 1, in place of the "
                         "report")
            ->type_name("N")
            ->check(whole_number(1, std::numeric_limits<int64_t>::max()))
            ->excludes(out);
    CLI::Option *compare =
        verb->add_option("--compare", replay.compare,
                         "show which flows this other configuration would treat differently, "
                         "and why")
            ->type_name("FILE")
            ->excludes(explain);
    CLI::Option *compare_with =
        verb->add_option("--compare-with", replay.compare_with,
                         "show which flows this program, the guideway of another build, would "
                         "treat differently")
            ->type_name("PROGRAM")
            ->excludes(explain)
            ->excludes(compare);
    verb->add_option("--list", replay.list,
                     "of a comparison, list so many flows; 20 if not given")
        ->type_name("N")
        ->check(whole_number(0, 1'000'000));
    verb->add_option("--flows", replay.flows,
                     "write what became of each flow to this file, a JSON object a line; - in "
                     "place of the report to standard output")
        ->type_name("PATH")
        ->excludes(explain)
        ->excludes(compare)
        ->excludes(compare_with);
    verb->add_option("--flows-max", replay.flows_max,
                     "tell so many flows apart, at 160 bytes of memory each; 1048576 if not "
                     "given")
        ->type_name("N")
        ->check(whole_number(1, 268'435'456));
    verb->add_option("--mtu", replay.mtu,
                     "of the made-up next hops to the backends; 1500 if not given")
        ->type_name("BYTES")
        ->check(whole_number(1280, 65535));
}

std::string footer()
{
    std::string text = "Every verb takes --json and --socket.\n\nExit codes:\n";
    for (const auto &[code, meaning] : exit_meanings()) {
        text += fmt::format("  {}  {}\n", code, meaning);
    }
    text.pop_back();
    return text;
}

}  // namespace

std::unique_ptr<CLI::App> make_grammar(Options &options)
{
    auto app = std::make_unique<CLI::App>("Speaks to guidewayd, the load balancer's daemon.",
                                          "guideway");
    app->require_subcommand(1);
    app->fallthrough();
    app->footer(footer());
    app->add_option("--socket", options.socket,
                    "the daemon's socket; if not given, the only one in /run/guideway")
        ->type_name("PATH")
        ->envname("GUIDEWAY_SOCKET");
    app->add_flag("--json", options.json, "print the API's answer, for programs");
    app->set_version_flag("--version", std::string("guideway ") + GUIDEWAY_VERSION,
                          "print the version of this program and end");

    app->add_subcommand("status", "Show what the daemon does, and what is wrong");
    add_configuration_verbs(*app, options);
    add_service_verbs(*app, options);
    add_backend_verbs(*app, options);
    add_list_verbs(*app, options, "deny", "Deny");
    add_list_verbs(*app, options, "allow", "Allow");
    add_limit_verbs(*app, options);
    add_replay_verb(*app, options);

    CLI::App *counters =
        app->add_subcommand("counters", "Show packets by reason, service and backend");
    CLI::Option *all = counters->add_flag("--all", options.all, "what is zero, too");
    counters->add_flag("--nonzero", options.nonzero, "only what is not zero (the default)")
        ->excludes(all);

    app->add_subcommand("connections",
                        "Show how slots and remembered connections stand, by service and "
                        "backend")
        ->add_option("SERVICE", options.service, "only this one")
        ->type_name("");

    app->add_subcommand("health", "Show what health checks find, by pool and backend");
    app->add_subcommand("watch", "Print events as they happen, until interrupted")
        ->add_option("--since", options.since,
                     "begin after the event of this number; 0 for all that are kept")
        ->type_name("N")
        ->check(whole_number(0, std::numeric_limits<int64_t>::max()));
    app->add_subcommand("history", "Print the events that are remembered, the newest last")
        ->add_option("--limit", options.limit, "at most so many; 100 if not given")
        ->type_name("N")
        ->check(whole_number(1, 10'000));

    app->add_subcommand("version", "Show the versions of this program and of the daemon");
    app->add_subcommand("detach",
                        "Remove the XDP program and its tables, and end the daemon: services "
                        "stop being forwarded");
    app->add_subcommand("completion", "Print a completion script for a shell")
        ->add_option("SHELL", options.shell, "bash, zsh or fish")
        ->required()
        ->type_name("")
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    // For the build: an empty group keeps it out of help and completion.
    CLI::App *man = app->add_subcommand("man", "Print the manual page")->group("");
    man->add_flag("--daemon", options.daemon, "of guidewayd, whose help is read from stdin");
    man->add_flag("--engine", options.engine, "of guideway-dpdk, the same way");
    return app;
}

std::string chosen_verb(const CLI::App &app)
{
    std::string verb;
    for (const CLI::App *at = &app; !at->get_subcommands().empty();) {
        at = at->get_subcommands().front();
        verb += (verb.empty() ? "" : " ") + at->get_name();
    }
    return verb;
}

}  // namespace guideway::cli
