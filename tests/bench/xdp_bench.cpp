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
#include <string>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/bench/bench_world.hpp"
#include "tests/bench/xdp_bench.skel.h"
#include "tests/packets/notation.hpp"
#include "tests/packets/world.hpp"

namespace {

using namespace guideway;
using packets::Bytes;

// Packets in a sample: a fifth of a millisecond, or with many flows enough to meet every
// line of a ring.
constexpr int kRepeatOne = 2000;
constexpr int kRepeatMany = 16000;
// of each family

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

Result<void> park(const xdp_bench_bpf &skeleton)
{
    if (unshare(CLONE_NEWNET) != 0) {
        return std::unexpected(Error::system("make", "a network namespace"));
    }
    bpf_program *program = nullptr;
    int number = 0;
    bpf_object__for_each_program(program, skeleton.obj)
    {
        const std::string name = "park" + std::to_string(number++);
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

class Bench {
  public:
    static Result<Bench> open()
    {
        const gw_capacity capacity =
            bench::capacity(static_cast<uint32_t>(libbpf_num_possible_cpus()));
        const auto layout = tables_layout(capacity);
        if (!layout) {
            return std::unexpected(layout.error());
        }
        libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
        Skeleton skeleton(xdp_bench_bpf__open());
        if (!skeleton) {
            return std::unexpected(Error::system("open", "the benchmark's BPF object"));
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
        if (auto parked = park(*skeleton); !parked) {
            return std::unexpected(parked.error());
        }
        return Bench(std::move(skeleton), std::move(*tables));
    }

    std::vector<Variant> variants() const
    {
        const auto &programs = skeleton_->progs;
        std::vector<Variant> list;
        auto add = [&list](const char *name, const char *what, const bpf_program *harness,
                           const bpf_program *path, bool is_ipv6, bool forwards,
                           std::initializer_list<uint32_t> flows) {
            for (const uint32_t count : flows) {
                list.push_back({name, what, harness, path, is_ipv6, forwards, count, {}, {}});
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
        return list;
    }

    // Nanoseconds a repetition.
    Result<double> sample(const bpf_program *program, bool is_ipv6, uint32_t flows)
    {
        Bytes frame(is_ipv6 ? 74 : 60);
        skeleton_->bss->bench_state.flows_mask = flows - 1;
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.data_in = frame.data();
        options.data_size_in = static_cast<uint32_t>(frame.size());
        options.repeat = flows == 1 ? kRepeatOne : kRepeatMany;
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

    [[nodiscard]] const bpf_program *empty() const { return skeleton_->progs.bench_empty; }
    [[nodiscard]] const bpf_program *harness() const { return skeleton_->progs.harness_tcp_v4; }
    [[nodiscard]] const bpf_program *adjust() const { return skeleton_->progs.bench_adjust; }

  private:
    Bench(Skeleton skeleton, Tables tables)
        : skeleton_(std::move(skeleton)), tables_(std::move(tables))
    {
    }

    Skeleton skeleton_;
    Tables tables_;
};

struct Measured {
    std::vector<Variant> variants;
    std::vector<double> empty_ns, harness_ns, adjust_ns;
};

Result<Measured> measure(Bench &bench, int rounds)
{
    Measured result{
        .variants = bench.variants(), .empty_ns = {}, .harness_ns = {}, .adjust_ns = {}};
    std::optional<Error> error;
    auto take = [&](std::vector<double> &into, const bpf_program *program, bool is_ipv6,
                    uint32_t flows) {
        auto ns = bench.sample(program, is_ipv6, flows);
        if (!ns) {
            error = ns.error();
            return;
        }
        into.push_back(*ns);
    };
    for (int round = 0; round < rounds && !error; round++) {
        take(result.empty_ns, bench.empty(), false, 1);
        take(result.harness_ns, bench.harness(), false, 1);
        take(result.adjust_ns, bench.adjust(), false, 1);
        for (auto &variant : result.variants) {
            take(variant.harness_ns, variant.harness, variant.is_ipv6, variant.flows);
            take(variant.path_ns, variant.path, variant.is_ipv6, variant.flows);
        }
    }
    if (error) {
        return std::unexpected(*error);
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
    auto bench = Bench::open();
    if (!bench) {
        std::fprintf(stderr, "xdp_bench: %s\n", bench.error().message.c_str());
        return 1;
    }
    const auto measured = measure(*bench, rounds);
    if (!measured) {
        std::fprintf(stderr, "xdp_bench: %s\n", measured.error().message.c_str());
        return 1;
    }
    print(*measured);
    return 0;
}
