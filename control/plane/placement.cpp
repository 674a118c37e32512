#include "control/plane/placement.hpp"

#include <optional>
#include <span>
#include <string_view>

#include "control/plane/identity.hpp"

namespace guideway::plane {
namespace {

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
    explicit FreeIndices(std::span<Record> records) : records_(records) {}
    std::optional<uint32_t> next()
    {
        while (at_ < records_.size()) {
            const uint32_t index = at_++;
            if (records_[index].identity == 0) {
                return index;
            }
        }
        return std::nullopt;
    }

  private:
    std::span<Record> records_;
    uint32_t at_ = 0;
};

}  // namespace

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

Result<Placement> place(const Tables &tables, const std::set<uint32_t> &services_in_force,
                        const model::Desired &desired)
{
    Placement placement;
    const auto services = tables.services();
    // One that is not in force any more may have pins: the same address gets another index.
    std::map<uint64_t, uint32_t> known_services;
    std::map<uint32_t, uint32_t> taken;  // ring space: offset to size
    for (uint32_t i = 0; i < services.size(); i++) {
        if (services[i].identity != 0) {
            taken.emplace(services[i].ring_offset, services[i].ring_size);
            if (services_in_force.contains(i)) {
                known_services.emplace(services[i].identity, i);
            }
        }
    }
    FreeIndices free_services(services);

    const auto ring_space = [&](uint32_t size) -> std::optional<RingSpace> {
        uint32_t offset = 0;
        for (const auto &[taken_offset, taken_size] : taken) {
            if (taken_offset - offset >= size) {
                break;
            }
            offset = taken_offset + taken_size;
        }
        if (tables.capacity().ring_slots_max - offset < size) {
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
                        ", and services that were removed seconds ago count too");
        }
        const auto space = ring_space(service.ring_size);
        if (!space) {
            return fail("no room for the ring of service '" + service.name + "' (" +
                        std::to_string(service.ring_size) + " slots): capacity.ring_slots is " +
                        std::to_string(tables.capacity().ring_slots_max) +
                        ", and services that are being replaced count too");
        }
        placement.services.push_back(*index);
        placement.rings.push_back(*space);
    }

    const auto backends = tables.backends();
    auto known_backends = indices_by_identity(backends);
    FreeIndices free_backends(backends);
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
                    ", and backends that are leaving count too: see 'guideway connections'");
            }
            placement.backends.emplace(BackendKey{pool.name, backend.name}, *index);
        }
    }

    std::vector<DirectoryEntry> entries;
    for (size_t i = 0; i < desired.services.size(); i++) {
        entries.push_back(directory_entry(desired.services[i], placement.services[i]));
    }
    auto directory = build_directory(tables.layout(), entries);
    if (!directory) {
        return std::unexpected(std::move(directory.error()));
    }
    placement.directory = std::move(*directory);
    return placement;
}

}  // namespace guideway::plane
