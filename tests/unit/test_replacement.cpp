// Tables of other sizes in the place of those that forward: the whole way, and from every point
// at which a daemon may have been killed.
#include <sys/mman.h>

#include <functional>
#include <utility>

#include "dataplane/tables/directory.hpp"
#include "tests/unit/fast_path_fixture.hpp"
#include "xdp/replacement.hpp"

namespace guideway::xdp {
namespace {

constexpr gw_address kAddress{.high = GW_IPV4_TAG, .low = 0x0a710ccb};
// Any flow; what a pin's first word says of it but the backend.
constexpr uint64_t kFlow = 0x1234567ULL << GW_PIN_FINGERPRINT_SHIFT | GW_PIN_CONFIRMED;
constexpr uint64_t kSecond = 5ULL << GW_PIN_SEEN_SHIFT | 3ULL << GW_PIN_SERVICE_SHIFT | 100;

class ReplacementTest : public FastPathTest {
  protected:
    void SetUp() override
    {
        FastPathTest::SetUp();
        larger_ = options_;
        larger_.capacity.ring_slots_max *= 4;
        larger_.capacity.pins_max *= 4;
        larger_.capacity.backends_max *= 2;
    }

    // What a daemon leaves that has put one service in force, with a flow pinned.
    void leave_a_service(const std::vector<std::string> &interfaces = {"gwt0"})
    {
        auto fast_path = open_or_die();
        fill(fast_path.tables());
        ASSERT_OK(fast_path.attach(interfaces, Mode::kNative));
    }

    static void fill(const Tables &tables)
    {
        tables.backends()[9].identity = 9;
        auto &service = tables.services()[3];
        service.identity = 77;
        service.address = kAddress;
        service.protocol = 6;
        service.port_raw = gw_to_be16(80).raw;
        service.ring_offset = 100;
        service.ring_size = 7;
        std::ranges::fill(tables.ring_slots().subspan(100, 7),
                          gw_slot_make(9, GW_SLOT_PINNED, GW_PREVIOUS_NONE));
        write_idle_directory(
            tables, build_directory(tables.layout(), {{.address = kAddress,
                                                       .protocol = 6,
                                                       .port_raw = gw_to_be16(80).raw,
                                                       .service = 3,
                                                       .unmatched = GW_UNMATCHED_DROP}})
                        .value());
        activate_idle_directory(tables);
        pin_flow(tables, 9);
        tables.counters_area(0).reason[GW_REASON_NOT_OURS] = 12;
    }

    static uint64_t home(const Tables &tables)
    {
        return kFlow >> GW_PIN_FINGERPRINT_SHIFT & tables.layout().pin_buckets_mask;
    }

    static void pin_flow(const Tables &tables, uint32_t backend)
    {
        tables.pin_buckets()[home(tables)].way[0] = {kFlow | backend, kSecond};
    }

    // Everything that was filled in is there, programs act by these tables, and nothing is left
    // of others.
    void expect_all_in_force(FastPath &fast_path)
    {
        auto &tables = fast_path.tables();
        EXPECT_TRUE(fast_path.adopted());
        EXPECT_EQ(tables.services()[3].identity, 77U);
        EXPECT_EQ(tables.backends()[9].identity, 9U);
        const auto &pin = tables.pin_buckets()[home(tables)].way[0];
        EXPECT_EQ(pin.first, kFlow | 9);
        EXPECT_EQ(pin.second, kSecond);
        EXPECT_GE(tables.counters().reasons[GW_REASON_NOT_OURS], 12U);
        EXPECT_NE(tables.header().active_generation, 0U);
        EXPECT_FALSE(pinned("region-former"));
        const auto region = region_of_pin(options_.pin_directory / "region");
        ASSERT_TRUE(region && *region);
        EXPECT_FALSE(fast_path.interfaces().empty());
        for (const auto &interface : fast_path.interfaces()) {
            EXPECT_EQ(program_on(interface.name), interface.program_id);
            const auto program = program_of_id(interface.program_id);
            ASSERT_OK(program);
            EXPECT_TRUE(program->uses_map((*region)->map_id)) << interface.name;
        }
    }

    [[nodiscard]] Replacement begin(const FastPath::Options &options)
    {
        lock_ = std::move(lock_pin_directory(options.pin_directory).value());
        auto opening = begin_opening(options.pin_directory, options.capacity, options.hash_key,
                                     settle_workers);
        EXPECT_TRUE(opening) << opening.error().message;
        EXPECT_TRUE(opening->replacement);
        return std::move(*opening->replacement);
    }

    // As by kill -9, but that memory is unmapped.
    void die() { lock_ = {}; }

    FastPath::Options larger_;
    Descriptor lock_;
};

TEST_F(ReplacementTest, OtherSizesTakeOverWhatIsThere)
{
    leave_a_service({"gwt0", "gwt1"});
    const uint32_t before = program_on("gwt0");
    auto fast_path = FastPath::open(larger_);
    ASSERT_OK(fast_path);
    EXPECT_NE(program_on("gwt0"), before);
    EXPECT_NE(fast_path->moved().find("1 pinned"), std::string::npos) << fast_path->moved();
    EXPECT_EQ(fast_path->tables().ring_slots().size(), larger_.capacity.ring_slots_max);
    EXPECT_EQ(fast_path->interfaces().size(), 2U);
    expect_all_in_force(*fast_path);
    ASSERT_OK(fast_path->attach({"gwt0", "gwt1"}, Mode::kNative));
    EXPECT_EQ(fast_path->remains(), std::vector<std::string>{});
}

TEST_F(ReplacementTest, AnOpenOneCanBeResizedAndBack)
{
    leave_a_service();
    auto fast_path = open_or_die();
    EXPECT_EQ(fast_path.moved(), "");
    ASSERT_OK(fast_path.resize(larger_.capacity));
    expect_all_in_force(fast_path);
    ASSERT_OK(fast_path.resize(options_.capacity));
    EXPECT_EQ(fast_path.tables().ring_slots().size(), options_.capacity.ring_slots_max);
    expect_all_in_force(fast_path);
}

TEST_F(ReplacementTest, WhatDoesNotFitIsRefusedAndGoesOn)
{
    leave_a_service();
    const uint32_t before = program_on("gwt0");
    auto smaller = options_;
    smaller.capacity.backends_max = 8;
    auto outcome = FastPath::open(smaller);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("capacity.backends must be at least 16"),
              std::string::npos)
        << outcome.error().message;
    EXPECT_EQ(program_on("gwt0"), before);
    EXPECT_FALSE(pinned("region-former"));
    auto again = open_or_die();
    EXPECT_EQ(again.moved(), "");
    EXPECT_EQ(again.generation(), 1U);
}

TEST_F(ReplacementTest, DamagedTablesAreRefusedAndGoOn)
{
    leave_a_service();
    {
        auto fast_path = open_or_die();
        fast_path.tables().services()[3].ring_size = 1 << 30;
    }
    const uint32_t before = program_on("gwt0");
    for (const auto &options : {larger_, options_}) {
        auto outcome = FastPath::open(options);
        ASSERT_FALSE(outcome.has_value());
        EXPECT_NE(outcome.error().message.find("damaged"), std::string::npos)
            << outcome.error().message;
        EXPECT_EQ(program_on("gwt0"), before);
    }
    const auto said = FastPath::open(options_).error().message;
    EXPECT_NE(said.find("--detach"), std::string::npos) << said;
    ASSERT_OK(FastPath::remove(options_.pin_directory));
    EXPECT_FALSE(open_or_die().adopted());
}

TEST_F(ReplacementTest, WithoutAnyProgramTheTablesAreReplacedAllTheSame)
{
    {
        auto fast_path = open_or_die();
        fill(fast_path.tables());
    }
    auto fast_path = FastPath::open(larger_);
    ASSERT_OK(fast_path);
    EXPECT_EQ(fast_path->tables().services()[3].identity, 77U);
    EXPECT_FALSE(pinned("region-former"));
    ASSERT_OK(fast_path->attach({"gwt0"}, Mode::kNative));
}

// An engine has mapped the tables and acts by them, on no interface of XDP's.
TEST_F(ReplacementTest, WorkersOfAnEngineAreWaitedForBeforePinsMove)
{
    {
        auto fast_path = open_or_die();
        fill(fast_path.tables());
        ASSERT_OK(fast_path.attach({}, Mode::kNative));
        EXPECT_EQ(fast_path.interfaces().size(), 0U);
        EXPECT_NE(fast_path.generation(), 0U);
    }
    bool was_waited_for = false;
    larger_.settle_workers = [&](const TablesView &tables) {
        if (tables.section(GW_SECTION_RINGS).records() == options_.capacity.ring_slots_max &&
            tables.header().active_generation == 0) {
            was_waited_for = true;  // none has begun anew
            const auto home =
                kFlow >> GW_PIN_FINGERPRINT_SHIFT & (tables.pin_buckets().size() - 1);
            EXPECT_EQ(tables.pin_buckets()[home].way[0].second, kSecond) << "moved too early";
        }
    };
    auto fast_path = FastPath::open(larger_);
    ASSERT_OK(fast_path);
    EXPECT_TRUE(was_waited_for);
    EXPECT_NE(fast_path->generation(), 0U);
    EXPECT_EQ(fast_path->tables().pin_buckets()[home(fast_path->tables())].way[0].second,
              kSecond);
}

TEST_F(ReplacementTest, TablesThatAreRemovedAreNotActedByAnyMore)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({}, Mode::kNative));
    }
    auto region = region_of_pin(options_.pin_directory / "region");
    ASSERT_TRUE(region && *region);
    auto engine = MappedRegion::map(std::move(**region));
    ASSERT_OK(engine);
    const auto &header = *reinterpret_cast<gw_tables_header *>(engine->bytes().data());
    EXPECT_NE(header.active_generation, 0U);
    ASSERT_OK(FastPath::remove(options_.pin_directory));
    EXPECT_EQ(header.active_generation, 0U);
}

// Killed after so many steps: the next start, of the new sizes, of the old ones, or of yet
// others, goes on.
class KilledTest : public ReplacementTest {
  protected:
    void kill_after(int steps)
    {
        leave_a_service();
        const auto pin = options_.pin_directory / "region";
        auto replacement = begin(larger_);
        if (steps == 1) {
            // Within the first: both names are of the old ones.
            auto old = region_of_pin(pin);
            ASSERT_OK(
                pin_replacing((*old)->fd.get(), options_.pin_directory / "region-former"));
        }
        if (steps >= 2) {
            ASSERT_OK(replacement.pin());
        }
        if (steps == 3) {
            // Within put(): a program may act by the new tables, and none is there yet.
            auto region = region_of_pin(pin);
            ASSERT_OK(region);
            auto tables = Tables::map((*region)->fd.get(), larger_.capacity, "region");
            ASSERT_OK(tables);
            tables->header().active_generation = take_generation(*tables);
        }
        if (steps >= 4) {
            ASSERT_OK(replacement.put());
        }
        if (steps >= 5) {
            replacement.silence();
        }
        if (steps >= 6) {
            replacement.move();
        }
        die();
    }

    void expect_next_start_goes_on(const FastPath::Options &options,
                                   std::initializer_list<int> killed_after)
    {
        for (const int steps : killed_after) {
            SCOPED_TRACE("killed after step " + std::to_string(steps));
            kill_after(steps);
            {
                auto fast_path = FastPath::open(options);
                ASSERT_OK(fast_path);
                expect_all_in_force(*fast_path);
                ASSERT_OK(fast_path->detach());
            }
            EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
        }
    }
};

TEST_F(KilledTest, TheNextStartGoesOn)
{
    expect_next_start_goes_on(larger_, {0, 1, 2, 3, 4, 5, 6});
}

TEST_F(KilledTest, TheNextStartGoesBack)
{
    expect_next_start_goes_on(options_, {2, 3, 4, 6});
}

TEST_F(KilledTest, TheNextStartHasYetOtherSizes)
{
    auto other = options_;
    other.capacity.pins_max *= 2;
    expect_next_start_goes_on(other, {3, 5});
}

TEST_F(KilledTest, IsRemovedWithoutADaemon)
{
    for (const int steps : {2, 4}) {
        SCOPED_TRACE("killed after step " + std::to_string(steps));
        kill_after(steps);
        const auto names = FastPath::remove(options_.pin_directory);
        ASSERT_OK(names);
        EXPECT_EQ(*names, std::vector<std::string>{"gwt0"});
        EXPECT_EQ(program_on("gwt0"), 0U);
        EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
    }
}

// A flow that the old programs pinned after the new tables were filled.
TEST_F(ReplacementTest, APinMadeMeanwhileComesAlong)
{
    leave_a_service();
    auto region = region_of_pin(options_.pin_directory / "region");
    ASSERT_OK(region);
    auto old = Tables::map((*region)->fd.get(), options_.capacity, "region");
    ASSERT_OK(old);
    old->pin_buckets()[home(*old)].way[0] = {};
    auto replacement = begin(larger_);
    ASSERT_OK(replacement.pin());
    ASSERT_OK(replacement.put());
    pin_flow(*old, 9);
    old->counters_area(1).reason[GW_REASON_NOT_OURS] = 30;
    replacement.silence();
    replacement.move();
    const auto opened = std::move(replacement).forget();
    const auto &tables = opened.tables;
    EXPECT_EQ(tables.pin_buckets()[home(tables)].way[0].first, kFlow | 9);
    EXPECT_GE(tables.counters().reasons[GW_REASON_NOT_OURS], 42U);
    EXPECT_EQ(old->pin_buckets()[home(*old)].way[0].first, 0U);
    EXPECT_EQ(old->header().active_generation, 0U);
}

// An interface that has gone when its turn comes: the other one has its old program again.
TEST_F(ReplacementTest, WhatCannotBePutIsPutBack)
{
    run("ip link add gwt2 type veth peer name gwt3 && ip link set gwt2 up && ip link set gwt3 "
        "up");
    {
        auto fast_path = open_or_die();
        fill(fast_path.tables());
        ASSERT_OK(fast_path.attach({"gwt0", "gwt2"}, Mode::kNative));
    }
    auto old_region = region_of_pin(options_.pin_directory / "region");
    auto replacement = begin(larger_);
    ASSERT_OK(replacement.pin());
    run("ip link del gwt2");
    EXPECT_FALSE(replacement.put().has_value());
    auto now = region_of_pin(options_.pin_directory / "region");
    EXPECT_EQ((*now)->map_id, (*old_region)->map_id);
    EXPECT_FALSE(pinned("region-former"));
    const auto program = program_of_id(program_on("gwt0"));
    ASSERT_OK(program);
    EXPECT_TRUE(program->uses_map((*old_region)->map_id));
    die();
    auto fast_path = FastPath::open(larger_);
    ASSERT_OK(fast_path);
    EXPECT_EQ(fast_path->tables().services()[3].identity, 77U);
}

}  // namespace
}  // namespace guideway::xdp
