// The lists between their store, their thread and the tables.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "control/daemon/lists.hpp"
#include "control/store/database.hpp"

namespace guideway::daemon {
namespace {

using model::ListKind;
using namespace std::chrono_literals;

constexpr int64_t kNow = 1'767'225'600;

class DaemonLists : public testing::Test {
  protected:
    DaemonLists()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "gw-lists-XXXXXX");
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot create a directory for the test");
        }
        directory_ = pattern;
        start();
    }
    ~DaemonLists() override
    {
        lists_.reset();
        std::filesystem::remove_all(directory_);
    }

    // Also again, as a daemon that is restarted.
    void start()
    {
        lists_.reset();
        auto lists = Lists::start(
            loop_, directory_ / "edge.lists",
            {.room = [this] { return room_; },
             .put = [this](const ListsImage &image) { put_.push_back(image.prefixes); },
             .record = [this](model::Event event) { events_.push_back(std::move(event)); },
             .now = [this] { return now_; }});
        ASSERT_TRUE(lists) << lists.error().message;
        lists_ = std::move(*lists);
    }

    // Runs the loop until `done`, at most for some seconds.
    bool run_until(const std::function<bool()> &done)
    {
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (!done() && std::chrono::steady_clock::now() < end) {
            loop_.restart();
            loop_.run_for(10ms);
        }
        return done();
    }

    void run_for(std::chrono::milliseconds time)
    {
        loop_.restart();
        loop_.run_for(time);
    }

    using Answer = std::expected<Lists::Change, Refusal>;
    Answer await(const std::function<void(Lists::Reply)> &begin)
    {
        std::optional<Answer> answer;
        begin([&](const Answer &given) { answer = given; });
        EXPECT_TRUE(run_until([&] { return answer.has_value(); })) << "no answer came";
        return answer.value_or(Lists::Change{});
    }
    Answer add(ListKind kind, std::string_view prefix, int64_t until = 0)
    {
        return await([&](Lists::Reply reply) {
            lists_->add(
                kind,
                {.prefix = *model::Prefix::parse(prefix), .until = until, .reason = "why"},
                std::move(reply));
        });
    }
    Answer load(std::string name, std::string text, int64_t until = 0)
    {
        return await([&](Lists::Reply reply) {
            lists_->load({.id = {ListKind::kDeny, std::move(name)},
                          .source = "feed.txt",
                          .text = std::move(text),
                          .reason = "",
                          .until = until},
                         std::move(reply));
        });
    }
    size_t denied() const { return lists_->lists().size(ListKind::kDeny); }

    std::filesystem::path directory_;
    boost::asio::io_context loop_;
    std::optional<ListsRoom> room_ =
        ListsRoom{.prefixes_max = 100, .lines_max = 400, .hash_key = {{5, 6, 7, 8}}};
    int64_t now_ = kNow;
    std::vector<size_t> put_;
    std::vector<model::Event> events_;
    std::unique_ptr<Lists> lists_;
};

TEST_F(DaemonLists, AChangeIsAnsweredWhenItIsStoredAndInTheTables)
{
    const auto added = add(ListKind::kDeny, "203.0.113.0/24", kNow + 3600);
    ASSERT_TRUE(added) << added.error().error;
    EXPECT_TRUE(added->changed);
    EXPECT_EQ(added->summary, "203.0.113.0/24 is denied until 2026-01-01T01:00:00Z: why");
    EXPECT_EQ(put_, std::vector<size_t>{1});
    ASSERT_EQ(events_.size(), 1);
    EXPECT_EQ(events_.front().kind, "deny_added");

    const auto again = add(ListKind::kDeny, "203.0.113.0/24", kNow + 3600);
    ASSERT_TRUE(again);
    EXPECT_FALSE(again->changed);
    EXPECT_EQ(put_.size(), 1) << "nothing is written for nothing";
    EXPECT_EQ(events_.size(), 1);

    start();
    EXPECT_EQ(denied(), 1) << "a restart keeps it";
    lists_->put_all();
    EXPECT_EQ(put_, (std::vector<size_t>{1, 1}));
    EXPECT_EQ(lists_->prefixes_in_force(), 1);
}

TEST_F(DaemonLists, ALoadReplacesItsListAndCountsDuplicates)
{
    ASSERT_TRUE(load("feed", "10.0.0.0/8\n10.0.0.0/8\n2001:db8::/32\n"));
    const auto loaded = load("feed", "10.1.0.0/16\n10.1.0.0/16\n");
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->entries, 1);
    EXPECT_EQ(loaded->duplicates, 1);
    EXPECT_EQ(loaded->summary, "the deny list 'feed' has 1 prefix; before, 2");
    EXPECT_EQ(put_, (std::vector<size_t>{2, 1}));
    EXPECT_EQ(events_.back().kind, "deny_loaded");

    const auto cleared = await([&](Lists::Reply reply) {
        lists_->clear({ListKind::kDeny, "feed"}, std::move(reply));
    });
    ASSERT_TRUE(cleared);
    EXPECT_EQ(put_.back(), 0);
    start();
    EXPECT_TRUE(lists_->lists().empty());
}

TEST_F(DaemonLists, RefuseWhatIsWrongAndChangeNothing)
{
    ASSERT_TRUE(load("feed", "10.0.0.0/8"));
    const auto bad = load("feed", "10.1.0.0/16\nnonsense\n10.0.0.1/8\n");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().status, 422);
    ASSERT_EQ(bad.error().problems.size(), 2);
    EXPECT_EQ(bad.error().problems[0].position.line, 2);
    EXPECT_EQ(bad.error().problems[1].position.line, 3);
    EXPECT_EQ(bad.error().problems[0].file, "feed.txt");

    const auto empty = load("feed", "# nothing\n");
    ASSERT_FALSE(empty);
    EXPECT_EQ(empty.error().status, 422);
    const auto both = add(ListKind::kAllow, "10.0.0.0/8");
    ASSERT_FALSE(both);
    EXPECT_EQ(both.error().status, 409);
    const auto absent = await([&](Lists::Reply reply) {
        lists_->remove(ListKind::kDeny, *model::Prefix::parse("10.0.0.0/9"), std::move(reply));
    });
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().status, 404);

    EXPECT_EQ(put_.size(), 1);
    EXPECT_EQ(events_.size(), 1);
    start();
    EXPECT_EQ(denied(), 1);
}

TEST_F(DaemonLists, WhatDoesNotFitIsNotStored)
{
    std::string text;
    for (int i = 0; i <= 100; i++) {
        text += "10.0." + std::to_string(i) + ".0/24\n";
    }
    const auto full = load("feed", text);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().status, 409);
    EXPECT_TRUE(full.error().error.contains("capacity.prefixes: 100")) << full.error().error;
    start();
    EXPECT_TRUE(lists_->lists().empty());

    // With no tables there is nothing to fit into; they are asked when there are.
    room_.reset();
    ASSERT_TRUE(load("feed", text));
    EXPECT_TRUE(put_.empty());
    room_ = ListsRoom{.prefixes_max = 100, .lines_max = 400, .hash_key = {}};
    EXPECT_FALSE(lists_->fit(*room_));
    lists_->put_all();
    EXPECT_TRUE(put_.empty());
    EXPECT_TRUE(lists_->problem().contains("capacity.prefixes: 100"));
    const auto room = std::exchange(room_, std::nullopt);
    lists_->put_all();
    EXPECT_EQ(lists_->problem(), "") << "there are no tables any more";
    room_ = room;
    room_->prefixes_max = 200;
    EXPECT_TRUE(lists_->fit(*room_));
    lists_->put_all();
    EXPECT_EQ(put_, std::vector<size_t>{101});
    EXPECT_TRUE(lists_->problem().empty());
}

TEST_F(DaemonLists, AFailureOfTheStoreRefusesTheChange)
{
    ASSERT_TRUE(add(ListKind::kDeny, "10.0.0.0/8"));
    auto database = store::Database::open(directory_ / "edge.lists");
    ASSERT_TRUE(database);
    ASSERT_TRUE(
        database->execute("CREATE TRIGGER broken BEFORE INSERT ON lists "
                          "BEGIN SELECT RAISE(FAIL, 'no'); END"));
    const auto failed = load("feed", "192.0.2.0/24");
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().status, 500);
    EXPECT_EQ(denied(), 1);
    EXPECT_EQ(put_.size(), 1) << "what is not on disk is not in force";
    ASSERT_TRUE(database->execute("DROP TRIGGER broken"));
    EXPECT_TRUE(load("feed", "192.0.2.0/24"));
}

TEST_F(DaemonLists, TablesMadeMeanwhileGetTheLists)
{
    std::optional<Answer> answer;
    lists_->load({.id = {ListKind::kDeny, "feed"},
                  .source = "feed.txt",
                  .text = "10.0.0.0/8",
                  .reason = "",
                  .until = 0},
                 [&](const Answer &given) { answer = given; });
    EXPECT_TRUE(lists_->is_busy());
    room_->lines_max = 500;  // before the loop hears of it
    ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
    EXPECT_TRUE(*answer);
    EXPECT_EQ(put_, std::vector<size_t>{1});
    EXPECT_FALSE(lists_->is_busy());
}

TEST_F(DaemonLists, AChangeThatTablesMadeMeanwhileCannotHoldIsNotAnsweredAsDone)
{
    std::optional<Answer> answer;
    lists_->load({.id = {ListKind::kDeny, "feed"},
                  .source = "feed.txt",
                  .text = "10.0.0.0/8\n10.0.0.0/9\n",
                  .reason = "",
                  .until = 0},
                 [&](const Answer &given) { answer = given; });
    room_->prefixes_max = 1;
    ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
    ASSERT_FALSE(*answer);
    EXPECT_EQ(answer->error().status, 500);
    EXPECT_TRUE(answer->error().error.starts_with("stored, but not in force: "))
        << answer->error().error;
    EXPECT_TRUE(answer->error().error.contains("capacity.prefixes: 1"))
        << answer->error().error;
    EXPECT_TRUE(put_.empty());
    EXPECT_FALSE(lists_->problem().empty());
    start();
    EXPECT_EQ(denied(), 2);
}

TEST_F(DaemonLists, ChangesAreMadeInTheirOrder)
{
    std::vector<std::string> answers;
    for (int i = 0; i < 20; i++) {
        const auto prefix = *model::Prefix::parse("10.0.0." + std::to_string(i));
        const auto note = [&answers, i](const Answer &given) {
            answers.push_back((given ? "done " : "refused ") + std::to_string(i));
        };
        lists_->add(ListKind::kDeny, {.prefix = prefix, .reason = ""}, note);
        lists_->add(ListKind::kAllow, {.prefix = prefix, .reason = ""}, note);
        lists_->remove(ListKind::kDeny, prefix, note);
    }
    ASSERT_TRUE(run_until([&] { return answers.size() == 60; }));
    for (size_t i = 0; i < 20; i++) {
        EXPECT_EQ(answers[3 * i], "done " + std::to_string(i));
        EXPECT_EQ(answers[3 * i + 1], "refused " + std::to_string(i));
        EXPECT_EQ(answers[3 * i + 2], "done " + std::to_string(i));
    }
    EXPECT_TRUE(lists_->lists().empty());
}

TEST_F(DaemonLists, RefuseMoreThanMayWait)
{
    std::map<unsigned, size_t> answers;  // by status
    const auto note = [&](const Answer &given) {
        answers[given ? 200 : given.error().status]++;
    };
    for (size_t i = 0; i < Lists::kFilesWaitingMax + 2; i++) {
        lists_->load({.id = {ListKind::kDeny, "feed"},
                      .source = "",
                      .text = "10.0.0.0/8",
                      .reason = "",
                      .until = 0},
                     note);
    }
    EXPECT_EQ(answers, (std::map<unsigned, size_t>{{503, 2}}));
    ASSERT_TRUE(run_until([&] { return answers[200] == Lists::kFilesWaitingMax; }));
    EXPECT_TRUE(load("feed", "10.0.0.0/8")) << "there is room again";

    answers.clear();
    for (size_t i = 0; i < Lists::kWaitingMax + 3; i++) {  // one of them is under way
        lists_->remove(ListKind::kAllow, *model::Prefix::parse("10.0.0.0/8"), note);
    }
    EXPECT_EQ(answers[503], 2);
    ASSERT_TRUE(run_until([&] { return answers[404] == Lists::kWaitingMax + 1; }));
}

TEST_F(DaemonLists, EntriesEndByTheClockAndInTheHistory)
{
    ASSERT_TRUE(add(ListKind::kDeny, "10.0.0.1", kNow + 1));
    ASSERT_TRUE(add(ListKind::kDeny, "10.0.0.2"));
    ASSERT_TRUE(load("feed", "192.0.2.0/24", kNow + 1));
    EXPECT_EQ(denied(), 3);
    now_ = kNow + 1;
    ASSERT_TRUE(run_until([&] { return denied() == 1; }));
    EXPECT_EQ(put_.back(), 1);
    ASSERT_TRUE(run_until([&] { return events_.size() == 5; }));
    EXPECT_EQ(events_[3].kind, "deny_expired");
    EXPECT_EQ(events_[3].text, "10.0.0.1 is not denied any more, its time is over: why");
    EXPECT_EQ(events_[4].text, "the deny list 'feed' of 1 prefix is no more, its time is over");
    start();
    EXPECT_EQ(denied(), 1) << "and on disk";
}

TEST_F(DaemonLists, EntriesThatCannotEndAreAProblemUntilTheyDo)
{
    ASSERT_TRUE(add(ListKind::kDeny, "10.0.0.1", kNow + 1));
    auto database = store::Database::open(directory_ / "edge.lists");
    ASSERT_TRUE(database);
    ASSERT_TRUE(
        database->execute("CREATE TRIGGER broken BEFORE DELETE ON single_entries "
                          "BEGIN SELECT RAISE(FAIL, 'no'); END"));
    std::ostringstream logged;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(logged)));
    now_ = kNow + 1;
    EXPECT_TRUE(run_until([&] { return !lists_->expiry_problem().empty(); }));
    EXPECT_TRUE(
        lists_->expiry_problem().starts_with("entries whose time is over stay: cannot "))
        << lists_->expiry_problem();
    EXPECT_EQ(denied(), 1);

    // Each further change tries again at once.
    EXPECT_TRUE(add(ListKind::kDeny, "10.0.0.2"));
    run_for(100ms);
    EXPECT_FALSE(lists_->expiry_problem().empty());
    spdlog::set_default_logger(before);
    const std::string text = logged.str();
    const auto told = text.find("time is over stay");
    EXPECT_NE(told, text.npos);
    EXPECT_EQ(text.find("time is over stay", told + 1), text.npos) << text;

    ASSERT_TRUE(database->execute("DROP TRIGGER broken"));
    EXPECT_TRUE(add(ListKind::kDeny, "10.0.0.3"));
    EXPECT_TRUE(run_until([&] { return lists_->expiry_problem().empty(); }));
    EXPECT_EQ(denied(), 2);
}

TEST_F(DaemonLists, WhatEndedWhileNoDaemonRanEndsAtTheStart)
{
    ASSERT_TRUE(add(ListKind::kDeny, "10.0.0.1", kNow + 1000));
    now_ = kNow + 1000;
    start();
    ASSERT_TRUE(run_until([&] { return denied() == 0; }));
    start();
    EXPECT_EQ(denied(), 0);
}

TEST_F(DaemonLists, MayEndWhileAChangeIsUnderWay)
{
    bool answered = false;
    std::string text;
    for (int i = 0; i < 100; i++) {
        text += "10.0." + std::to_string(i) + ".0/24\n";
    }
    std::ostringstream logged;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(logged)));
    lists_->load(
        {.id = {ListKind::kDeny, "feed"}, .source = "", .text = text, .reason = "", .until = 0},
        [&](const Answer &) { answered = true; });
    lists_.reset();
    spdlog::set_default_logger(before);
    run_for(50ms);
    EXPECT_FALSE(answered) << "nobody is there to answer any more";
    start();
    EXPECT_TRUE(denied() == 0 || denied() == 100) << denied();
    EXPECT_EQ(logged.str().contains("deny_loaded: "), denied() == 100) << logged.str();
}

}  // namespace
}  // namespace guideway::daemon
