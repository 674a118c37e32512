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

namespace guideway::model {

enum class Protocol : uint8_t { kTcp = 6, kUdp = 17 };
enum class Forwarding : uint8_t { kIpip };
enum class Unmatched : uint8_t { kDrop, kPass };
enum class XdpMode : uint8_t { kNative, kGeneric };

inline constexpr uint32_t kRingSizeDefault = 65537;
inline constexpr uint32_t kWeightDefault = 100;
inline constexpr uint32_t kWeightMax = 10000;

// Bounds of what the forwarding tables can be made for (dataplane/core/tables.h). Rings
// stop short of the tables' own bound, so that all of it fits into one table of 512 MiB.
inline constexpr uint32_t kAddressesMax = 4096;
inline constexpr uint32_t kServicesMax = 4096;  // a power of two, as every capacity of it
inline constexpr uint32_t kBackendsMax = 8192;  // a power of two, as every capacity of it
inline constexpr uint32_t kRingSlotsMax = 1u << 26;
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

    auto operator<=>(const Service &) const = default;
};

struct Backend {
    std::string name;
    IpAddress address;
    uint32_t weight = kWeightDefault;  // 0: gets no flows
    bool enabled = true;               // operators only; not a key of the file

    auto operator<=>(const Backend &) const = default;
};

struct Pool {
    std::string name;
    std::vector<Backend> backends;

    auto operator<=>(const Pool &) const = default;
};

// Sizes of the forwarding tables, fixed while they exist. Counts.
struct Capacity {
    uint32_t addresses = 256;
    uint32_t services = 256;
    uint32_t backends = 4096;
    uint32_t ring_slots = 4194304;
    uint32_t pins = 1048576;  // a power of two

    auto operator<=>(const Capacity &) const = default;
};

using HashKey = std::array<uint8_t, 32>;
// Not secret: hosts that set none agree on where a flow goes, and so could an attacker.
inline constexpr HashKey kHashKeyDefault = {0x9e, 0x37, 0x79, 0xb9, 0x7f, 0x4a, 0x7c, 0x15,
                                            0xf3, 0x9c, 0xc0, 0x60, 0x5c, 0xed, 0xc8, 0x35,
                                            0x10, 0x82, 0x27, 0x6b, 0xf3, 0xa2, 0x72, 0x51,
                                            0xf8, 0x6c, 0x6a, 0x11, 0xd0, 0xc1, 0x8e, 0x95};

struct Desired {
    std::string instance;
    std::vector<std::string> interfaces;
    XdpMode xdp_mode = XdpMode::kNative;
    // Sources of outer headers; the family that some backend needs must be there.
    std::optional<Prefix> tunnel_source_ipv4;
    std::optional<Prefix> tunnel_source_ipv6;
    HashKey hash_key = kHashKeyDefault;
    Capacity capacity;
    std::vector<Service> services;
    std::vector<Pool> pools;

    auto operator<=>(const Desired &) const = default;
};

// What an operator changed at run time, on top of the last applied file. Keyed by pool and
// backend name; each field that is set takes precedence over the file.
struct BackendOverride {
    std::optional<IpAddress> added_address;  // the backend is not in the file
    bool removed = false;
    std::optional<bool> enabled;
    std::optional<uint32_t> weight;

    auto operator<=>(const BackendOverride &) const = default;
};
using Overrides = std::map<std::pair<std::string, std::string>, BackendOverride>;

}  // namespace guideway::model
