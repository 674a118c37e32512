// What it costs to build a ring: at the paper's two sizes (Maglev, NSDI 2016, section 5.3:
// 1.8 ms at 65537 slots and 22.9 ms at 655373), and beside it, as a measure of the machine,
// the paper's algorithm as it is written down there.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "control/model/maglev.hpp"

namespace {

using guideway::model::MaglevMember;

enum Weights : int64_t { kEqual, kFewWeights, kAllDifferent };

std::vector<MaglevMember> members(int64_t count, int64_t weights)
{
    std::mt19937_64 random(1);
    std::vector<MaglevMember> members(static_cast<size_t>(count));
    for (size_t i = 0; i < members.size(); i++) {
        members[i].identity = random();
        members[i].weight = weights == kEqual        ? 100
                            : weights == kFewWeights ? static_cast<uint32_t>(100 + i % 4 * 50)
                                                     : static_cast<uint32_t>(1000 + i);
    }
    return members;
}

void build(benchmark::State &state)
{
    const auto set = members(state.range(1), state.range(2));
    std::vector<uint16_t> ring(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        if (!guideway::model::maglev_fill(ring, set, 1)) {
            state.SkipWithError("not filled");
            break;
        }
        benchmark::DoNotOptimize(ring.data());
    }
}

// Pseudocode 1 of the paper, for members of equal weight.
void build_as_in_the_paper(benchmark::State &state)
{
    const auto size = static_cast<uint64_t>(state.range(0));
    const auto set = members(state.range(1), kEqual);
    std::vector<uint16_t> ring(size);
    for (auto _ : state) {
        std::vector<uint64_t> next(set.size());
        std::vector<int32_t> entry(size, -1);
        uint64_t filled = 0;
        while (filled < size) {
            for (size_t i = 0; i < set.size() && filled < size; i++) {
                const uint64_t offset = set[i].identity % size;
                const uint64_t skip = (set[i].identity >> 20) % (size - 1) + 1;
                uint64_t slot = (offset + next[i] * skip) % size;
                while (entry[slot] >= 0) {
                    slot = (offset + ++next[i] * skip) % size;
                }
                entry[slot] = static_cast<int32_t>(i);
                ++next[i];
                ++filled;
            }
        }
        benchmark::DoNotOptimize(entry.data());
    }
}

void sizes(benchmark::internal::Benchmark *benchmark)
{
    for (const int64_t slots : {65537, 655373}) {
        for (const int64_t backends : {100, 1000}) {
            benchmark->Args({slots, backends, kEqual});
        }
    }
    benchmark->ArgNames({"slots", "backends", "weights"})->Unit(benchmark::kMillisecond);
}

void weights(benchmark::internal::Benchmark *benchmark)
{
    for (const int64_t slots : {65537, 655373}) {
        benchmark->Args({slots, 1000, kFewWeights});
        benchmark->Args({slots, 1000, kAllDifferent});
    }
}

BENCHMARK(build)->Apply(sizes)->Apply(weights);
BENCHMARK(build_as_in_the_paper)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
