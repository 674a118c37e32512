// Events of sources that exceed limits, over tables that packets write.
#include "control/daemon/limited_sources.hpp"

#include <algorithm>
#include <map>

#include "tests/unit/limited_fixture.hpp"

namespace guideway::daemon {
namespace {

class LimitedSourcesTest : public LimitedTest {
  protected:
    std::vector<model::Event> note()
    {
        return limited_.note(tables_, [this] { return names_; }, now_ns_);
    }
    std::vector<std::string> texts()
    {
        std::vector<std::string> texts;
        for (const auto &event : note()) {
            texts.push_back(event.kind + ": " + event.text);
        }
        return texts;
    }
    // Once a second. What was told, by kind.
    std::map<std::string, int> pass(int seconds)
    {
        std::map<std::string, int> kinds;
        for (int i = 0; i < seconds; i++) {
            now_ns_ += kSecond;
            for (const auto &event : note()) {
                kinds[event.kind]++;
            }
        }
        return kinds;
    }

    LimitedSources limited_;
    LimitedSources::Names names_ = {
        .limits = {{0, {.name = "api/hourly", .terms = "1000/h packets"}},
                   {1,
                    {.name = "flood",
                     .terms = "1/s packets",
                     .observes = true,
                     .ipv4_bits = 24,
                     .ipv6_bits = 48}}},
        .services = {{0, "api"}}};
};

using Texts = std::vector<std::string>;
using Kinds = std::map<std::string, int>;

TEST_F(LimitedSourcesTest, AreToldOnceWhenTheyBeginAndOnceWhenTheyEnd)
{
    set_limit(0);
    exceed(address("192.0.2.7"), 3);
    const auto events = note();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, "limit_exceeded");
    EXPECT_EQ(events[0].service, "api");
    EXPECT_EQ(events[0].text, "192.0.2.7 exceeds limit api/hourly: 1000/h packets");
    for (int i = 0; i < 65; i++) {
        now_ns_ += kSecond / 2;
        exceed(address("192.0.2.7"));
        EXPECT_TRUE(note().empty());
    }
    EXPECT_EQ(pass(9), Kinds{});
    now_ns_ += kSecond;
    EXPECT_EQ(texts(),
              Texts{"limit_over: 192.0.2.7 has not exceeded limit api/hourly for 10 s: "
                    "101 packets (10100 bytes) were in excess in 32 s"});
    EXPECT_TRUE(limited_sources(tables_).empty());
    EXPECT_EQ(pass(100), Kinds{});
}

TEST_F(LimitedSourcesTest, AreNamedByThePrefixOfTheirLimit)
{
    set_limit(1, 24);
    exceed(address("192.0.2.7"));
    exceed(address("2001:db8:1:2:3::4"));
    auto told = texts();
    std::ranges::sort(told);
    EXPECT_EQ(told, (Texts{"limit_exceeded: 192.0.2.0/24 exceeds limit flood: 1/s packets; it "
                           "is only observed",
                           "limit_exceeded: 2001:db8:1:2::/48 exceeds limit flood: 1/s "
                           "packets; it is only observed"}));
}

TEST_F(LimitedSourcesTest, AreNotToldAgainByTheNextDaemonWhichTellsTheirEnd)
{
    set_limit(0);
    exceed(address(1));
    exceed(address(2));
    EXPECT_EQ(pass(1), (Kinds{{"limit_exceeded", 2}}));
    limited_ = {};
    now_ns_ += 3 * kSecond;
    exceed(address(1));
    EXPECT_EQ(pass(7), (Kinds{{"limit_over", 1}})) << "of the other, while none was looking";
    EXPECT_EQ(pass(3), (Kinds{{"limit_over", 1}}));
    EXPECT_EQ(pass(100), Kinds{});
}

TEST_F(LimitedSourcesTest, OfALimitThatIsGoneAreEnded)
{
    set_limit(0);
    exceed(address(1));
    exceed(address(2));
    EXPECT_EQ(pass(1), (Kinds{{"limit_exceeded", 2}}));
    exceed(address(3));
    tables_.limits()[0].identity = 0;
    auto told = texts();
    std::ranges::sort(told);
    EXPECT_EQ(told,
              (Texts{"limit_over: 10.0.0.1 exceeds limit api/hourly no more, which is gone: 1 "
                     "packets (100 bytes) were in excess in 0 s",
                     "limit_over: 10.0.0.2 exceeds limit api/hourly no more, which is gone: 1 "
                     "packets (100 bytes) were in excess in 0 s"}))
        << "and not the third, of which nothing was told";
    EXPECT_TRUE(limited_sources(tables_).empty());
}

TEST_F(LimitedSourcesTest, WhoseRecordsAreGoneAreEnded)
{
    set_limit(0);
    exceed(address(1));
    EXPECT_EQ(pass(1), (Kinds{{"limit_exceeded", 1}}));
    EXPECT_TRUE(give_up(tables_, limited_sources(tables_).at(0)));
    EXPECT_EQ(pass(1), (Kinds{{"limit_over", 1}}));
    EXPECT_EQ(pass(100), Kinds{});
}

TEST_F(LimitedSourcesTest, InAFloodAreToldInSums)
{
    set_limit(0);
    pass(1);  // a period begins
    for (uint32_t i = 0; i < 1000; i++) {
        exceed(address(i));
    }
    const auto shown = static_cast<int>(limited_sources(tables_).size());
    ASSERT_GT(shown, 800);
    EXPECT_EQ(pass(1), (Kinds{{"limit_exceeded", 10}}));
    EXPECT_EQ(pass(58), (Kinds{{"limit_over", 10}}));
    now_ns_ += kSecond;
    const auto more = std::to_string(shown - 10);
    EXPECT_EQ(texts(), Texts{"limits_exceeded: " + more +
                             " more sources began to exceed limits in the last minute "
                             "(api/hourly " +
                             more + "), and " + more + " more do so no longer"});
    EXPECT_EQ(pass(200), Kinds{});
}

TEST_F(LimitedSourcesTest, ThatEndTogetherAreBoundedToo)
{
    set_limit(0);
    uint32_t made = 0;
    int told = 0;
    for (int minute = 0; minute < 4; minute++) {
        for (int second = 0; second < 60; second++) {
            if (made < 40 && second == 0) {
                for (int i = 0; i < 10; i++) {
                    exceed(address(made++));
                }
            }
            for (uint32_t i = 0; i < made; i++) {
                exceed(address(i));
            }
            for (const auto &[kind, count] : pass(1)) {
                EXPECT_EQ(kind, "limit_exceeded");
                told += count;
            }
        }
    }
    EXPECT_GT(told, 35);
    const auto ended = pass(70);
    EXPECT_LE(ended.at("limit_over"), 20);
    EXPECT_GE(ended.at("limits_exceeded"), 1);
    EXPECT_TRUE(limited_sources(tables_).empty());
}

TEST_F(LimitedSourcesTest, SeenByAProcessorWhoseClockIsAheadAreNotOver)
{
    set_limit(0);
    exceed(address(1));
    EXPECT_EQ(pass(1), (Kinds{{"limit_exceeded", 1}}));
    now_ns_ -= 2 * kSecond;
    EXPECT_EQ(note().size(), 0U);
    EXPECT_EQ(limited_sources(tables_).size(), 1U);
}

}  // namespace
}  // namespace guideway::daemon
