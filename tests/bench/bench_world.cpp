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

packets::Service service(const char *name, uint8_t protocol, const char *listen,
                         uint32_t first_backend)
{
    packets::Service made{.name = name,
                          .protocol = protocol,
                          .address = address(listen),
                          .port = 443,
                          .ring = {}};
    made.ring.reserve(kRingSize);
    for (uint64_t slot = 0; slot < kRingSize; slot++) {
        const uint64_t mixed = (slot + 1) * 0x9e3779b97f4a7c15ULL >> 32;
        made.ring.push_back(std::to_string((mixed * kBackends >> 32) + first_backend));
    }
    return made;
}

}  // namespace

gw_capacity capacity(uint32_t cpus)
{
    return {.addresses_max = 64,
            .services_max = 16,
            .backends_max = 256,
            .ring_slots_max = 4 * kRingSize,
            .cpus_max = cpus,
            .pins_max = 4096};
}

packets::World world()
{
    packets::World world;
    for (uint32_t i = 0; i < 2 * kBackends; i++) {
        world.backends.push_back(backend(i));
    }
    world.services = {service("tcp-v4", 6, "203.0.113.10", 0),
                      service("udp-v4", 17, "203.0.113.10", 0),
                      service("v6-in-v6", 6, "2001:db8::10", kBackends),
                      service("v6-in-v4", 6, "2001:db8::11", 0)};
    return world;
}

}  // namespace guideway::bench
