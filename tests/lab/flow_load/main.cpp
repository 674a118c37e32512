// A client for labs that holds many flows open while the fleet changes, and says what broke.
// Bounded in time whatever happens.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "tests/lab/flow_load/flows.hpp"

namespace {

using namespace lab;

void add_common(CLI::App &app, RunOptions &options)
{
    app.add_option("target", options.targets, "ADDRESS:PORT, such as [2001:db8::1]:80")
        ->required();
    app.add_option("--flows", options.flows, "how many, spread over the targets")
        ->capture_default_str()
        ->check(CLI::Range(1, 40000));
    app.add_option("--opening", options.opening, "how many are being opened at once")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    app.add_option("--patience-ms", options.patience_ms, "time for one step of a flow")
        ->capture_default_str()
        ->check(CLI::Range(1, 600000));
    app.add_option("--duration", options.duration_s, "seconds after which the run ends")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 3600.0));
    app.add_option("--ready", options.ready, "file to make once all flows are open");
    app.add_option("--until", options.until, "end the run when this file appears");
}

// A descriptor a flow.
void allow_many_files()
{
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max = std::max<rlim_t>(limit.rlim_max, 65536);
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char **argv)
{
    RunOptions options;
    DownloadOptions download_options;
    TalkOptions talk_options;
    ReuseOptions reuse_options;
    DatagramOptions datagram_options;
    CLI::App app{
        "Holds flows open and prints as JSON what became of them.\n"
        "Exit status: 0 all went well, 1 some broke, 2 and above: bad arguments."};
    app.require_subcommand(1);

    auto *download_verb = app.add_subcommand("download", "slow downloads, every byte compared");
    add_common(*download_verb, options);
    download_verb->add_option("--path", download_options.path, "what to ask for")
        ->capture_default_str();
    download_verb->add_option("--expect", download_options.expect, "a copy of what is there")
        ->required();
    download_verb->add_option("--bytes", download_options.bytes, "of each download")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 30));
    download_verb
        ->add_option("--rate", download_options.rate, "bytes a second that each one reads")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 30));

    auto *talk_verb =
        app.add_subcommand("talk", "connections that stay and ask the same gateway again");
    add_common(*talk_verb, options);
    talk_verb->add_option("--every-ms", talk_options.every_ms, "silence before each packet")
        ->capture_default_str()
        ->check(CLI::Range(1, 600000));
    talk_verb->add_option("--pieces", talk_options.pieces, "packets a request is sent in")
        ->capture_default_str()
        ->check(CLI::Range(1, 60));

    auto *reuse_verb = app.add_subcommand(
        "reuse", "ports used again after FIN, RST, and an end without a word, by turns");
    add_common(*reuse_verb, options);
    reuse_verb->add_option("--first-port", reuse_options.first_port, "of the source ports")
        ->capture_default_str()
        ->check(CLI::Range(1024, 60000));
    reuse_verb->add_option("--every-ms", reuse_options.every_ms, "pause between two uses")
        ->capture_default_str()
        ->check(CLI::Range(1, 600000));

    auto *datagrams_verb =
        app.add_subcommand("datagrams", "numbered UDP packets, and the answers to them");
    add_common(*datagrams_verb, options);
    datagrams_verb->add_option("--rate", datagram_options.rate, "packets a second in all")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000000));
    CLI11_PARSE(app, argc, argv);

    allow_many_files();
    Run run(options);
    nlohmann::json datagrams;
    bool understood = false;
    if (download_verb->parsed()) {
        understood = download(run, download_options);
    } else if (talk_verb->parsed()) {
        understood = talk(run, talk_options);
    } else if (reuse_verb->parsed()) {
        understood = reuse(run, reuse_options);
    } else {
        understood = send_datagrams(run, datagram_options, datagrams);
    }
    if (!understood) {
        return 2;
    }
    nlohmann::json report = run.report();
    if (!datagrams.is_null()) {
        report.update(datagrams);
    }
    std::cout << report.dump(2) << "\n";
    return run.went_well() ? 0 : 1;
}
