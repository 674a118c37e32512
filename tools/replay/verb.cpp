#include "tools/replay/verb.hpp"

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <iostream>

#include "dataplane/replay/writer.hpp"
#include "tools/guideway/input.hpp"
#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/replay/compare.hpp"
#include "tools/replay/explain.hpp"
#include "tools/replay/flows.hpp"
#include "tools/replay/other_build.hpp"
#include "tools/replay/outputs.hpp"
#include "tools/replay/progress.hpp"
#include "tools/replay/report.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

constexpr size_t kConfigurationBytesMax = size_t{4} << 20;

Failure failed(std::string message)
{
    return {.exit = Exit::kFailed, .message = std::move(message), .body = {}};
}

// How far a build came in the capture: "100 packets of it, damaged in packet 101".
std::string reach_text(const json &capture)
{
    std::string reach = count_text(number(capture, "packets"), "packet") + " of it";
    if (const json &damage = member(capture, "damage"); damage.is_object()) {
        reach += fmt::format(", damaged in packet {}", count(damage, "packet"));
    }
    return reach;
}

// Zeros in place of what was not captured stay at the end of what keeps its length; an answer
// quotes only the beginning.
size_t missing_bytes(const replay::Frame &frame, const replay::Ran &ran)
{
    return ran.decision.reason == GW_REASON_TOO_BIG ? 0 : frame.missing_bytes;
}

class ReplayVerb {
  public:
    ReplayVerb(const Options &options, const Streams &streams)
        : options_(options), asked_(options.replay), streams_(streams)
    {
    }

    Outcome<void> run();

  private:
    [[nodiscard]] Outcome<std::unique_ptr<World>> world_of(const std::string &file) const;
    [[nodiscard]] Outcome<void> check_files() const;
    [[nodiscard]] Outcome<void> open_outputs();
    // Runs the whole capture.
    [[nodiscard]] Outcome<void> go();
    [[nodiscard]] Outcome<void> step(const replay::Frame &frame);
    [[nodiscard]] json report() const;
    [[nodiscard]] Outcome<void> explain();
    [[nodiscard]] json comparison_report(const Comparison &comparison) const;
    [[nodiscard]] Outcome<void> compare() const;
    [[nodiscard]] Outcome<void> compare_builds() const;
    [[nodiscard]] Outcome<void> print_flows();
    // As JSON or as text.
    void print(const json &body, const std::string &text) const;
    // Prints it, and fails where the capture was damaged.
    [[nodiscard]] Outcome<void> finish(const json &body, const std::string &text) const;
    // `capture` as capture_json() has it.
    [[nodiscard]] Outcome<void> finish_damaged(const json &capture) const;

    const Options &options_;
    const ReplayOptions &asked_;
    const Streams &streams_;
    std::vector<std::unique_ptr<World>> worlds_;
    std::optional<replay::Frames> frames_;
    std::optional<replay::Tally> tally_;
    std::optional<replay::CaptureWriter> out_;
    std::optional<replay::NewFile> flows_file_;
    std::vector<replay::Ran> ran_;
    double seconds_ = 0;
};

Outcome<std::unique_ptr<World>> ReplayVerb::world_of(const std::string &file) const
{
    const auto text =
        read_input({.file = file, .noun = "configuration", .bytes_max = kConfigurationBytesMax},
                   streams_.in);
    if (!text) {
        return std::unexpected(text.error());
    }
    return World::make(file, *text,
                       {.engine = engine_kind(asked_.engine).value_or(EngineKind::kNative),
                        .mtu_bytes = asked_.mtu});
}

Outcome<void> ReplayVerb::check_files() const
{
    const NamedFile inputs[] = {
        {.path = asked_.capture, .noun = "the capture that is read"},
        {.path = options_.file, .noun = "the configuration that is read"},
        {.path = asked_.compare, .noun = "the configuration that is compared"}};
    const std::string flows = asked_.flows == "-" ? "" : asked_.flows;
    const auto unfinished = [](const std::string &path) {
        const std::string written = path.empty() ? path : replay::written_for(path).string();
        return written == path ? "" : written;
    };
    const NamedFile outputs[] = {
        {.path = asked_.out, .noun = "the file of --out"},
        {.path = unfinished(asked_.out), .noun = "the file of --out while it is written"},
        {.path = flows, .noun = "the file of --flows"},
        {.path = unfinished(flows), .noun = "the file of --flows while it is written"}};
    return check_outputs(inputs, outputs);
}

Outcome<void> ReplayVerb::open_outputs()
{
    if (!asked_.out.empty()) {
        auto out = replay::CaptureWriter::create(asked_.out);
        if (!out) {
            return std::unexpected(failed(std::move(out.error().message)));
        }
        out_.emplace(std::move(*out));
    }
    if (!asked_.flows.empty() && asked_.flows != "-") {
        auto file = replay::NewFile::create(asked_.flows);
        if (!file) {
            return std::unexpected(failed(std::move(file.error().message)));
        }
        flows_file_.emplace(std::move(*file));
    }
    return {};
}

Outcome<void> ReplayVerb::step(const replay::Frame &frame)
{
    if (frame.unusable != replay::Unusable::kNo) {
        return {};
    }
    ran_.clear();
    for (const auto &world : worlds_) {
        auto ran = world->engine().run(frame.bytes, frame.now_ns);
        if (!ran) {
            return std::unexpected(failed(std::move(
                std::move(ran.error())
                    .within(fmt::format("packet {} of {}", frame.packet.number, asked_.capture))
                    .message)));
        }
        ran_.push_back(*ran);
    }
    tally_->add(frame, ran_);
    if (out_ && replay::leaves(ran_.front().decision.verdict)) {
        if (auto written = out_->write(frame.packet.timestamp_ns, ran_.front().frame,
                                       missing_bytes(frame, ran_.front()));
            !written) {
            return std::unexpected(failed(std::move(written.error().message)));
        }
    }
    return {};
}

Outcome<void> ReplayVerb::go()
{
    const auto begin = std::chrono::steady_clock::now();
    ReplayProgress progress(streams_.err, streams_.progress);
    while (const auto frame = frames_->next()) {
        if (auto done = step(*frame); !done) {
            return done;
        }
        progress.show(*frames_);
    }
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (out_) {
        if (auto written = out_->finish(); !written) {
            return std::unexpected(failed(std::move(written.error().message)));
        }
    }
    return {};
}

json ReplayVerb::report() const
{
    const auto packets = static_cast<double>(tally_->decisions(0).packets);
    json report = {{"capture", capture_json(asked_.capture, *frames_)},
                   {"engine", worlds_.front()->engine().name()},
                   {"run",
                    {{"seconds", seconds_},
                     {"packets_per_second", seconds_ > 0 ? json(packets / seconds_) : json()}}},
                   {"result", world_json(*worlds_.front(), *tally_, 0)},
                   {"out", nullptr}};
    if (out_) {
        report["out"] = {{"file", asked_.out}, {"packets", out_->packets()}};
    }
    return report;
}

void ReplayVerb::print(const json &body, const std::string &text) const
{
    streams_.out << (options_.json
                         ? body.dump(2, ' ', false, json::error_handler_t::replace) + "\n"
                         : text)
                 << std::flush;
}

Outcome<void> ReplayVerb::finish_damaged(const json &capture) const
{
    if (capture.at("damage").is_null()) {
        return {};
    }
    return std::unexpected(
        Failure{.exit = Exit::kDamaged, .message = damage_text(capture), .body = {}});
}

Outcome<void> ReplayVerb::finish(const json &body, const std::string &text) const
{
    auto damaged = finish_damaged(body.at("capture"));
    if (damaged || !options_.json) {
        print(body, text);
    } else {
        damaged.error().body = body;  // is printed with the failure
    }
    return damaged;
}

// Up to the packet that is asked for, and no further.
Outcome<void> ReplayVerb::explain()
{
    ReplayProgress progress(streams_.err, streams_.progress);
    while (const auto frame = frames_->next()) {
        if (frame->packet.number != *asked_.explain) {
            if (auto done = step(*frame); !done) {
                return done;
            }
            progress.show(*frames_);
            continue;
        }
        Story story(*worlds_.front(), *frame);
        if (auto done = step(*frame); !done) {
            return done;
        }
        progress.clear();
        const json body = story.tell(asked_.capture, *frames_, *tally_,
                                     ran_.empty() ? nullptr : &ran_.front());
        print(body, story_view(body, streams_.colours));
        return {};
    }
    const auto &counts = frames_->counts();
    return std::unexpected(
        failed(fmt::format("there is no packet {}: {} has {}{}", *asked_.explain,
                           asked_.capture, count_text(counts.packets, "packet"),
                           frames_->reader().damage() ? ", as far as it can be read" : "")));
}

json ReplayVerb::comparison_report(const Comparison &comparison) const
{
    return {{"capture", capture_json(asked_.capture, *frames_)},
            {"engine", worlds_.front()->engine().name()},
            {"first", worlds_.front()->file()},
            {"comparison", comparison.to_json()}};
}

Outcome<void> ReplayVerb::compare() const
{
    Comparison comparison(asked_.list, &worlds_[0]->desired(), &worlds_[1]->desired());
    const auto &flows = tally_->flows();
    for (uint32_t i = 0; i < flows.flows().size(); i++) {
        comparison.add(flow_result(*worlds_[0], flows, i, 0),
                       flow_result(*worlds_[1], flows, i, 1));
    }
    json body = comparison_report(comparison);
    body["second"] = worlds_[1]->file();
    body["comparison"]["packets_apart"] = tally_->packets_apart();
    body["comparison"]["packets_beyond"] = flows.packets_beyond();
    return finish(body, comparison_view(body, streams_.colours));
}

Outcome<void> ReplayVerb::compare_builds() const
{
    Comparison comparison(asked_.list, nullptr, nullptr);
    const auto &flows = tally_->flows();
    uint32_t next = 0;
    const auto add_next = [&] {
        if (next < flows.flows().size()) {
            comparison.add_first(flow_result(*worlds_[0], flows, next++, 0));
        }
    };
    const auto other = replay_with(
        asked_.compare_with,
        {"replay", asked_.capture, options_.file, "--engine", asked_.engine, "--flows", "-",
         "--flows-max", std::to_string(asked_.flows_max), "--mtu", std::to_string(asked_.mtu)},
        [&](FlowResult flow) {
            add_next();
            comparison.add_second(std::move(flow));
        });
    if (!other) {
        return std::unexpected(other.error());
    }
    json body = comparison_report(comparison);
    const std::string ours = reach_text(body.at("capture"));
    if (const std::string theirs = reach_text(other->capture); theirs != ours) {
        return std::unexpected(failed(fmt::format(
            "cannot compare with {}: it reads the capture {} otherwise, {}, and this "
            "build {}",
            asked_.compare_with, asked_.capture, theirs, ours)));
    }
    while (next < flows.flows().size()) {
        add_next();
    }
    comparison.finish();
    body["comparison"] = comparison.to_json();
    body["first"] = fmt::format("this build ({})", GUIDEWAY_VERSION);
    body["second"] = fmt::format("{} ({})", asked_.compare_with, other->version);
    body["comparison"]["packets_beyond"] =
        std::max(flows.packets_beyond(), other->packets_beyond);
    return finish(body, comparison_view(body, streams_.colours));
}

Outcome<void> ReplayVerb::print_flows()
{
    const json capture = capture_json(asked_.capture, *frames_);
    if (asked_.flows == "-") {
        write_flows(streams_.out, *worlds_.front(), tally_->flows(), capture);
        return {};
    }
    std::ofstream file(flows_file_->path());
    write_flows(file, *worlds_.front(), tally_->flows(), capture);
    file.flush();
    if (!file) {
        return std::unexpected(
            failed(Error::system("write", flows_file_->path().string()).message));
    }
    if (auto finished = flows_file_->finish(); !finished) {
        return std::unexpected(failed(std::move(finished.error().message)));
    }
    return {};
}

Outcome<void> ReplayVerb::run()
{
    if (auto checked = check_files(); !checked) {
        return checked;
    }
    auto reader = replay::CaptureReader::open(asked_.capture);
    if (!reader) {
        return std::unexpected(failed(std::move(reader.error().message)));
    }
    frames_.emplace(std::move(*reader));
    for (const auto &file : {options_.file, asked_.compare}) {
        if (file.empty()) {
            continue;
        }
        auto world = world_of(file);
        if (!world) {
            return std::unexpected(world.error());
        }
        worlds_.push_back(std::move(*world));
    }
    if (auto opened = open_outputs(); !opened) {
        return opened;
    }
    tally_.emplace(static_cast<uint32_t>(worlds_.size()), asked_.flows_max);
    if (asked_.explain) {
        return explain();
    }
    if (auto gone = go(); !gone) {
        return gone;
    }
    if (worlds_.size() > 1) {
        return compare();
    }
    if (!asked_.compare_with.empty()) {
        return compare_builds();
    }
    if (!asked_.flows.empty()) {
        if (auto printed = print_flows(); !printed) {
            return printed;
        }
        if (asked_.flows == "-") {
            return finish_damaged(capture_json(asked_.capture, *frames_));
        }
    }
    const json body = report();
    return finish(body, replay_view(body, streams_.colours));
}

}  // namespace

Outcome<void> replay_verb(const Options &options, const Streams &streams)
{
    const auto &asked = options.replay;
    const auto from_input = [&](const std::string &file) { return file == "-" ? 1 : 0; };
    const auto usage = [](const char *message) {
        return std::unexpected(Failure{.exit = Exit::kUsage, .message = message, .body = {}});
    };
    if (from_input(asked.capture) + from_input(options.file) + from_input(asked.compare) > 1) {
        return usage("only one file can be read from standard input");
    }
    if (!asked.compare_with.empty() && (asked.capture == "-" || options.file == "-")) {
        return usage(
            "--compare-with reads both files twice: standard input can be neither of them");
    }
    if (asked.out == "-") {
        return usage("--out needs the name of a file: standard output is for the report");
    }
    if (asked.flows == "-" && options.json) {
        return usage(
            "--flows - prints JSON by itself, in place of the report: leave out --json");
    }
    return ReplayVerb(options, streams).run();
}

}  // namespace guideway::cli
