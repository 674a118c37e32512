// guidewayd: the control daemon of one instance.
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "control/api/server.hpp"
#include "control/config/config.hpp"
#include "control/daemon/engine.hpp"
#include "control/daemon/instance.hpp"
#include "control/daemon/list_routes.hpp"
#include "control/daemon/logging.hpp"
#include "control/daemon/routes.hpp"
#include "control/model/validate.hpp"
#include "xdp/fast_path.hpp"

namespace guideway::daemon {
namespace {

struct Options {
    std::string instance;
    std::string config;
    std::filesystem::path state_directory = "/var/lib/guideway";
    std::filesystem::path run_directory = "/run/guideway";
    std::filesystem::path bpf_directory = "/sys/fs/bpf";
    std::filesystem::path dpdk_program = engine_program();
    LogFormat log_format = LogFormat::kText;
    std::string log_level = "info";
    bool detach = false;
};

struct ConfigFile {
    std::string name;
    std::string text;
};

Result<ConfigFile> read_config(const std::string &name)
{
    std::ifstream file(name, std::ios::binary);
    if (!file) {
        return std::unexpected(Error::system("open", name));
    }
    ConfigFile config{name, {std::istreambuf_iterator<char>(file), {}}};
    if (file.bad()) {
        return std::unexpected(Error::system("read", name));
    }
    return config;
}

// All that is wrong with a configuration, in one text with a line each.
std::string problems_text(const std::vector<config::Problem> &problems)
{
    std::string text;
    for (const auto &problem : problems) {
        text += (text.empty() ? "" : "\n") + problem.to_string();
    }
    return text;
}

// Without --instance: the one the file is for, or the only one that has state here.
Result<std::string> instance_name(const Options &options, const ConfigFile *config)
{
    if (!options.instance.empty()) {
        if (!model::is_instance_name(options.instance)) {
            return fail("'" + options.instance + "' cannot be the name of an instance: " +
                        std::string(model::kInstanceNameRule));
        }
        return options.instance;
    }
    if (config != nullptr) {
        auto document = config::parse(config->name, config->text);
        if (!document) {
            return fail(problems_text(document.error()));
        }
        return document->desired.instance;
    }
    std::vector<std::string> names;
    std::error_code ignored;  // a missing directory holds no instances
    for (const auto &entry :
         std::filesystem::directory_iterator(options.state_directory, ignored)) {
        if (entry.path().extension() == ".db") {
            names.push_back(entry.path().stem());
        }
    }
    if (names.size() == 1) {
        return names.front();
    }
    return fail(
        (names.empty() ? "no instance has state in " : "several instances have state in ") +
        options.state_directory.string() + "; name one with --instance" +
        (names.empty() ? " or give a first configuration with --config" : ""));
}

// The first configuration of an instance that has none in force.
Result<void> apply_first(Instance &instance, const ConfigFile &config)
{
    if (instance.serving()) {
        spdlog::info(
            "starting from revision {}; {} is for the first start, or the first after a "
            "detach: "
            "'guideway apply' changes what is in force",
            instance.revision(), config.name);
        return {};
    }
    auto applied = instance.apply({.file = config.name,
                                   .text = config.text,
                                   .reset_overrides = false,
                                   .if_revision = {}});
    if (!applied) {
        const std::string problems = problems_text(applied.error().problems);
        return fail(problems.empty() ? applied.error().error : problems);
    }
    return {};
}

EnginePlace place_of_engine(const Options &options)
{
    return {.program = options.dpdk_program,
            .run_directory = options.run_directory,
            .bpf_mount = options.bpf_directory,
            .log_format = options.log_format == LogFormat::kJson ? "json" : "text",
            .log_level = options.log_level};
}

// For an instance whose daemon is gone, or is of a build that cannot adopt its tables.
Result<void> detach_without_daemon(const Options &options, const std::string &name)
{
    auto detached = remove_fast_path(options.bpf_directory / "guideway" / name);
    if (!detached) {
        return std::unexpected(std::move(detached.error()));
    }
    std::string interfaces;
    for (const auto &interface : *detached) {
        interfaces += " " + interface;
    }
    spdlog::info("instance {} is detached from{}", name,
                 interfaces.empty() ? " nothing: it was on no interface" : interfaces);
    boost::asio::io_context loop(1);
    Engine(loop, place_of_engine(options), name,
           {.record = [](auto) {}, .begins = [] {}, .changed = [] {}})
        .end_left_over();
    return {};
}

Result<void> run(const Options &options)
{
    std::optional<ConfigFile> config;
    if (!options.config.empty()) {
        auto file = read_config(options.config);
        if (!file) {
            return std::unexpected(std::move(file.error()));
        }
        config = std::move(*file);
    }
    auto name = instance_name(options, config ? &*config : nullptr);
    if (!name) {
        return std::unexpected(std::move(name.error()));
    }

    if (options.detach) {
        return detach_without_daemon(options, *name);
    }

    boost::asio::io_context loop(1);
    std::unique_ptr<Instance> instance;
    std::unique_ptr<api::Server> server;
    const auto stop = [&] { server->drain([&] { loop.stop(); }); };

    // The socket first: it is what refuses a second daemon before anything is touched.
    // Requests are read only once the loop runs.
    api::Handler handler;
    auto listening = api::Server::start(
        loop, options.run_directory / (*name + ".sock"),
        [&handler](const api::Request &request) { return handler(request); }, {},
        takes_list_file);
    if (!listening) {
        return std::unexpected(std::move(listening.error()));
    }
    server = std::move(*listening);

    auto started = Instance::start(loop,
                                   {.name = *name,
                                    .state_directory = options.state_directory,
                                    .bpf_directory = options.bpf_directory / "guideway",
                                    .engine = place_of_engine(options)},
                                   config.has_value());
    if (!started) {
        return std::unexpected(std::move(started.error()));
    }
    instance = std::move(*started);
    handler = make_handler(*instance, stop);
    if (config) {
        if (auto applied = apply_first(*instance, *config); !applied) {
            return applied;
        }
    }

    boost::asio::signal_set signals(loop, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code &error, int signal) {
        if (!error) {
            spdlog::info("ending on signal {}; the fast path goes on forwarding", signal);
            loop.stop();
        }
    });
    spdlog::info("guidewayd {} is ready: instance {}, API on {}", GUIDEWAY_VERSION, *name,
                 (options.run_directory / (*name + ".sock")).string());
    loop.run();
    server.reset();
    return {};
}

// A probe is a socket, and every backend may be probed at once.
void allow_many_sockets()
{
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        spdlog::warn("{}", Error::system("read", "the limit of open files").message);
        return;
    }
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        spdlog::warn("{}", Error::system("raise", "the limit of open files").message);
    }
}

int main(int argc, char **argv)
{
    Options options;
    CLI::App app(
        "The control daemon of a Guideway instance. SIGTERM ends it and leaves the "
        "fast path forwarding; 'guideway detach' removes the fast path.");
    app.set_version_flag("--version", GUIDEWAY_VERSION);
    app.add_option("--instance", options.instance,
                   "Name of the instance; by default the one --config is for, or the only one "
                   "with state");
    app.add_option(
        "--config", options.config,
        "Configuration for the first start, or the first after a detach; other starts "
        "go on from what was applied last");
    app.add_flag("--detach", options.detach,
                 "Remove the fast path that the instance has left in the kernel, and end; for "
                 "when no daemon runs that 'guideway detach' could ask");
    app.add_option("--state-dir", options.state_directory, "Where INSTANCE.db is kept")
        ->capture_default_str();
    app.add_option("--run-dir", options.run_directory, "Where INSTANCE.sock is made")
        ->capture_default_str();
    app.add_option("--bpffs", options.bpf_directory, "Where bpffs is, or is to be, mounted")
        ->capture_default_str();
    app.add_option("--dpdk-program", options.dpdk_program,
                   "The program of engine dpdk; by default the one beside this")
        ->option_text("TEXT");
    app.add_option("--log-format", options.log_format, "text, or json: one object a line")
        ->transform(CLI::CheckedTransformer(std::map<std::string, LogFormat>{
            {"text", LogFormat::kText}, {"json", LogFormat::kJson}}))
        ->option_text("text|json [text]");
    app.add_option("--log-level", options.log_level, "Least severity that is logged")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    set_up_logging(options.log_format, options.log_level);
    allow_many_sockets();
    if (auto ended = run(options); !ended) {
        spdlog::error("{}", ended.error().message);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace guideway::daemon

int main(int argc, char **argv)
{
    return guideway::daemon::main(argc, argv);
}
