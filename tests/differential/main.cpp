// Runs packets through the XDP program, the DPDK engine's bursts and the native core, and demands
// that they agree:
//
//   differential-corpus [--seed N] [--count N] CASE...
//
// The packets are those of the case files, mutated, and random ones. With
// GUIDEWAY_PCAP_DIR set, every capture below that directory runs too: once as it is, once
// sent to the case's services. Each case runs as it is and then with its slots unsettled, its
// pins few, its backends mortal, and limits and lists of the case's sources. The
// latter once more in bursts of up to 32. The seed alone reproduces a failure.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <span>
#include <string_view>

#include "tests/differential/captures.hpp"
#include "tests/differential/comparison.hpp"
#include "tests/differential/mutate.hpp"
#include "tests/differential/policed.hpp"
#include "tests/differential/unsettled.hpp"
#include "tests/packets/case.hpp"
#include "tests/packets/dissect.hpp"

namespace {

using namespace guideway;
using namespace guideway::differential;
using packets::Bytes;
using packets::Case;
using packets::Step;

struct Options {
    uint64_t seed = 0;
    uint64_t count = 300000;  // of all cases together
    std::vector<Case> cases;
};

// The frame's first bytes, which decide; the seed brings back the rest.
constexpr size_t kShownBytes = 160;

std::string hex(const Bytes &bytes)
{
    std::string text;
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const uint8_t byte : std::span(bytes).first(std::min(bytes.size(), kShownBytes))) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text + (bytes.size() > kShownBytes ? "..." : "") + " (" +
           std::to_string(bytes.size()) + " bytes)";
}

// Counts disagreements and shows the first few.
class Judge {
  public:
    explicit Judge(Comparison &comparison) : comparison_(comparison) {}

    void judge(const Trial &trial, const std::string &origin)
    {
        const auto difference = comparison_.compare(trial);
        if (!difference) {
            return;
        }
        failures_++;
        if (failures_ <= 5) {
            std::cout << "FAILED " << origin << ", headroom " << trial.headroom_bytes
                      << (trial.icmp_exhausted ? ", ICMP limit reached" : "") << "\n  hex "
                      << hex(trial.frame) << "\n";
            for (const auto &field : packets::dissect(trial.frame)) {
                if (field.offset >= kShownBytes) {
                    break;
                }
                std::cout << "    " << field.offset << " " << field.name << " " << field.value
                          << "\n";
            }
            std::cout << "  disagreement:\n" << *difference;
        }
    }

    void judge_burst(const std::vector<Trial> &trials, const std::string &origin)
    {
        const auto difference = comparison_.compare_burst(trials);
        if (difference && ++failures_ <= 5) {
            std::cout << "FAILED " << origin << "\n  disagreement:\n" << *difference;
        }
    }

    [[nodiscard]] uint64_t failures() const { return failures_; }

  private:
    Comparison &comparison_;
    uint64_t failures_ = 0;
};

Trial make_trial(const Case &packet_case, Random &random)
{
    Trial trial;
    trial.icmp_exhausted = below(random, 8) == 0;
    if (below(random, 16) == 0) {
        trial.headroom_bytes = static_cast<uint32_t>(below(random, 25)) * 4;
    }
    if (below(random, 32) == 0) {
        trial.frame = random_frame(random);
        return trial;
    }
    const Step &step = packet_case.steps[below(random, packet_case.steps.size())];
    const uint64_t n = step.first + below(random, step.last - step.first + 1);
    if (auto frame = packets::frame_from_text(packets::substitute(step.in, n))) {
        trial.frame = std::move(*frame);
    }
    for (uint64_t changes = below(random, 5); changes > 0; changes--) {
        mutate(trial.frame, random);
    }
    return trial;
}

bool run_case(const Options &options, const Case &packet_case, bool unsettled,
              Comparison &comparison, Judge &judge)
{
    Random random(options.seed ^ std::hash<std::string>{}(packet_case.file));
    const packets::World world = unsettled
                                     ? policed_world(unsettled_world(packet_case.world, random),
                                                     sources_of(packet_case), random)
                                     : packet_case.world;
    if (auto loaded = comparison.load(world); !loaded) {
        std::cerr << packet_case.file << ": " << loaded.error().message << "\n";
        return false;
    }
    const uint64_t count = options.count / options.cases.size() / 2;
    for (uint64_t i = 0; i < count; i++) {
        Trial trial = make_trial(packet_case, random);
        if (unsettled) {
            mutate_tcp_flags(trial.frame, random);
            mutate_source(trial.frame, random);
            trial.changes = random_changes(world, random);
        }
        judge.judge(trial, packet_case.file + (unsettled ? ", unsettled" : "") + ", seed " +
                               std::to_string(options.seed) + ", packet " + std::to_string(i));
    }
    return true;
}

// Bursts of an unsettled world.
bool run_bursts(const Options &options, Comparison &comparison, Judge &judge)
{
    for (const auto &packet_case : options.cases) {
        Random random(~options.seed ^ std::hash<std::string>{}(packet_case.file));
        const packets::World world = policed_world(unsettled_world(packet_case.world, random),
                                                   sources_of(packet_case), random);
        if (auto loaded = comparison.load(world); !loaded) {
            std::cerr << packet_case.file << ": " << loaded.error().message << "\n";
            return false;
        }
        const uint64_t count = options.count / options.cases.size();
        for (uint64_t i = 0; i < count;) {
            std::vector<Trial> burst(1 + below(random, 32));
            for (auto &trial : burst) {
                trial = make_trial(packet_case, random);
                mutate_tcp_flags(trial.frame, random);
                mutate_source(trial.frame, random);
            }
            burst.front().changes = random_changes(world, random);
            judge.judge_burst(burst, packet_case.file + ", bursts, seed " +
                                         std::to_string(options.seed) + ", packet " +
                                         std::to_string(i));
            i += burst.size();
        }
    }
    std::cout << "bursts: " << comparison.compared() << " packets\n";
    return true;
}

bool run_corpus(const Options &options, Comparison &comparison, Judge &judge)
{
    std::vector<uint64_t> reasons(GW_REASON_COUNT);
    std::vector<uint64_t> events(GW_EVENT_COUNT);
    for (const bool unsettled : {false, true}) {
        for (const auto &packet_case : options.cases) {
            if (!run_case(options, packet_case, unsettled, comparison, judge)) {
                return false;
            }
            std::ranges::transform(reasons, comparison.reasons(), reasons.begin(), std::plus{});
            std::ranges::transform(events, comparison.events(), events.begin(), std::plus{});
        }
    }
    std::cout << "corpus: seed " << options.seed << ", " << comparison.compared()
              << " packets\npins: " << events[GW_EVENT_PIN_LOOKED_UP] << " lookups, "
              << events[GW_EVENT_PIN_HIT] << " hits, " << events[GW_EVENT_PIN_MADE] << " made, "
              << events[GW_EVENT_PIN_REFUSED] << " refused, " << events[GW_EVENT_PIN_DEAD]
              << " dead\npolicy: " << reasons[GW_REASON_DENIED] << " denied, "
              << reasons[GW_REASON_LIMITED] << " limited, " << reasons[GW_REASON_SHED]
              << " shed, " << events[GW_EVENT_LIMIT_OBSERVED] << " observed, "
              << events[GW_EVENT_SOURCE_TRACKED] << " sources tracked, "
              << events[GW_EVENT_SOURCE_SHARED] << " shared\n";
    return true;
}

// Sends an IP packet of a capture to a service of the case.
void readdress(Bytes &frame, const packets::Service &service)
{
    const auto range = packets::ip_range(frame);
    const size_t header_bytes = service.address.is_ipv6 ? 40 : 20;
    if (range.begin + header_bytes > frame.size() ||
        (frame[range.begin] >> 4 == 6) != service.address.is_ipv6) {
        return;
    }
    const size_t at = range.begin + (service.address.is_ipv6 ? 24 : 16);
    std::copy_n(service.address.bytes.begin(), service.address.size(),
                frame.begin() + static_cast<ptrdiff_t>(at));
    frame[0] &= 0xfe;
}

void run_capture(const std::filesystem::path &file, const Case &packet_case, Judge &judge)
{
    const auto capture = read_capture(file);
    if (!capture) {
        std::cout << "  " << capture.error().message << "\n";
        return;
    }
    if (!capture->note.empty()) {
        std::cout << "  " << file.string() << " is " << capture->note << "\n";
    }
    const auto &services = packet_case.world.services;
    for (size_t i = 0; i < capture->frames.size(); i++) {
        const std::string origin = file.string() + ", frame " + std::to_string(i + 1);
        judge.judge({.frame = capture->frames[i]}, origin);
        for (const auto &service : services) {
            Trial trial{.frame = capture->frames[i]};
            readdress(trial.frame, service);
            judge.judge(trial, origin + ", to service " + service.name);
        }
    }
}

void run_captures(const Options &options, Comparison &comparison, Judge &judge)
{
    const char *directory = std::getenv("GUIDEWAY_PCAP_DIR");
    if (directory == nullptr) {
        std::cout << "captures: not run, GUIDEWAY_PCAP_DIR is not set\n";
        return;
    }
    const auto found = std::ranges::find(options.cases, "encapsulation.case", &Case::file);
    const Case &packet_case = found == options.cases.end() ? options.cases.front() : *found;
    if (!comparison.load(packet_case.world)) {
        return;
    }
    const uint64_t before = comparison.compared();
    const auto files = capture_files(directory);
    for (const auto &file : files) {
        run_capture(file, packet_case, judge);
    }
    std::cout << "captures: " << files.size() << " files, " << comparison.compared() - before
              << " packets\n";
}

Result<Options> parse_options(std::span<char *> arguments)
{
    Options options;
    options.seed = std::random_device{}();
    for (size_t i = 0; i < arguments.size(); i++) {
        const std::string_view argument = arguments[i];
        if ((argument == "--seed" || argument == "--count") && i + 1 < arguments.size()) {
            (argument == "--seed" ? options.seed : options.count) =
                std::strtoull(arguments[++i], nullptr, 0);
            continue;
        }
        auto packet_case = packets::read_case(argument);
        if (!packet_case) {
            return std::unexpected(packet_case.error());
        }
        options.cases.push_back(std::move(*packet_case));
    }
    if (options.cases.empty()) {
        return fail("usage: differential-corpus [--seed N] [--count N] CASE...");
    }
    return options;
}

}  // namespace

int main(int argc, char **argv)
{
    const auto options = parse_options({argv + 1, static_cast<size_t>(argc - 1)});
    if (!options) {
        std::cerr << options.error().message << "\n";
        return 2;
    }
    auto comparison = Comparison::open();
    auto bursts = Comparison::open_bursts();
    if (!comparison || !bursts) {
        std::cerr << "differential-corpus: "
                  << (comparison ? bursts.error() : comparison.error()).message << "\n";
        return 1;
    }
    Judge judge(*comparison);
    Judge judge_of_bursts(*bursts);
    if (!run_corpus(*options, *comparison, judge) ||
        !run_bursts(*options, *bursts, judge_of_bursts)) {
        return 1;
    }
    run_captures(*options, *comparison, judge);
    if (const uint64_t failures = judge.failures() + judge_of_bursts.failures();
        failures != 0) {
        std::cout << failures << " disagreements, seed " << options->seed << "\n";
        return 1;
    }
    return 0;
}
