#include "tests/packets/world.hpp"

#include <algorithm>
#include <cstring>

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

gw_address table_address(const Address &address)
{
    gw_address key{};
    if (address.is_ipv6) {
        key.high = gw_load64(address.bytes.data());
        key.low = gw_load64(address.bytes.data() + 8);
    } else {
        key.high = GW_IPV4_TAG;
        key.low = gw_load32(address.bytes.data());
    }
    return key;
}

// Everything that the directory is to contain.
struct DirectoryContent {
    struct Port {
        size_t address;
        uint8_t protocol;
        uint16_t port_raw;
        uint16_t value;
    };
    std::vector<Address> addresses;
    std::vector<Port> ports;

    size_t add(const Address &address)
    {
        const auto found = std::ranges::find(addresses, address);
        if (found != addresses.end()) {
            return static_cast<size_t>(found - addresses.begin());
        }
        addresses.push_back(address);
        return addresses.size() - 1;
    }
};

// Fills one copy with `content` under `seed`; false when a bucket overflows.
bool fill_directory(Tables &tables, unsigned copy, const DirectoryContent &content,
                    uint64_t seed)
{
    tables.directory(copy).seed = seed;
    auto addresses = tables.address_buckets(copy);
    auto ports = tables.port_buckets(copy);
    std::ranges::fill(addresses, gw_address_bucket{});
    std::ranges::fill(ports, gw_port_bucket{});
    std::vector<uint32_t> address_index;
    for (const auto &address : content.addresses) {
        const gw_address key = table_address(address);
        const uint32_t bucket =
            gw_address_hash(seed, key.high, key.low) & tables.layout().address_buckets_mask;
        auto &ways = addresses[bucket].way;
        const auto way = std::ranges::find_if(
            ways, [](const gw_address &w) { return w.high == 0 && w.low == 0; });
        if (way == std::end(ways)) {
            return false;
        }
        *way = key;
        address_index.push_back(bucket * GW_ADDRESS_WAYS +
                                static_cast<uint32_t>(way - std::begin(ways)));
    }
    for (const auto &port : content.ports) {
        const uint64_t key =
            gw_port_key(address_index[port.address], port.protocol, port.port_raw);
        auto &ways = ports[gw_port_hash(seed, key) & tables.layout().port_buckets_mask].way;
        const auto way = std::ranges::find(ways, 0U);
        if (way == std::end(ways)) {
            return false;
        }
        *way = key | port.value;
    }
    return true;
}

void write_outer_ipv4(uint8_t *l3, gw_encapsulation &encapsulation, const Backend &backend)
{
    l3[0] = GW_IPV4_VERSION_IHL;
    l3[6] = GW_IPV4_DONT_FRAGMENT >> 8;
    l3[8] = 64;
    std::ranges::copy_n(backend.tunnel_source.bytes.begin(), 4, l3 + 12);
    std::ranges::copy_n(backend.address.bytes.begin(), 4, l3 + 16);
    encapsulation.entropy_mask = __builtin_bswap32(backend.entropy_mask);
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
    entry.state = state;
}

Result<void> write_directory(Tables &tables, const World &world)
{
    DirectoryContent content;
    for (uint16_t i = 0; i < world.services.size(); i++) {
        const auto &service = world.services[i];
        content.ports.push_back(
            {content.add(service.address), service.protocol, gw_to_be16(service.port).raw, i});
    }
    for (size_t i = 0; i < content.addresses.size(); i++) {
        const bool pass = std::ranges::find(world.unmatched_pass, content.addresses[i]) !=
                          world.unmatched_pass.end();
        const uint16_t unmatched = pass ? GW_UNMATCHED_PASS : GW_UNMATCHED_DROP;
        content.ports.push_back({i, 0, 0, unmatched});
    }
    uint64_t seed = 0x9e3779b97f4a7c15ULL;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (fill_directory(tables, 0, content, seed)) {
            return {};
        }
        seed = seed * 0x5851f42d4c957f2dULL + 0x14057b7ef767814eULL;
        seed |= 1;
    }
    return fail("no seed lets the directory hold this case");
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

gw_capacity case_capacity(uint32_t cpus)
{
    return {.addresses_max = 64,
            .services_max = 64,
            .backends_max = 64,
            .ring_slots_max = 4096,
            .cpus_max = cpus};
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
    words.expect("ring");
    while (!words.done()) {
        service.ring.push_back(words.next("a backend"));
    }
    return service;
}

Result<void> write_world(Tables &tables, const World &world)
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
        for (const auto &name : service.ring) {
            uint32_t owner = GW_OWNER_NONE;
            if (name != "none") {
                const auto index = world.backend_index(name);
                if (!index) {
                    return fail("service " + service.name + ": no backend '" + name + "'");
                }
                owner = *index;
            }
            tables.ring_slots()[ring_offset++] =
                gw_slot_make(owner, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
        }
    }
    if (auto written = write_directory(tables, world); !written) {
        return written;
    }
    tables.header().active_directory = 0;
    tables.header().active_generation = world.other_generation ? kGeneration + 1 : kGeneration;
    return {};
}

}  // namespace guideway::packets
