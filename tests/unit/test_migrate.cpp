// Tables moved into tables of other sizes and of other builds' layouts.
#include "tests/unit/migrate_fixture.hpp"

#include <tuple>

#include "dataplane/core/layout.h"

namespace guideway {
namespace {

TEST_F(MigrateTest, GrowsAndKeepsEveryPlace)
{
    const auto to = made({.addresses_max = 4096,
                          .services_max = 1024,
                          .backends_max = 8192,
                          .ring_slots_max = 1 << 20,
                          .cpus_max = 5,
                          .pins_max = 1 << 16,
                          .sources_max = 1024,
                          .prefixes_max = 64});
    EXPECT_EQ(complaint(to), "");
    expect_the_same(to);
    EXPECT_EQ(to.services()[5].ring_offset, 980U);
    EXPECT_EQ(to.header().active_generation, 0U);
    EXPECT_EQ(to.header().last_generation, 11U);
    EXPECT_EQ(to.header().pin_times.idle_ticks, 100U);
}

// The directory, as the core finds it.
TEST_F(MigrateTest, TheDirectoryNamesTheSameServices)
{
    const auto to = made(with([](auto &c) { c.addresses_max = 512, c.services_max = 32; }));
    ASSERT_EQ(complaint(to), "");
    uint32_t named = 0;
    for (const auto &bucket : to.port_buckets(to.header().active_directory)) {
        for (const uint64_t way : bucket.way) {
            if (way != 0) {
                const auto service = static_cast<uint32_t>(way & 0xffff);
                const auto port = static_cast<uint16_t>(way >> 16);
                named++;
                EXPECT_TRUE(port == 0 ? service == GW_UNMATCHED_PASS
                                      : to.services()[service].port_raw == port);
            }
        }
    }
    EXPECT_EQ(named, 3U) << "two services and what matches neither";
}

TEST_F(MigrateTest, ShrinksAndClosesUpTheRings)
{
    const auto to = made({.addresses_max = 1,
                          .services_max = 8,
                          .backends_max = 64,
                          .ring_slots_max = 30,
                          .cpus_max = 1,
                          .pins_max = 8,
                          .sources_max = 1024,
                          .prefixes_max = 64});
    pin(from_, 5, 1, 40);
    EXPECT_EQ(complaint(to), "");
    expect_the_same(to);
    EXPECT_EQ(to.services()[2].ring_offset, 0U);
    EXPECT_EQ(to.services()[5].ring_offset, 13U);
    const auto account = move_pins(TablesView::of(from_), TablesView::of(to));
    EXPECT_EQ(account.moved, 1U);
    EXPECT_EQ(found(to, 5, 1).slot(), slot_of(to, walk_of(to, 5, 1)));
}

TEST_F(MigrateTest, WhatDoesNotFitIsRefusedWithTheSizeItTakes)
{
    EXPECT_NE(complaint(made(with([](auto &c) {
                  c.services_max = 4;
              }))).find("capacity.services must be at least 8"),
              std::string::npos);
    EXPECT_NE(complaint(made(with([](auto &c) {
                  c.backends_max = 32;
              }))).find("capacity.backends must be at least 64"),
              std::string::npos);
    EXPECT_NE(complaint(made(with([](auto &c) {
                  c.ring_slots_max = 29;
              }))).find("capacity.ring_slots must be at least 30"),
              std::string::npos);
    for (uint64_t flow = 1; flow <= 5; flow++) {
        ASSERT_TRUE(pin(from_, 2, flow, 7));
    }
    EXPECT_NE(complaint(made(with([](auto &c) {
                  c.pins_max = 8;
              }))).find("capacity.pins must be at least 16"),
              std::string::npos);
}

TEST_F(MigrateTest, ABackendThatOnlyAPinNamesIsInUse)
{
    auto &backend = from_.backends()[60];
    backend.identity = 60;
    const auto to = made(with([](auto &c) { c.backends_max = 64; }));
    const auto smaller = [] { return made(with([](auto &c) { c.backends_max = 32; })); };
    for (auto &slot : from_.ring_slots()) {
        slot = gw_slot_make(7, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
    }
    EXPECT_EQ(complaint(smaller()), "") << "nothing names 40 and 60 any more";
    ASSERT_TRUE(pin(from_, 2, 1, 60));
    EXPECT_NE(complaint(smaller()).find("backend 60 is in use"), std::string::npos);
}

// Each damages a copy of good tables, and must be refused, not followed.
TEST_F(MigrateTest, DamagedTablesAreRefused)
{
    const auto damaged_by = [this](const std::function<void(Tables &)> &damage) {
        const std::vector<uint8_t> good(from_.base(),
                                        from_.base() + from_.layout().total_bytes);
        damage(from_);
        const auto to = made(kCapacity);
        auto view = TablesView::of({from_.base(), from_.layout().total_bytes});
        std::string said;
        if (!view) {
            said = view.error().message;
        } else if (auto migrated = migrate(*view, to); !migrated) {
            said = migrated.error().message;
        } else {
            std::ignore = move_pins(*view, TablesView::of(to));
        }
        std::ranges::copy(good, from_.base());
        return said;
    };
    EXPECT_EQ(damaged_by([](Tables &) {}), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.header().magic++; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.header().abi++; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.header().boot_id[0]++; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.header().sections_used = 65; }), "");
    for (uint32_t i = 0; i < from_.header().sections_used; i++) {
        EXPECT_NE(damaged_by([i](Tables &t) { t.header().sections[i].offset = 0xfffffff8; }),
                  "");
        EXPECT_NE(damaged_by([i](Tables &t) { t.header().sections[i].records = 0xffffffff; }),
                  "");
        EXPECT_NE(damaged_by([i](Tables &t) { t.header().sections[i].offset++; }), "");
        EXPECT_NE(damaged_by([i](Tables &t) {
                      t.header().sections[i].kind = t.header().sections[(i + 1) % 13].kind;
                  }),
                  "");
    }
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].identity = 0; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].port_raw++; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 999; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 0xffffffff; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 979; }), "")
        << "shares slots with the other";
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 980; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_size = 0; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].affinity = 3; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.ring_slots()[301] = gw_slot_make(64, 0, 0xffff); }),
              "");
    EXPECT_NE(damaged_by([](Tables &t) { t.ring_slots()[301] = gw_slot_make(7, 1, 64); }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.ring_slots()[301] = gw_slot_make(9, 0, 0xffff); }),
              "")
        << "a backend that there is not";
    EXPECT_NE(damaged_by([](Tables &t) { t.backends()[7].encapsulation[1].l2_bytes = 100; }),
              "");
    EXPECT_NE(damaged_by([](Tables &t) { t.backends()[7].encapsulation[1].l3_bytes = 0; }), "");
    EXPECT_NE(damaged_by([](Tables &t) {
                  for (auto &bucket : t.port_buckets(t.header().active_directory)) {
                      for (auto &way : bucket.way) {
                          way = way == 0 ? 0 : way | 0xffULL << 48;
                      }
                  }
              }),
              "")
        << "ports of an address that there is not";
    // Random words where pins are: none of them leads anywhere outside.
    EXPECT_EQ(damaged_by([](Tables &t) {
                  uint64_t random = 1;
                  for (auto &bucket : t.pin_buckets()) {
                      for (auto &way : bucket.way) {
                          random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                          way.first = random;
                          random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                          way.second = random;
                      }
                  }
              }),
              "");
}

// What a daemon reads that adopts tables of its own layout.
TEST_F(MigrateTest, DamagedContentIsNotAdopted)
{
    const auto damaged_by = [this](const std::function<void(Tables &)> &damage) {
        const std::vector<uint8_t> good(from_.base(),
                                        from_.base() + from_.layout().total_bytes);
        damage(from_);
        auto checked = check_content(TablesView::of(from_));
        std::ranges::copy(good, from_.base());
        return checked ? "" : checked.error().message;
    };
    const auto in_ways = [](Tables &t, const std::function<uint64_t(uint64_t)> &changed) {
        for (auto &bucket : t.port_buckets(t.header().active_directory)) {
            for (auto &way : bucket.way) {
                way = way == 0 ? 0 : changed(way);
            }
        }
    };
    const auto is_port = [](uint64_t way) { return (way >> 16 & 0xffff) != 0; };
    EXPECT_EQ(damaged_by([](Tables &) {}), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.header().active_directory = 2; }), "");
    EXPECT_NE(damaged_by([&](Tables &t) {
                  in_ways(t, [&](uint64_t way) { return is_port(way) ? way | 0x8000 : way; });
              }).find(" of 16"),
              std::string::npos)
        << "a service that there cannot be";
    EXPECT_NE(damaged_by([&](Tables &t) {
                  in_ways(t, [](uint64_t way) { return way & ~GW_PORT_IN_USE; });
              }),
              "");
    EXPECT_NE(damaged_by([&](Tables &t) {
                  in_ways(t, [](uint64_t way) { return way | 1ULL << 60; });
              }),
              "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 0xffffffff; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 988; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_offset = 979; }), "")
        << "shares slots with the other";
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].ring_size = 701; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.services()[2].identity = 0; }), "");
    EXPECT_NE(damaged_by([](Tables &t) { t.ring_slots()[301] = gw_slot_make(64, 0, 0xffff); }),
              "");
    EXPECT_NE(damaged_by([](Tables &t) { t.ring_slots()[301] = gw_slot_make(7, 1, 64); }), "");
}

// A daemon that was killed leaves services that the directory does not name: not yet, or not
// any more. The next one adopts their rings all the same.
TEST_F(MigrateTest, ServicesThatTheDirectoryDoesNotNameAreCheckedToo)
{
    const auto complaint = [this] {
        auto checked = check_content(TablesView::of(from_));
        return checked ? "" : checked.error().message;
    };
    put_service(9, 8080, 600, 31);
    EXPECT_EQ(complaint(), "");
    from_.services()[9].ring_offset = 970;
    EXPECT_NE(complaint(), "");
    from_.services()[9].ring_offset = 600;
    from_.ring_slots()[630] = gw_slot_make(7, 1, 64);
    EXPECT_NE(complaint(), "");
    from_.services()[9].ring_size = 0;
    EXPECT_EQ(complaint(), "") << "was being cleared";
}

TEST_F(MigrateTest, ShorterThanAHeaderIsRefused)
{
    EXPECT_FALSE(TablesView::of(std::span<uint8_t>(from_.base(), 4095)));
}

TEST_F(MigrateTest, ReadsTablesOfAnotherLayout)
{
    ASSERT_TRUE(pin(from_, 5, 77, 7));
    from_.counters_area(1).reason[GW_REASON_NOT_OURS] = 5;
    Relaid other(from_, 64);
    const auto view = TablesView::of(other.bytes());
    ASSERT_TRUE(view) << view.error().message;
    const auto to = made(with([](auto &c) { c.cpus_max = 4; }));
    const auto migrated = migrate(*view, to);
    ASSERT_TRUE(migrated) << migrated.error().message;
    expect_the_same(to);
    EXPECT_EQ(move_pins(*view, TablesView::of(to)).moved, 1U);
    EXPECT_EQ(found(to, 5, 77).backend, 7U);
    move_counters(*view, to);
    EXPECT_EQ(to.counters().reasons[GW_REASON_NOT_OURS], 5U);
}

TEST_F(MigrateTest, ARecordsMissingTailIsZero)
{
    struct Longer {
        gw_service known;
        uint64_t more;
    };
    const auto record = TablesView::of(from_).section(GW_SECTION_SERVICES).read<Longer>(2);
    EXPECT_EQ(record.known.identity, 102U);
    EXPECT_EQ(record.more, 0U);
}

TEST_F(MigrateTest, MissingSectionsAreEmpty)
{
    Relaid other(from_, 0);
    auto &head = *reinterpret_cast<gw_tables_header *>(other.bytes().data());
    for (auto &section : head.sections) {
        const bool is_missing = section.kind == GW_SECTION_PINS ||
                                section.kind == GW_SECTION_COUNTERS ||
                                section.kind >= GW_SECTION_COUNTED_REASONS;
        section.kind = is_missing ? 2000 + section.kind : section.kind;
    }
    const auto view = TablesView::of(other.bytes());
    ASSERT_TRUE(view) << view.error().message;
    const auto to = made(kCapacity);
    ASSERT_TRUE(migrate(*view, to));
    EXPECT_EQ(move_pins(*view, TablesView::of(to)).moved, 0U);
    move_counters(*view, to);
    EXPECT_EQ(to.counters().reasons[GW_REASON_NOT_OURS], 0U);
}

TEST_F(MigrateTest, CountersKeepTheirSums)
{
    for (uint32_t cpu = 0; cpu < 3; cpu++) {
        auto &area = from_.counters_area(cpu);
        area.reason[GW_REASON_NO_BACKEND] = 10 + cpu;
        area.event[GW_EVENT_PIN_HIT] = 1;
        auto *services = reinterpret_cast<gw_traffic *>(&area + 1);
        services[5] = {.packets = 2, .bytes = 100};
        services[9] = {.packets = 7, .bytes = 700};  // retired: nothing names it
        auto *backends = reinterpret_cast<gw_backend_traffic *>(
            reinterpret_cast<uint8_t *>(&area) + from_.layout().counters_backends_offset);
        backends[40] = {.packets = 3, .bytes = 50, .syns = 1, .syn_repeats = 1};
    }
    const auto before = from_.counters();
    const auto to = made(with([](auto &c) { c.cpus_max = 2; }));
    ASSERT_EQ(complaint(to), "");
    to.counters_area(0).reason[GW_REASON_NO_BACKEND] = 1;  // counted meanwhile
    move_counters(TablesView::of(from_), to);
    const auto now = to.counters();
    EXPECT_EQ(now.reasons[GW_REASON_NO_BACKEND], 34U);
    EXPECT_EQ(now.reasons[GW_REASON_FORWARDED], before.reasons[GW_REASON_FORWARDED]);
    EXPECT_EQ(now.events[GW_EVENT_PIN_HIT], 3U);
    EXPECT_EQ(now.services[5].bytes, 300U);
    EXPECT_EQ(now.services[9].packets, 0U);
    EXPECT_EQ(now.backends[40].syn_repeats, 3U);
    EXPECT_EQ(from_.counters().reasons[GW_REASON_NO_BACKEND], 0U);
}

}  // namespace
}  // namespace guideway
