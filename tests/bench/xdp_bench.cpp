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
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/bench/bench_world.hpp"
#include "tests/bench/xdp_bench.skel.h"
#include "tests/packets/notation.hpp"
#include "tests/packets/world.hpp"
#include "xdp/clock.hpp"

namespace {

using namespace guideway;
using packets::Bytes;

// Packets in a sample: a fifth of a millisecond, or with many flows enough to meet every
// line of a ring.
constexpr int kRepeatOne = 2000;
constexpr int kRepeatMany = 16000;
// Where packets go to memory: still well below a time slice.
constexpr int kRepeatSlow = 4000;

// Sizes of the pin table: one that stays in the caches, one that does not, with room for the
// flows of the largest measurement.
constexpr uint32_t kPinsFew = 1024;
constexpr uint32_t kPinsMany = 1 << 22;
// New flows: each address and port is met once in a run, and in no other measurement.
constexpr uint32_t kFlowsNew = 1 << 25;
// Packets that share a tick of the pins' clock where time is to pass, as a power of two.
constexpr uint32_t kTickShift = 6;
constexpr uint32_t kNoTicks = 63;

struct DestroySkeleton {
    void operator()(xdp_bench_bpf *skeleton) const { xdp_bench_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<xdp_bench_bpf, DestroySkeleton>;

// One packet kind at one number of flows.
struct Variant {
    std::string name;
    std::string what;
    const bpf_program *harness;
    const bpf_program *path;
    bool is_ipv6;
    bool forwards;  // moves the head: the undoing must be taken off
    uint32_t flows;
    std::vector<double> harness_ns;
    std::vector<double> path_ns;
    std::optional<gw_event> event;  // what its packets meet in the pin table
    bool new_flows = false;         // time passes, and pins give their places
};

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

// An interface to attach one program to: the kernel runs attached programs without first
// patching code, which would take 16 ms a sample.
Result<int> tunnel_interface(const std::string &name)
{
    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return std::unexpected(Error::system("open", "/dev/net/tun"));
    }
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name.c_str());
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &request) != 0) {
        close(fd);
        return std::unexpected(Error::system("make", "interface " + name));
    }
    return fd;  // the interface lives as long as the process
}

// Attaches each program that has been loaded, under names that `prefix` tells apart.
Result<void> park(const xdp_bench_bpf &skeleton, const std::string &prefix)
{
    bpf_program *program = nullptr;
    int number = 0;
    bpf_object__for_each_program(program, skeleton.obj)
    {
        if (!bpf_program__autoload(program)) {
            continue;
        }
        const std::string name = prefix + std::to_string(number++);
        if (auto interface = tunnel_interface(name); !interface) {
            return std::unexpected(interface.error());
        }
        const int error = bpf_xdp_attach(static_cast<int>(if_nametoindex(name.c_str())),
                                         bpf_program__fd(program), XDP_FLAGS_SKB_MODE, nullptr);
        if (error != 0) {
            return std::unexpected(Error::system("attach to", name, -error));
        }
    }
    return {};
}

// The programs over tables of their own.
class Bench {
  public:
    enum class Pins : uint8_t { kOfFlows, kFull };

    // With a full table, only the programs that measure one are loaded.
    static Result<Bench> open(const std::string &name, uint32_t pins_max, Pins pins)
    {
        const gw_capacity capacity =
            bench::capacity(static_cast<uint32_t>(libbpf_num_possible_cpus()), pins_max);
        const auto layout = tables_layout(capacity);
        if (!layout) {
            return std::unexpected(layout.error());
        }
        Skeleton skeleton(xdp_bench_bpf__open());
        if (!skeleton) {
            return std::unexpected(Error::system("open", "the benchmark's BPF object"));
        }
        if (pins == Pins::kFull) {
            bpf_program *program = nullptr;
            bpf_object__for_each_program(program, skeleton->obj)
            {
                bpf_program__set_autoload(program, false);
            }
            bpf_program__set_autoload(skeleton->progs.harness_moving_syn, true);
            bpf_program__set_autoload(skeleton->progs.path_moving_syn, true);
        }
        bpf_map__set_value_size(skeleton->maps.gw_region, layout->total_bytes);
        std::memcpy(const_cast<gw_layout *>(reinterpret_cast<const volatile gw_layout *>(
                        &skeleton->rodata->gw_layout_constants)),
                    &*layout, sizeof(*layout));
        skeleton->rodata->gw_generation_constant = packets::kGeneration;
        if (const int error = xdp_bench_bpf__load(skeleton.get()); error != 0) {
            return std::unexpected(Error::system("load", "the benchmark's BPF object", -error));
        }
        auto tables =
            Tables::map(bpf_map__fd(skeleton->maps.gw_region), capacity, "the tables");
        if (!tables) {
            return std::unexpected(tables.error());
        }
        if (auto written = packets::write_world(*tables, bench::world()); !written) {
            return std::unexpected(written.error());
        }
        if (auto parked = park(*skeleton, name); !parked) {
            return std::unexpected(parked.error());
        }
        Bench bench(std::move(skeleton), std::move(*tables));
        if (auto prepared = bench.prepare(pins); !prepared) {
            return std::unexpected(prepared.error());
        }
        return bench;
    }

    std::vector<Variant> variants() const
    {
        const auto &programs = skeleton_->progs;
        std::vector<Variant> list;
        auto add = [&list](const char *name, const char *what, const bpf_program *harness,
                           const bpf_program *path, bool is_ipv6, bool forwards,
                           std::initializer_list<uint32_t> flows) {
            for (const uint32_t count : flows) {
                list.push_back({name, what, harness, path, is_ipv6, forwards, count});
            }
        };
        add("tcp_v4", "TCP over IPv4 in IPv4", programs.harness_tcp_v4, programs.path_tcp_v4,
            false, true, {1, 1 << 10, 1 << 17, 1 << 20});
        add("udp_v4", "UDP over IPv4 in IPv4", programs.harness_udp_v4, programs.path_udp_v4,
            false, true, {1, 1 << 20});
        add("v6_in_v6", "TCP over IPv6 in IPv6", programs.harness_v6_in_v6,
            programs.path_v6_in_v6, true, true, {1, 1 << 20});
        add("v6_in_v4", "TCP over IPv6 in IPv4", programs.harness_v6_in_v4,
            programs.path_v6_in_v4, true, true, {1, 1 << 20});
        add("no_service", "packet for no service", programs.harness_no_service,
            programs.path_no_service, false, false, {1});
        add("no_such_port", "no_such_port", programs.harness_no_such_port,
            programs.path_no_such_port, false, false, {1});
        for (const uint32_t flows : {1U, 1U << 17, 1U << 20}) {
            list.push_back({.name = "moving_hit",
                            .what = "moving slot, pin found",
                            .harness = programs.harness_moving_ack,
                            .path = programs.path_moving_ack,
                            .is_ipv6 = false,
                            .forwards = true,
                            .flows = flows,
                            .event = GW_EVENT_PIN_HIT});
        }
        return list;
    }

    // SYNs to a moving slot, with a full table.
    std::vector<Variant> full_variants() const
    {
        const bool is_large = tables_.capacity().pins_max == kPinsMany;
        Variant variant{.name = is_large ? "moving_new" : "moving_new_cached",
                        .what = is_large ? "moving slot, new flow, full table of 64 MiB"
                                         : "moving slot, new flow, full table of 16 KiB",
                        .harness = skeleton_->progs.harness_moving_syn,
                        .path = skeleton_->progs.path_moving_syn,
                        .is_ipv6 = false,
                        .forwards = true,
                        .flows = kFlowsNew,
                        .event = GW_EVENT_PIN_MADE,
                        .new_flows = true};
        std::vector<Variant> list{variant};
        for (const uint32_t flows : {1U, 1U << 17, 1U << 20}) {
            if (is_large) {
                variant.name = "moving_refused";
                variant.what = "moving slot, new flow, no room";
                variant.flows = flows;
                variant.event = GW_EVENT_PIN_REFUSED;
                variant.new_flows = false;
                list.push_back(variant);
            }
        }
        return list;
    }

    // Nanoseconds a repetition.
    Result<double> sample(const bpf_program *program, bool is_ipv6, uint32_t flows, int repeat)
    {
        Bytes frame(is_ipv6 ? 74 : 60);
        skeleton_->bss->bench_state.flows_mask = flows - 1;
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.data_in = frame.data();
        options.data_size_in = static_cast<uint32_t>(frame.size());
        options.repeat = repeat;
        timespec before{};
        timespec after{};
        int error = 0;
        // The first run fetches what the other programs have driven out of the caches.
        for (int run = 0; run < 2 && error == 0; run++) {
            clock_gettime(CLOCK_MONOTONIC, &before);
            error = bpf_prog_test_run_opts(bpf_program__fd(program), &options);
            clock_gettime(CLOCK_MONOTONIC, &after);
        }
        if (error != 0) {
            return std::unexpected(Error::system("run", bpf_program__name(program), -error));
        }
        if (options.retval == XDP_ABORTED) {
            return fail(std::string(bpf_program__name(program)) + " gave up");
        }
        return (static_cast<double>(after.tv_sec - before.tv_sec) * 1e9 +
                static_cast<double>(after.tv_nsec - before.tv_nsec)) /
               options.repeat;
    }

    // Both programs of a variant once. Fails when its packets did not meet what they should.
    Result<void> sample(Variant &variant)
    {
        bench::set_replaceable(tables_, variant.new_flows);
        skeleton_->bss->bench_state.tick_shift = variant.new_flows ? kTickShift : kNoTicks;
        skeleton_->bss->bench_state.first_flow = variant.new_flows ? kFlowsNew : 0;
        const auto before = tables_.counters().events;
        const bool leaves_caches = variant.event && tables_.capacity().pins_max == kPinsMany;
        const int repeat = variant.flows == 1 ? kRepeatOne
                           : leaves_caches    ? kRepeatSlow
                                              : kRepeatMany;
        auto harness = sample(variant.harness, variant.is_ipv6, variant.flows, repeat);
        auto path = sample(variant.path, variant.is_ipv6, variant.flows, repeat);
        if (!harness || !path) {
            return std::unexpected(harness ? path.error() : harness.error());
        }
        const auto after = tables_.counters().events;
        const auto looked_up = after[GW_EVENT_PIN_LOOKED_UP] - before[GW_EVENT_PIN_LOOKED_UP];
        if (variant.event && (after[*variant.event] - before[*variant.event]) * 100 <
                                 std::max<uint64_t>(looked_up, 1) * 99) {
            return fail(variant.name + ": of " + std::to_string(looked_up) + " packets only " +
                        std::to_string(after[*variant.event] - before[*variant.event]) +
                        " met what is to be measured");
        }
        variant.harness_ns.push_back(*harness);
        variant.path_ns.push_back(*path);
        return {};
    }

    [[nodiscard]] const bpf_program *empty() const { return skeleton_->progs.bench_empty; }
    [[nodiscard]] const bpf_program *harness() const { return skeleton_->progs.harness_tcp_v4; }
    [[nodiscard]] const bpf_program *adjust() const { return skeleton_->progs.bench_adjust; }

  private:
    Bench(Skeleton skeleton, Tables tables)
        : skeleton_(std::move(skeleton)), tables_(std::move(tables))
    {
    }

    Result<void> prepare(Pins pins)
    {
        const auto clock = xdp::PinClock::open(skeleton_->rodata->gw_tick_ns_constant);
        const auto now = clock ? clock->now() : std::unexpected(clock.error());
        if (!now) {
            return std::unexpected(now.error());
        }
        bench::set_replaceable(tables_, false);
        skeleton_->bss->bench_state.tick_shift = kNoTicks;
        if (pins == Pins::kFull) {
            bench::fill_pins(tables_, *now);
            return {};
        }
        for (uint32_t flow = 0; flow < 1 << 20; flow += kRepeatMany) {
            if (auto pinned =
                    sample(skeleton_->progs.path_moving_ack, false, 1 << 20, kRepeatMany);
                !pinned) {
                return std::unexpected(pinned.error());
            }
        }
        return {};
    }

    Skeleton skeleton_;
    Tables tables_;
};

struct Measured {
    std::vector<Variant> variants;
    std::vector<double> empty_ns, harness_ns, adjust_ns;
};

Result<Measured> measure(Bench &plain, std::vector<Bench> &full, int rounds)
{
    Measured result{.variants = {}, .empty_ns = {}, .harness_ns = {}, .adjust_ns = {}};
    auto variants = plain.variants();
    std::vector<std::vector<Variant>> full_variants;
    for (const auto &bench : full) {
        full_variants.push_back(bench.full_variants());
    }
    std::optional<Error> error;
    auto take = [&](std::vector<double> &into, const bpf_program *program) {
        auto ns = plain.sample(program, false, 1, kRepeatOne);
        if (!ns) {
            error = ns.error();
            return;
        }
        into.push_back(*ns);
    };
    auto take_all = [&](Bench &bench, std::vector<Variant> &list) {
        for (auto &variant : list) {
            if (auto sampled = bench.sample(variant); !sampled && !error) {
                error = sampled.error();
            }
        }
    };
    for (int round = 0; round < rounds && !error; round++) {
        take(result.empty_ns, plain.empty());
        take(result.harness_ns, plain.harness());
        take(result.adjust_ns, plain.adjust());
        take_all(plain, variants);
        for (size_t i = 0; i < full.size(); i++) {
            take_all(full[i], full_variants[i]);
        }
    }
    if (error) {
        return std::unexpected(*error);
    }
    result.variants = std::move(variants);
    for (auto &list : full_variants) {
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
        json["packets"].push_back({{"name", variant.name},
                                   {"what", variant.what},
                                   {"flows", variant.flows},
                                   {"minimum_ns", cost.minimum_ns},
                                   {"median_ns", cost.median_ns},
                                   {"path_minimum_ns", minimum(variant.path_ns)},
                                   {"harness_minimum_ns", minimum(variant.harness_ns)}});
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
    auto plain = Bench::open("plain", kPinsMany, Bench::Pins::kOfFlows);
    if (!plain) {
        return print_error(plain.error());
    }
    std::vector<Bench> full;
    for (const uint32_t pins_max : {kPinsFew, kPinsMany}) {
        auto bench = Bench::open("full" + std::to_string(full.size()) + "-", pins_max,
                                 Bench::Pins::kFull);
        if (!bench) {
            return print_error(bench.error());
        }
        full.push_back(std::move(*bench));
    }
    const auto measured = measure(*plain, full, rounds);
    if (!measured) {
        return print_error(measured.error());
    }
    print(*measured);
    return 0;
}
