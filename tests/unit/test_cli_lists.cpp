// The verbs deny and allow: the real program against a real API server.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include "tests/unit/program_fixture.hpp"
#include "tools/guideway/app.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

TEST(ListViews, SurviveAnswersOfAnyShape)
{
    const std::vector<json> shapes = {
        json::object(),
        json::array(),
        nullptr,
        7,
        {{"entries", 7}, {"lists", "x"}, {"also", 1}, {"entry", 2}, {"next", 3}},
        {{"entries", {1, "a", nullptr}}, {"lists", {{{"name", 1}}}}, {"also", {nullptr}}},
        {{"entry", {{"prefix", 1}}}, {"prefixes", {{"used", -1}}}, {"duplicates", "x"}}};
    for (const auto &shape : shapes) {
        EXPECT_FALSE(list_entries_view(shape, true).empty());
        EXPECT_FALSE(lists_view(shape, true).empty());
        EXPECT_FALSE(list_change_view(shape, true).empty());
        EXPECT_FALSE(list_test_view(shape, true).empty());
    }
}

TEST(ListViews, SayWhatBecomesOfASourceAndWhy)
{
    const json entry = {{"kind", "allow"},
                        {"prefix", "203.0.113.7"},
                        {"list", "manual"},
                        {"reason", ""},
                        {"until", nullptr}};
    const json wider = {{"kind", "deny"},
                        {"prefix", "203.0.113.0/24"},
                        {"list", "drop"},
                        {"reason", "scans\x1b[2J"},
                        {"until", "2026-01-31T12:00:00Z"}};
    EXPECT_EQ(list_test_view({{"address", "203.0.113.7"},
                              {"verdict", "allow"},
                              {"entry", entry},
                              {"also", {wider}},
                              {"in_force", true}},
                             false),
              "203.0.113.7 is allowed: limits do not count for it\n"
              "by 203.0.113.7 on the allow list 'manual'\n"
              "also under 203.0.113.0/24 on the deny list 'drop' (scans\xef\xbf\xbd[2J), until "
              "2026-01-31T12:00:00Z\n");
    EXPECT_EQ(list_test_view({{"address", "::1"},
                              {"verdict", "none"},
                              {"entry", nullptr},
                              {"also", json::array()},
                              {"in_force", false}},
                             false),
              "::1 is on no list\nthe lists are not in force; see 'guideway status'\n");
}

TEST(ListViews, SayHowToGoOn)
{
    const json page = {{"kind", "deny"},
                       {"total", 500001},
                       {"next", "203.0.113.7"},
                       {"entries",
                        {{{"prefix", "203.0.113.7"},
                          {"list", "manual"},
                          {"reason", "why"},
                          {"until", nullptr}}}}};
    EXPECT_EQ(list_entries_view(page, false),
              "PREFIX       LIST    UNTIL  REASON\n"
              "203.0.113.7  manual  -      why\n"
              "there are more, of 500,001 in all: --after 203.0.113.7\n");
}

class ListProgram : public Program {
  protected:
    ListProgram()
    {
        server_ = api::Server::start(
                      loop_, socket_,
                      [this](const api::Request &request) {
                          const std::lock_guard lock(mutex_);
                          heard_ = request;
                          return answer_;
                      },
                      {}, [](const api::Request &request) { return request.method == "PUT"; })
                      .value();
        thread_ = std::jthread([this] { loop_.run(); });
    }
    // What the server heard of a verb that must succeed.
    std::string heard(const std::string &arguments)
    {
        const auto ran = run(arguments);
        EXPECT_EQ(ran.exit, 0) << ran.err;
        EXPECT_EQ(ran.err, "");
        const std::lock_guard lock(mutex_);
        std::string text = heard_.method;
        for (const auto &segment : heard_.path) {
            text += " " + segment;
        }
        for (const auto &[name, value] : heard_.query) {
            text += " " + name + "=" + value;
        }
        return text + (heard_.body.empty() ? "" : " " + heard_.body.dump());
    }

    std::mutex mutex_;
    api::Request heard_;
    api::Response answer_{200, {{"changed", true}, {"summary", "it is so"}}};
};

TEST_F(ListProgram, SendsWhatEachVerbMeans)
{
    EXPECT_EQ(heard("deny add 203.0.113.0/24"),
              R"(POST v1 deny entries {"prefix":"203.0.113.0/24"})");
    EXPECT_EQ(heard("allow add 2001:db8::/48 --reason 'a b' --for 1h"),
              R"(POST v1 allow entries {"for":"1h","prefix":"2001:db8::/48","reason":"a b"})");
    EXPECT_EQ(heard("deny remove 203.0.113.0/24"), "DELETE v1 deny entries 203.0.113.0/24");
    EXPECT_EQ(heard("deny list"), "GET v1 deny entries");
    EXPECT_EQ(heard("deny list --covering 10.0.0.1 --list x --after 10.0.0.0/8 --limit 7"),
              "GET v1 deny entries after=10.0.0.0/8 covering=10.0.0.1 limit=7 list=x");
    EXPECT_EQ(heard("deny lists"), "GET v1 deny lists");
    EXPECT_EQ(heard("allow clear --list vpn"), "DELETE v1 allow lists vpn");
    EXPECT_EQ(heard("deny test 2001:db8::1"), "GET v1 deny test 2001:db8::1");
}

TEST_F(ListProgram, LoadsAFileAsItIs)
{
    const std::string file = (directory_ / "feed.txt").string();
    const std::string text(size_t{20} << 20, '\n');
    std::ofstream(file) << text << "10.0.0.0/8 \xff";
    EXPECT_EQ(heard("deny load " + file + " --list drop --reason 'x&y' --for 1d"),
              "PUT v1 deny lists drop for=1d reason=x&y source=" + file);
    EXPECT_EQ(heard_.text, text + "10.0.0.0/8 \xff");
    std::ofstream(file, std::ios::app) << '\n';
    EXPECT_EQ(heard("allow load - <" + file),
              "PUT v1 allow lists default source=standard input");
    EXPECT_EQ(heard_.text.size(), text.size() + 13);
}

TEST_F(ListProgram, RefusesStandardInputThatIsCutOff)
{
    const std::string file = (directory_ / "feed.txt").string();
    std::ofstream(file) << "10.0.0.0/8\n10.1.0";
    const auto cut = run("deny load - <" + file);
    EXPECT_EQ(cut.exit, 1);
    EXPECT_TRUE(cut.err.contains("ends in the middle of a line")) << cut.err;
    const auto unreadable = run("deny load - </");
    EXPECT_EQ(unreadable.exit, 1);
    EXPECT_TRUE(unreadable.err.contains("Is a directory")) << unreadable.err;
    EXPECT_TRUE(heard_.method.empty());
}

TEST_F(ListProgram, TakesItsProgressAwayBeforeItSaysWhatIsDone)
{
    const std::string file = (directory_ / "feed.txt").string();
    std::ofstream(file) << "10.0.0.0/8\n";
    std::istringstream in;
    std::ostringstream terminal;
    EXPECT_EQ(cli::run({"deny", "load", file, "--socket", socket_.string()},
                       {.in = in, .out = terminal, .err = terminal, .progress = true}),
              Exit::kOk);
    const std::string shown = terminal.str();
    EXPECT_TRUE(shown.contains("building\r\x1b[K")) << shown;
    EXPECT_TRUE(shown.contains("\r\x1b[Kdone: it is so")) << shown;
}

TEST_F(ListProgram, TellsOfEveryBadLineThatItHearsOf)
{
    const std::string file = (directory_ / "feed.txt").string();
    std::ofstream(file) << "x\n";
    answer_ = {422,
               {{"error", "the list is refused: 1 bad line; nothing was changed"},
                {"problems",
                 {{{"file", "feed.txt"},
                   {"line", 3},
                   {"column", 1},
                   {"message", "'x' is no prefix"},
                   {"hint", "write 203.0.113.7"}}}}}};
    const auto ran = run("deny load " + file);
    EXPECT_EQ(ran.exit, 1);
    EXPECT_EQ(ran.err,
              "feed.txt:3:1: 'x' is no prefix; write 203.0.113.7\nguideway: cannot "
              "load " +
                  file +
                  ": the list is refused: 1 bad line; nothing was "
                  "changed\n");
    EXPECT_EQ(run("deny load /nonexistent").exit, 1);
}

TEST_F(ListProgram, RefusesWhatCannotBeMeantBeforeItAsks)
{
    for (const auto *arguments :
         {"deny add", "deny add 10.0.0.1/8", "deny add x", "deny add 10.0.0.0/8 --for soon",
          "deny list --limit 0", "deny list --after x", "deny clear", "deny test", "deny",
          "deny load"}) {
        const auto ran = run(arguments);
        EXPECT_EQ(ran.exit, 2) << arguments;
        EXPECT_FALSE(ran.err.empty());
    }
    EXPECT_TRUE(heard_.method.empty());
}

}  // namespace
}  // namespace guideway::cli
