#include "tests/bench/bench_policy.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace guideway::bench {
namespace {

// Indices of limits.
enum Limit : uint16_t { kPackets, kExact, kBytes, kNewConnections, kAllSources, kExcess };

// So that a state says nothing a tick later, and yet is not exceeded within one.
constexpr uint64_t kShortNs = 1;
constexpr uint64_t kWideNs = 1'000'000'000;
// So that a state outlasts the run.
constexpr uint64_t kDayNs = 86'400'000'000'000;

gw_limit limit(Limit index, gw_limit_kind kind, uint8_t flags, uint64_t interval_ns,
               uint64_t tolerance_ns)
{
    gw_limit made{};
    made.identity = index + 1U;
    made.seed = (index + 1U) * 0x9e3779b97f4a7c15ULL;
    made.interval = interval_ns << GW_INTERVAL_SHIFT;
    made.tolerance = tolerance_ns << GW_ARRIVAL_SHIFT;
    made.kind = kind;
    made.flags = flags;
    made.ipv4_bits = 32;
    made.ipv6_bits = 64;
    return made;
}

std::vector<Limit> limits_of(Policy policy)
{
    switch (policy) {
        case Policy::kPackets:
            return {kPackets};
        case Policy::kExact:
            return {kExact};
        case Policy::kTwo:
            return {kPackets, kBytes};
        case Policy::kNewConnections:
            return {kNewConnections};
        case Policy::kAllSources:
            return {kAllSources};
        case Policy::kExcess:
            return {kExcess};
        case Policy::kNone:
        case Policy::kLists:
            break;
    }
    return {};
}

}  // namespace

void write_limits(const Tables &tables)
{
    const std::array made{
        limit(kPackets, GW_LIMIT_PACKETS, 0, kShortNs, kWideNs),
        limit(kExact, GW_LIMIT_PACKETS, GW_LIMIT_EXACT_CLOCK, kShortNs, kWideNs),
        limit(kBytes, GW_LIMIT_BYTES, 0, kShortNs, kWideNs),
        limit(kNewConnections, GW_LIMIT_NEW_CONNECTIONS, 0, kShortNs, kWideNs),
        limit(kAllSources, GW_LIMIT_PACKETS, GW_LIMIT_ALL_SOURCES, kShortNs, kWideNs),
        limit(kExcess, GW_LIMIT_PACKETS, 0, kDayNs, 0),
    };
    auto *limits = reinterpret_cast<gw_limit *>(tables.base() + tables.layout().limits_offset);
    std::ranges::copy(made, limits);
}

void set_policy(const Tables &tables, Policy policy)
{
    const auto limits = limits_of(policy);
    for (auto &service : tables.services()) {
        service.policy = policy == Policy::kLists ? GW_POLICY_LISTS
                         : limits.empty()         ? 0
                                                  : GW_POLICY_LIMITS;
        std::ranges::fill(service.limits, 0);
        for (size_t i = 0; i < limits.size(); i++) {
            service.limits[i] = static_cast<uint16_t>(limits[i] + 1);
        }
    }
}

}  // namespace guideway::bench
