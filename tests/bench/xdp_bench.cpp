// Measures the XDP program's cost per packet, above an empty program that answers XDP_TX,
// and prints it as JSON for scripts/bench.
//
// See xdp_bench.bpf.c for what is run. All programs take turns in short samples, so that a
// noisy machine disturbs all alike; quoted are the least and the median of the samples.
//
//   cost = path - harness - adjust / 2
//
// where `adjust` is one bpf_xdp_adjust_head and its undoing: path pays for both, of which
// the undoing belongs to the measurement and is taken off.
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "tests/bench/xdp_programs.hpp"

namespace {

using namespace guideway;
using bench::Bench;
using bench::Variant;

double minimum(std::vector<double> samples)
{
    return *std::ranges::min_element(samples);
}

double median(std::vector<double> samples)
{
    auto middle = samples.begin() + static_cast<ptrdiff_t>(samples.size() / 2);
    std::ranges::nth_element(samples, middle);
    return *middle;
}

struct Measured {
    std::vector<Variant> variants;
    std::vector<double> empty_ns, harness_ns, adjust_ns;
};

// The first of `benches` has the plain packets' programs.
Result<Measured> measure(std::vector<Bench> &benches, int rounds)
{
    Measured result{.variants = {}, .empty_ns = {}, .harness_ns = {}, .adjust_ns = {}};
    std::vector<std::vector<Variant>> variants;
    for (const auto &bench : benches) {
        variants.push_back(bench.variants());
    }
    std::optional<Error> error;
    auto take = [&](std::vector<double> &into, const bpf_program *program) {
        auto ns = benches.front().sample(program, false, 1, bench::kRepeatOne);
        if (!ns) {
            error = ns.error();
            return;
        }
        into.push_back(*ns);
    };
    for (int round = 0; round < rounds && !error; round++) {
        take(result.empty_ns, benches.front().empty());
        take(result.harness_ns, benches.front().harness());
        take(result.adjust_ns, benches.front().adjust());
        for (size_t i = 0; i < benches.size(); i++) {
            for (auto &variant : variants[i]) {
                if (auto sampled = benches[i].sample(variant); !sampled && !error) {
                    error = sampled.error();
                }
            }
        }
    }
    if (error) {
        return std::unexpected(*error);
    }
    for (auto &list : variants) {
        result.variants.insert(result.variants.end(), list.begin(), list.end());
    }
    return result;
}

struct Cost {
    double minimum_ns;
    double median_ns;
};

Cost cost_of(const Variant &variant, Cost adjust_pair)
{
    const double undo = variant.forwards ? 0.5 : 0;
    return {
        minimum(variant.path_ns) - minimum(variant.harness_ns) - undo * adjust_pair.minimum_ns,
        median(variant.path_ns) - median(variant.harness_ns) - undo * adjust_pair.median_ns};
}

void print(const Measured &measured)
{
    const Cost pair{minimum(measured.adjust_ns) - minimum(measured.harness_ns),
                    median(measured.adjust_ns) - median(measured.harness_ns)};
    const Cost repetition{minimum(measured.empty_ns), median(measured.empty_ns)};
    nlohmann::json json;
    json["repetition_ns"] = {{"minimum", repetition.minimum_ns},
                             {"median", repetition.median_ns}};
    json["adjust_head_pair_ns"] = {{"minimum", pair.minimum_ns}, {"median", pair.median_ns}};
    for (const auto &variant : measured.variants) {
        const Cost cost = cost_of(variant, pair);
        nlohmann::json packet = {{"name", variant.name},
                                 {"what", variant.what},
                                 {"flows", variant.flows},
                                 {"minimum_ns", cost.minimum_ns},
                                 {"median_ns", cost.median_ns},
                                 {"path_minimum_ns", minimum(variant.path_ns)},
                                 {"harness_minimum_ns", minimum(variant.harness_ns)}};
        const auto without = std::ranges::find_if(measured.variants, [&](const auto &other) {
            return other.name == variant.without && other.flows == variant.flows &&
                   other.is_ipv6 == variant.is_ipv6;
        });
        if (without != measured.variants.end()) {
            const Cost plain = cost_of(*without, pair);
            packet["policy_minimum_ns"] = cost.minimum_ns - plain.minimum_ns;
            packet["policy_median_ns"] = cost.median_ns - plain.median_ns;
        }
        json["packets"].push_back(std::move(packet));
    }
    std::printf("%s\n", json.dump(2).c_str());
}

}  // namespace

int main(int argc, char **argv)
{
    int rounds = 300;
    for (int i = 1; i < argc; i++) {
        if (std::string_view(argv[i]) == "--rounds" && i + 1 < argc) {
            rounds = std::max(1, std::atoi(argv[++i]));
        } else {
            std::fprintf(stderr, "usage: xdp_bench [--rounds N]\n");
            return 2;
        }
    }
    const auto print_error = [](const Error &error) {
        std::fprintf(stderr, "xdp_bench: %s\n", error.message.c_str());
        return 1;
    };
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    if (unshare(CLONE_NEWNET) != 0) {
        return print_error(Error::system("make", "a network namespace"));
    }
    std::vector<Bench> benches;
    using enum Bench::Content;
    for (const auto &[pins_max, sources_max, content] :
         {std::tuple{bench::kPinsMany, bench::kSourcesFew, kPinsOfFlows},
          std::tuple{bench::kPinsFew, bench::kSourcesFew, kPinsOfOthers},
          std::tuple{bench::kPinsMany, bench::kSourcesFew, kPinsOfOthers},
          std::tuple{bench::kPinsFew, bench::kSourcesMany, kPolicy},
          std::tuple{bench::kPinsFew, bench::kSourcesFew, kPolicy}}) {
        auto bench = Bench::open("bench" + std::to_string(benches.size()) + "-", pins_max,
                                 sources_max, content);
        if (!bench) {
            return print_error(bench.error());
        }
        benches.push_back(std::move(*bench));
    }
    const auto measured = measure(benches, rounds);
    if (!measured) {
        return print_error(measured.error());
    }
    print(*measured);
    return 0;
}
