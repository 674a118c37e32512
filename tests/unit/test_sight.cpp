// Who waits for the top of sources, over an event loop, tables in memory and packets in them.
#include "control/daemon/sight.hpp"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/unit/limited_fixture.hpp"

namespace guideway::daemon {
namespace {

using namespace std::chrono_literals;

class SightTest : public LimitedTest {
  protected:
    Sight::World world()
    {
        return {.tables = [this] { return has_tables_ ? &tables_ : nullptr; },
                .names =
                    [] {
                        return LimitedSources::Names{
                            .limits = {{0, {.name = "api/packets", .terms = "1/s packets"}},
                                       {1,
                                        {.name = "flood",
                                         .terms = "1/s packets",
                                         .ipv4_bits = 24,
                                         .ipv6_bits = 48}}},
                            .services = {{0, "api"}, {1, "dns"}}};
                    },
                .sample = [this](bool is_on) { sample(is_on); },
                .record = [this](model::Event event) { events_.push_back(std::move(event)); },
                .now_ns = [this] { return now_ns_; }};
    }
    Sight::Reply keep()
    {
        return [this](Result<Sight::Top> top) { answers_.push_back(std::move(top)); };
    }
    [[nodiscard]] bool is_sampling() const
    {
        return (tables_.services()[0].policy & GW_POLICY_SAMPLE) != 0;
    }
    void run(std::chrono::milliseconds time)
    {
        loop_.restart();
        loop_.run_for(time);
    }
    void run_until_answered(size_t answers)
    {
        for (int i = 0; i < 1000 && answers_.size() < answers; i++) {
            run(10ms);
        }
        ASSERT_EQ(answers_.size(), answers);
    }
    // The n-th source sends n packets.
    void send_some(uint32_t sources)
    {
        for (uint32_t source = 1; source <= sources; source++) {
            for (uint32_t i = 0; i < source; i++) {
                send(address(source), 100, false, source % 2);
            }
        }
    }

    bool has_tables_ = true;
    boost::asio::io_context loop_;
    std::vector<model::Event> events_;
    std::vector<Result<Sight::Top>> answers_;
    Sight sight_{loop_, world()};
};

TEST_F(SightTest, AnswersWhoSentMostAndSamplesNoLongerThanThat)
{
    sight_.begin();
    send_some(3);
    EXPECT_FALSE(is_sampling());
    const auto ticket = sight_.watch(120ms, TopBy::kPackets, 2, keep());
    ASSERT_NE(ticket, nullptr);
    EXPECT_TRUE(is_sampling());
    send_some(10);
    send_some(10);
    run_until_answered(1);
    const auto &top = answers_[0].value();
    EXPECT_EQ(top.packets, 110);
    EXPECT_EQ(top.sources, 10U);
    EXPECT_EQ(top.samples, 110U);
    EXPECT_GE(top.seconds, 0.12);
    ASSERT_EQ(top.rows.size(), 2U);
    EXPECT_EQ(top.rows[0].sums.packets, 20);
    EXPECT_EQ(top.rows[0].sums.error, 0);
    EXPECT_EQ(top.rows[0].service, "api");
    EXPECT_EQ(top.rows[1].sums.source.low, address(9).low);
    EXPECT_EQ(top.rows[1].service, "dns");
    EXPECT_FALSE(is_sampling());
}

TEST_F(SightTest, SamplesFewerPacketsWhenThereAreMany)
{
    const auto ticket = sight_.watch(1s, TopBy::kPackets, 2, keep());
    for (int i = 0; i < 20'000; i++) {
        send(address(1));
    }
    while (tables_.header().sample_mask == 0 && answers_.empty()) {
        run(5ms);
    }
    EXPECT_GE(tables_.header().sample_mask, 63U);
    for (int i = 0; i < 20'000; i++) {
        send(address(1));
    }
    run_until_answered(1);
    EXPECT_NEAR(answers_[0].value().packets, 40'000, 200);
    EXPECT_GT(answers_[0].value().rows.at(0).sums.error, 0);
    EXPECT_EQ(tables_.header().sample_mask, 0U);
}

TEST_F(SightTest, SharesSamplingAmongThoseWhoAskAtOnce)
{
    const auto first = sight_.watch(80ms, TopBy::kPackets, 5, keep());
    send_some(4);
    const auto second = sight_.watch(1s, TopBy::kPackets, 5, keep());
    send_some(2);
    run_until_answered(1);
    EXPECT_EQ(answers_[0].value().packets, 13);
    EXPECT_TRUE(is_sampling());
    run_until_answered(2);
    EXPECT_EQ(answers_[1].value().packets, 3);
    EXPECT_FALSE(is_sampling());
}

TEST_F(SightTest, SamplesNoMoreWhenWhoAskedHasGone)
{
    auto ticket = sight_.watch(50ms, TopBy::kPackets, 5, keep());
    EXPECT_TRUE(is_sampling());
    ticket.reset();
    EXPECT_FALSE(is_sampling());
    run(150ms);
    EXPECT_TRUE(answers_.empty());
}

TEST_F(SightTest, LetsOnlySoManyAsk)
{
    std::vector<std::shared_ptr<void>> tickets;
    for (size_t i = 0; i < Sight::kWatchesMax; i++) {
        tickets.push_back(sight_.watch(10s, TopBy::kPackets, 5, keep()));
        ASSERT_NE(tickets.back(), nullptr);
    }
    EXPECT_EQ(sight_.watch(10s, TopBy::kPackets, 5, keep()), nullptr);
    tickets.pop_back();
    EXPECT_NE(sight_.watch(10s, TopBy::kPackets, 5, keep()), nullptr);
}

TEST_F(SightTest, EndsWhatAnEarlierDaemonHasLeftOn)
{
    sample(true);
    tables_.header().sample_mask = 15;
    sight_.begin();
    EXPECT_FALSE(is_sampling());
    EXPECT_EQ(tables_.header().sample_mask, 0U);
}

TEST_F(SightTest, GoesOnWatchingInOtherTables)
{
    const auto ticket = sight_.watch(120ms, TopBy::kPackets, 5, keep());
    sample(false);
    tables_.counters_area(0).samples_made = 0;
    sight_.begin();
    EXPECT_TRUE(is_sampling());
    send_some(3);
    run_until_answered(1);
    EXPECT_EQ(answers_[0].value().packets, 6);
}

TEST_F(SightTest, TellsWhoWaitsWhenNothingIsInForceAnyMore)
{
    const auto ticket = sight_.watch(10s, TopBy::kPackets, 5, keep());
    sight_.end();
    has_tables_ = false;
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_FALSE(answers_[0]);
    EXPECT_FALSE(is_sampling());
    sight_.look();
    run(100ms);
}

TEST_F(SightTest, SaysOfEachSourceWhetherItIsLimitedOrDenied)
{
    set_limit(0);
    set_limit(1, 24);
    exceed(address("192.0.2.7"), 3);
    exceed(address("2001:db8:1:2::3"), 3);
    const auto ticket = sight_.watch(60ms, TopBy::kPackets, 5, keep());
    const auto send_from = [this](const char *source, int packets) {
        for (int i = 0; i < packets; i++) {
            send(address(source), 100, false, 1);
        }
    };
    send_from("192.0.2.7", 4);
    send_from("192.0.2.8", 3);  // of the same /24
    send_from("192.0.3.8", 2);
    send_from("2001:db8:1:3::", 1);  // of the same /48
    auto *roots = reinterpret_cast<uint32_t *>(
        tables_.base() + tables_.layout().lists_offset[0] + sizeof(gw_lists));
    roots[0xc000] = GW_LIST_DENY;
    tables_.header().lists_used = 1;
    run_until_answered(1);
    const auto &rows = answers_[0].value().rows;
    ASSERT_EQ(rows.size(), 4U);
    using Names = std::vector<std::string>;
    EXPECT_EQ(rows[0].exceeds, (Names{"api/packets", "flood"}));
    EXPECT_EQ(rows[0].verdict, GW_LIST_DENY);
    EXPECT_EQ(rows[1].exceeds, Names{"flood"});
    EXPECT_EQ(rows[2].exceeds, Names{});
    EXPECT_EQ(rows[2].verdict, GW_LIST_DENY);
    EXPECT_EQ(rows[3].exceeds, Names{"flood"});
    EXPECT_EQ(rows[3].verdict, GW_LIST_NONE);
    std::ostringstream logged;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(logged)));
    sight_.look();
    spdlog::set_default_logger(before);
    EXPECT_EQ(events_.size(), 4U);
    EXPECT_TRUE(logged.str().contains("limit_exceeded: 192.0.2.7 exceeds limit api/packets"))
        << logged.str();
    EXPECT_EQ(sight_.limited().size(), 4U);
    EXPECT_EQ(sight_.seconds_since(now_ns_ - 2 * kSecond), 2.0);
}

}  // namespace
}  // namespace guideway::daemon
