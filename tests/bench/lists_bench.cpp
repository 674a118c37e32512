// What it costs to load allow and deny lists of 500,000 prefixes, step by step, and to look a
// source up in them.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "control/model/policy_list.hpp"
#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/lists.h"
#include "dataplane/tables/lists.hpp"

namespace {

using namespace guideway;
using model::Family;
using model::ListKind;
using model::PolicyEntry;
using model::PolicyLists;
using model::Prefix;

constexpr size_t kPrefixes = 500'000;
constexpr gw_hash_key kKey{
    {0x157c4a7fb979379e, 0x35c8ed5c60c09cf3, 0x517f2a36b278210, 0x958ec1d0116a6cf8}};
constexpr gw_capacity kCapacity{.addresses_max = 4,
                                .services_max = 8,
                                .backends_max = 16,
                                .ring_slots_max = 1000,
                                .cpus_max = 1,
                                .pins_max = 1024,
                                .sources_max = 1024,
                                .prefixes_max = 1 << 20};

// Hosts and networks as published lists have them.
Prefix some_prefix(std::mt19937_64 &random, bool is_ipv6)
{
    constexpr int kLengths[2][4] = {{32, 32, 32, 24}, {32, 48, 64, 128}};
    Prefix prefix;
    prefix.address.family = is_ipv6 ? Family::kIpv6 : Family::kIpv4;
    const uint64_t words[2] = {random(), random()};
    std::memcpy(prefix.address.bytes.data(), words, is_ipv6 ? 16 : 4);
    if (is_ipv6) {
        prefix.address.bytes[0] = 0x20;
    }
    prefix.length_bits = kLengths[is_ipv6 ? 1 : 0][random() % 4];
    return prefix.network();
}

// In the order of a file that nobody has sorted.
std::vector<PolicyEntry> entries(int64_t ipv6_percent)
{
    std::mt19937_64 random(1);
    std::vector<PolicyEntry> made;
    while (made.size() < kPrefixes) {
        const bool is_ipv6 = random() % 100 < static_cast<uint64_t>(ipv6_percent);
        made.push_back({.prefix = some_prefix(random, is_ipv6), .reason = ""});
    }
    return made;
}

PolicyLists lists(int64_t ipv6_percent)
{
    PolicyLists all;
    all.restore({{ListKind::kDeny, "feed"}, entries(ipv6_percent)});
    return all;
}

std::vector<ListedPrefix> listed(int64_t ipv6_percent)
{
    std::vector<ListedPrefix> made;
    for (const auto &verdict : lists(ipv6_percent).verdicts()) {
        made.push_back({.address = verdict.prefix.address.bytes,
                        .length_bits = static_cast<uint8_t>(verdict.prefix.length_bits),
                        .is_ipv6 = verdict.prefix.address.is_ipv6(),
                        .verdict = GW_LIST_DENY});
    }
    return made;
}

void parse(benchmark::State &state)
{
    const std::string text = model::emit_list_file(entries(state.range(0)));
    for (auto _ : state) {
        benchmark::DoNotOptimize(model::parse_list_file(text, "", 0));
    }
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void emit(benchmark::State &state)
{
    const auto some = entries(state.range(0));
    for (auto _ : state) {
        benchmark::DoNotOptimize(model::emit_list_file(some));
    }
}

void verdicts(benchmark::State &state)
{
    const auto some = lists(state.range(0));
    for (auto _ : state) {
        benchmark::DoNotOptimize(some.verdicts());
    }
}

void build(benchmark::State &state)
{
    const auto tables = Tables::anonymous(kCapacity, kKey);
    const auto room = ListsRoom::of(*tables);
    const auto prefixes = listed(state.range(0));
    for (auto _ : state) {
        auto image = build_lists(room, prefixes);
        if (!image) {
            state.SkipWithError(image.error().message.c_str());
            break;
        }
        state.counters["lines"] = static_cast<double>(image->lines.size());
        benchmark::DoNotOptimize(image);
    }
}

// What the event loop does of it.
void write(benchmark::State &state)
{
    const auto tables = Tables::anonymous(kCapacity, kKey);
    const auto image = build_lists(ListsRoom::of(*tables), listed(state.range(0)));
    for (auto _ : state) {
        write_idle_lists(*tables, *image);
        activate_idle_lists(*tables, *image);
    }
}

// Sources that are spread over all addresses: hardly any is found in a cache.
void look_up(benchmark::State &state)
{
    const auto tables = Tables::anonymous(kCapacity, kKey);
    const auto image = build_lists(ListsRoom::of(*tables), listed(state.range(0)));
    write_idle_lists(*tables, *image);
    activate_idle_lists(*tables, *image);
    gw_packet packet{};
    packet.tables = tables->base();
    packet.layout = &tables->layout();
    std::mt19937_64 random(2);
    std::vector<std::pair<uint64_t, uint64_t>> sources(1 << 16);
    for (auto &[high, low] : sources) {
        const Prefix prefix = some_prefix(random, state.range(0) != 0);
        high = state.range(0) != 0 ? gw_load64(prefix.address.bytes.data()) : GW_IPV4_TAG;
        low = state.range(0) != 0 ? gw_load64(prefix.address.bytes.data() + 8)
                                  : gw_load32(prefix.address.bytes.data());
    }
    size_t i = 0;
    for (auto _ : state) {
        const auto &[high, low] = sources[i++ % sources.size()];
        benchmark::DoNotOptimize(gw_listed(gw_to_handle(&packet), high, low));
    }
}

// Per cent of IPv6 among the prefixes.
BENCHMARK(parse)->ArgName("ipv6")->Arg(0)->Arg(100)->Unit(benchmark::kMillisecond);
BENCHMARK(emit)->ArgName("ipv6")->Arg(0)->Arg(100)->Unit(benchmark::kMillisecond);
BENCHMARK(verdicts)->ArgName("ipv6")->Arg(0)->Arg(100)->Unit(benchmark::kMillisecond);
BENCHMARK(build)->ArgName("ipv6")->Arg(0)->Arg(20)->Arg(100)->Unit(benchmark::kMillisecond);
BENCHMARK(write)->ArgName("ipv6")->Arg(0)->Arg(20)->Arg(100)->Unit(benchmark::kMillisecond);
BENCHMARK(look_up)->ArgName("ipv6")->Arg(0)->Arg(100);

}  // namespace

BENCHMARK_MAIN();
