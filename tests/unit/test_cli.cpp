// The command line: its text, its arguments, and the real program against a real API server.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "control/api/server.hpp"
#include "tests/unit/program_fixture.hpp"
#include "tools/guideway/app.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

TEST(Text, CountsTerminalColumnsNotBytes)
{
    EXPECT_EQ(display_width("gw-a"), 4U);
    EXPECT_EQ(display_width("gr\xc3\xbc\xc3\x9f"), 4U);
    EXPECT_EQ(display_width("\xe6\xbc\xa2\xe5\xad\x97"), 4U);  // two wide characters
    EXPECT_EQ(display_width("e\xcc\x81"), 1U);                 // a combining accent
    EXPECT_EQ(display_width("\xff"), 1U);
}

TEST(Text, LetsNoNameSteerTheTerminal)
{
    EXPECT_EQ(printable("a\x1b[31mb"), "a\xef\xbf\xbd[31mb");
    EXPECT_EQ(printable("a\xc2\x9b"
                        "b\n"),
              "a\xef\xbf\xbd"
              "b\xef\xbf\xbd");
    EXPECT_EQ(printable("\xc0\xaf\xed\xa0\x80"),
              "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(Text, HasUnitsThatPeopleRead)
{
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1,000");
    EXPECT_EQ(grouped(UINT64_MAX), "18,446,744,073,709,551,615");
    EXPECT_EQ(bytes_text(1023), "1023 B");
    EXPECT_EQ(bytes_text(1024), "1.0 KiB");
    EXPECT_EQ(bytes_text(1024 * 1024 - 1), "1.0 MiB");
    EXPECT_EQ(bytes_text(UINT64_MAX), "16.0 EiB");
    EXPECT_EQ(duration_text(59.9), "59s");
    EXPECT_EQ(duration_text(61), "1m 1s");
    EXPECT_EQ(duration_text(3 * 3600 + 12 * 60), "3h 12m");
    EXPECT_EQ(duration_text(90000), "1d 1h");
    EXPECT_EQ(duration_text(-1), "?");
    EXPECT_EQ(percent_text(1.0 / 3), "33.3 %");
    EXPECT_EQ(count_text(1, "backend"), "1 backend");
    EXPECT_EQ(count_text(0, "backend"), "0 backends");
}

TEST(TableLayout, AlignsColumnsAndLeavesNoSpacesAtTheEnd)
{
    Table table({{"NAME"}, {"COUNT", Align::kRight}, {"NOTE"}});
    table.add({{"gr\xc3\xbcn"}, {"7"}, {""}});
    table.add({{"longer-name"}, {"1,234,567"}, {"x"}});
    EXPECT_EQ(table.to_string(false),
              "NAME             COUNT  NOTE\n"
              "gr\xc3\xbcn                 7\n"
              "longer-name  1,234,567  x\n");
}

TEST(TableLayout, DoesNotCountColoursAsWidth)
{
    Table table({{"A"}, {"B"}});
    table.add({{"x", Colour::kBad}, {"y"}});
    EXPECT_EQ(table.to_string(true), "\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m\n\x1b[31mx\x1b[0m  y\n");
}

TEST(Views, SurviveAnswersOfAnyShape)
{
    const std::vector<json> shapes = {
        json::object(),
        json::array(),
        nullptr,
        7,
        {{"services", 7}, {"backends", "x"}},
        {{"services", {1, "a", nullptr}}, {"backends", {{{"name", 1}}}}},
        {{"interfaces", {{{"name", -1}}}}, {"packets", {{"dropped", -1}}}, {"uptime_s", "x"}},
        {{"reasons", {{{"packets", 1.5}}}}, {"problems", {1}}, {"overrides", {nullptr}}},
        {{"limits", {{{"kind", "admission"}}, 7}},
         {"sources", {{{"since_s", "x"}}, nullptr}},
         {"top", {{{"packets_per_s", -1e300}, {"error", 2}, {"exceeds", {1}}}}}}};
    for (const auto &shape : shapes) {
        EXPECT_FALSE(status_view(shape, true).empty());
        EXPECT_FALSE(services_view(shape, true).empty());
        EXPECT_FALSE(service_view(shape, true).empty());
        EXPECT_FALSE(backends_view(shape, true).empty());
        EXPECT_FALSE(counters_view(shape, true, true).empty());
        EXPECT_FALSE(change_view(shape, true).empty());
        EXPECT_FALSE(connections_view(shape, true).empty());
        EXPECT_FALSE(drain_text(shape).empty());
        EXPECT_FALSE(event_line(shape, true).empty());
        EXPECT_FALSE(history_view(shape, true).empty());
        EXPECT_FALSE(limits_view(shape, true).empty());
        EXPECT_FALSE(limit_view(shape, true).empty());
        EXPECT_FALSE(top_view(shape, true).empty());
    }
}

TEST(Views, SayThatNothingChangedOnce)
{
    EXPECT_EQ(
        change_view({{"revision", 4}, {"changed", false}, {"summary", "1 service"}}, false),
        "nothing to change, revision 4: 1 service\n");
}

TEST(Views, SayWhatADrainWaitsFor)
{
    json drain = {{"connections", 1},
                  {"learning_until", "2026-01-31T12:15:01Z"},
                  {"deadline", nullptr},
                  {"cut", false},
                  {"done", false}};
    EXPECT_EQ(drain_text(drain),
              "1 connection seen, done no earlier than 2026-01-31T12:15:01Z");
    drain["learning_until"] = nullptr;
    drain["deadline"] = "2026-01-31T13:00:00Z";
    drain["connections"] = 1200;
    EXPECT_EQ(drain_text(drain),
              "1,200 connections seen, done when none is left, cut at 2026-01-31T13:00:00Z");
    drain["cut"] = true;
    EXPECT_EQ(drain_text(drain), "its connections are cut");
    drain["done"] = true;
    EXPECT_EQ(drain_text(drain), "no connection is left");
}

TEST(Views, ShowConnectionsByServiceAndBackend)
{
    const json connections = {{"pins", {{"used", 15}, {"max", 1048576}}},
                              {"services",
                               {{{"name", "api"},
                                 {"slots",
                                  {{"stable", 65000},
                                   {"moving", 500},
                                   {"pinned", 37},
                                   {"every_flow", 0},
                                   {"share_not_stable", 0.0082}}},
                                 {"backends",
                                  {{{"pool", "p"},
                                    {"name", "gw-a"},
                                    {"state", "draining"},
                                    {"slots", 0},
                                    {"connections", 15},
                                    {"confirmed", 14},
                                    {"elsewhere", 15},
                                    {"learning_until", "2026-01-31T12:15:01Z"}}}}}}}};
    EXPECT_EQ(connections_view(connections, false),
              "15 of 1,048,576 pins in use, by the last sweep\n"
              "\n"
              "api  0.8 % of slots not stable: 65,000 stable, 500 moving, 37 pinned\n"
              "BACKEND  STATE     SLOTS  SEEN  CONFIRMED  ELSEWHERE  LEARNING UNTIL\n"
              "p/gw-a   draining      0    15         14         15  2026-01-31T12:15:01Z\n");
}

TEST(Socket, IsTheOnlyOneOrHasToBeNamed)
{
    std::string pattern = std::filesystem::temp_directory_path() / "gw-find-XXXXXX";
    const std::filesystem::path directory = ::mkdtemp(pattern.data());
    EXPECT_EQ(find_socket("/x", directory).value(), "/x");
    EXPECT_EQ(find_socket("", directory).error().exit, Exit::kUnreachable);
    EXPECT_EQ(find_socket("", directory / "missing").error().exit, Exit::kUnreachable);
    std::ofstream(directory / "b.sock") << "";
    std::ofstream(directory / "other") << "";
    EXPECT_EQ(find_socket("", directory).value(), directory / "b.sock");
    std::ofstream(directory / "a.sock") << "";
    const auto several = find_socket("", directory).error().message;
    EXPECT_TRUE(several.contains((directory / "a.sock").string() + ", " +
                                 (directory / "b.sock").string()))
        << several;
    std::filesystem::remove_all(directory);
}

// What a handler that answers as docs/api.md says hears and says.
api::Response scripted(const api::Request &request)
{
    std::string path = request.method;
    for (const auto &segment : request.path) {
        path += "/" + segment;
    }
    if (path == "GET/v1/version") {
        return {200, {{"version", "9.9.9"}, {"api", 1}, {"pid", 4711}}};
    }
    if (path == "GET/v1/status") {
        return {200,
                {{"instance", "edge-1"},
                 {"version", "9.9.9"},
                 {"pid", 4711},
                 {"uptime_s", 11520.5},
                 {"revision", 3},
                 {"state", "serving"},
                 {"interfaces",
                  {{{"name", "eth0"},
                    {"mode", "native"},
                    {"attachment", "dispatcher"},
                    {"program_id", 77},
                    {"note", ""}}}},
                 {"tables",
                  {{"adopted", true},
                   {"bytes", 18251776},
                   {"addresses", {{"used", 2}, {"max", 256}}},
                   {"services", {{"used", 4}, {"max", 256}}},
                   {"backends", {{"used", 3}, {"max", 4096}}},
                   {"ring_slots", {{"used", 262148}, {"max", 4194304}}}}},
                 {"services", 4},
                 {"backends", {{"total", 3}, {"forwarding", 2}}},
                 {"overrides", {{{"pool", "p"}, {"backend", "gw-a"}, {"what", "weight 50"}}}},
                 {"packets",
                  {{"forwarded", 1234567}, {"passed", 2}, {"replied", 0}, {"dropped", 5}}},
                 {"problems", {"p/gw-c: no route to 10.2.0.4"}}}};
    }
    if (path == "POST/v1/apply" && request.body["text"] == "bad") {
        return {422,
                {{"error", "edge.yaml is refused: 1 problem"},
                 {"problems",
                  {{{"file", request.body["file"]},
                    {"line", 7},
                    {"column", 5},
                    {"message", "unknown key 'x'"},
                    {"hint", "known keys: name"}}}}}};
    }
    if (path == "GET/v1/services/older") {
        return {404,
                {{"error", "there is no /v1/services/older; docs/api.md lists the paths"}}};
    }
    if (path.starts_with("GET/v1/services/")) {
        return {404, {{"error", "there is no service '" + request.path[2] + "'"}}};
    }
    // Changes answer with what they were asked, so that a test can see it.
    return {200,
            {{"revision", 4},
             {"changed", true},
             {"summary", path + " " + request.body.dump()},
             {"overrides", json::array()}}};
}

TEST_F(Program, ShowsStatusWithoutColoursWhenNobodyLooks)
{
    serve(scripted);
    const auto ran = run("status");
    EXPECT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(ran.out,
              "edge-1 is serving, revision 3  (guidewayd 9.9.9, pid 4711, up 3h 12m)\n"
              "\n"
              "INTERFACE  XDP     ATTACHED    PROGRAM  NOTE\n"
              "eth0       native  dispatcher       77\n"
              "\n"
              "Services  4\n"
              "Backends  2 of 3 forwarding\n"
              "Packets   1,234,567 forwarded, 2 passed, 0 replied, 5 dropped\n"
              "Tables    17.4 MiB (taken over); 2 of 256 addresses, 4 of 256 services, "
              "3 of 4,096 backends, 262,148 of 4,194,304 ring slots\n"
              "\n"
              "OVERRIDES\n"
              "  p/gw-a  weight 50\n"
              "\n"
              "PROBLEMS\n"
              "  p/gw-c: no route to 10.2.0.4\n");
}

TEST_F(Program, PrintsTheApisAnswerWithJson)
{
    serve(scripted);
    const auto ran = run("--json status");
    EXPECT_EQ(json::parse(ran.out)["packets"]["forwarded"], 1234567);
    EXPECT_EQ(run("status --json").out, ran.out);
    const auto refused = run("service show nope --json");
    EXPECT_EQ(refused.exit, 1);
    EXPECT_EQ(json::parse(refused.out)["error"], "there is no service 'nope'");
}

TEST_F(Program, SendsWhatEachVerbMeans)
{
    serve(scripted);
    const auto summary = [&](const std::string &arguments) {
        return json::parse(run(arguments + " --json").out).value("summary", "none");
    };
    EXPECT_EQ(summary("backend add p/gw-d 10.2.0.5 --weight 7"),
              R"(POST/v1/backends {"address":"10.2.0.5","name":"gw-d","pool":"p","weight":7})");
    EXPECT_EQ(summary("backend remove p/gw-d"), "DELETE/v1/backends/p/gw-d {}");
    EXPECT_EQ(summary("backend remove p/gw-d --now"),
              R"(DELETE/v1/backends/p/gw-d {"now":true})");
    EXPECT_EQ(summary("backend drain p/gw-d"), "POST/v1/backends/p/gw-d/drain {}");
    EXPECT_EQ(summary("backend drain p/gw-d --deadline 10m"),
              R"(POST/v1/backends/p/gw-d/drain {"deadline":"10m"})");
    EXPECT_EQ(summary("history --limit 7"), "GET/v1/history {}");
    EXPECT_EQ(summary("backend enable p/gw-d"), "POST/v1/backends/p/gw-d/enable {}");
    EXPECT_EQ(summary("backend disable 'p/g w%'"), "POST/v1/backends/p/g w%/disable {}");
    EXPECT_EQ(summary("backend weight p/gw-d 0"),
              R"(POST/v1/backends/p/gw-d/weight {"weight":0})");
    EXPECT_EQ(summary("limit list"), "GET/v1/limits {}");
    EXPECT_EQ(summary("limit show flood"), "GET/v1/limits/flood {}");
    EXPECT_EQ(summary("limit show 'a pi/per/hour'"), "GET/v1/limits/a pi/per/hour {}");
    EXPECT_EQ(summary("limit top --by bytes --seconds 1"), "GET/v1/limits/top {}");
    std::ofstream(directory_ / "a.yaml") << "text\n";
    const auto file = (directory_ / "a.yaml").string();
    EXPECT_EQ(summary("apply " + file + " --if-revision 3 --reset-overrides"),
              "POST/v1/apply {\"file\":\"" + file +
                  R"(","if_revision":3,"reset_overrides":true,"text":"text\n"})");
    EXPECT_EQ(summary("apply - <" + file),
              R"(POST/v1/apply {"file":"-","reset_overrides":false,"text":"text\n"})");
}

TEST_F(Program, ListsTheProblemsOfAConfiguration)
{
    serve(scripted);
    std::ofstream(directory_ / "edge.yaml") << "bad";
    const auto file = (directory_ / "edge.yaml").string();
    const auto ran = run("apply " + file);
    EXPECT_EQ(ran.exit, 1);
    EXPECT_EQ(ran.err, file +
                           ":7:5: unknown key 'x'; known keys: name\nguideway: cannot apply " +
                           file + ": edge.yaml is refused: 1 problem\n");
    const auto offline = run("check " + file);
    EXPECT_EQ(offline.exit, 1);
    EXPECT_TRUE(offline.err.starts_with(file + ":1:1: ")) << offline.err;
}

TEST_F(Program, SaysWhyNoDaemonAnswers)
{
    auto ran = run("status");
    EXPECT_EQ(ran.exit, 3);
    EXPECT_TRUE(ran.err.contains("no such socket")) << ran.err;
    std::ofstream(socket_) << "";
    ran = run("status --json");
    EXPECT_EQ(ran.exit, 3);
    EXPECT_TRUE(json::parse(ran.out)["error"].get<std::string>().contains("nobody listens"));
    ran = run("status --socket " + std::string(200, 'x'));
    EXPECT_EQ(ran.exit, 3);
    EXPECT_TRUE(ran.err.contains("at most 107 bytes")) << ran.err;
    EXPECT_EQ(run("version").exit, 0);
}

TEST_F(Program, TellsAnOlderDaemonFromAMissingName)
{
    serve(scripted);
    const auto ran = run("service show older");
    EXPECT_EQ(ran.exit, 4);
    EXPECT_TRUE(ran.err.contains("version 9.9.9")) << ran.err;
    EXPECT_EQ(run("service show nope").exit, 1);
}

TEST_F(Program, RefusesWrongCommandLinesWithOneLine)
{
    for (const char *arguments : {"",
                                  "frob",
                                  "backend",
                                  "backend frob",
                                  "apply",
                                  "apply a b",
                                  "backend add p/a",
                                  "backend add pa 10.0.0.1",
                                  "backend weight p/a -1",
                                  "backend weight p/a 10001",
                                  "backend weight p/a 1.5",
                                  "backend enable p/a/b",
                                  "apply a --if-revision x",
                                  "status --frob",
                                  "completion tcsh",
                                  "counters --all --nonzero",
                                  "backend drain p/a --deadline soon",
                                  "backend drain p/a --deadline 0s",
                                  "backend drain --wait",
                                  "watch --since -1",
                                  "history --limit 0",
                                  "limit",
                                  "limit show",
                                  "limit top --seconds 21",
                                  "limit top --by colour",
                                  "limit top --count 0",
                                  "watch now"}) {
        const auto ran = run(arguments);
        EXPECT_EQ(ran.exit, 2) << arguments;
        EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << arguments << ": " << ran.err;
        EXPECT_TRUE(ran.err.contains("--help'")) << ran.err;
        EXPECT_EQ(ran.out, "") << arguments;
    }
    EXPECT_TRUE(run("frob").err.contains("there is no verb 'frob'"));
}

TEST_F(Program, CompletesInBash)
{
    const auto complete = [&](const std::string &words, int position) {
        const auto file = directory_ / "complete.sh";
        std::ofstream(file) << run("completion bash").out << "COMP_WORDS=(" << words
                            << ")\nCOMP_CWORD=" << position
                            << "\n_guideway\nprintf '%s ' \"${COMPREPLY[@]}\"\n";
        const auto out = directory_ / "words";
        EXPECT_EQ(std::system(("bash -eu " + file.string() + " >" + out.string()).c_str()), 0);
        return slurp(out);
    };
    EXPECT_EQ(complete("guideway st", 1), "status ");
    EXPECT_EQ(complete("guideway --json backend e", 3), "enable ");
    EXPECT_EQ(complete("guideway backend add p/a 10.0.0.1 --w", 5), "--weight ");
    EXPECT_EQ(complete("guideway completion ''", 2).substr(0, 14), "bash zsh fish ");
    EXPECT_EQ(complete("guideway limit top --s", 3), "--seconds --socket ");
    EXPECT_EQ(complete("guideway ma", 1), " ");
    EXPECT_EQ(complete("guideway check " + (directory_ / "comp").string(), 2),
              (directory_ / "complete.sh").string() + " ");
}

TEST_F(Program, DocumentsEveryVerbAndExitCodeInItsManual)
{
    const auto page = run("man").out;
    for (const char *part : {".SS guideway backend weight BACKEND N",
                             ".SS guideway connections [SERVICE]", "\\fB\\-\\-deadline\\fR",
                             ".SS guideway detach", "\\fB\\-\\-if\\-revision\\fR \\fIN\\fR",
                             ".SH EXIT STATUS", ".B 4\n", "GUIDEWAY_SOCKET", "NO_COLOR"}) {
        EXPECT_TRUE(page.contains(part)) << part;
    }
    EXPECT_FALSE(page.contains("UINT"));
}

}  // namespace
}  // namespace guideway::cli
