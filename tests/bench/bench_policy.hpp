// Limits and lists for the benchmarks of the packet path.
#pragma once

#include "dataplane/tables/tables.hpp"

namespace guideway::bench {

// What the services ask of policy.
enum class Policy : uint8_t {
    kNone,
    kPackets,         // a limit of packets, which nobody exceeds
    kExact,           // the same by the exact clock
    kTwo,             // the same, and one of bytes
    kNewConnections,  // a limit that only SYNs meet
    kAllSources,      // a limit of packets over all sources, which they do not exceed
    kExcess,          // a limit of packets, which each source exceeds with its second
    kLists,           // deny lists
};

// The limits that set_policy() chooses from.
void write_limits(const Tables &tables);

// The address of a flow, as xdp_bench.bpf.c makes it.
[[nodiscard]] uint32_t flow_address(uint32_t flow);

// Denies the sources of the flows kFlowsDenied and following, half a million of each family: IPv4
// addresses, and IPv6 prefixes of three lengths.
constexpr uint32_t kFlowsDenied = 1 << 24;
constexpr uint32_t kDenied = 500'000;
[[nodiscard]] Result<void> fill_lists(const Tables &tables);

// For all services, at once.
void set_policy(const Tables &tables, Policy policy);

}  // namespace guideway::bench
