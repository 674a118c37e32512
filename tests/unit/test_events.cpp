// Events: kept, saved in a real store, and waited for.
#include "control/daemon/events.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>

#include "control/store/store.hpp"

namespace guideway::daemon {
namespace {

using namespace std::chrono_literals;

class EventsTest : public testing::Test {
  protected:
    EventsTest()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "gw-events-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot create a directory for the test");
        }
        directory_ = pattern;
    }
    ~EventsTest() override { std::filesystem::remove_all(directory_); }

    store::Store open() const
    {
        return std::move(store::Store::open(directory_ / "edge.db").value());
    }
    static void record(Events &events, int count)
    {
        for (int i = 0; i < count; i++) {
            events.record({.kind = "test", .text = "number " + std::to_string(i)});
        }
    }
    // Runs what is due within `time`.
    void run(std::chrono::milliseconds time)
    {
        loop_.restart();
        loop_.run_for(time);
    }

    std::filesystem::path directory_;
    boost::asio::io_context loop_;
};

Result<void> save_nowhere(std::span<const model::Event>)
{
    return fail("no room");
}

TEST_F(EventsTest, AreKeptUpToALimitWhichIsTold)
{
    Events events(loop_, save_nowhere);
    EXPECT_EQ(events.after(0, 10).newest, 0);
    record(events, 10);
    EXPECT_EQ(events.after(0, 3).events.size(), 3U);
    EXPECT_EQ(events.after(0, 3).events.front().sequence, 1);
    EXPECT_EQ(events.after(8, 100).events.size(), 2U);
    EXPECT_EQ(events.after(10, 100).events.size(), 0U);
    EXPECT_FALSE(events.after(1, 100).missed);
    record(events, static_cast<int>(Events::kKept));
    const auto page = events.after(5, SIZE_MAX);
    EXPECT_EQ(page.events.size(), Events::kKept);
    EXPECT_EQ(page.events.front().sequence, 11);
    EXPECT_TRUE(page.missed);
    EXPECT_FALSE(events.after(10, 1).missed);
    EXPECT_EQ(page.newest, 10 + static_cast<int64_t>(Events::kKept));
}

TEST_F(EventsTest, AreSavedAlsoWhenTheyComeInBursts)
{
    auto store = open();
    Events events(loop_, [&](auto batch) { return store.append_events(batch); });
    constexpr int kBurst = 3 * static_cast<int>(Events::kKept);
    record(events, kBurst);
    run(1200ms);
    const auto saved = store.events(SIZE_MAX / 2);
    ASSERT_TRUE(saved) << saved.error().message;
    EXPECT_EQ(std::ssize(*saved), kBurst);
}

TEST_F(EventsTest, GoOnAfterARestartWithLargerNumbers)
{
    int64_t newest = 0;
    {
        auto store = open();
        Events events(loop_, [&](auto batch) { return store.append_events(batch); });
        record(events, 3);
        EXPECT_TRUE(store.events(10).value().empty()) << "not yet: batches are saved later";
        run(1500ms);
        EXPECT_EQ(store.events(10).value().size(), 3U);
        record(events, 2);
        newest = events.after(0, 100).newest;
    }  // saves the rest
    auto store = open();
    Events events(loop_, [&](auto batch) { return store.append_events(batch); });
    events.go_on_after(store.events(Events::kKept).value());
    EXPECT_EQ(events.after(0, 100).events.size(), 5U);
    EXPECT_GT(events.after(0, 100).newest, newest);
    record(events, 1);
    EXPECT_EQ(events.after(newest, 100).events.size(), 1U);
    EXPECT_FALSE(events.after(newest, 100).missed);
    EXPECT_EQ(events.unsaved().size(), 1U);
    events.save_now();
    EXPECT_EQ(store.events(10).value().size(), 6U);
}

TEST_F(EventsTest, ThatCannotBeSavedAreSavedWhenThereIsRoomAgain)
{
    auto store = open();
    bool is_full = true;
    Events events(loop_, [&](std::span<const model::Event> batch) {
        return is_full ? save_nowhere(batch) : store.append_events(batch);
    });
    record(events, 4);
    events.save_now();
    EXPECT_EQ(events.unsaved().size(), 4U);
    is_full = false;
    events.save_now();
    EXPECT_EQ(store.events(10).value().size(), 4U);
    EXPECT_EQ(store.events(1).value().front().text, "number 3");
}

TEST_F(EventsTest, WakeWhoWaitsForThem)
{
    Events events(loop_, save_nowhere);
    int woken = 0;
    const auto ticket = events.wait(0, 10s, [&] { woken++; });
    run(20ms);
    EXPECT_EQ(woken, 0);
    record(events, 3);
    EXPECT_EQ(woken, 0) << "not from within record()";
    run(20ms);
    EXPECT_EQ(woken, 1);
    record(events, 1);
    run(20ms);
    EXPECT_EQ(woken, 1) << "once";
    const auto later = events.wait(events.after(0, 1).newest, 50ms, [&] { woken++; });
    run(20ms);
    EXPECT_EQ(woken, 1);
    run(100ms);
    EXPECT_EQ(woken, 2) << "its patience is over";
}

TEST_F(EventsTest, ForgetWhoHasGoneAndRefuseTooMany)
{
    auto events = std::make_unique<Events>(loop_, save_nowhere);
    std::vector<std::shared_ptr<void>> tickets;
    int woken = 0;
    for (size_t i = 0; i < Events::kWatchersMax; i++) {
        tickets.push_back(events->wait(0, 10s, [&] { woken++; }));
        EXPECT_NE(tickets.back(), nullptr);
    }
    EXPECT_EQ(events->wait(0, 10s, [&] { woken++; }), nullptr);
    tickets.erase(tickets.begin(), tickets.begin() + 5);
    auto again = events->wait(0, 10s, [&] { woken++; });
    EXPECT_NE(again, nullptr);
    record(*events, 1);
    run(20ms);
    EXPECT_EQ(woken, static_cast<int>(Events::kWatchersMax) - 4);
    auto left = events->wait(1, 10s, [&] { woken = -1; });
    events.reset();
    left.reset();
    run(20ms);
    EXPECT_GT(woken, 0);
}

}  // namespace
}  // namespace guideway::daemon
