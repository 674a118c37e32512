#include "tests/packets/world.hpp"

#include <algorithm>
#include <cstring>

#include "control/plane/directory.hpp"
#include "dataplane/core/wire.h"
#include "tests/packets/notation.hpp"

namespace guideway::packets {
namespace {

template <typename T>
std::optional<uint32_t> index_of(const std::vector<T> &list, std::string_view name)
{
    const auto found = std::ranges::find(list, name, &T::name);
    if (found == list.end()) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(found - list.begin());
}

void write_outer_ipv4(uint8_t *l3, gw_encapsulation &encapsulation, const Backend &backend)
{
    l3[0] = GW_IPV4_VERSION_IHL;
    l3[6] = GW_IPV4_DONT_FRAGMENT >> 8;
    l3[8] = 64;
    std::ranges::copy_n(backend.tunnel_source.bytes.begin(), 4, l3 + 12);
    std::ranges::copy_n(backend.address.bytes.begin(), 4, l3 + 16);
    // As the control plane does: a source holds no bits where entropy goes.
    encapsulation.entropy_mask = __builtin_bswap32(backend.entropy_mask);
    gw_store32(l3 + 12, gw_load32(l3 + 12) & ~encapsulation.entropy_mask);
    for (int word = 0; word < 10; word++) {
        encapsulation.outer_sum += gw_load16(l3 + 2 * word);
    }
}

void write_outer_ipv6(uint8_t *l3, const Backend &backend)
{
    l3[0] = 0x60;
    l3[7] = 64;
    std::ranges::copy_n(backend.tunnel_source.bytes.begin(), 16, l3 + 8);
    std::ranges::copy_n(backend.address.bytes.begin(), 16, l3 + 24);
}

void write_backend(gw_backend &entry, const Backend &backend)
{
    const unsigned copy = backend.second_copy ? 1 : 0;
    auto &encapsulation = entry.encapsulation[copy];
    uint8_t *outer = entry.outer[copy];
    // The copy that is not current holds rubbish, as it may while it is being prepared.
    std::memset(&entry.encapsulation[1 - copy], 0xee, sizeof(gw_encapsulation));
    std::memset(entry.outer[1 - copy], 0xee, GW_OUTER_BYTES);

    Bytes l2(backend.next_hop.begin(), backend.next_hop.end());
    l2.insert(l2.end(), backend.source_mac.begin(), backend.source_mac.end());
    auto put16 = [&l2](uint16_t value) {
        l2.push_back(static_cast<uint8_t>(value >> 8));
        l2.push_back(static_cast<uint8_t>(value));
    };
    for (const auto &[type, control] : backend.tags) {
        put16(type);
        put16(control);
    }
    const bool is_ipv6 = backend.address.is_ipv6;
    put16(is_ipv6 ? GW_ETHERTYPE_IPV6 : GW_ETHERTYPE_IPV4);
    std::ranges::copy(l2, outer + GW_OUTER_L3_OFFSET - l2.size());

    encapsulation.l2_bytes = static_cast<uint8_t>(l2.size());
    encapsulation.l3_bytes = is_ipv6 ? GW_IPV6_BYTES : GW_IPV4_BYTES;
    encapsulation.inner_bytes_max =
        static_cast<uint16_t>(backend.mtu_bytes - encapsulation.l3_bytes);
    encapsulation.egress_ifindex = backend.egress_ifindex;
    if (is_ipv6) {
        write_outer_ipv6(outer + GW_OUTER_L3_OFFSET, backend);
    } else {
        write_outer_ipv4(outer + GW_OUTER_L3_OFFSET, encapsulation, backend);
    }
    entry.identity = 1;
    uint32_t state = GW_BACKEND_IN_USE;
    if (backend.resolved) {
        state |= GW_BACKEND_RESOLVED;
    }
    if (backend.second_copy) {
        state |= GW_BACKEND_COPY;
    }
    if (backend.is_dead) {
        state |= GW_BACKEND_DEAD;
    }
    entry.state = state;
}

model::IpAddress model_address(const Address &address)
{
    return {.family = address.is_ipv6 ? model::Family::kIpv6 : model::Family::kIpv4,
            .bytes = address.bytes};
}

Result<void> write_directory(const Tables &tables, const World &world)
{
    std::vector<DirectoryEntry> entries;
    for (const auto &service : world.services) {
        const bool pass = std::ranges::find(world.unmatched_pass, service.address) !=
                          world.unmatched_pass.end();
        entries.push_back({.address = plane::directory_address(model_address(service.address)),
                           .protocol = service.protocol,
                           .port_raw = gw_to_be16(service.port).raw,
                           .service = static_cast<uint32_t>(entries.size()),
                           .unmatched = pass ? GW_UNMATCHED_PASS : GW_UNMATCHED_DROP});
    }
    auto built = build_directory(tables.layout(), entries);
    if (!built) {
        return std::unexpected(std::move(built.error()));
    }
    write_idle_directory(tables, *built);
    activate_idle_directory(tables);
    return {};
}

}  // namespace

std::optional<uint32_t> World::backend_index(std::string_view name) const
{
    return index_of(backends, name);
}

std::optional<uint32_t> World::service_index(std::string_view name) const
{
    return index_of(services, name);
}

gw_capacity case_capacity(uint32_t cpus, const World &world)
{
    return {.addresses_max = 64,
            .services_max = 64,
            .backends_max = 64,
            .ring_slots_max = 4096,
            .cpus_max = cpus,
            .pins_max = world.pins_max,
            .sources_max = world.sources_max,
            .prefixes_max = 64};
}

Backend parse_backend(Words &words)
{
    Backend backend;
    backend.name = words.next("the backend's name");
    words.expect("tunnel");
    backend.tunnel_source = words.address("the tunnel source");
    words.expect("->");
    backend.address = words.address("the backend's address");
    if (backend.tunnel_source.is_ipv6 != backend.address.is_ipv6) {
        words.fail("the tunnel's ends are of different families");
    }
    words.expect("next-hop");
    backend.source_mac = words.mac("the egress interface's MAC");
    words.expect("->");
    backend.next_hop = words.mac("the next hop's MAC");
    while (!words.done()) {
        if (words.accept("vlan")) {
            backend.tags.emplace_back(GW_ETHERTYPE_VLAN, words.number("the VLAN id", 0xffff));
        } else if (words.accept("qinq")) {
            backend.tags.emplace_back(GW_ETHERTYPE_QINQ, words.number("the VLAN id", 0xffff));
        } else if (words.accept("entropy")) {
            const Address mask = words.address("the entropy mask");
            backend.entropy_mask = __builtin_bswap32(gw_load32(mask.bytes.data()));
        } else if (words.accept("egress")) {
            backend.egress_ifindex =
                static_cast<uint32_t>(words.number("the egress interface", 0xffffffff));
        } else if (words.accept("mtu")) {
            backend.mtu_bytes = static_cast<uint32_t>(words.number("the MTU", 65535));
        } else if (words.accept("unresolved")) {
            backend.resolved = false;
        } else if (words.accept("second-copy")) {
            backend.second_copy = true;
        } else if (words.accept("dead")) {
            backend.is_dead = true;
        } else {
            words.fail("does not know '" + std::string(words.peek()) + "'");
        }
    }
    if (backend.tags.size() > GW_VLAN_TAGS_MAX) {
        words.fail("at most two tags");
        backend.tags.clear();
    }
    return backend;
}

Service parse_service(Words &words)
{
    Service service;
    service.name = words.next("the service's name");
    if (words.accept("tcp")) {
        service.protocol = GW_PROTO_TCP;
    } else {
        words.expect("udp");
        service.protocol = GW_PROTO_UDP;
    }
    service.address = words.address("the service address");
    service.port = static_cast<uint16_t>(words.number("the port", 65535));
    if (words.accept("affinity")) {
        if (words.accept("connection")) {
            service.affinity = GW_AFFINITY_CONNECTION;
        } else if (words.accept("flow")) {
            service.affinity = GW_AFFINITY_FLOW;
        } else {
            words.fail("expected connection or flow");
        }
    }
    words.expect("ring");
    while (!words.done()) {
        service.ring.push_back(words.next("a slot"));
    }
    return service;
}

Result<void> write_world(Tables &tables, const World &world, uint32_t now)
{
    tables.initialise(world.hash_key);
    if (world.backends.size() > tables.backends().size() ||
        world.services.size() > tables.services().size()) {
        return fail("more backends or services than a case's tables hold");
    }
    for (size_t i = 0; i < world.backends.size(); i++) {
        write_backend(tables.backends()[i], world.backends[i]);
    }
    uint32_t ring_offset = 0;
    for (size_t i = 0; i < world.services.size(); i++) {
        const auto &service = world.services[i];
        auto &entry = tables.services()[i];
        entry.identity = 1;
        entry.ring_offset = ring_offset;
        entry.ring_size = static_cast<uint32_t>(service.ring.size());
        if (ring_offset + service.ring.size() > tables.ring_slots().size()) {
            return fail("more ring slots than a case's tables hold");
        }
        entry.affinity = service.affinity;
        for (const auto &text : service.ring) {
            const auto slot = slot_from_text(world, text);
            if (!slot) {
                return fail("service " + service.name + ": " + slot.error().message);
            }
            tables.ring_slots()[ring_offset++] = *slot;
        }
    }
    tables.header().pin_times = world.pin_times;
    for (const auto &pins : world.pins) {
        if (auto placed = place_pins(tables, world, pins, now); !placed) {
            return placed;
        }
    }
    if (auto written = write_directory(tables, world); !written) {
        return written;
    }
    if (auto written = write_policy(tables, world); !written) {
        return written;
    }
    tables.header().active_generation = world.other_generation ? kGeneration + 1 : kGeneration;
    return {};
}

}  // namespace guideway::packets
