// Verbs that stay with the daemon: watch, and the wait for a drain.
#include <atomic>
#include <chrono>
#include <mutex>

#include "tests/unit/program_fixture.hpp"

namespace guideway::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// A daemon's events: those after the number asked for, at once or never.
class Scripted {
  public:
    api::Response operator()(const api::Request &request)
    {
        const std::lock_guard lock(mutex_);
        if (request.path.back() != "events") {
            return {404, {{"error", "there is no such thing here"}}};
        }
        const auto after = request.query.find("after");
        if (after == request.query.end()) {
            asked_for_newest = true;
            return page(events_.size());
        }
        const size_t from = std::stoul(after->second);
        if (from != events_.size() || request.query.at("wait") != "20") {
            return page(from);
        }
        api::Response later;
        later.later = [](const api::Response::Reply &) { return std::make_shared<int>(1); };
        return later;
    }
    void add(const std::string &text)
    {
        const std::lock_guard lock(mutex_);
        events_.push_back(text);
    }
    std::atomic<bool> asked_for_newest = false;

  private:
    [[nodiscard]] api::Response page(size_t after) const
    {
        json events = json::array();
        for (size_t i = after; i < events_.size(); i++) {
            events.push_back({{"sequence", i + 1},
                              {"time", "2026-01-31T12:00:00Z"},
                              {"kind", "backend_state"},
                              {"pool", "p"},
                              {"backend", "gw-a"},
                              {"text", events_[i]}});
        }
        return {200, {{"events", events}, {"newest", events_.size()}, {"missed", false}}};
    }

    std::mutex mutex_;
    std::vector<std::string> events_;
};

class Patient : public Program {
  protected:
    // Runs beside the test; ends after some seconds at the latest.
    void begin(const std::string &arguments)
    {
        runner_ = std::jthread([this, arguments] {
            // A watcher is ended by a signal, as an operator's is by Control-C.
            ran_ = run(arguments, "timeout -s INT 8 env");
        });
    }
    bool eventually_has(const char *file, const std::string &text)
    {
        for (int i = 0; i < 350 && !slurp(directory_ / file).contains(text); i++) {
            std::this_thread::sleep_for(20ms);
        }
        return slurp(directory_ / file).contains(text);
    }

    Scripted scripted_;
    Ran ran_;
    std::jthread runner_;
};

TEST_F(Patient, WatchPrintsEventsAcrossARestartOfTheDaemon)
{
    scripted_.add("first");
    serve(std::ref(scripted_));
    begin("watch --since 0");
    ASSERT_TRUE(eventually_has("out", "2026-01-31T12:00:00Z  backend_state  p/gw-a: first\n"));
    stop_serving();
    EXPECT_TRUE(eventually_has("err", "waiting for it to come back\n"));
    scripted_.add("second");
    serve(std::ref(scripted_));
    EXPECT_TRUE(eventually_has("out", "p/gw-a: second\n"));
    EXPECT_TRUE(eventually_has("err", "guidewayd is back\n"));
    runner_.join();
    EXPECT_EQ(std::ranges::count(ran_.out, '\n'), 2) << ran_.out;
    EXPECT_EQ(std::ranges::count(ran_.err, '\n'), 2) << ran_.err;
}

TEST_F(Patient, WatchBeginsWithWhatHappensNowAndPrintsAnObjectALine)
{
    scripted_.add("before");
    serve(std::ref(scripted_));
    begin("watch --json");
    for (int i = 0; i < 250 && !scripted_.asked_for_newest; i++) {
        std::this_thread::sleep_for(20ms);
    }
    std::this_thread::sleep_for(200ms);
    stop_serving();
    scripted_.add("after");
    serve(std::ref(scripted_));
    ASSERT_TRUE(eventually_has("out", "after"));
    const auto line = slurp(directory_ / "out");
    EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
    EXPECT_EQ(json::parse(line)["text"], "after");
}

TEST_F(Patient, WatchFailsWhenNoDaemonIsThereFromTheBeginning)
{
    EXPECT_EQ(run("watch").exit, 3);
    EXPECT_EQ(run("backend drain p/a --wait").exit, 3);
}

TEST_F(Patient, DrainWaitsUntilNothingIsLeft)
{
    std::atomic<int> asked = 0;
    serve([&](const api::Request &request) -> api::Response {
        json drain = {{"connections", 3 - asked}, {"done", false}, {"cut", false}};
        if (request.method == "POST") {
            return {200,
                    {{"revision", 4},
                     {"changed", true},
                     {"summary", "backend p/a drains"},
                     {"state", "draining"},
                     {"drain", drain}}};
        }
        if (++asked == 2) {
            drain["done"] = true;
        }
        return {200, {{"name", "a"}, {"state", "draining"}, {"drain", drain}}};
    });
    auto ran = run("backend drain p/a --wait");
    EXPECT_EQ(ran.exit, 0);
    EXPECT_EQ(ran.out,
              "revision 4: backend p/a drains\n"
              "draining: 3 connections seen, done when none is left\n");
    EXPECT_EQ(ran.err,
              "p/a: 3 connections seen, done when none is left\np/a: no connection is left\n");
    asked = 0;
    ran = run("backend drain p/a --wait --json");
    EXPECT_EQ(json::parse(ran.out)["drain"]["done"], true);
}

TEST_F(Patient, DrainSaysWhenSomebodyElseEndsIt)
{
    serve([](const api::Request &request) -> api::Response {
        if (request.method == "POST") {
            return {200, {{"revision", 4}, {"changed", true}, {"summary", "x"}}};
        }
        return {200, {{"name", "a"}, {"state", "forwarding"}, {"drain", nullptr}}};
    });
    const auto ran = run("backend drain p/a --wait");
    EXPECT_EQ(ran.exit, 1);
    EXPECT_TRUE(ran.err.contains("does not drain any more: it is forwarding")) << ran.err;
}

TEST_F(Patient, DrainSaysWhenTheBackendVanishes)
{
    std::atomic<int> asked = 0;
    serve([&](const api::Request &request) -> api::Response {
        if (request.method == "POST") {
            return {200, {{"revision", 4}, {"changed", true}, {"summary", "x"}}};
        }
        if (++asked > 1) {
            return {404, {{"error", "there is no backend p/a"}}};
        }
        const json drain = {{"connections", 3}, {"done", false}, {"cut", false}};
        return {200, {{"name", "a"}, {"state", "leaving"}, {"drain", drain}}};
    });
    const auto ran = run("backend drain p/a --wait");
    EXPECT_EQ(ran.exit, 1);
    EXPECT_TRUE(ran.err.contains("vanished before its drain was seen to end")) << ran.err;
}

}  // namespace
}  // namespace guideway::cli
