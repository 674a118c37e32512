// The services and backends of a packet case, and the tables made of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/packets/pins.hpp"
#include "tests/packets/policy.hpp"
#include "tests/packets/words.hpp"

namespace guideway::packets {

struct Backend {
    std::string name;
    Address tunnel_source;
    Address address;
    uint32_t entropy_mask = 0;  // bits of an IPv4 tunnel source, as a number
    Mac source_mac{};
    Mac next_hop{};
    std::vector<std::pair<uint16_t, uint16_t>> tags;  // EtherType and control, outermost first
    uint32_t egress_ifindex = 1;                      // 1 is where packets come in
    uint32_t mtu_bytes = 1500;
    bool resolved = true;
    bool second_copy = false;  // its current encapsulation is the second copy
    bool is_dead = false;      // its connections are given up
};

struct Service {
    std::string name;
    uint8_t protocol = 0;
    Address address;
    uint16_t port = 0;
    gw_affinity affinity = GW_AFFINITY_RING;
    std::vector<std::string> ring;  // slots, as in slot_from_text()
};

struct World {
    std::vector<Backend> backends;
    std::vector<Service> services;
    std::vector<Address> unmatched_pass;
    gw_hash_key hash_key{
        {0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f1}};
    bool other_generation = false;
    uint32_t pins_max = 64;
    gw_pin_times pin_times{.idle_ticks = 6706, .closing_ticks = 895, .handshake_ticks = 23};
    std::vector<ForeignPins> pins;
    uint32_t sources_max = 16;  // few, so that sources have to share
    std::vector<Limit> limits;
    std::vector<ListedPrefix> listed;

    [[nodiscard]] std::optional<uint32_t> backend_index(std::string_view name) const;
    [[nodiscard]] std::optional<uint32_t> service_index(std::string_view name) const;
};

// The generation that engines under test say they are.
inline constexpr uint32_t kGeneration = 1;

// Sizes that hold the world, for a machine with `cpus` processors.
[[nodiscard]] gw_capacity case_capacity(uint32_t cpus, const World &world);

// Parses a "backend ..." or "service ..." statement, whose keyword has been read.
[[nodiscard]] Backend parse_backend(Words &words);
[[nodiscard]] Service parse_service(Words &words);

// Empties `tables` and writes `world` into them; `now` is the pins' clock.
[[nodiscard]] Result<void> write_world(Tables &tables, const World &world, uint32_t now = 0);

}  // namespace guideway::packets
