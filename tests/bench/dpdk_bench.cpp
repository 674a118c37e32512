// What a packet costs the DPDK engine: bursts of 32 from an in-memory port, through the core, and
// out of the same port, beside bare forwarding of the same frames in the same run.
//
//   dpdk_bench [--rounds N]
//
// Both receive from and send to net_null, and write a fresh frame into each buffer, of the next
// flow. Bare forwarding does only that; the engine also reads the clock, processes the burst and
// looks at what became of it. They take turns, a few thousand packets each. The tables are a BPF
// array, as those of a real instance. Prints JSON.
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "dataplane/dpdk/burst.hpp"
#include "tests/bench/bench_policy.hpp"
#include "tests/bench/bench_world.hpp"
#include "tests/packets/notation.hpp"
#include "xdp/region.hpp"

namespace {

using namespace guideway;
using Clock = std::chrono::steady_clock;

constexpr uint16_t kPort = 0;
constexpr size_t kSourceAt = 26;  // in an untagged IPv4 frame
constexpr uint32_t kBurstsASample = 512;
// Room for ten million pins, at 60 % load.
constexpr uint32_t kPinsMax = 1 << 24;
constexpr uint32_t kSourcesMax = 1 << 21;

[[noreturn]] void die(const std::string &what)
{
    std::cerr << "dpdk_bench: " << what << "\n";
    std::exit(1);
}

template <typename T>
T must(Result<T> result)
{
    if (!result) {
        die(result.error().message);
    }
    return std::move(*result);
}

struct Scenario {
    std::string name;
    std::string what;
    packets::Bytes frame;
    uint32_t flows;
    bench::Policy policy = bench::Policy::kNone;
    uint32_t next_flow = 0;
    std::vector<double> ns{};
    std::vector<double> bare_ns{};
};

class Bench {
  public:
    Bench()
    {
        std::vector<std::string> words{
            "dpdk_bench", "--in-memory",      "--no-pci",       "-m",
            "64",         "--vdev=net_null0", "--no-telemetry", "--log-level=3"};
        std::vector<char *> arguments;
        for (auto &word : words) {
            arguments.push_back(word.data());
        }
        if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
            die("the EAL does not start");
        }
        pool_ = rte_pktmbuf_pool_create("frames", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
        const rte_eth_conf configuration{};
        if (pool_ == nullptr || rte_eth_dev_configure(kPort, 1, 1, &configuration) != 0 ||
            rte_eth_rx_queue_setup(kPort, 0, 512, 0, nullptr, pool_) != 0 ||
            rte_eth_tx_queue_setup(kPort, 0, 512, 0, nullptr) != 0 ||
            rte_eth_dev_start(kPort) != 0) {
            die("net_null cannot be set up");
        }
    }

    // A sample's cost of a packet, in ns.
    template <bool kProcess>
    double sample(Scenario &scenario, const Tables &tables)
    {
        const auto begun = Clock::now();
        for (uint32_t burst = 0; burst < kBurstsASample; burst++) {
            std::array<rte_mbuf *, dpdk::kBurst> frames;
            const uint16_t count = rte_eth_rx_burst(kPort, 0, frames.data(), frames.size());
            for (uint16_t i = 0; i < count; i++) {
                auto *data = rte_pktmbuf_mtod(frames[i], uint8_t *);
                std::memcpy(data, scenario.frame.data(), 64);
                scenario.next_flow =
                    scenario.next_flow + 1 == scenario.flows ? 0 : scenario.next_flow + 1;
                const uint32_t source = 10 | scenario.next_flow << 8;
                std::memcpy(data + kSourceAt, &source, sizeof(source));
                frames[i]->data_len = 64;
                frames[i]->pkt_len = 64;
            }
            if constexpr (kProcess) {
                process({frames.data(), count}, tables);
            }
            const uint16_t sent = rte_eth_tx_burst(kPort, 0, frames.data(), count);
            packets_ += sent;
        }
        const std::chrono::duration<double, std::nano> took = Clock::now() - begun;
        return took.count() / (kBurstsASample * dpdk::kBurst);
    }

    [[nodiscard]] uint64_t unexpected() const { return unexpected_; }

  private:
    void process(std::span<rte_mbuf *const> frames, const Tables &tables)
    {
        const auto exact_ns = static_cast<uint64_t>(
            std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
        const dpdk::Moment moment{exact_ns + tables.header().clock_ahead_ns, exact_ns};
        std::array<gw_outcome, dpdk::kBurst> outcomes;
        dpdk::process_burst(frames,
                            {.tables = tables.base(),
                             .layout = &tables.layout(),
                             .former_tables = nullptr,
                             .former_layout = nullptr,
                             .ingress_ifindex = 1,
                             .cpu = 0},
                            std::span(&moment, 1), outcomes);
        for (size_t i = 0; i < frames.size(); i++) {
            unexpected_ += outcomes[i].verdict != GW_SEND ? 1 : 0;
        }
    }

    rte_mempool *pool_ = nullptr;
    uint64_t packets_ = 0;
    uint64_t unexpected_ = 0;
};

packets::Bytes frame_of(const std::string &protocol)
{
    auto frame = must(packets::frame_from_text(
        "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10 / " +
        protocol));
    frame.resize(64);
    return frame;
}

std::vector<Scenario> scenarios()
{
    constexpr std::array<uint32_t, 4> kFlows{1, 1 << 17, 1 << 20, 10'000'000};
    std::vector<Scenario> all;
    for (const uint32_t flows : kFlows) {
        all.push_back({"stable", "stable slot", frame_of("tcp 40000 -> 443 ACK"), flows});
    }
    for (const uint32_t flows : kFlows) {
        all.push_back(
            {"moving", "moving slot, pin found", frame_of("tcp 40000 -> 444 ACK"), flows});
    }
    for (const uint32_t flows : {1U, 1U << 20}) {
        all.push_back({"limited", "stable slot, one packets limit",
                       frame_of("tcp 40000 -> 443 ACK"), flows, bench::Policy::kPackets});
    }
    return all;
}

double minimum(std::vector<double> values)
{
    return *std::ranges::min_element(values);
}

double median(std::vector<double> values)
{
    std::ranges::nth_element(values,
                             values.begin() + static_cast<ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char **argv)
{
    uint32_t rounds = 100;
    if (argc == 3 && std::string(argv[1]) == "--rounds") {
        rounds = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10));
    } else if (argc != 1) {
        die("usage: dpdk_bench [--rounds N]");
    }
    const auto capacity = bench::capacity(1, kPinsMax, kSourcesMax, 64);
    const auto layout = must(tables_layout(capacity));
    const auto region = must(xdp::new_region(layout.total_bytes));
    auto tables = must(Tables::map(region.fd.get(), capacity, "the tables"));
    tables.initialise(gw_hash_key{});
    if (auto written = packets::write_world(tables, bench::world()); !written) {
        die(written.error().message);
    }
    bench::write_limits(tables);
    tables.header().pin_times = {.idle_ticks = GW_PIN_TICKS_MASK,
                                 .closing_ticks = GW_PIN_TICKS_MASK,
                                 .handshake_ticks = GW_PIN_TICKS_MASK};

    Bench bench;
    auto all = scenarios();
    for (uint32_t round = 0; round < rounds; round++) {
        for (auto &scenario : all) {
            bench::set_policy(tables, scenario.policy);
            if (round == 0) {
                // Every flow once, so that pins and sources are there, and its memory mapped.
                for (uint32_t met = 0; met < scenario.flows;
                     met += kBurstsASample * dpdk::kBurst) {
                    std::ignore = bench.sample<true>(scenario, tables);
                }
            }
            scenario.bare_ns.push_back(bench.sample<false>(scenario, tables));
            scenario.ns.push_back(bench.sample<true>(scenario, tables));
        }
    }
    if (bench.unexpected() != 0) {
        die(std::to_string(bench.unexpected()) + " packets were not sent");
    }
    auto results = nlohmann::json::array();
    for (const auto &scenario : all) {
        results.push_back({{"name", scenario.name},
                           {"what", scenario.what},
                           {"flows", scenario.flows},
                           {"bare_minimum_ns", minimum(scenario.bare_ns)},
                           {"bare_median_ns", median(scenario.bare_ns)},
                           {"minimum_ns", minimum(scenario.ns)},
                           {"median_ns", median(scenario.ns)}});
    }
    const auto totals = tables.counters();
    std::cout << nlohmann::json{{"packets", results},
                                {"pins_refused", totals.events[GW_EVENT_PIN_REFUSED]}}
                     .dump(2)
              << "\n";
    return 0;
}
