#include "tests/bench/bench_policy.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "dataplane/tables/lists.hpp"

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

uint32_t flow_address(uint32_t flow)
{
    return 0x20000000U | (flow * 0x9e3779b1U & 0x1fffffffU);
}

Result<void> fill_lists(const Tables &tables)
{
    constexpr std::array<uint8_t, 3> kIpv6Lengths{64, 96, 128};
    std::vector<ListedPrefix> prefixes;
    for (const bool is_ipv6 : {false, true}) {
        for (uint32_t i = 0; i < kDenied; i++) {
            ListedPrefix prefix;
            const uint32_t address = __builtin_bswap32(flow_address(kFlowsDenied + i));
            prefix.is_ipv6 = is_ipv6;
            prefix.length_bits = is_ipv6 ? kIpv6Lengths[i % kIpv6Lengths.size()] : 32;
            if (is_ipv6) {
                prefix.address = {0x20, 0x01, 0x0d, 0xb8};
                prefix.address[15] = prefix.length_bits == 128 ? 1 : 0;
            }
            std::memcpy(&prefix.address[is_ipv6 ? 4 : 0], &address, sizeof(address));
            prefixes.push_back(prefix);
        }
    }
    std::ranges::sort(prefixes, {}, [](const ListedPrefix &prefix) {
        return std::pair(prefix.is_ipv6, prefix.address);
    });
    const auto image = build_lists(ListsRoom::of(tables), prefixes);
    if (!image) {
        return std::unexpected(image.error());
    }
    write_idle_lists(tables, *image);
    activate_idle_lists(tables, *image);
    return {};
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
