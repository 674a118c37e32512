// Desired state: what a configuration file and the operator's overrides ask for.
//
// Plain values, complete after parsing: every default is filled in.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/model/address.hpp"
#include "control/model/engine.hpp"
#include "control/model/health.hpp"
#include "control/model/limit.hpp"

namespace guideway::model {

enum class Protocol : uint8_t { kTcp = 6, kUdp = 17 };
enum class Forwarding : uint8_t { kIpip };
enum class Unmatched : uint8_t { kDrop, kPass };
enum class XdpMode : uint8_t { kNative, kGeneric };
// Which packets stay with the backend of their first one while slots change owners: none
// (each goes where the ring says), those of TCP connections, or those of every flow.
enum class Affinity : uint8_t { kNone, kConnection, kFlow };

inline constexpr uint32_t kRingSizeDefault = 65537;
inline constexpr uint32_t kWeightDefault = 100;
inline constexpr uint32_t kWeightMax = 10000;

// Bounds of what the forwarding tables can be made for (dataplane/core/tables.h). Rings
// stop short of the tables' own bound, so that all of it fits into one table of 512 MiB.
inline constexpr uint32_t kAddressesMax = 4096;
inline constexpr uint32_t kServicesMax = 4096;  // a power of two, as every capacity of it
inline constexpr uint32_t kBackendsMax = 8192;  // a power of two, as every capacity of it
inline constexpr uint32_t kRingSlotsMax = 1u << 26;
inline constexpr uint32_t kPinsMin = 1024;         // a power of two, as every capacity of them
inline constexpr uint32_t kPinsMax = 33554432;     // a table of 512 MiB
inline constexpr uint32_t kSourcesMin = 1024;      // a power of two, as every capacity of them
inline constexpr uint32_t kSourcesMax = 33554432;  // a table of 512 MiB
inline constexpr uint32_t kPrefixesMin = 1024;
inline constexpr uint32_t kPrefixesMax = 2097152;
inline constexpr uint32_t kLimitsMax = 1024;  // with what admits connections
inline constexpr uint32_t kLimitsOfServiceMax =
    8;  // with its admission and those of the instance
inline constexpr uint32_t kSlotsPerBackendMin = 2;
inline constexpr int kTunnelSourceBitsMin = 8;  // of the network part

struct Service {
    std::string name;
    Protocol protocol = Protocol::kTcp;
    IpAddress address;
    uint16_t port = 0;
    Forwarding forwarding = Forwarding::kIpip;
    std::string pool;
    uint32_t ring_size = kRingSizeDefault;  // prime
    Unmatched unmatched = Unmatched::kDrop;
    Affinity affinity = Affinity::kConnection;  // of UDP: none unless the file says flow
    std::vector<Limit> limits;                  // of each source
    std::optional<Admission> admission;

    auto operator<=>(const Service &) const = default;
};

struct Backend {
    std::string name;
    IpAddress address;
    uint32_t weight = kWeightDefault;  // 0: gets no flows
    // Operators only; not keys of the file.
    bool enabled = true;
    bool drained = false;        // gets no new flows and keeps those it has
    int64_t drain_deadline = 0;  // Unix time in seconds at which it loses them; 0: never

    auto operator<=>(const Backend &) const = default;
};

struct Pool {
    std::string name;
    std::vector<Backend> backends;
    Health health;
    OnFailure on_failure = OnFailure::kReset;

    auto operator<=>(const Pool &) const = default;
};

// Sizes of the forwarding tables, fixed while they exist. Counts.
struct Capacity {
    uint32_t addresses = 256;
    uint32_t services = 256;
    uint32_t backends = 4096;
    uint32_t ring_slots = 4194304;
    uint32_t pins = 1048576;     // a power of two
    uint32_t sources = 1048576;  // a power of two
    uint32_t prefixes = 65536;

    auto operator<=>(const Capacity &) const = default;
};

// How long connections are remembered.
struct Connections {
    Milliseconds learning_period{900'000};  // in which each sends at least once
    Milliseconds idle_timeout{900'000};

    auto operator<=>(const Connections &) const = default;
};
inline constexpr Milliseconds kLearningPeriodMin{1'000};
inline constexpr Milliseconds kLearningPeriodMax{86'400'000};
inline constexpr Milliseconds kIdleTimeoutMax{604'800'000};

using HashKey = std::array<uint8_t, 32>;
// Not secret: hosts that set none agree on where a flow goes, and so could an attacker.
inline constexpr HashKey kHashKeyDefault = {0x9e, 0x37, 0x79, 0xb9, 0x7f, 0x4a, 0x7c, 0x15,
                                            0xf3, 0x9c, 0xc0, 0x60, 0x5c, 0xed, 0xc8, 0x35,
                                            0x10, 0x82, 0x27, 0x6b, 0xf3, 0xa2, 0x72, 0x51,
                                            0xf8, 0x6c, 0x6a, 0x11, 0xd0, 0xc1, 0x8e, 0x95};

struct Desired {
    std::string instance;
    std::vector<std::string> interfaces;
    Engine engine = Engine::kXdp;
    XdpMode xdp_mode = XdpMode::kNative;  // of engine xdp
    Dpdk dpdk;                            // of engine dpdk
    // Sources of outer headers; the family that some backend needs must be there.
    std::optional<Prefix> tunnel_source_ipv4;
    std::optional<Prefix> tunnel_source_ipv6;
    HashKey hash_key = kHashKeyDefault;
    Capacity capacity;
    Connections connections;
    std::vector<Limit> limits;  // of each source, over all services together
    std::vector<Service> services;
    std::vector<Pool> pools;

    auto operator<=>(const Desired &) const = default;
};

// Out of service for new flows; from `deadline` on for those it has, too.
struct Drain {
    std::optional<int64_t> deadline;  // Unix time in seconds

    auto operator<=>(const Drain &) const = default;
};
inline constexpr int64_t kUnixTimeMax = 253402300799;  // the end of the year 9999

// What an operator changed at run time, on top of the last applied file. Keyed by pool and
// backend name; each field that is set takes precedence over the file.
struct BackendOverride {
    std::optional<IpAddress> added_address;  // the backend is not in the file
    bool removed = false;
    std::optional<bool> enabled;
    std::optional<uint32_t> weight;
    std::optional<Drain> drain;

    auto operator<=>(const BackendOverride &) const = default;
};
using Overrides = std::map<std::pair<std::string, std::string>, BackendOverride>;

}  // namespace guideway::model
