#include "tests/bench/bench_world.hpp"

#include <string>

namespace guideway::bench {
namespace {

constexpr uint32_t kRingSize = 65537;
constexpr uint32_t kBackends = 100;  // of each family

packets::Address address(const std::string &text)
{
    packets::Words words(text);
    return words.address("an address");
}

packets::Backend backend(uint32_t index)
{
    const bool is_ipv6 = index >= kBackends;
    const std::string number = std::to_string(1 + index % kBackends);
    packets::Backend made;
    made.name = std::to_string(index);
    made.tunnel_source = address(is_ipv6 ? "fd00:1::2" : "10.1.0.0");
    made.address = address((is_ipv6 ? "fd00:2::" : "10.2.0.") + number);
    made.entropy_mask = is_ipv6 ? 0 : 0xffff;
    made.next_hop = {2, 0, 0, 0, 0, 0xfe};
    made.source_mac = {2, 0, 0, 0, 0, 1};
    return made;
}

// A slot belongs to a backend; a moving one did to the one before it.
packets::Service service(const char *name, uint8_t protocol, const char *listen, uint16_t port,
                         uint32_t first_backend, bool moving = false)
{
    packets::Service made{.name = name,
                          .protocol = protocol,
                          .address = address(listen),
                          .port = port,
                          .ring = {}};
    made.ring.reserve(kRingSize);
    for (uint64_t slot = 0; slot < kRingSize; slot++) {
        const uint64_t mixed = (slot + 1) * 0x9e3779b97f4a7c15ULL >> 32;
        const auto owner = static_cast<uint32_t>(mixed * kBackends >> 32);
        const std::string name = std::to_string(owner + first_backend);
        const std::string previous =
            std::to_string((owner + kBackends - 1) % kBackends + first_backend);
        made.ring.push_back(moving ? "moving:" + name + "<-" + previous : name);
    }
    return made;
}

}  // namespace

gw_capacity capacity(uint32_t cpus, uint32_t pins_max, uint32_t sources_max,
                     uint32_t prefixes_max)
{
    return {.addresses_max = 64,
            .services_max = 16,
            .backends_max = 256,
            .ring_slots_max = 5 * kRingSize,
            .cpus_max = cpus,
            .pins_max = pins_max,
            .sources_max = sources_max,
            .prefixes_max = prefixes_max};
}

packets::World world()
{
    packets::World world;
    world.hash_key = {
        {0x157c4a7fb979379e, 0x35c8ed5c60c09cf3, 0x517f2a36b278210f, 0x958ec1d0116a6cf8}};
    for (uint32_t i = 0; i < 2 * kBackends; i++) {
        world.backends.push_back(backend(i));
    }
    world.services = {service("tcp-v4", 6, "203.0.113.10", 443, 0),
                      service("udp-v4", 17, "203.0.113.10", 443, 0),
                      service("v6-in-v6", 6, "2001:db8::10", 443, kBackends),
                      service("v6-in-v4", 6, "2001:db8::11", 443, 0),
                      service("moving", 6, "203.0.113.10", 444, 0, true)};
    return world;
}

void fill_pins(const Tables &tables, uint32_t now)
{
    constexpr uint32_t kAgeTicks = 1000;
    uint64_t place = 0;
    for (auto &bucket : tables.pin_buckets()) {
        for (auto &pin : bucket.way) {
            const uint64_t fingerprint =
                ++place * 0x9e3779b97f4a7c15ULL >> GW_PIN_FINGERPRINT_SHIFT;
            pin.first = fingerprint << GW_PIN_FINGERPRINT_SHIFT;
            pin.second = uint64_t{now - kAgeTicks} << GW_PIN_SEEN_SHIFT;
        }
        // So that a flow without a pin looks into both.
        bucket.way[0].first |= GW_PIN_OVERFLOW;
    }
}

void set_replaceable(const Tables &tables, bool replaceable)
{
    tables.header().pin_times = {.idle_ticks = GW_PIN_TICKS_MASK,
                                 .closing_ticks = GW_PIN_TICKS_MASK,
                                 .handshake_ticks = replaceable ? 0 : GW_PIN_TICKS_MASK};
}

}  // namespace guideway::bench
