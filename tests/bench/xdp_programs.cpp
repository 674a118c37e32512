#include "tests/bench/xdp_programs.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/bench/bench_world.hpp"
#include "tests/bench/xdp_bench.skel.h"
#include "tests/packets/notation.hpp"
#include "tests/packets/world.hpp"
#include "xdp/clock.hpp"

namespace guideway::bench {
namespace {

// Flows that no other measurement has: each is met once in a run.
constexpr uint32_t kFlowsNew = 1 << 25;
constexpr uint32_t kSourcesNew = 1 << 28;
// Packets that share a tick of the pins' clock where time is to pass, as a power of two.
constexpr uint32_t kTickShift = 6;
constexpr uint32_t kNoTicks = 63;

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

// Loads only what measures such tables: loading takes most of a second a program.
void choose_programs(xdp_bench_bpf &skeleton, Bench::Content content)
{
    std::vector<const bpf_program *> wanted;
    const auto &programs = skeleton.progs;
    switch (content) {
        case Bench::Content::kPinsOfFlows:
            return;
        case Bench::Content::kPinsOfOthers:
            wanted = {programs.harness_moving_syn, programs.path_moving_syn};
            break;
        case Bench::Content::kPolicy:
            wanted = {programs.harness_tcp_v4, programs.path_tcp_v4, programs.harness_v6_in_v6,
                      programs.path_v6_in_v6};
            break;
    }
    bpf_program *program = nullptr;
    bpf_object__for_each_program(program, skeleton.obj)
    {
        bpf_program__set_autoload(program, std::ranges::find(wanted, program) != wanted.end());
    }
}

}  // namespace

void DestroySkeleton::operator()(xdp_bench_bpf *skeleton) const
{
    xdp_bench_bpf__destroy(skeleton);
}

Bench::Bench(Skeleton skeleton, Tables tables, Content content)
    : skeleton_(std::move(skeleton)), tables_(std::move(tables)), content_(content)
{
}

Result<Bench> Bench::open(const std::string &name, uint32_t pins_max, uint32_t sources_max,
                          Content content)
{
    const gw_capacity capacity = bench::capacity(
        static_cast<uint32_t>(libbpf_num_possible_cpus()), pins_max, sources_max,
        sources_max == kSourcesMany ? kPrefixesMany : kPrefixesFew);
    const auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(layout.error());
    }
    Skeleton skeleton(xdp_bench_bpf__open());
    if (!skeleton) {
        return std::unexpected(Error::system("open", "the benchmark's BPF object"));
    }
    choose_programs(*skeleton, content);
    bpf_map__set_value_size(skeleton->maps.gw_region, layout->total_bytes);
    std::memcpy(const_cast<gw_layout *>(reinterpret_cast<const volatile gw_layout *>(
                    &skeleton->rodata->gw_layout_constants)),
                &*layout, sizeof(*layout));
    skeleton->rodata->gw_generation_constant = packets::kGeneration;
    if (const int error = xdp_bench_bpf__load(skeleton.get()); error != 0) {
        return std::unexpected(Error::system("load", "the benchmark's BPF object", -error));
    }
    auto tables = Tables::map(bpf_map__fd(skeleton->maps.gw_region), capacity, "the tables");
    if (!tables) {
        return std::unexpected(tables.error());
    }
    if (auto written = packets::write_world(*tables, bench::world()); !written) {
        return std::unexpected(written.error());
    }
    if (auto parked = park(*skeleton, name); !parked) {
        return std::unexpected(parked.error());
    }
    Bench bench(std::move(skeleton), std::move(*tables), content);
    if (auto prepared = bench.prepare(); !prepared) {
        return std::unexpected(prepared.error());
    }
    return bench;
}

std::vector<Variant> Bench::variants() const
{
    switch (content_) {
        case Content::kPinsOfFlows:
            return plain_variants();
        case Content::kPinsOfOthers:
            return full_variants();
        case Content::kPolicy:
            return policy_variants();
    }
    return {};
}

std::vector<Variant> Bench::plain_variants() const
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
    add("tcp_v4", "TCP over IPv4 in IPv4", programs.harness_tcp_v4, programs.path_tcp_v4, false,
        true, {1, 1 << 10, 1 << 17, 1 << 20});
    add("udp_v4", "UDP over IPv4 in IPv4", programs.harness_udp_v4, programs.path_udp_v4, false,
        true, {1, 1 << 20});
    add("v6_in_v6", "TCP over IPv6 in IPv6", programs.harness_v6_in_v6, programs.path_v6_in_v6,
        true, true, {1, 1 << 20});
    add("v6_in_v4", "TCP over IPv6 in IPv4", programs.harness_v6_in_v4, programs.path_v6_in_v4,
        true, true, {1, 1 << 20});
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
                        .event = GW_EVENT_PIN_HIT,
                        .is_slow = true});
    }
    return list;
}

// SYNs to a moving slot, with a full table.
std::vector<Variant> Bench::full_variants() const
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
                    .first_flow = kFlowsNew,
                    .event = GW_EVENT_PIN_MADE,
                    .is_slow = is_large,
                    .time_passes = true};
    std::vector<Variant> list{variant};
    for (const uint32_t flows : {1U, 1U << 17, 1U << 20}) {
        if (is_large) {
            variant.name = "moving_refused";
            variant.what = "moving slot, new flow, no room";
            variant.flows = flows;
            variant.first_flow = 0;
            variant.event = GW_EVENT_PIN_REFUSED;
            variant.time_passes = false;
            list.push_back(variant);
        }
    }
    return list;
}

// Established connections to a stable slot, as tcp_v4, with what policy adds.
std::vector<Variant> Bench::policy_variants() const
{
    std::vector<Variant> list;
    const Variant plain{.name = "policy_none",
                        .what = "TCP over IPv4, no policy",
                        .harness = skeleton_->progs.harness_tcp_v4,
                        .path = skeleton_->progs.path_tcp_v4,
                        .is_ipv6 = false,
                        .forwards = true,
                        .flows = 1};
    auto add = [&](const char *name, const char *what, Policy policy, uint32_t flows,
                   std::optional<gw_event> event = {}, std::optional<gw_reason> reason = {}) {
        Variant variant = plain;
        variant.name = name;
        variant.what = what;
        variant.policy = policy;
        variant.without = policy == Policy::kNone ? "" : plain.name;
        variant.flows = flows;
        variant.first_flow = flows == kSourcesNew ? kSourcesNew : 0;
        variant.event = event;
        variant.reason = reason;
        variant.forwards = !reason;
        variant.is_slow = event.has_value();
        list.push_back(variant);
    };
    if (tables_.capacity().sources_max == kSourcesFew) {
        add("policy_none", "TCP over IPv4, no policy", Policy::kNone, kSourcesNew);
        add("limit_new_cached", "new source, table of 16 KiB", Policy::kPackets, kSourcesNew,
            GW_EVENT_SOURCE_TRACKED);
        // Or else so few places would soon be taken.
        list.back().time_passes = true;
        return list;
    }
    for (const uint32_t flows : {1U, 1U << 17, 1U << 20}) {
        add("policy_none", "TCP over IPv4, no policy", Policy::kNone, flows);
        add("limit_syn", "a limit of new connections, not met", Policy::kNewConnections, flows);
        add("limit_all", "a limit over all sources", Policy::kAllSources, flows);
        add("limit_one", "a limit of packets", Policy::kPackets, flows);
        add("limit_two", "limits of packets and bytes", Policy::kTwo, flows);
        add("limit_exact", "a limit of packets, exact clock", Policy::kExact, flows);
        add("limit_excess", "a limit of packets exceeded", Policy::kExcess, flows, {},
            GW_REASON_LIMITED);
    }
    for (const uint32_t flows : {1U, 1U << 17, 1U << 20}) {
        Variant none = plain;
        none.what = "TCP over IPv6, no policy";
        none.harness = skeleton_->progs.harness_v6_in_v6;
        none.path = skeleton_->progs.path_v6_in_v6;
        none.is_ipv6 = true;
        none.flows = flows;
        list.push_back(none);
        for (const bool is_ipv6 : {false, true}) {
            const size_t first = list.size();
            add("list_passed",
                is_ipv6 ? "500,000 denied, IPv6 not" : "500,000 denied, IPv4 not",
                Policy::kLists, flows);
            if (flows <= kDenied) {
                add("list_denied",
                    is_ipv6 ? "500,000 denied, IPv6 too" : "500,000 denied, IPv4 too",
                    Policy::kLists, flows, {}, GW_REASON_DENIED);
                list.back().first_flow = kFlowsDenied;
            }
            for (size_t i = first; is_ipv6 && i < list.size(); i++) {
                list[i].harness = none.harness;
                list[i].path = none.path;
                list[i].is_ipv6 = true;
            }
        }
    }
    add("policy_none", "TCP over IPv4, no policy", Policy::kNone, kSourcesNew);
    add("limit_new", "new source, table of 128 MiB", Policy::kPackets, kSourcesNew,
        GW_EVENT_SOURCE_TRACKED);
    return list;
}

Result<double> Bench::sample(const bpf_program *program, bool is_ipv6, uint32_t flows,
                             int repeat)
{
    packets::Bytes frame(is_ipv6 ? 74 : 60);
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
        // The kernel says how long the last frame was; taken as a bound, it might be too small.
        options.data_size_out = 0;
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

Result<void> Bench::sample(Variant &variant)
{
    set_replaceable(tables_, variant.time_passes);
    set_policy(tables_, variant.policy);
    skeleton_->bss->bench_state.tick_shift = variant.time_passes ? kTickShift : kNoTicks;
    skeleton_->bss->bench_state.first_flow = variant.first_flow;
    const int repeat = variant.flows == 1 ? kRepeatOne
                       : variant.is_slow  ? kRepeatSlow
                                          : kRepeatMany;
    const auto met = [&] {
        const auto counters = tables_.counters();
        return variant.event    ? counters.events[*variant.event]
               : variant.reason ? counters.reasons[*variant.reason]
                                : 0;
    };
    const uint64_t before = met();
    auto harness = sample(variant.harness, variant.is_ipv6, variant.flows, repeat);
    auto path = sample(variant.path, variant.is_ipv6, variant.flows, repeat);
    if (!harness || !path) {
        return std::unexpected(harness ? path.error() : harness.error());
    }
    const auto packets = 2 * static_cast<uint64_t>(repeat);
    if ((variant.event || variant.reason) && (met() - before) * 100 < packets * 99) {
        return fail(variant.name + ": of " + std::to_string(packets) + " packets only " +
                    std::to_string(met() - before) + " met what is to be measured");
    }
    variant.harness_ns.push_back(*harness);
    variant.path_ns.push_back(*path);
    return {};
}

const bpf_program *Bench::empty() const
{
    return skeleton_->progs.bench_empty;
}

const bpf_program *Bench::harness() const
{
    return skeleton_->progs.harness_tcp_v4;
}

const bpf_program *Bench::adjust() const
{
    return skeleton_->progs.bench_adjust;
}

Result<void> Bench::prepare()
{
    const auto clock = xdp::PinClock::open(skeleton_->rodata->gw_tick_ns_constant);
    const auto now = clock ? clock->now() : std::unexpected(clock.error());
    if (!now) {
        return std::unexpected(now.error());
    }
    set_replaceable(tables_, false);
    skeleton_->bss->bench_state.tick_shift = kNoTicks;
    if (content_ == Content::kPinsOfOthers) {
        fill_pins(tables_, *now);
        return {};
    }
    if (content_ == Content::kPolicy) {
        return prepare_policy();
    }
    for (uint32_t flow = 0; flow < 1 << 20; flow += kRepeatMany) {
        if (auto pinned = sample(skeleton_->progs.path_moving_ack, false, 1 << 20, kRepeatMany);
            !pinned) {
            return std::unexpected(pinned.error());
        }
    }
    return {};
}

// Every source that is met again has its states.
Result<void> Bench::prepare_policy()
{
    write_limits(tables_);
    if (tables_.capacity().sources_max == kSourcesFew) {
        return {};
    }
    if (auto filled = fill_lists(tables_); !filled) {
        return filled;
    }
    for (const Policy policy : {Policy::kTwo, Policy::kExact, Policy::kExcess}) {
        set_policy(tables_, policy);
        for (uint32_t flow = 0; flow < 1 << 20; flow += kRepeatMany) {
            if (auto met = sample(skeleton_->progs.path_tcp_v4, false, 1 << 20, kRepeatMany);
                !met) {
                return std::unexpected(met.error());
            }
        }
    }
    return {};
}

}  // namespace guideway::bench
