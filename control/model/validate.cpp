#include "control/model/validate.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "control/model/maglev.hpp"
#include "control/model/validate_engine.hpp"
#include "control/model/validate_health.hpp"
#include "control/model/validate_limits.hpp"

namespace guideway::model {

namespace {

std::string indexed(std::string_view list, size_t index)
{
    return std::string(list) + "[" + std::to_string(index) + "]";
}

// Collects the violations of one desired state.
class Validator {
  public:
    explicit Validator(const Desired &desired) : desired_(desired) {}

    std::vector<Violation> run()
    {
        check_instance();
        check_tunnel_sources();
        check_capacity();
        check_connections();
        check_pools();
        check_services();
        check_backends_against_services();
        check_sums();
        validate_health(desired_, violations_);
        validate_limits(desired_, violations_);
        validate_engine(desired_, violations_);
        return std::move(violations_);
    }

  private:
    void report(std::string path, std::string message, std::string hint,
                std::string related = {})
    {
        violations_.push_back(
            {std::move(path), std::move(message), std::move(hint), std::move(related)});
    }

    void check_instance();
    void check_tunnel_sources();
    void check_tunnel_source(const std::string &path, const Prefix &source);
    void check_capacity();
    void check_bound(const std::string &path, uint32_t value, uint32_t least, uint32_t most,
                     bool power_of_two);
    void check_connections();
    void check_pools();
    void check_pool(const Pool &pool, const std::string &path);
    void check_services();
    void check_service(const Service &service, const std::string &path);
    void check_ring(const Service &service, const std::string &path);
    void check_backends_against_services();
    void check_backend_of_used_pool(const Backend &backend, const std::string &path);
    void check_sums();
    void check_name(const std::string &path, std::string_view what, std::string_view name);
    void check_usable(const std::string &path, std::string_view what, const IpAddress &address);

    // Reports `key` at `path` if it was seen before; remembers it if not.
    template <typename Key>
    bool is_new(std::map<Key, std::string> &seen, const Key &key, const std::string &path,
                const std::string &message, const std::string &hint)
    {
        const auto [first, inserted] = seen.try_emplace(key, path);
        if (!inserted) {
            report(path, message, hint, first->second);
        }
        return inserted;
    }

    const Desired &desired_;
    std::vector<Violation> violations_;
    std::map<std::string, const Pool *, std::less<>> pools_;  // by name
    std::map<IpAddress, std::string> service_addresses_;      // with the path of the first
};

void Validator::check_name(const std::string &path, std::string_view what,
                           std::string_view name)
{
    if (!is_name(name)) {
        report(path, quoted(name) + " is not a name for " + std::string(what),
               "names are " + std::string(kNameRule));
    }
}

void Validator::check_usable(const std::string &path, std::string_view what,
                             const IpAddress &address)
{
    const AddressKind kind = address.kind();
    if (kind != AddressKind::kUnicast) {
        report(path,
               std::string(what) + " " + address.to_string() +
                   (kind == AddressKind::kUnspecified ? " is an " : " is a ") +
                   std::string(to_string(kind)) + " address",
               kind == AddressKind::kLinkLocal
                   ? "give an address that can be routed; a link-local one means nothing "
                     "without an interface"
                   : "give a unicast address");
    }
}

void Validator::check_instance()
{
    if (!is_instance_name(desired_.instance)) {
        report("instance", quoted(desired_.instance) + " is not a name for an instance",
               "names are " + std::string(kInstanceNameRule));
    }
    if (desired_.interfaces.empty()) {
        report("interfaces", "no interface is given",
               "name the interfaces that packets for the services arrive on, such as [eth0]");
    }
    std::map<std::string, std::string> seen;
    for (size_t i = 0; i < desired_.interfaces.size(); i++) {
        const std::string &name = desired_.interfaces[i];
        const std::string path = indexed("interfaces", i);
        if (!is_interface_name(name)) {
            report(path, quoted(name) + " is not a name for an interface",
                   "1 to 15 printable characters without '/', ':' and spaces, as shown by ip "
                   "link");
            continue;
        }
        is_new(seen, name, path, "interface " + quoted(name) + " is given twice", "keep one");
    }
    for (size_t word = 0; word < 4; word++) {
        const auto *begin = desired_.hash_key.data() + word * 8;
        if (std::all_of(begin, begin + 8, [](uint8_t byte) { return byte == 0; })) {
            report("hash_key",
                   "the hash key has a 64-bit word of zeros, which hides flows' differences",
                   "give 64 random hexadecimal digits, such as from: openssl rand -hex 32");
            break;
        }
    }
}

void Validator::check_tunnel_source(const std::string &path, const Prefix &source)
{
    check_usable(path, "tunnel source", source.address);
    if (source.has_host_bits()) {
        report(path, "tunnel source " + source.to_string() + " has bits set beyond its prefix",
               "write " + source.network().to_string() +
                   ", whose host bits are filled from each flow's hash, or the address alone");
    } else if (source.length_bits < kTunnelSourceBitsMin) {
        report(path, "tunnel source " + source.to_string() + " is too wide",
               "a prefix length from /" + std::to_string(kTunnelSourceBitsMin) +
                   " on; a few host bits suffice for routers to balance");
    }
}

void Validator::check_tunnel_sources()
{
    if (const auto &source = desired_.tunnel_source_ipv4) {
        if (source->address.is_ipv6()) {
            report("tunnel_source", "tunnel source " + source->to_string() + " is not IPv4",
                   "an IPv6 source belongs to tunnel_source6");
        } else {
            check_tunnel_source("tunnel_source", *source);
        }
    }
    if (const auto &source = desired_.tunnel_source_ipv6) {
        if (!source->address.is_ipv6()) {
            report("tunnel_source6", "tunnel source " + source->to_string() + " is not IPv6",
                   "an IPv4 source belongs to tunnel_source");
        } else if (source->length_bits != 128) {
            report("tunnel_source6", "the IPv6 tunnel source is a prefix",
                   "give one address; the flow label, not the source, tells flows apart");
        } else {
            check_tunnel_source("tunnel_source6", *source);
        }
    }
}

void Validator::check_bound(const std::string &path, uint32_t value, uint32_t least,
                            uint32_t most, bool power_of_two)
{
    const std::string rule = (power_of_two ? "a power of two from " : "from ") +
                             std::to_string(least) + " to " + std::to_string(most);
    if (value < least || value > most || (power_of_two && !std::has_single_bit(value))) {
        report(path, path + " is " + std::to_string(value), rule);
    }
}

void Validator::check_capacity()
{
    const Capacity &capacity = desired_.capacity;
    check_bound("capacity.addresses", capacity.addresses, 1, kAddressesMax, false);
    check_bound("capacity.services", capacity.services, 1, kServicesMax, true);
    check_bound("capacity.backends", capacity.backends, 1, kBackendsMax, true);
    check_bound("capacity.ring_slots", capacity.ring_slots, 1, kRingSlotsMax, false);
    check_bound("capacity.pins", capacity.pins, kPinsMin, kPinsMax, true);
    check_bound("capacity.sources", capacity.sources, kSourcesMin, kSourcesMax, true);
    check_bound("capacity.prefixes", capacity.prefixes, kPrefixesMin, kPrefixesMax, false);
}

void Validator::check_connections()
{
    const auto &[learning, idle] = desired_.connections;
    if (learning < kLearningPeriodMin || learning > kLearningPeriodMax) {
        report("connections.learning_period", "learning_period is " + duration_text(learning),
               "from " + duration_text(kLearningPeriodMin) + " to " +
                   duration_text(kLearningPeriodMax));
    }
    if (idle > kIdleTimeoutMax) {
        report("connections.idle_timeout", "idle_timeout is " + duration_text(idle),
               "at most " + duration_text(kIdleTimeoutMax));
    } else if (idle < learning) {
        report("connections.idle_timeout",
               "idle_timeout " + duration_text(idle) + " is below learning_period, " +
                   duration_text(learning),
               "at least learning_period: a connection must not be forgotten while its slot "
               "is learning");
    }
}

void Validator::check_pool(const Pool &pool, const std::string &path)
{
    std::map<std::string, std::string> names;
    std::map<IpAddress, std::string> addresses;
    for (size_t i = 0; i < pool.backends.size(); i++) {
        const Backend &backend = pool.backends[i];
        const std::string at = indexed(path + ".backends", i);
        check_name(at + ".name", "a backend", backend.name);
        if (!backend.name.empty()) {
            is_new(
                names, backend.name, at + ".name",
                "pool " + quoted(pool.name) + " has two backends named " + quoted(backend.name),
                "give each backend of a pool its own name");
        }
        check_usable(at + ".address", "backend address", backend.address);
        if (backend.address.kind() != AddressKind::kUnspecified) {
            is_new(addresses, backend.address, at + ".address",
                   "pool " + quoted(pool.name) + " has two backends with the address " +
                       backend.address.to_string(),
                   "a backend is known by its address; use the weight for a larger share");
        }
        if (backend.weight > kWeightMax) {
            report(at + ".weight", "weight " + std::to_string(backend.weight) + " is too large",
                   "from 0 (no new flows) to " + std::to_string(kWeightMax));
        }
    }
}

void Validator::check_pools()
{
    std::map<std::string, std::string> names;
    for (size_t i = 0; i < desired_.pools.size(); i++) {
        const Pool &pool = desired_.pools[i];
        const std::string path = indexed("pools", i);
        check_name(path + ".name", "a pool", pool.name);
        if (!pool.name.empty() &&
            is_new(names, pool.name, path + ".name", "two pools are named " + quoted(pool.name),
                   "give each pool its own name")) {
            pools_.emplace(pool.name, &pool);
        }
        check_pool(pool, path);
    }
}

void Validator::check_ring(const Service &service, const std::string &path)
{
    if (!is_prime(service.ring_size) || service.ring_size > kRingSlotsMax) {
        uint32_t below = std::min(service.ring_size, kRingSlotsMax);
        while (below > 2 && !is_prime(below)) {
            below--;
        }
        uint32_t above = std::max(service.ring_size, 2u);
        while (above < kRingSlotsMax && !is_prime(above)) {
            above++;
        }
        std::string nearest = std::to_string(std::max(below, 2u));
        if (above < kRingSlotsMax && above != below) {
            nearest += " or " + std::to_string(above);
        }
        report(path + ".ring_size",
               "ring_size " + std::to_string(service.ring_size) +
                   (service.ring_size > kRingSlotsMax ? " is too large" : " is not a prime"),
               "a prime number of slots, such as " + nearest);
        return;
    }
    const auto pool = pools_.find(service.pool);
    if (pool != pools_.end() &&
        service.ring_size < kSlotsPerBackendMin * pool->second->backends.size()) {
        report(path + ".ring_size",
               "a ring of " + std::to_string(service.ring_size) +
                   " slots is too small for the " +
                   std::to_string(pool->second->backends.size()) + " backends of pool " +
                   quoted(service.pool),
               "at least " + std::to_string(kSlotsPerBackendMin) +
                   " slots for each backend; a hundred for even shares");
    }
}

void Validator::check_service(const Service &service, const std::string &path)
{
    check_name(path + ".name", "a service", service.name);
    check_usable(path + ".listen", "service address", service.address);
    if (service.port == 0) {
        report(path + ".listen", "port 0 is not a port", "a port from 1 to 65535");
    }
    if (!service.pool.empty() && !pools_.contains(service.pool)) {
        std::string known;
        for (const auto &[name, pool] : pools_) {
            if (known.size() > 200) {
                known += ", …";
                break;
            }
            known += (known.empty() ? "" : ", ") + name;
        }
        report(path + ".pool", "pool " + quoted(service.pool) + " is not defined",
               known.empty() ? "define it under pools" : "defined are: " + known);
    } else if (service.pool.empty()) {
        report(path + ".pool", "no pool is given", "the name of one of the pools");
    }
    check_ring(service, path);
    const bool is_tcp = service.protocol == Protocol::kTcp;
    if (is_tcp != (service.affinity == Affinity::kConnection)) {
        report(path + ".affinity",
               std::string("this affinity is not one of ") + (is_tcp ? "TCP" : "UDP") +
                   " services",
               is_tcp ? "connection, the only one of TCP" : "none or flow");
    }
    for (const auto &[source, key] :
         {std::pair{&desired_.tunnel_source_ipv4, "tunnel_source"},
          std::pair{&desired_.tunnel_source_ipv6, "tunnel_source6"}}) {
        if (*source && (*source)->contains(service.address)) {
            report(path + ".listen",
                   "service address " + service.address.to_string() +
                       " is a source of tunnelled packets",
                   "use an address of the host for the tunnel and another for the service",
                   key);
        }
    }
}

void Validator::check_services()
{
    std::map<std::string, std::string> names;
    std::map<std::tuple<IpAddress, Protocol, uint16_t>, std::string> listens;
    std::map<IpAddress, std::pair<const Service *, std::string>> by_address;
    for (size_t i = 0; i < desired_.services.size(); i++) {
        const Service &service = desired_.services[i];
        const std::string path = indexed("services", i);
        check_service(service, path);
        if (!service.name.empty()) {
            is_new(names, service.name, path + ".name",
                   "two services are named " + quoted(service.name),
                   "give each service its own name");
        }
        if (service.address.kind() == AddressKind::kUnspecified || service.port == 0) {
            continue;
        }
        is_new(listens, {service.address, service.protocol, service.port}, path + ".listen",
               "two services listen on " + listen_text(service),
               "a service needs an address, protocol and port of its own");
        service_addresses_.try_emplace(service.address, path + ".listen");
        const auto [first, is_first] =
            by_address.try_emplace(service.address, &service, path + ".unmatched");
        if (!is_first && first->second.first->unmatched != service.unmatched) {
            report(path + ".unmatched",
                   "services " + quoted(first->second.first->name) + " and " +
                       quoted(service.name) + " share the address " +
                       service.address.to_string() + " but disagree on unmatched",
                   "it speaks of the whole address: the same value for all its services",
                   first->second.second);
        }
    }
}

void Validator::check_backend_of_used_pool(const Backend &backend, const std::string &path)
{
    const bool is_ipv6 = backend.address.is_ipv6();
    const auto &source = is_ipv6 ? desired_.tunnel_source_ipv6 : desired_.tunnel_source_ipv4;
    const std::string key = is_ipv6 ? "tunnel_source6" : "tunnel_source";
    if (!source) {
        report(path,
               "backend address " + backend.address.to_string() + " needs " + key +
                   ", which is not given",
               "give " + key + ": an " + (is_ipv6 ? "IPv6" : "IPv4") +
                   " address of this host that the backends accept tunnelled packets from",
               key);
    } else if (source->contains(backend.address)) {
        report(path,
               "backend address " + backend.address.to_string() +
                   " is a source of tunnelled packets",
               "the backend would take such packets for its own and drop them; keep them apart",
               key);
    }
}

void Validator::check_backends_against_services()
{
    std::set<std::string_view> used;
    for (const Service &service : desired_.services) {
        used.insert(service.pool);
    }
    for (size_t p = 0; p < desired_.pools.size(); p++) {
        const Pool &pool = desired_.pools[p];
        for (size_t b = 0; b < pool.backends.size(); b++) {
            const IpAddress &address = pool.backends[b].address;
            const std::string path = indexed(indexed("pools", p) + ".backends", b) + ".address";
            if (address.kind() == AddressKind::kUnspecified) {
                continue;
            }
            if (const auto service = service_addresses_.find(address);
                service != service_addresses_.end()) {
                report(path, "backend address " + address.to_string() + " is a service address",
                       "tunnelled packets would come back here; give the backend's own address",
                       service->second);
            }
            if (used.contains(pool.name)) {
                check_backend_of_used_pool(pool.backends[b], path);
            }
        }
    }
}

void Validator::check_sums()
{
    const Capacity &capacity = desired_.capacity;
    const auto exceeded = [&](std::string path, uint64_t have, std::string_view what,
                              std::string_view key, uint32_t most) {
        report(std::move(path),
               std::to_string(have) + " " + std::string(what) + " exceed capacity." +
                   std::string(key) + ", which is " + std::to_string(most),
               "raise capacity." + std::string(key) + " or remove some");
    };
    if (desired_.services.size() > capacity.services) {
        exceeded(indexed("services", capacity.services), desired_.services.size(), "services",
                 "services", capacity.services);
    }
    std::set<IpAddress> addresses;
    std::string first_address_over;
    std::string first_ring_over;
    uint64_t slots = 0;
    for (size_t i = 0; i < desired_.services.size(); i++) {
        addresses.insert(desired_.services[i].address);
        if (addresses.size() > capacity.addresses && first_address_over.empty()) {
            first_address_over = indexed("services", i) + ".listen";
        }
        slots += desired_.services[i].ring_size;
        if (slots > capacity.ring_slots && first_ring_over.empty()) {
            first_ring_over = indexed("services", i) + ".ring_size";
        }
    }
    if (!first_address_over.empty()) {
        exceeded(first_address_over, addresses.size(), "service addresses", "addresses",
                 capacity.addresses);
    }
    if (!first_ring_over.empty()) {
        exceeded(first_ring_over, slots, "ring slots", "ring_slots", capacity.ring_slots);
    }
    uint64_t backends = 0;
    std::string first_backend_over;
    for (size_t i = 0; i < desired_.pools.size(); i++) {
        const uint64_t count = desired_.pools[i].backends.size();
        if (backends + count > capacity.backends && first_backend_over.empty()) {
            first_backend_over =
                indexed(indexed("pools", i) + ".backends", capacity.backends - backends);
        }
        backends += count;
    }
    if (!first_backend_over.empty()) {
        exceeded(first_backend_over, backends, "backends", "backends", capacity.backends);
    }
}

}  // namespace

std::vector<Violation> validate(const Desired &desired)
{
    return Validator(desired).run();
}

}  // namespace guideway::model
