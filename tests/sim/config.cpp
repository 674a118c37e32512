// What a seed's world is like. Each seed favours some events and leaves others out (swarm
// testing: Groce et al., ISSTA 2012): what must come together to break a connection is rare
// where everything happens.
#include <algorithm>

#include "dataplane/core/tables.h"
#include "tests/sim/history.hpp"

namespace guideway::sim {
namespace {

Weights random_weights(Random &random)
{
    const auto vary = [&](uint32_t usual) {
        constexpr std::array<uint32_t, 6> kPercent{0, 30, 100, 100, 200, 500};
        return usual * kPercent[random.below(kPercent.size())] / 100;
    };
    Weights weights{.client = 400,
                    .flood = vary(100),
                    .step = 400,
                    .clock = 60 + vary(60),
                    .sweep = 60 + vary(100),
                    .control_step = 150,
                    .retarget = 5 + vary(15),
                    .kill = vary(6),
                    .retire = vary(6),
                    .come_back = 10 + vary(40),
                    .service = vary(8),
                    .restart = vary(6),
                    .audit = 5};
    return weights;
}

std::vector<ServiceConfig> random_services(Random &random)
{
    std::vector<ServiceConfig> services(1 + random.below(kServicesMax));
    for (auto &service : services) {
        service.ring_size = 1 + random.below(kRingMax);
        service.affinity = random.one_in(8) ? GW_AFFINITY_FLOW : GW_AFFINITY_CONNECTION;
    }
    if (services.size() > 1 && random.one_in(8)) {
        services[1].affinity = GW_AFFINITY_RING;
    }
    return services;
}

void add_flows(Config &config, Random &random, uint32_t count, Role role)
{
    for (uint32_t i = 0; i < count; i++) {
        config.flows.push_back(
            {.hash = random.next(),
             .service = random.below(static_cast<uint32_t>(config.services.size())),
             .role = role});
    }
}

}  // namespace

Config config_of(uint64_t seed)
{
    Random random(seed * 0x2545f4914f6cdd1dULL + 1);
    Config config;
    config.seed = seed;
    config.buckets = 1U << random.below(3);
    config.services = random_services(random);
    add_flows(config, random, 2 + random.below(9), Role::client);
    config.weights = random_weights(random);
    if (config.weights.flood > 0) {
        add_flows(config, random, random.below(25), Role::spoofed_syn);
        add_flows(config, random, random.below(9), Role::stray_ack);
    }
    config.grace_ms = 1000;
    config.handshake_ms = random.of<int64_t>({3000, 3000, 5000, 8000});
    config.learning_ms = random.of<int64_t>({6000, 7000, 8000, 10000, 15000, 30000});
    config.idle_ms = config.learning_ms * random.between(2, 6) / 2;
    config.closing_ms = random.between(4000, config.learning_ms);
    // Often about to go round.
    const uint64_t range_ns = 1ULL << (GW_PIN_TICK_SHIFT + 23);
    config.clock_base_ns = random.one_in(3) ? range_ns - random.next() % 100'000'000'000ULL
                                            : random.next() % range_ns;
    for (auto &lag : config.clock_lag_ns) {
        lag = random.one_in(3) ? 1ULL << GW_PIN_TICK_SHIFT : 0;
    }
    config.is_interleaved_everywhere = random.one_in(2);
    config.whole_packets_percent = random.of<uint32_t>({10, 50, 80, 95});
    config.whole_operations_percent = random.of<uint32_t>({5, 5, 50, 90});
    config.retransmission_percent = random.of<uint32_t>({1, 5, 20});
    config.same_flow_percent = random.of<uint32_t>({0, 20, 50});
    config.has_bursts = !random.one_in(3);
    config.is_time_fast = random.one_in(2);
    return config;
}

}  // namespace guideway::sim
