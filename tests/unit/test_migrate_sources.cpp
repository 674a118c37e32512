// Limits and the states of their sources in other tables, judged by what packets may still do.
#include <set>
#include <tuple>

#include "tests/unit/migrate_fixture.hpp"
// (the seam comes first)
#include "dataplane/core/police.h"
#include "dataplane/tables/lists.hpp"
#include "dataplane/tables/sources.hpp"

namespace guideway {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint32_t kBurst = 5;

class MigrateSources : public MigrateTest {
  protected:
    MigrateSources() { put_limit(from_, 3); }

    // Of service 2: five packets at once, and then one a second.
    static void put_limit(const Tables &tables, uint32_t index, uint8_t flags = 0)
    {
        gw_limit &limit = tables.limits()[index];
        limit.identity = 50 + index;
        limit.seed = 0x9e3779b97f4a7c15ULL * (index + 1);
        limit.interval = kSecond << GW_INTERVAL_SHIFT;
        limit.tolerance = (kBurst - 1) * kSecond << GW_ARRIVAL_SHIFT;
        limit.kind = GW_LIMIT_PACKETS;
        limit.flags = flags;
        limit.ipv4_bits = 32;
        limit.ipv6_bits = 64;
        tables.services()[2].policy = GW_POLICY_LIMITS;
        tables.services()[2].limits[0] = static_cast<uint16_t>(index + 1);
    }

    // How many of so many packets from a source pass.
    uint32_t passed(const Tables &tables, uint32_t source, uint32_t packets = 2 * kBurst) const
    {
        gw_packet packet{};
        packet.tables = tables.base();
        packet.layout = &tables.layout();
        packet.now_ns = now_ns_;
        const gw_visit visit{.high = GW_IPV4_TAG,
                             .low = source,
                             .service = 2,
                             .bytes = 100,
                             .is_syn = 0,
                             .reserved = 0};
        uint32_t count = 0;
        for (uint32_t i = 0; i < packets; i++) {
            count += gw_police(&packet, &visit) == GW_REASON_FORWARDED ? 1 : 0;
        }
        return count;
    }

    static MergedSources merge(const Tables &from, const Tables &to)
    {
        return merge_sources(TablesView::of(from), TablesView::of(to));
    }

    static Tables with_sources(uint32_t sources_max)
    {
        return made(with([=](auto &c) { c.sources_max = sources_max; }));
    }

    uint64_t now_ns_ = 1000 * kSecond;
};

TEST_F(MigrateSources, AreFoundInTablesOfAnySize)
{
    for (uint32_t source = 1; source <= 100; source++) {
        ASSERT_EQ(passed(from_, source, source % kBurst), source % kBurst);
    }
    for (const uint32_t sources_max : {512U, 1024U, 1U << 18}) {
        const auto to = with_sources(sources_max);
        ASSERT_EQ(complaint(to), "");
        const auto account = merge(from_, to);
        EXPECT_EQ(account.states, 80U);
        uint32_t with_less = 0;
        for (uint32_t source = 1; source <= 200; source++) {
            const uint32_t due = source <= 100 ? kBurst - source % kBurst : kBurst;
            const uint32_t has = passed(to, source);
            ASSERT_LE(has, due) << source;
            with_less += has < due ? 1 : 0;
        }
        EXPECT_LE(with_less, account.shared == 0 ? 0U : 20U) << sources_max;
    }
}

// 400 states for 16 places: most share one of four cells, and none has more than its due.
TEST_F(MigrateSources, WithoutRoomTheyShare)
{
    for (uint32_t source = 1; source <= 400; source++) {
        passed(from_, source, 1 + source % kBurst);
    }
    const auto to = with_sources(16);
    ASSERT_EQ(complaint(to), "");
    const auto account = merge(from_, to);
    EXPECT_GE(account.states, 390U);
    EXPECT_EQ(account.shared, account.states - 16);
    EXPECT_TRUE(
        std::ranges::all_of(to.source_cells(), [](uint64_t cell) { return cell != 0; }));
    for (uint32_t source = 1; source <= 400; source++) {
        ASSERT_LE(passed(to, source), kBurst - 1 - source % kBurst) << source;
    }
    // Later it is as if nothing had been.
    now_ns_ += 100 * kSecond;
    for (uint32_t source = 1; source <= 10; source++) {
        EXPECT_EQ(passed(to, source, 1), 1U);
    }
}

TEST_F(MigrateSources, ThoseThatAreMostAheadKeepTheirPlaces)
{
    const auto to = with_sources(16);
    ASSERT_EQ(complaint(to), "");
    for (uint32_t source = 1; source <= 200; source++) {
        passed(from_, source, source > 192 ? kBurst : 1);
    }
    std::ignore = merge(from_, to);
    std::multiset<uint64_t> ahead;
    for (const auto &bucket : to.source_buckets()) {
        for (const auto &way : bucket.way) {
            ahead.insert(way.arrival - (now_ns_ << GW_ARRIVAL_SHIFT));
        }
    }
    EXPECT_GE(ahead.count(kBurst * kSecond << GW_ARRIVAL_SHIFT), 7U);
}

TEST_F(MigrateSources, TheLaterOfTwoStatesStays)
{
    const auto to = with_sources(4096);
    ASSERT_EQ(complaint(to), "");
    passed(from_, 1, kBurst);
    passed(to, 1, 1);
    passed(from_, 2, 1);
    passed(to, 2, kBurst);
    passed(from_, 3, 3);
    std::ignore = merge(from_, to);
    std::ignore = merge(from_, to);
    EXPECT_EQ(passed(to, 1), 0U);
    EXPECT_EQ(passed(to, 2), 0U);
    EXPECT_EQ(passed(to, 3), 2U);
    EXPECT_EQ(passed(to, 4), kBurst);
}

// Six states of one bucket, each with a cell of its own or shared with one other.
TEST_F(MigrateSources, WhoIsLeastAheadShares)
{
    const auto fingerprint = [](uint64_t i) { return i << 32 | i << 2; };
    const auto arrival = [](uint64_t i) { return 1'000'000 + i; };
    for (const bool ascending : {true, false}) {
        for (auto &bucket : from_.source_buckets()) {
            bucket = {};
        }
        for (uint64_t i = 1; i <= 6; i++) {
            from_.source_buckets()[i << 2].way[i % GW_SOURCE_WAYS] = {
                fingerprint(i), arrival(ascending ? i : 7 - i)};
        }
        const auto to = with_sources(16);
        ASSERT_EQ(complaint(to), "");
        EXPECT_EQ(merge(from_, to).shared, 2U);
        std::set<uint64_t> placed;
        for (const auto &way : to.source_buckets()[0].way) {
            placed.insert(way.fingerprint);
            EXPECT_EQ(way.arrival,
                      arrival(ascending ? way.fingerprint >> 32 : 7 - (way.fingerprint >> 32)));
        }
        const uint64_t first = ascending ? 3 : 1;
        EXPECT_EQ(placed, (std::set<uint64_t>{fingerprint(first), fingerprint(first + 1),
                                              fingerprint(first + 2), fingerprint(first + 3)}));
        const auto cells = to.source_cells();
        EXPECT_EQ(cells[1], ascending ? arrival(1) : arrival(2));
        EXPECT_EQ(cells[2], ascending ? arrival(2) : arrival(1));
        EXPECT_EQ(cells[0] | cells[3], 0U);
        EXPECT_EQ(to.limits()[3].shared_until, arrival(2)) << "until then cells may be ahead";
        EXPECT_EQ(to.limits()[4].shared_until, 0U) << "of none";
    }
}

// Whoever had no place of its own, and finds one in larger tables, has what its cell had.
TEST_F(MigrateSources, CellsGoWithThem)
{
    const auto small = with_sources(16);
    ASSERT_EQ(complaint(small), "");
    for (uint32_t source = 1; source <= 200; source++) {
        passed(small, source);
    }
    for (const uint32_t sources_max : {16U, 64U, 1U << 14}) {
        const auto to = with_sources(sources_max);
        ASSERT_TRUE(migrate(TablesView::of(small), to));
        std::ignore = merge(small, to);
        for (uint32_t source = 1; source <= 200; source++) {
            ASSERT_EQ(passed(to, source), 0U) << source << " of " << sources_max;
        }
    }
    const auto large = with_sources(1U << 14);
    ASSERT_TRUE(migrate(TablesView::of(small), large));
    std::ignore = merge(small, large);
    const auto again = with_sources(16);
    ASSERT_TRUE(migrate(TablesView::of(large), again));
    std::ignore = merge(large, again);
    for (uint32_t source = 1; source <= 200; source++) {
        ASSERT_EQ(passed(again, source), 0U) << source;
    }
}

TEST_F(MigrateSources, LimitsComeWithTheirStates)
{
    put_limit(from_, 1023, GW_LIMIT_ALL_SOURCES);
    EXPECT_EQ(passed(from_, 1, 3), 3U);
    const auto to = with_sources(2048);
    ASSERT_EQ(complaint(to), "");
    EXPECT_EQ(to.limits()[3].identity, 53U);
    EXPECT_EQ(to.limits()[3].seed, from_.limits()[3].seed);
    EXPECT_EQ(to.services()[2].limits[0], 1024);
    EXPECT_EQ(to.services()[2].policy, uint32_t{GW_POLICY_LIMITS});
    // Until all packets go by the new tables, both go on.
    EXPECT_EQ(passed(from_, 2, 1), 1U);
    std::ignore = merge(from_, to);
    EXPECT_EQ(passed(to, 3), 1U);
    std::ignore = merge(from_, to);
    EXPECT_EQ(passed(to, 3), 0U) << "the former is not the later one any more";
    // Another limit at the same place has a state of its own.
    from_.limits()[1023].shared_arrival += 100 * kSecond << GW_ARRIVAL_SHIFT;
    from_.limits()[1023].shared_until = from_.limits()[1023].shared_arrival;
    const uint64_t before = to.limits()[1023].shared_arrival;
    to.limits()[1023].identity = 7;
    std::ignore = merge(from_, to);
    EXPECT_EQ(to.limits()[1023].shared_arrival, before);
    EXPECT_EQ(to.limits()[1023].shared_until, 0U);
    to.limits()[1023].identity = from_.limits()[1023].identity;
    std::ignore = merge(from_, to);
    EXPECT_EQ(to.limits()[1023].shared_arrival, from_.limits()[1023].shared_arrival);
    EXPECT_EQ(to.limits()[1023].shared_until, from_.limits()[1023].shared_until);
}

TEST_F(MigrateSources, AreReadFromTablesOfAnotherLayout)
{
    passed(from_, 1);
    passed(from_, 2, 1);
    Relaid other(from_, 64);
    const auto view = TablesView::of(other.bytes());
    ASSERT_TRUE(view) << view.error().message;
    const auto to = with_sources(2048);
    const auto migrated = migrate(*view, to);
    ASSERT_TRUE(migrated) << migrated.error().message;
    EXPECT_EQ(merge_sources(*view, TablesView::of(to)).states, 2U);
    EXPECT_EQ(passed(to, 1), 0U);
    EXPECT_EQ(passed(to, 2), kBurst - 1);
    move_counters(*view, to);
    EXPECT_EQ(to.excess_counters(3).packets, kBurst + 2 * kBurst + kBurst + 1);
    // And back into it, as when an exchange of programs has failed.
    EXPECT_EQ(merge_sources(TablesView::of(to), *view).states, 2U);
    const auto back = with_sources(1024);
    ASSERT_TRUE(migrate(*view, back));
    std::ignore = merge_sources(*view, TablesView::of(back));
    EXPECT_EQ(passed(back, 2), 0U);
}

TEST_F(MigrateSources, WhatExceededIsCountedOn)
{
    passed(from_, 1);
    EXPECT_EQ(from_.excess_counters(3).packets, kBurst);
    const auto to = with_sources(2048);
    ASSERT_EQ(complaint(to), "");
    passed(to, 2, kBurst + 2);
    move_counters(TablesView::of(from_), to);
    EXPECT_EQ(to.excess_counters(3).packets, kBurst + 2U);
    EXPECT_EQ(to.excess_counters(3).bytes, 100U * (kBurst + 2));
    EXPECT_EQ(from_.excess_counters(3).packets, 0U);
    to.clear_excess_counters(3);
    EXPECT_EQ(to.excess_counters(3).packets, 0U);
    EXPECT_EQ(to.excess_counters(3).bytes, 0U);
}

TEST_F(MigrateSources, DamagedLimitsAreNotFollowed)
{
    struct Case {
        std::function<void(gw_service &, gw_limit &)> damage;
        std::string says;
    };
    const Case cases[] = {
        {[](auto &service, auto &) { service.limits[7] = 1025; }, "names limit 1024 of 1024"},
        {[](auto &service, auto &) { service.limits[1] = 900; }, "limit 899, which is none"},
        {[](auto &, auto &limit) { limit.kind = 0; }, "limit 3, which is of kind 0"},
        {[](auto &, auto &limit) { limit.kind = 4; }, "limit 3, which is of kind 4"},
        {[](auto &, auto &limit) { limit.ipv4_bits = 33; }, "kind 2 and for /33 and /64"},
        {[](auto &, auto &limit) { limit.ipv6_bits = 129; }, "kind 2 and for /32 and /129"},
        {[](auto &, auto &limit) { limit.identity = 0; }, "limit 3, which is none"},
    };
    for (const auto &[damage, says] : cases) {
        const gw_service service = from_.services()[2];
        const gw_limit limit = from_.limits()[3];
        damage(from_.services()[2], from_.limits()[3]);
        EXPECT_TRUE(complaint(made(kCapacity)).contains(says)) << complaint(made(kCapacity));
        const auto content = check_content(TablesView::of(from_));
        ASSERT_FALSE(content) << says;
        EXPECT_TRUE(content.error().message.contains(says)) << content.error().message;
        from_.services()[2] = service;
        from_.limits()[3] = limit;
    }
    EXPECT_TRUE(check_content(TablesView::of(from_)));
}

// As of a build that knew no limits, or knew others.
TEST_F(MigrateSources, TablesWithoutThemHaveNothingToMerge)
{
    passed(from_, 1);
    const auto to = made(kCapacity);
    ASSERT_EQ(complaint(to), "");
    const auto without = [&](gw_section_kind kind) {
        auto &head = from_.header();
        for (uint32_t i = 0; i < head.sections_used; i++) {
            if (head.sections[i].kind == static_cast<uint32_t>(kind)) {
                head.sections[i].kind = 1000U + i;
            }
        }
        auto view = TablesView::of({from_.base(), from_.layout().total_bytes});
        ASSERT_TRUE(view) << view.error().message;
        EXPECT_EQ(merge_sources(*view, TablesView::of(to)).states, 0U);
        EXPECT_EQ(merge_sources(TablesView::of(to), *view).states, 0U);
    };
    without(GW_SECTION_SOURCE_CELLS);
    without(GW_SECTION_SOURCES);
    without(GW_SECTION_LIMITS);
    EXPECT_EQ(passed(to, 1), kBurst);
    // It has copied the words of a later build, which mean nothing in its tables.
    ASSERT_NE(from_.services()[2].limits[0], 0);
    const auto after = made(kCapacity);
    EXPECT_EQ(complaint(after), "");
    EXPECT_EQ(after.services()[2].limits[0], 0);
    EXPECT_EQ(after.services()[2].policy, 0U);
}

// Packets are judged by them from the first moment of the new tables on.
TEST_F(MigrateSources, ListsComeAlong)
{
    std::vector<ListedPrefix> prefixes(2);
    prefixes[0] = {.address = {10, 1}, .length_bits = 16};
    prefixes[1] = {.address = {0x20, 1, 0x0d, 0xb8}, .length_bits = 32, .is_ipv6 = true};
    const auto image = build_lists(ListsRoom::of(from_), prefixes);
    ASSERT_TRUE(image) << image.error().message;
    write_idle_lists(from_, *image);
    activate_idle_lists(from_, *image);
    const auto denied = [](const Tables &tables, uint64_t high, uint64_t low) {
        gw_packet packet{};
        packet.tables = tables.base();
        packet.layout = &tables.layout();
        return gw_listed(&packet, high, low) == GW_LIST_DENY;
    };
    const auto to = made(with([](auto &c) { c.prefixes_max = 4096; }));
    ASSERT_EQ(complaint(to), "");
    EXPECT_EQ(to.header().lists_used, 1U);
    EXPECT_TRUE(denied(to, GW_IPV4_TAG, 0x0000010a));
    EXPECT_FALSE(denied(to, GW_IPV4_TAG, 0x0000020a));
    EXPECT_TRUE(denied(to, __builtin_bswap64(0x20010db8'00000000), 7));
    EXPECT_FALSE(denied(to, __builtin_bswap64(0x20010db9'00000000), 7));
}

TEST_F(MigrateSources, SectionsOfTheWrongSizeAreRefused)
{
    for (const auto kind : {GW_SECTION_SOURCES, GW_SECTION_SOURCE_CELLS, GW_SECTION_LIMITS,
                            GW_SECTION_COUNTED_EXCESS}) {
        const auto tables = made(kCapacity);
        auto &head = tables.header();
        auto *section =
            std::ranges::find(head.sections, static_cast<uint32_t>(kind), &gw_section::kind);
        ASSERT_NE(section, std::end(head.sections));
        const auto refused = [&] {
            return !TablesView::of({tables.base(), tables.layout().total_bytes});
        };
        ASSERT_FALSE(refused());
        const gw_section good = *section;
        section->record_bytes -= 4;
        EXPECT_TRUE(refused()) << kind;
        *section = good;
        if (kind == GW_SECTION_SOURCES || kind == GW_SECTION_SOURCE_CELLS) {
            section->records -= 1;
            EXPECT_TRUE(refused()) << kind;
        } else if (kind == GW_SECTION_LIMITS) {
            section->records -= 1;
            section->record_bytes += 4;
            EXPECT_TRUE(refused()) << "words on odd places";
        } else {
            section->offset = tables.layout().counters_area_bytes;
            EXPECT_TRUE(refused()) << "beyond an area";
        }
    }
}

}  // namespace
}  // namespace guideway
