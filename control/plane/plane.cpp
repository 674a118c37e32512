#include "control/plane/plane.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <string_view>

#include "control/plane/directory.hpp"
#include "control/plane/encapsulation.hpp"

namespace guideway::plane {
namespace {

// FNV-1a, 64 bits: names an object in the tables for the next daemon that adopts them.
class Identity {
  public:
    Identity &add(std::string_view text)
    {
        for (char c : text) {
            add_byte(static_cast<uint8_t>(c));
        }
        add_byte(0);
        return *this;
    }
    [[nodiscard]] uint64_t value() const { return hash_ == 0 ? 1 : hash_; }

  private:
    void add_byte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3ULL; }
    uint64_t hash_ = 0xcbf29ce484222325ULL;
};

uint64_t service_identity(const model::Service &service)
{
    return Identity()
        .add("service")
        .add(std::to_string(static_cast<int>(service.protocol)))
        .add(service.address.to_string())
        .add(std::to_string(service.port))
        .value();
}

const model::Prefix &source_for(const model::Desired &desired, const model::Backend &backend)
{
    static const model::Prefix none{};
    const auto &source =
        backend.address.is_ipv6() ? desired.tunnel_source_ipv6 : desired.tunnel_source_ipv4;
    return source ? *source : none;
}

uint64_t backend_identity(const model::Desired &desired, const std::string &pool,
                          const model::Backend &backend)
{
    return Identity()
        .add("backend")
        .add(pool)
        .add(backend.name)
        .add(backend.address.to_string())
        .add("ipip")
        .add(source_for(desired, backend).to_string())
        .value();
}

std::set<std::string> pools_in_use(const model::Desired &desired)
{
    std::set<std::string> pools;
    for (const auto &service : desired.services) {
        pools.insert(service.pool);
    }
    return pools;
}

template <typename Record>
std::map<uint64_t, uint32_t> indices_by_identity(std::span<Record> records)
{
    std::map<uint64_t, uint32_t> indices;
    for (uint32_t i = 0; i < records.size(); i++) {
        if (records[i].identity != 0) {
            indices.emplace(records[i].identity, i);
        }
    }
    return indices;
}

// Gives out the free indices of a table in order.
template <typename Record>
class FreeIndices {
  public:
    FreeIndices(std::span<Record> records, const std::vector<uint32_t> &retired)
        : records_(records), retired_(retired.begin(), retired.end())
    {
    }
    std::optional<uint32_t> next()
    {
        while (at_ < records_.size()) {
            const uint32_t index = at_++;
            if (records_[index].identity == 0 || retired_.contains(index)) {
                return index;
            }
        }
        return std::nullopt;
    }

  private:
    std::span<Record> records_;
    std::set<uint32_t> retired_;
    uint32_t at_ = 0;
};

}  // namespace

// Where everything that is desired has, or will have, its place.
struct Plane::Placement {
    std::vector<uint32_t> services;  // in the order of desired.services
    std::vector<RingSpace> rings;    // likewise
    std::map<BackendKey, uint32_t> backends;
    DirectoryImage directory;
};

Plane::Plane(Tables &tables, std::function<void()> quiesce)
    : tables_(tables), quiesce_(std::move(quiesce))
{
    retire_unreferenced();
}

// What an earlier daemon had given up, or had begun to write when it was killed: services
// that the directory does not name, and backends that no ring of the others names.
void Plane::retire_unreferenced()
{
    std::set<uint32_t> named;
    for (const auto &bucket : tables_.port_buckets(tables_.header().active_directory)) {
        for (const uint64_t way : bucket.way) {
            const auto address_index = static_cast<uint32_t>(way >> 40) & 0xffff;
            const bool is_unmatched = (way & ~0xffffULL) == gw_port_key(address_index, 0, 0);
            if (way != 0 && !is_unmatched) {
                named.insert(static_cast<uint32_t>(way & 0xffff));
            }
        }
    }
    std::set<uint32_t> owners;
    const auto services = tables_.services();
    for (uint32_t i = 0; i < services.size(); i++) {
        if (services[i].identity == 0) {
            continue;
        }
        if (!named.contains(i)) {
            retired_services_.push_back(i);
            continue;
        }
        for (gw_slot slot :
             tables_.ring_slots().subspan(services[i].ring_offset, services[i].ring_size)) {
            owners.insert(gw_slot_owner(slot));
        }
    }
    for (uint32_t i = 0; i < tables_.backends().size(); i++) {
        if (tables_.backends()[i].identity != 0 && !owners.contains(i)) {
            retired_backends_.push_back(i);
        }
    }
}

Result<Plane::Placement> Plane::place(const model::Desired &desired) const
{
    Placement placement;
    const auto services = tables_.services();
    auto known_services = indices_by_identity(services);
    for (uint32_t index : retired_services_) {
        known_services.erase(services[index].identity);
    }
    FreeIndices free_services(services, retired_services_);

    std::map<uint32_t, uint32_t> taken;  // ring space: offset to size
    for (const auto &[identity, index] : known_services) {
        taken.emplace(services[index].ring_offset, services[index].ring_size);
    }
    const auto ring_space = [&](uint32_t size) -> std::optional<RingSpace> {
        uint32_t offset = 0;
        for (const auto &[taken_offset, taken_size] : taken) {
            if (taken_offset - offset >= size) {
                break;
            }
            offset = taken_offset + taken_size;
        }
        if (tables_.capacity().ring_slots_max - offset < size) {
            return std::nullopt;
        }
        taken.emplace(offset, size);
        return RingSpace{offset, size};
    };

    for (const auto &service : desired.services) {
        if (auto known = known_services.find(service_identity(service));
            known != known_services.end()) {
            const auto &record = services[known->second];
            if (record.ring_size != service.ring_size) {
                return fail("service '" + service.name + "' has a ring of " +
                            std::to_string(record.ring_size) +
                            " slots, fixed when it was made; " +
                            "changing it would move nearly every flow. Remove the service " +
                            "and add it again to change its ring_size");
            }
            placement.services.push_back(known->second);
            placement.rings.push_back({record.ring_offset, record.ring_size});
            continue;
        }
        const auto index = free_services.next();
        if (!index) {
            return fail("no free place for service '" + service.name +
                        "': capacity.services is " + std::to_string(services.size()) +
                        ", and services that are being replaced count too; remove some first");
        }
        const auto space = ring_space(service.ring_size);
        if (!space) {
            return fail("no room for the ring of service '" + service.name + "' (" +
                        std::to_string(service.ring_size) + " slots): capacity.ring_slots is " +
                        std::to_string(tables_.capacity().ring_slots_max) +
                        ", and services that are being replaced count too");
        }
        placement.services.push_back(*index);
        placement.rings.push_back(*space);
    }

    const auto backends = tables_.backends();
    auto known_backends = indices_by_identity(backends);
    for (uint32_t index : retired_backends_) {
        known_backends.erase(backends[index].identity);
    }
    FreeIndices free_backends(backends, retired_backends_);
    const auto used = pools_in_use(desired);
    for (const auto &pool : desired.pools) {
        if (!used.contains(pool.name)) {
            continue;
        }
        for (const auto &backend : pool.backends) {
            const auto known =
                known_backends.find(backend_identity(desired, pool.name, backend));
            auto index = known != known_backends.end() ? std::optional(known->second)
                                                       : free_backends.next();
            if (!index) {
                return fail(
                    "no free place for backend '" + pool.name + "/" + backend.name +
                    "': capacity.backends is " + std::to_string(backends.size()) +
                    ", and backends that are being replaced count too; remove some first");
            }
            placement.backends.emplace(BackendKey{pool.name, backend.name}, *index);
        }
    }

    std::vector<DirectoryEntry> entries;
    for (size_t i = 0; i < desired.services.size(); i++) {
        const auto &service = desired.services[i];
        entries.push_back({.address = service.address,
                           .protocol = static_cast<uint8_t>(service.protocol),
                           .port = service.port,
                           .service = placement.services[i],
                           .unmatched = service.unmatched});
    }
    auto directory = build_directory(tables_.layout(), entries);
    if (!directory) {
        return std::unexpected(std::move(directory.error()));
    }
    placement.directory = std::move(*directory);
    return placement;
}

Result<void> Plane::fits(const model::Desired &desired) const
{
    if (auto placement = place(desired); !placement) {
        return std::unexpected(std::move(placement.error()));
    }
    return {};
}

Result<void> Plane::apply(const model::Desired &desired, const NextHopLookup &lookup,
                          bool trust_adopted)
{
    // Counts what is retired as free, which reclaim() then makes true.
    auto placement = place(desired);
    if (!placement) {
        return std::unexpected(std::move(placement.error()));
    }
    reclaim();

    write_idle_directory(tables_, placement->directory);
    write_backends(desired, *placement, lookup, trust_adopted);
    write_rings(desired, *placement);
    activate_idle_directory(tables_);

    const std::set<uint32_t> services_kept(placement->services.begin(),
                                           placement->services.end());
    for (uint32_t i = 0; i < tables_.services().size(); i++) {
        if (tables_.services()[i].identity != 0 && !services_kept.contains(i)) {
            retired_services_.push_back(i);
        }
    }
    std::set<uint32_t> backends_kept;
    for (const auto &[key, index] : placement->backends) {
        backends_kept.insert(index);
    }
    for (uint32_t i = 0; i < tables_.backends().size(); i++) {
        if (tables_.backends()[i].identity != 0 && !backends_kept.contains(i)) {
            retired_backends_.push_back(i);
        }
    }
    std::atomic_ref(tables_.header().writer_serial).fetch_add(1, std::memory_order_release);
    return {};
}

// Frees what was retired. Also makes every idle copy safe to write.
void Plane::reclaim()
{
    quiesce_();
    for (uint32_t index : retired_services_) {
        tables_.clear_service_counters(index);
        tables_.services()[index] = {};
    }
    retired_services_.clear();
    for (uint32_t index : retired_backends_) {
        tables_.clear_backend_counters(index);
        tables_.backends()[index] = {};
    }
    retired_backends_.clear();
}

void Plane::write_backends(const model::Desired &desired, const Placement &placement,
                           const NextHopLookup &lookup, bool trust_adopted)
{
    backend_views_.clear();
    for (const auto &pool : desired.pools) {
        for (const auto &backend : pool.backends) {
            BackendView view{.pool = pool.name,
                             .backend = backend,
                             .reason = "",
                             .next_hop = {},
                             .index = {}};
            const auto placed = placement.backends.find({pool.name, backend.name});
            if (placed != placement.backends.end()) {
                view.index = placed->second;
                write_backend(placed->second, backend_identity(desired, pool.name, backend),
                              desired, view, lookup, trust_adopted);
            }
            backend_views_.push_back(std::move(view));
        }
    }
}

void Plane::write_backend(uint32_t index, uint64_t identity, const model::Desired &desired,
                          BackendView &view, const NextHopLookup &lookup, bool trust_adopted)
{
    gw_backend &record = tables_.backends()[index];
    const std::atomic_ref state(record.state);
    uint32_t bits = state.load(std::memory_order_relaxed);
    auto next_hop = lookup(view.backend.address);
    if (next_hop) {
        view.next_hop = *next_hop;
        const auto built =
            prebuild_ipip(view.backend.address, source_for(desired, view.backend), *next_hop);
        const unsigned current = (bits & GW_BACKEND_COPY) != 0 ? 1 : 0;
        const bool is_written = (bits & GW_BACKEND_RESOLVED) != 0;
        if (!is_written ||
            !built.same_as(record.encapsulation[current], record.outer[current])) {
            const unsigned idle = 1 - current;
            record.encapsulation[idle] = built.encapsulation;
            std::memcpy(record.outer[idle], built.outer.data(), built.outer.size());
            bits = (bits & ~uint32_t{GW_BACKEND_COPY}) |
                   (idle == 1 ? uint32_t{GW_BACKEND_COPY} : 0U);
        }
        bits |= GW_BACKEND_RESOLVED;
    } else if (!trust_adopted) {
        view.reason = next_hop.error().message;
        bits &= ~uint32_t{GW_BACKEND_RESOLVED};
    }
    record.identity = identity;
    state.store(bits | GW_BACKEND_IN_USE, std::memory_order_release);

    if (!view.backend.enabled) {
        view.state = BackendState::kDisabled;
    } else if (view.backend.weight == 0) {
        view.state = BackendState::kWeightless;
    } else if ((bits & GW_BACKEND_RESOLVED) != 0) {
        view.state = BackendState::kForwarding;
    } else {
        view.state = BackendState::kUnresolved;
    }
}

void Plane::write_rings(const model::Desired &desired, const Placement &placement)
{
    service_views_.clear();
    for (size_t i = 0; i < desired.services.size(); i++) {
        const auto &service = desired.services[i];
        const auto &space = placement.rings[i];
        gw_service &record = tables_.services()[placement.services[i]];
        const auto slots = tables_.ring_slots().subspan(space.offset, space.size);
        if (record.identity == 0) {
            std::ranges::fill(slots,
                              gw_slot_make(GW_OWNER_NONE, GW_SLOT_STABLE, GW_PREVIOUS_NONE));
            record.ring_offset = space.offset;
            record.ring_size = space.size;
            record.address = directory_address(service.address);
            record.port_raw = gw_to_be16(service.port).raw;
            record.protocol = static_cast<uint8_t>(service.protocol);
            record.is_ipv6 = service.address.is_ipv6() ? 1 : 0;
            record.identity = service_identity(service);
        }

        std::vector<const BackendView *> pool;
        for (const auto &view : backend_views_) {
            if (view.pool == service.pool) {
                pool.push_back(&view);
            }
        }
        rings_.fill(slots, pool);

        std::vector<uint32_t> owned(tables_.backends().size());
        for (gw_slot slot : slots) {
            if (const uint32_t owner = gw_slot_owner(slot); owner < owned.size()) {
                owned[owner]++;
            }
        }
        ServiceView view{.service = service, .index = placement.services[i], .slots = {}};
        for (const auto *backend : pool) {
            view.slots.emplace_back(backend->backend.name, owned[backend->index.value()]);
        }
        service_views_.push_back(std::move(view));
    }
    rings_.forget_unused();
}

uint32_t Plane::ring_slots_used() const
{
    uint32_t used = 0;
    for (const auto &service : tables_.services()) {
        used += service.identity != 0 ? service.ring_size : 0;
    }
    return used;
}

}  // namespace guideway::plane
