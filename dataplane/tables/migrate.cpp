#include "dataplane/tables/migrate.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/core/layout.h"
#include "dataplane/tables/directory.hpp"
#include "dataplane/tables/limited.hpp"
#include "dataplane/tables/lists.hpp"
#include "dataplane/tables/pins.hpp"
#include "dataplane/tables/sources.hpp"

namespace guideway {
namespace {

using Section = TablesView::Section;

Error damaged(const std::string &what)
{
    return {"the tables are damaged: " + what};
}

Error does_not_fit(const std::string &what, const std::string &capacity, uint64_t least)
{
    return {what + ", which does not fit: capacity." + capacity + " must be at least " +
            std::to_string(least)};
}

std::string service_name(uint32_t index)
{
    return "service " + std::to_string(index);
}

std::string backend_name(uint32_t index)
{
    return "backend " + std::to_string(index);
}

// ---- The directory, which says what services there are.

// The address that a port way counts from; none when the way names no address.
std::optional<gw_address> address_at(const Section &buckets, uint32_t index)
{
    if (index / GW_ADDRESS_WAYS >= buckets.records()) {
        return std::nullopt;
    }
    const auto bucket = buckets.read<gw_address_bucket>(index / GW_ADDRESS_WAYS);
    const gw_address &address = bucket.way[index % GW_ADDRESS_WAYS];
    if ((address.high | address.low) == 0) {
        return std::nullopt;
    }
    return address;
}

struct PortWay {
    uint32_t address = 0;  // index
    uint8_t protocol = 0;
    uint16_t port_raw = 0;
    uint32_t value = 0;

    [[nodiscard]] bool is_unmatched() const { return protocol == 0 && port_raw == 0; }
};

std::vector<PortWay> port_ways(const Section &buckets)
{
    std::vector<PortWay> ways;
    for (uint32_t i = 0; i < buckets.records(); i++) {
        for (const uint64_t way : buckets.read<gw_port_bucket>(i).way) {
            if ((way & GW_PORT_IN_USE) != 0) {
                ways.push_back({.address = static_cast<uint32_t>(way >> 40) & 0xffff,
                                .protocol = static_cast<uint8_t>(way >> 32),
                                .port_raw = static_cast<uint16_t>(way >> 16),
                                .value = static_cast<uint32_t>(way) & 0xffff});
            }
        }
    }
    return ways;
}

Result<std::vector<DirectoryEntry>> directory_of(const TablesView &from)
{
    const bool second = (from.header().active_directory & 1) != 0;
    const auto addresses =
        from.section(second ? GW_SECTION_ADDRESSES_1 : GW_SECTION_ADDRESSES_0);
    const auto ways = port_ways(from.section(second ? GW_SECTION_PORTS_1 : GW_SECTION_PORTS_0));
    std::map<uint32_t, gw_unmatched> unmatched;
    for (const auto &way : ways) {
        if (way.is_unmatched()) {
            unmatched[way.address] =
                way.value == GW_UNMATCHED_PASS ? GW_UNMATCHED_PASS : GW_UNMATCHED_DROP;
        }
    }
    std::vector<DirectoryEntry> entries;
    for (const auto &way : ways) {
        if (way.is_unmatched()) {
            continue;
        }
        const auto address = address_at(addresses, way.address);
        if (!address) {
            return std::unexpected(damaged(service_name(way.value) + " has no address"));
        }
        entries.push_back({.address = *address,
                           .protocol = way.protocol,
                           .port_raw = way.port_raw,
                           .service = way.value,
                           .unmatched = unmatched[way.address]});
    }
    return entries;
}

Result<void> write_directory(const std::vector<DirectoryEntry> &entries, const Tables &to)
{
    std::set<std::pair<uint64_t, uint64_t>> addresses;
    for (const auto &entry : entries) {
        addresses.emplace(entry.address.high, entry.address.low);
    }
    if (addresses.size() > to.capacity().addresses_max) {
        return std::unexpected(
            does_not_fit(std::to_string(addresses.size()) + " service addresses are in use",
                         "addresses", addresses.size()));
    }
    auto image = build_directory(to.layout(), entries);
    if (!image) {
        return std::unexpected(std::move(image.error()));
    }
    write_idle_directory(to, *image);
    activate_idle_directory(to);
    return {};
}

// ---- Services and their rings.

struct MovedService {
    gw_service record{};       // with the new place of its ring
    uint32_t from_offset = 0;  // of its ring
};
using MovedServices = std::map<uint32_t, MovedService>;

Result<void> check_ring(uint32_t index, const gw_service &record, uint32_t slots)
{
    if (record.ring_offset > slots || record.ring_size > slots - record.ring_offset) {
        return std::unexpected(
            damaged("the ring of " + service_name(index) + " reaches beyond all"));
    }
    return {};
}

Result<MovedServices> services_of(const TablesView &from,
                                  const std::vector<DirectoryEntry> &entries)
{
    const auto records = from.section(GW_SECTION_SERVICES);
    const uint32_t slots = from.section(GW_SECTION_RINGS).records();
    const bool has_no_limits = from.section(GW_SECTION_LIMITS).records() == 0;
    MovedServices services;
    for (const auto &entry : entries) {
        if (entry.service >= records.records()) {
            return std::unexpected(damaged("the directory names " +
                                           service_name(entry.service) + " of " +
                                           std::to_string(records.records())));
        }
        auto record = records.read<gw_service>(entry.service);
        if (has_no_limits) {
            // A build without limits, which has copied the words of one that has them.
            record.policy = 0;
            std::ranges::fill(record.limits, uint16_t{0});
        }
        if (record.identity == 0 || record.address.high != entry.address.high ||
            record.address.low != entry.address.low || record.protocol != entry.protocol ||
            record.port_raw != entry.port_raw) {
            return std::unexpected(
                damaged(service_name(entry.service) + " is not what the directory names"));
        }
        if (record.ring_size == 0) {
            return std::unexpected(damaged(service_name(entry.service) + " has no ring"));
        }
        if (auto within = check_ring(entry.service, record, slots); !within) {
            return std::unexpected(std::move(within.error()));
        }
        if (record.affinity > GW_AFFINITY_FLOW) {
            return std::unexpected(damaged(service_name(entry.service) + " has affinity " +
                                           std::to_string(record.affinity)));
        }
        if (auto limits = check_limits(from, entry.service, record); !limits) {
            return std::unexpected(std::move(limits.error()));
        }
        services.emplace(entry.service, MovedService{record, record.ring_offset});
    }
    return services;
}

// Rings keep their places, or, when one would be beyond the end, close up.
Result<void> place_rings(MovedServices &services, uint32_t slots_max)
{
    std::map<uint32_t, gw_service *> by_offset;
    uint64_t used = 0;
    uint64_t end = 0;
    bool are_apart = true;
    for (auto &[index, service] : services) {
        are_apart = by_offset.emplace(service.from_offset, &service.record).second && are_apart;
        used += service.record.ring_size;
    }
    for (const auto &[offset, record] : by_offset) {
        are_apart = offset >= end && are_apart;
        end = uint64_t{offset} + record->ring_size;
    }
    if (!are_apart) {
        return std::unexpected(damaged("two services share slots"));
    }
    if (used > slots_max) {
        return std::unexpected(does_not_fit(
            "the rings in use have " + std::to_string(used) + " slots", "ring_slots", used));
    }
    uint32_t next = 0;
    for (const auto &[offset, record] : by_offset) {
        if (end > slots_max) {
            record->ring_offset = next;
            next += record->ring_size;
        }
    }
    return {};
}

// Adds the backends that slot `slot` of a service names.
Result<void> note_backends(gw_slot slot, uint32_t service, uint32_t known,
                           std::set<uint32_t> &backends)
{
    for (const uint32_t named : {gw_slot_owner(slot), gw_slot_previous(slot)}) {
        if (named == GW_OWNER_NONE || named == GW_PREVIOUS_NONE) {
            continue;
        }
        if (named >= known) {
            return std::unexpected(damaged("a slot of " + service_name(service) + " names " +
                                           backend_name(named) + " of " +
                                           std::to_string(known)));
        }
        backends.insert(named);
    }
    return {};
}

Result<void> write_services(const TablesView &from, const MovedServices &services,
                            const Tables &to, std::set<uint32_t> &backends)
{
    const auto slots = from.section(GW_SECTION_RINGS);
    const uint32_t known = from.section(GW_SECTION_BACKENDS).records();
    for (const auto &[index, service] : services) {
        if (index >= to.services().size()) {
            return std::unexpected(does_not_fit(service_name(index) + " is in use", "services",
                                                gw_power_of_two_at_least(index + 1UL)));
        }
        const auto ring = to.ring_slots().subspan(service.record.ring_offset);
        for (uint32_t i = 0; i < service.record.ring_size; i++) {
            const auto slot = slots.read<gw_slot>(service.from_offset + i);
            if (auto noted = note_backends(slot, index, known, backends); !noted) {
                return noted;
            }
            ring[i] = slot;
        }
        to.services()[index] = service.record;
    }
    return {};
}

// ---- Backends.

bool is_sound(const gw_encapsulation &encapsulation)
{
    return (encapsulation.l2_bytes == 14 || encapsulation.l2_bytes == 18 ||
            encapsulation.l2_bytes == 22) &&
           (encapsulation.l3_bytes == 20 || encapsulation.l3_bytes == 40);
}

// `in_use`: slots or pins name them. Others come along where they have a place.
Result<void> write_backends(const TablesView &from, const std::set<uint32_t> &in_use,
                            const Tables &to)
{
    const auto records = from.section(GW_SECTION_BACKENDS);
    for (uint32_t index = 0; index < records.records(); index++) {
        auto record = records.read<gw_backend>(index);
        if (record.identity == 0) {
            if (in_use.contains(index)) {
                return std::unexpected(damaged(backend_name(index) + " is in use and empty"));
            }
            continue;
        }
        if (index >= to.backends().size()) {
            if (in_use.contains(index)) {
                return std::unexpected(does_not_fit(backend_name(index) + " is in use",
                                                    "backends",
                                                    gw_power_of_two_at_least(index + 1UL)));
            }
            continue;
        }
        const unsigned current = (record.state & GW_BACKEND_COPY) != 0 ? 1 : 0;
        if ((record.state & GW_BACKEND_RESOLVED) != 0 &&
            !is_sound(record.encapsulation[current])) {
            return std::unexpected(damaged("the outer headers of " + backend_name(index) +
                                           " have no such length"));
        }
        // Nobody reads the other copy before it is written.
        record.encapsulation[1 - current] = {};
        to.backends()[index] = record;
    }
    return {};
}

// Of each service that there is, named by the directory or not: the next daemon adopts the rings
// of those that it has still to retire, too. One that was being cleared may have no ring left.
Result<void> check_rings(const TablesView &tables)
{
    const auto records = tables.section(GW_SECTION_SERVICES);
    const auto slots = tables.section(GW_SECTION_RINGS);
    const uint32_t known = tables.section(GW_SECTION_BACKENDS).records();
    std::set<uint32_t> backends;
    for (uint32_t index = 0; index < records.records(); index++) {
        const auto record = records.read<gw_service>(index);
        if (record.identity == 0) {
            continue;
        }
        if (auto within = check_ring(index, record, slots.records()); !within) {
            return within;
        }
        for (uint32_t i = 0; i < record.ring_size; i++) {
            const auto slot = slots.read<gw_slot>(record.ring_offset + i);
            if (auto noted = note_backends(slot, index, known, backends); !noted) {
                return noted;
            }
        }
    }
    return {};
}

// No bits but those that this build writes, or who reads ways in another manner sees other
// services.
Result<void> check_port_ways(const TablesView &tables)
{
    const bool second = (tables.header().active_directory & 1) != 0;
    const auto buckets = tables.section(second ? GW_SECTION_PORTS_1 : GW_SECTION_PORTS_0);
    for (uint32_t i = 0; i < buckets.records(); i++) {
        for (const uint64_t way : buckets.read<gw_port_bucket>(i).way) {
            const uint64_t known =
                gw_port_key(static_cast<uint32_t>(way >> 40) & 0xffff,
                            static_cast<uint8_t>(way >> 32), static_cast<uint16_t>(way >> 16));
            if (way != 0 && (way & ~0xffffULL) != known) {
                return std::unexpected(
                    damaged("bucket " + std::to_string(i) + " of the ports holds no port"));
            }
        }
    }
    return {};
}

// Whether all pins have room; adds the backends that they name.
Result<void> survey_pins(const TablesView &from, const Tables &to, std::set<uint32_t> &backends)
{
    const auto records = from.section(GW_SECTION_BACKENDS);
    const auto in_use = pins_in_use(from);
    for (const uint32_t index : in_use.backends) {
        // What there is not is forgotten with the pin.
        if (index < records.records() && records.read<gw_backend>(index).identity != 0) {
            backends.insert(index);
        }
    }
    const bool shrinks = to.pin_buckets().size() < from.pin_buckets().size();
    if (shrinks && in_use.pins > to.capacity().pins_max / 2) {
        return std::unexpected(
            does_not_fit(std::to_string(in_use.pins) + " connections are pinned", "pins",
                         gw_power_of_two_at_least(2 * in_use.pins)));
    }
    return {};
}

}  // namespace

Result<void> check_content(const TablesView &tables)
{
    if (tables.header().active_directory > 1) {
        return std::unexpected(damaged("there is no directory " +
                                       std::to_string(tables.header().active_directory)));
    }
    if (auto checked = check_port_ways(tables); !checked) {
        return checked;
    }
    auto entries = directory_of(tables);
    if (!entries) {
        return std::unexpected(std::move(entries.error()));
    }
    auto services = services_of(tables, *entries);
    if (!services) {
        return std::unexpected(std::move(services.error()));
    }
    const uint32_t slots = tables.section(GW_SECTION_RINGS).records();
    if (auto apart = place_rings(*services, slots); !apart) {
        return apart;
    }
    return check_rings(tables);
}

Result<void> migrate(const TablesView &from, const Tables &to)
{
    auto entries = directory_of(from);
    if (!entries) {
        return std::unexpected(std::move(entries.error()));
    }
    auto services = services_of(from, *entries);
    if (!services) {
        return std::unexpected(std::move(services.error()));
    }
    if (auto placed = place_rings(*services, to.capacity().ring_slots_max); !placed) {
        return placed;
    }
    std::set<uint32_t> backends;
    if (auto written = write_services(from, *services, to, backends); !written) {
        return written;
    }
    if (auto surveyed = survey_pins(from, to, backends); !surveyed) {
        return surveyed;
    }
    if (auto written = write_backends(from, backends, to); !written) {
        return written;
    }
    copy_limits(from, to);
    copy_limited(from, to);
    if (auto written = write_directory(*entries, to); !written) {
        return written;
    }
    copy_lists(from, to);
    to.header().writer_serial = from.header().writer_serial;
    to.header().last_generation =
        std::max(from.header().last_generation, from.header().active_generation);
    to.header().pin_times = from.header().pin_times;
    if (from.header().clock_ahead_ns != 0) {
        // Another reading would move every state of a limit by up to a tick.
        to.header().clock_ahead_ns = from.header().clock_ahead_ns;
    }
    return {};
}

namespace {

// Adds words one by one, so that who is killed here counts at most one of them twice.
void move_words(uint8_t *from, uint8_t *to, size_t bytes)
{
    auto *source = reinterpret_cast<uint64_t *>(from);
    auto *sum = reinterpret_cast<uint64_t *>(to);
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        sum[i] += gw_read_once64(&source[i]);
        source[i] = 0;
    }
}

void move_section(const Section &from, const Section &to, size_t bytes)
{
    for (uint32_t i = 0; i < std::min(from.records(), to.records()); i++) {
        move_words(from.at(i), to.at(i), bytes);
    }
}

}  // namespace

void move_counters(const TablesView &from, const Tables &to)
{
    const TablesView target = TablesView::of(to);
    const uint32_t last = to.capacity().cpus_max - 1;
    const auto services = target.counted(GW_SECTION_COUNTED_SERVICES, last);
    auto &forwarded = to.counters_area(last).reason[GW_REASON_FORWARDED];
    for (uint32_t cpu = 0; cpu < from.cpus(); cpu++) {
        move_section(from.counted(GW_SECTION_COUNTED_REASONS, cpu),
                     target.counted(GW_SECTION_COUNTED_REASONS, last), sizeof(uint64_t));
        move_section(from.counted(GW_SECTION_COUNTED_EVENTS, cpu),
                     target.counted(GW_SECTION_COUNTED_EVENTS, last), sizeof(uint64_t));
        move_section(from.counted(GW_SECTION_COUNTED_BACKENDS, cpu),
                     target.counted(GW_SECTION_COUNTED_BACKENDS, last),
                     sizeof(gw_backend_traffic));
        move_section(from.counted(GW_SECTION_COUNTED_EXCESS, cpu),
                     target.counted(GW_SECTION_COUNTED_EXCESS, last), sizeof(gw_excess));
        const auto counted = from.counted(GW_SECTION_COUNTED_SERVICES, cpu);
        for (uint32_t i = 0; i < counted.records(); i++) {
            if (i < services.records() && to.services()[i].identity != 0) {
                move_words(counted.at(i), services.at(i), sizeof(gw_traffic));
            } else {
                // What a service had forwarded that is no more.
                forwarded += counted.read<gw_traffic>(i).packets;
                std::memset(counted.at(i), 0, sizeof(gw_traffic));
            }
        }
    }
}

}  // namespace guideway
