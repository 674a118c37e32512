// guideway-dpdk: the DPDK engine of one instance, a process of its own.
#include <fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/dpdk/eal.hpp"
#include "dataplane/dpdk/engine.hpp"
#include "dataplane/dpdk/options.hpp"
#include "dataplane/dpdk/page_file.hpp"

namespace guideway::dpdk {
namespace {

// `text` between quotes of JSON; bytes that are not ASCII become '?'.
std::string json_text(std::string_view text)
{
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (c >= ' ' && c < 0x7f) {
            quoted += c;
        } else {
            quoted += c == '\n' ? "\\n" : "?";
        }
    }
    return quoted + '"';
}

// The lines that guidewayd writes.
class JsonLines : public spdlog::formatter {
  public:
    void format(const spdlog::details::log_msg &message, spdlog::memory_buf_t &to) override
    {
        using namespace std::chrono;
        const auto since_epoch = message.time.time_since_epoch();
        const auto millis = duration_cast<milliseconds>(since_epoch).count() % 1000;
        const auto level = spdlog::level::to_string_view(message.level);
        const std::string line = fmt::format(
            "{{\"time\":\"{:%Y-%m-%dT%H:%M:%S}.{:03}Z\",\"level\":{},\"message\":{},\"pid\":{}}"
            "}\n",
            fmt::gmtime(system_clock::to_time_t(message.time)), millis,
            json_text({level.data(), level.size()}),
            json_text({message.payload.data(), message.payload.size()}), getpid());
        to.append(line.data(), line.data() + line.size());
    }

    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override
    {
        return std::make_unique<JsonLines>();
    }
};

void set_up_logging(const Options &options)
{
    spdlog::set_default_logger(spdlog::stderr_color_mt("guideway-dpdk"));
    spdlog::set_level(spdlog::level::from_str(options.log_level));
    spdlog::flush_on(spdlog::level::info);
    if (options.log_format == LogFormat::kJson) {
        spdlog::set_formatter(std::make_unique<JsonLines>());
    } else {
        spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-7l%$ %v");
    }
}

void add_options(CLI::App &app, Options &options)
{
    app.set_version_flag("--version", GUIDEWAY_VERSION);
    app.add_option("--instance", options.instance, "Name of the instance whose tables are used")
        ->required();
    app.add_option("--port", options.port_texts,
                   "A port: the interface that the kernel calls it by, and DPDK's device, such "
                   "as eth0=net_af_packet or dpdk0=0000:01:00.0; once for each port")
        ->required()
        ->option_text("INTERFACE=DEVARGS")
        ->allow_extra_args(false);
    app.add_option("--workers", options.workers, "Threads that forward packets")
        ->capture_default_str();
    app.add_option("--cores", options.cores_text,
                   "CPUs that the workers are bound to, one each, such as 2,3; by default they "
                   "are not bound");
    app.add_option("--queues", options.queues,
                   "Receive queues of each port; by default as many as workers, where the port "
                   "has them")
        ->check(CLI::PositiveNumber);
    app.add_option("--memory", options.memory_mib, "MiB of memory for packet buffers")
        ->capture_default_str();
    app.add_option("--hugepages", options.hugepages,
                   "auto: where enough are free; require: or do not start; off: never")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, Hugepages>{{"auto", Hugepages::kAuto},
                                             {"require", Hugepages::kRequire},
                                             {"off", Hugepages::kOff}}))
        ->option_text("auto|require|off [auto]");
    app.add_option(
           "--idle", options.idle,
           "What a worker without packets does: sleep, up to 100 us at a time, or poll, "
           "which takes a whole CPU")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, Idle>{{"sleep", Idle::kSleep}, {"poll", Idle::kPoll}}))
        ->option_text("sleep|poll [sleep]");
    app.add_option("--run-dir", options.run_directory, "Where INSTANCE.dpdk is made")
        ->capture_default_str();
    app.add_option("--bpffs", options.bpf_directory,
                   "Where bpffs is mounted; the tables are pinned there by guidewayd")
        ->capture_default_str();
    app.add_option("--log-format", options.log_format, "text, or json: one object a line")
        ->transform(CLI::CheckedTransformer(std::map<std::string, LogFormat>{
            {"text", LogFormat::kText}, {"json", LogFormat::kJson}}))
        ->option_text("text|json [text]");
    app.add_option("--log-level", options.log_level,
                   "Least severity that is logged; debug shows what DPDK says")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
        ->capture_default_str();
}

std::string arguments_text(int argc, char **argv)
{
    std::string text;
    for (int i = 1; i < argc; i++) {
        text += (i == 1 ? "" : "\n") + std::string(argv[i]);
    }
    return text;
}

int main(int argc, char **argv)
{
    Options options;
    CLI::App app(
        "The DPDK engine of a Guideway instance: forwards packets by the tables that guidewayd "
        "keeps. SIGTERM ends it; the tables stay, and so do the taps that it has made.");
    add_options(app, options);
    CLI11_PARSE(app, argc, argv);

    set_up_logging(options);
    block_signals();
    take_over_dpdk_log(spdlog::should_log(spdlog::level::debug));
    if (auto completed = complete(options); !completed) {
        spdlog::error("{}", completed.error().message);
        return 1;
    }
    auto page = PageFile::open(options.page_path(), options.instance);
    if (!page) {
        spdlog::error("{}", page.error().message);
        return 1;
    }
    page->update([&](EnginePage &of) {
        put_text(of.build, GUIDEWAY_VERSION);
        put_text(of.arguments, arguments_text(argc, argv));
    });
    const auto ended = run_engine(options, *page);
    page->update([&](EnginePage &of) {
        of.state = ended ? EngineState::kEnded : EngineState::kFailed;
        put_text(of.message, ended ? "" : ended.error().message);
    });
    if (!ended) {
        spdlog::error("{}", ended.error().message);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace guideway::dpdk

int main(int argc, char **argv)
{
    return guideway::dpdk::main(argc, argv);
}
