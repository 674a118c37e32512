// Tables to be moved into others.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/layout.h"
#include "dataplane/core/select.h"
#include "dataplane/tables/directory.hpp"
#include "dataplane/tables/migrate.hpp"
#include "dataplane/tables/pins.hpp"

namespace guideway {
inline constexpr gw_capacity kCapacity{.addresses_max = 16,
                                       .services_max = 16,
                                       .backends_max = 64,
                                       .ring_slots_max = 1000,
                                       .cpus_max = 3,
                                       .pins_max = 4096,
                                       .sources_max = 1024,
                                       .prefixes_max = 64};
inline constexpr gw_hash_key kKey{{1, 2, 3, 4}};
inline constexpr gw_address kAddress{.high = GW_IPV4_TAG, .low = 0x0a710ccb};

inline gw_capacity with(const std::function<void(gw_capacity &)> &change)
{
    auto capacity = kCapacity;
    change(capacity);
    return capacity;
}

inline Tables made(const gw_capacity &capacity)
{
    auto tables = Tables::anonymous(capacity, kKey).value();
    tables.header().pin_times = {.idle_ticks = 100, .closing_ticks = 10, .handshake_ticks = 2};
    return tables;
}

// The same tables as a build would have laid them out whose records are longer, whose sections
// are in another order, and which has a section that this build does not know.
class Relaid {
  public:
    Relaid(const Tables &tables, uint32_t grown_bytes)
        : bytes_(uint64_t{tables.layout().total_bytes} * 3)
    {
        const auto &old = tables.header();
        auto &head = *reinterpret_cast<gw_tables_header *>(bytes_.data());
        std::memcpy(&head, &old, offsetof(gw_tables_header, sections));
        std::memset(bytes_.data() + sizeof(gw_tables_header), 0x55, 64);
        std::memset(&head.capacity, 0x77, sizeof(head.capacity) + sizeof(head.layout));
        head.sections_used = 0;
        uint32_t at = GW_HEADER_BYTES;
        head.sections[head.sections_used++] = {999, at, 8, 8};
        at += 64;
        for (uint32_t i = old.sections_used; i-- > 0;) {
            auto section = old.sections[i];
            const bool grows = section.kind == GW_SECTION_SERVICES ||
                               section.kind == GW_SECTION_BACKENDS ||
                               section.kind == GW_SECTION_LIMITS;
            const bool is_counted = (section.kind >= GW_SECTION_COUNTED_REASONS &&
                                     section.kind <= GW_SECTION_COUNTED_BACKENDS) ||
                                    section.kind == GW_SECTION_COUNTED_EXCESS ||
                                    section.kind == GW_SECTION_COUNTED_EPOCH;
            if (!is_counted) {
                const uint8_t *from = tables.base() + section.offset;
                const uint32_t old_bytes = section.record_bytes;
                section.record_bytes += grows ? grown_bytes : 0;
                section.offset = at;
                for (uint32_t r = 0; r < section.records; r++) {
                    std::memset(&bytes_[at], 0xab, section.record_bytes);
                    std::memcpy(&bytes_[at], from + uint64_t{old_bytes} * r, old_bytes);
                    at += section.record_bytes;
                }
                at = static_cast<uint32_t>(gw_align_up(at, 64));
            }
            head.sections[head.sections_used++] = section;
        }
    }
    [[nodiscard]] std::span<uint8_t> bytes() { return bytes_; }

  private:
    std::vector<uint8_t> bytes_;
};

// Services 2 and 5, with rings in the middle and at the end; backends 7 and 40.
class MigrateTest : public ::testing::Test {
  protected:
    MigrateTest() : from_(made(kCapacity))
    {
        put_service(2, 80, 300, 13);
        put_service(5, 443, 980, 17);
        write_directory();
        for (const uint32_t index : {7U, 40U}) {
            auto &backend = from_.backends()[index];
            backend.identity = 1000 + index;
            backend.state = GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED | GW_BACKEND_COPY;
            backend.encapsulation[1] = {.egress_ifindex = index,
                                        .outer_sum = 1,
                                        .entropy_mask = 0,
                                        .inner_bytes_max = 1480,
                                        .l2_bytes = 14,
                                        .l3_bytes = 20};
            backend.outer[1][30] = 0x45;
        }
        from_.header().active_generation = 9;
        from_.header().last_generation = 11;
    }

    void put_service(uint32_t index, uint16_t port, uint32_t offset, uint32_t size)
    {
        auto &service = from_.services()[index];
        service.identity = 100 + index;
        service.address = kAddress;
        service.protocol = 6;
        service.port_raw = gw_to_be16(port).raw;
        service.affinity = GW_AFFINITY_CONNECTION;
        service.ring_offset = offset;
        service.ring_size = size;
        for (uint32_t i = 0; i < size; i++) {
            from_.ring_slots()[offset + i] =
                i % 2 == 0 ? gw_slot_make(7, GW_SLOT_STABLE, GW_PREVIOUS_NONE)
                           : gw_slot_make(40, GW_SLOT_MOVING, 7);
        }
    }

    void write_directory()
    {
        std::vector<DirectoryEntry> entries;
        for (const uint32_t index : {2U, 5U}) {
            const auto &service = from_.services()[index];
            entries.push_back({.address = service.address,
                               .protocol = service.protocol,
                               .port_raw = service.port_raw,
                               .service = index,
                               .unmatched = GW_UNMATCHED_PASS});
        }
        write_idle_directory(from_, build_directory(from_.layout(), entries).value());
        activate_idle_directory(from_);
    }

    // The walk of a packet of some flow to a service, at that slot of its ring.
    static gw_walk walk_of(const Tables &tables, uint32_t service, uint64_t flow)
    {
        gw_walk walk{};
        walk.tables = tables.base();
        walk.layout = &tables.layout();
        walk.counters = reinterpret_cast<uint8_t *>(&tables.counters_area(0));
        walk.service = service;
        walk.hash = flow * 0x9e3779b97f4a7c15ULL;
        walk.tcp_flags = GW_TCP_ACK;
        return walk;
    }

    static uint32_t slot_of(const Tables &tables, const gw_walk &walk)
    {
        const auto &service = tables.services()[walk.service];
        return service.ring_offset +
               static_cast<uint32_t>(((walk.hash >> 32) * uint64_t{service.ring_size}) >> 32);
    }

    static bool pin(const Tables &tables, uint32_t service, uint64_t flow, uint32_t backend,
                    uint32_t seen = 50, uint64_t flags = 0)
    {
        const auto walk = walk_of(tables, service, flow);
        const uint64_t second = uint64_t{seen} << GW_PIN_SEEN_SHIFT | flags |
                                uint64_t{service} << GW_PIN_SERVICE_SHIFT |
                                slot_of(tables, walk);
        return gw_pin_insert(&walk, gw_pin_hash(&walk), backend, GW_PIN_CONFIRMED, second) ==
               backend;
    }

    struct Found {
        uint32_t backend = GW_OWNER_NONE;
        bool confirmed = false;
        uint64_t second = 0;
        uint32_t slot() const { return static_cast<uint32_t>(second) & GW_PIN_SLOT_MASK; }
    };
    static Found found(const Tables &tables, uint32_t service, uint64_t flow)
    {
        const auto walk = walk_of(tables, service, flow);
        uint64_t first = 0;
        const gw_pin *pin = gw_pin_find(&walk, gw_pin_hash(&walk), &first);
        if (pin == nullptr) {
            return {};
        }
        return {.backend = static_cast<uint32_t>(first) & GW_OWNER_MASK,
                .confirmed = (first & GW_PIN_CONFIRMED) != 0,
                .second = pin->second};
    }

    // What a packet of a flow does that looks for pins in `former` too.
    static uint32_t select(const Tables &tables, const Tables *former, uint32_t service,
                           uint64_t flow, uint8_t flags, bool is_icmp_error = false)
    {
        auto walk = walk_of(tables, service, flow);
        walk.tcp_flags = flags;
        walk.is_icmp_error = is_icmp_error ? 1 : 0;
        gw_packet packet{};
        packet.tables = tables.base();
        packet.layout = &tables.layout();
        packet.now_ns = uint64_t{60} << GW_PIN_TICK_SHIFT;
        if (former != nullptr) {
            packet.former_tables = former->base();
            packet.former_layout = &former->layout();
        }
        gw_select(&walk, &packet);
        return walk.backend;
    }

    std::string complaint(const Tables &to) const
    {
        const auto migrated = migrate(TablesView::of(from_), to);
        return migrated ? "" : migrated.error().message;
    }

    void expect_the_same(const Tables &to) const
    {
        for (const uint32_t index : {2U, 5U}) {
            const auto &old = from_.services()[index];
            const auto &now = to.services()[index];
            EXPECT_EQ(now.identity, old.identity);
            EXPECT_EQ(now.affinity, old.affinity);
            ASSERT_EQ(now.ring_size, old.ring_size);
            EXPECT_TRUE(
                std::ranges::equal(to.ring_slots().subspan(now.ring_offset, now.ring_size),
                                   from_.ring_slots().subspan(old.ring_offset, old.ring_size)));
        }
        for (const uint32_t index : {7U, 40U}) {
            const auto &old = from_.backends()[index];
            const auto &now = to.backends()[index];
            EXPECT_EQ(now.identity, old.identity);
            EXPECT_EQ(now.state, old.state);
            EXPECT_EQ(std::memcmp(&now.encapsulation[1], &old.encapsulation[1],
                                  sizeof(gw_encapsulation)),
                      0);
            EXPECT_EQ(std::memcmp(now.outer, old.outer, sizeof(old.outer)), 0);
        }
    }

    Tables from_;
};

}  // namespace guideway
