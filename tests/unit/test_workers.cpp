// Waiting for workers that are at work with the tables.
#include "dataplane/tables/workers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/migrate_fixture.hpp"

namespace guideway {
namespace {

using std::chrono::milliseconds;

std::atomic_ref<uint64_t> epoch(const Tables &tables, uint32_t worker)
{
    return std::atomic_ref(tables.counters_area(worker).epoch);
}

TEST(Workers, AreNotWaitedForBetweenBursts)
{
    const Tables tables = made(kCapacity);
    epoch(tables, 0).store(4);
    EXPECT_TRUE(wait_for_workers(tables, milliseconds(0)));
}

TEST(Workers, AreWaitedForUntilTheirBurstEnds)
{
    const Tables tables = made(kCapacity);
    epoch(tables, 1).store(7);
    std::atomic<bool> is_over = false;
    std::jthread worker([&] {
        std::this_thread::sleep_for(milliseconds(50));
        is_over = true;
        epoch(tables, 1).store(8);
    });
    EXPECT_TRUE(wait_for_workers(tables, std::chrono::seconds(20)));
    EXPECT_TRUE(is_over);
}

TEST(Workers, ThatBeginTheNextBurstHaveEndedTheOneBefore)
{
    const Tables tables = made(kCapacity);
    epoch(tables, 0).store(7);
    std::jthread worker([&] {
        std::this_thread::sleep_for(milliseconds(20));
        epoch(tables, 0).store(9);
    });
    EXPECT_TRUE(wait_for_workers(tables, std::chrono::seconds(20)));
}

TEST(Workers, ThatHangAreTold)
{
    const Tables tables = made(kCapacity);
    epoch(tables, 0).store(1);
    EXPECT_FALSE(wait_for_workers(tables, milliseconds(30)));
    forget_workers(tables);
    EXPECT_TRUE(wait_for_workers(tables, milliseconds(0)));
    EXPECT_EQ(epoch(tables, 0).load() % 2, 0U);
}

// An engine of another build may be at work with tables that it has laid out otherwise.
TEST(Workers, AreFoundInTablesOfAnotherLayout)
{
    const Tables tables = made(kCapacity);
    epoch(tables, 1).store(3);
    Relaid relaid(tables, 64);
    const auto view = TablesView::of(relaid.bytes());
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_FALSE(wait_for_workers(*view, milliseconds(10)));
    forget_workers(*view);
    EXPECT_TRUE(wait_for_workers(*view, milliseconds(0)));
}

}  // namespace
}  // namespace guideway
