// Layout arithmetic, ring slots, directory keys and the class that owns the memory.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "dataplane/core/layout.h"
#include "dataplane/tables/tables.hpp"

namespace guideway {
namespace {

constexpr gw_capacity kSmall{.addresses_max = 4,
                             .services_max = 8,
                             .backends_max = 16,
                             .ring_slots_max = 1000,
                             .cpus_max = 3,
                             .pins_max = 4096,
                             .sources_max = 1024,
                             .prefixes_max = 64};
constexpr gw_hash_key kKey{{1, 2, 3, 4}};

TEST(Layout, TablesFollowEachOtherWithoutOverlapAndOnWholeLines)
{
    const auto layout = tables_layout(kSmall);
    ASSERT_TRUE(layout);
    const uint64_t directory_bytes =
        layout->ports_offset + (layout->port_buckets_mask + 1ULL) * sizeof(gw_port_bucket);
    EXPECT_EQ(layout->directory_offset[0], GW_HEADER_BYTES);
    EXPECT_EQ(layout->directory_offset[1], layout->directory_offset[0] + directory_bytes);
    EXPECT_EQ(layout->services_offset, layout->directory_offset[1] + directory_bytes);
    EXPECT_EQ(layout->backends_offset, layout->services_offset + 8 * sizeof(gw_service));
    EXPECT_EQ(layout->rings_offset, layout->backends_offset + 16 * sizeof(gw_backend));
    EXPECT_GE(layout->counters_offset, layout->rings_offset + 1000 * sizeof(gw_slot));
    EXPECT_EQ(layout->counters_backends_offset,
              sizeof(gw_counters_area) + 8 * sizeof(gw_traffic));
    EXPECT_GE(layout->counters_area_bytes,
              layout->counters_backends_offset + 16 * sizeof(gw_backend_traffic));
    EXPECT_GE(layout->total_bytes, layout->counters_offset + 3 * layout->counters_area_bytes);
    for (const uint32_t offset :
         {layout->directory_offset[0], layout->directory_offset[1], layout->ports_offset,
          layout->services_offset, layout->backends_offset, layout->rings_offset,
          layout->counters_offset, layout->counters_area_bytes}) {
        EXPECT_EQ(offset % GW_CACHE_LINE_BYTES, 0) << offset;
    }
    EXPECT_EQ(layout->total_bytes % 4096, 0);
}

TEST(Layout, MasksArePowersOfTwoLessOne)
{
    const auto layout = tables_layout(kSmall);
    ASSERT_TRUE(layout);
    for (const uint32_t mask : {layout->address_buckets_mask, layout->port_buckets_mask,
                                layout->services_mask, layout->backends_mask}) {
        EXPECT_EQ(mask & (mask + 1), 0) << mask;
    }
}

TEST(Layout, RefusesWhatIsOutOfBounds)
{
    auto with = [](auto change) {
        gw_capacity capacity = kSmall;
        change(capacity);
        return tables_layout(capacity).has_value();
    };
    EXPECT_TRUE(with([](gw_capacity &) {}));
    EXPECT_FALSE(with([](gw_capacity &c) { c.addresses_max = 0; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.addresses_max = 4097; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.services_max = 0; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.services_max = 6; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.services_max = 8192; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.backends_max = 0; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.backends_max = 17; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.backends_max = 16384; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.ring_slots_max = 0; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.ring_slots_max = UINT32_MAX; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.cpus_max = 0; }));
    EXPECT_FALSE(with([](gw_capacity &c) { c.cpus_max = UINT32_MAX; }));
}

TEST(Layout, RefusesARegionBeyondWhatTheKernelLoads)
{
    gw_capacity capacity{.addresses_max = 4096,
                         .services_max = 4096,
                         .backends_max = 8192,
                         .ring_slots_max = 100 << 20,
                         .cpus_max = 8,
                         .pins_max = 1 << 20,
                         .sources_max = 1024,
                         .prefixes_max = 64};
    const auto fits = tables_layout(capacity);
    ASSERT_TRUE(fits);
    EXPECT_LE(fits->total_bytes, GW_TABLES_BYTES_MAX);
    capacity.ring_slots_max = 1 << 27;  // 512 MiB of slots alone
    const auto refused = tables_layout(capacity);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("512 MiB"), std::string::npos)
        << refused.error().message;
}

TEST(Slot, KeepsOwnerStateAndPreviousOwnerApart)
{
    const gw_slot slot = gw_slot_make(0x1234, 2, 0x1fff);
    EXPECT_EQ(gw_slot_owner(slot), 0x1234U);
    EXPECT_EQ(slot >> GW_OWNER_BITS & 3, 2U);
    EXPECT_EQ(slot >> 16, 0x1fffU);
    EXPECT_EQ(gw_slot_owner(gw_slot_make(GW_OWNER_NONE, 3, GW_PREVIOUS_NONE)), GW_OWNER_NONE);
    // No backend has the index that means none.
    EXPECT_GT(GW_OWNER_NONE, 8191U);
}

TEST(PortKey, LeavesRoomForTheServiceAndNeverIsAnEmptyWay)
{
    EXPECT_EQ(gw_port_key(0xffff, 0xff, 0xffff) & 0xffff, 0U);
    EXPECT_NE(gw_port_key(0, 0, 0), 0U);
    EXPECT_NE(gw_port_key(1, 6, 80), gw_port_key(0, 6, 80));
    EXPECT_NE(gw_port_key(0, 17, 80), gw_port_key(0, 6, 80));
    EXPECT_NE(gw_port_key(0, 6, 81), gw_port_key(0, 6, 80));
}

// The greatest address index that any capacity allows still has a field of its own.
TEST(PortKey, HoldsTheGreatestAddressIndex)
{
    gw_capacity capacity = kSmall;
    capacity.addresses_max = 4096;
    const auto layout = tables_layout(capacity);
    ASSERT_TRUE(layout);
    const uint32_t greatest = (layout->address_buckets_mask + 1) * GW_ADDRESS_WAYS - 1;
    EXPECT_EQ(gw_port_key(greatest, 0, 0) & GW_PORT_IN_USE, GW_PORT_IN_USE);
    EXPECT_EQ(gw_port_key(greatest, 0, 0) >> 40 & 0xffff, greatest);
}

TEST(Tables, NewOnesAreEmptyAndSayWhatTheyAre)
{
    auto tables = Tables::anonymous(kSmall, kKey);
    ASSERT_TRUE(tables);
    EXPECT_TRUE(tables->check(kKey));
    EXPECT_EQ(tables->header().active_generation, 0U);
    for (const gw_slot slot : tables->ring_slots()) {
        ASSERT_EQ(gw_slot_owner(slot), GW_OWNER_NONE);
    }
    const auto totals = tables->counters();
    EXPECT_EQ(totals.reasons.size(), static_cast<size_t>(GW_REASON_COUNT));
    EXPECT_EQ(totals.services.size(), kSmall.services_max);
    EXPECT_EQ(totals.backends.size(), kSmall.backends_max);
}

TEST(Tables, EveryTableStaysInsideTheRegion)
{
    auto tables = Tables::anonymous(kSmall, kKey);
    ASSERT_TRUE(tables);
    const uint8_t *begin = tables->base();
    const uint8_t *end = begin + tables->layout().total_bytes;
    auto inside = [&](auto span) {
        const auto *first = reinterpret_cast<const uint8_t *>(span.data());
        return first >= begin && first + span.size_bytes() <= end;
    };
    for (const unsigned copy : {0U, 1U}) {
        EXPECT_TRUE(inside(tables->address_buckets(copy)));
        EXPECT_TRUE(inside(tables->port_buckets(copy)));
    }
    EXPECT_TRUE(inside(tables->services()));
    EXPECT_TRUE(inside(tables->backends()));
    EXPECT_TRUE(inside(tables->ring_slots()));
    EXPECT_LE(reinterpret_cast<const uint8_t *>(&tables->counters_area(2)) +
                  tables->layout().counters_area_bytes,
              end);
}

TEST(Tables, CountersAreSummedOverCpus)
{
    auto tables = Tables::anonymous(kSmall, kKey);
    ASSERT_TRUE(tables);
    for (uint32_t cpu = 0; cpu < 3; cpu++) {
        auto &area = tables->counters_area(cpu);
        area.reason[GW_REASON_NOT_OURS] = 10 + cpu;
        area.event[GW_EVENT_ICMP_FOLLOWED] = 1;
        auto *services = reinterpret_cast<gw_traffic *>(&area + 1);
        services[7] = {.packets = 2, .bytes = 100};
        auto *backends = reinterpret_cast<gw_backend_traffic *>(
            reinterpret_cast<uint8_t *>(&area) + tables->layout().counters_backends_offset);
        backends[15] = {.packets = 3, .bytes = 50, .syns = 0, .syn_repeats = 0};
    }
    auto totals = tables->counters();
    EXPECT_EQ(totals.reasons[GW_REASON_NOT_OURS], 33U);
    EXPECT_EQ(totals.events[GW_EVENT_ICMP_FOLLOWED], 3U);
    EXPECT_EQ(totals.services[7].packets, 6U);
    EXPECT_EQ(totals.services[7].bytes, 300U);
    EXPECT_EQ(totals.backends[15].packets, 9U);
    EXPECT_EQ(totals.reasons[GW_REASON_FORWARDED], 6U);
    tables->clear_service_counters(7);
    tables->clear_backend_counters(15);
    totals = tables->counters();
    EXPECT_EQ(totals.services[7].packets, 0U);
    EXPECT_EQ(totals.backends[15].bytes, 0U);
    EXPECT_EQ(totals.reasons[GW_REASON_NOT_OURS], 33U);
}

TEST(Tables, CheckSaysWhatIsWrong)
{
    auto tables = Tables::anonymous(kSmall, kKey);
    ASSERT_TRUE(tables);
    auto complaint = [&] {
        const auto checked = tables->check(kKey);
        return checked ? std::string() : checked.error().message;
    };
    EXPECT_EQ(complaint(), "");
    tables->header().boot_id[3] ^= 1;
    EXPECT_NE(complaint().find("boot"), std::string::npos) << complaint();
    tables->header().abi++;
    EXPECT_NE(complaint().find("layout version"), std::string::npos) << complaint();
    tables->header().magic = 0;
    EXPECT_NE(complaint().find("never completely initialised"), std::string::npos);
    tables->initialise(kKey);
    tables->header().capacity.cpus_max++;
    EXPECT_NE(complaint().find("capacity"), std::string::npos) << complaint();
    tables->initialise(kKey);
    tables->header().hash_key.word[0]++;
    EXPECT_NE(complaint().find("hash key"), std::string::npos) << complaint();
}

TEST(Tables, TwoMappingsOfOneFileSeeTheSameContent)
{
    const int fd = memfd_create("tables", 0);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(ftruncate(fd, tables_layout(kSmall)->total_bytes), 0);
    auto writer = Tables::map(fd, kSmall, "the test's file");
    auto reader = Tables::map(fd, kSmall, "the test's file");
    close(fd);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(reader);
    EXPECT_FALSE(reader->check(kKey));
    writer->initialise(kKey);
    EXPECT_TRUE(reader->check(kKey));
    writer->services()[3].identity = 77;
    EXPECT_EQ(reader->services()[3].identity, 77U);
}

TEST(Tables, MappingWhatCannotBeMappedNamesIt)
{
    const auto tables = Tables::map(-1, kSmall, "the pinned region");
    ASSERT_FALSE(tables);
    EXPECT_NE(tables.error().message.find("the pinned region"), std::string::npos);
}

TEST(Tables, MovingLeavesOneOwner)
{
    auto first = Tables::anonymous(kSmall, kKey);
    ASSERT_TRUE(first);
    uint8_t *base = first->base();
    const Tables second = std::move(*first);
    EXPECT_EQ(second.base(), base);
    EXPECT_TRUE(second.check(kKey));
}

}  // namespace
}  // namespace guideway
