// The verb replay of the program as it was built.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/capture_fixture.hpp"
#include "tests/unit/program_fixture.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

constexpr const char *kConfiguration = R"(
instance: test
interfaces: [eth0]
tunnel_source: 10.1.0.2
services:
  - {name: api, listen: "tcp://203.0.113.10:443", pool: gateways, ring_size: 1009}
pools:
  - name: gateways
    backends:
      - {name: a, address: 10.2.0.2}
      - {name: b, address: 10.2.0.3}
)";

class ReplayProgram : public Program {
  protected:
    ReplayProgram()
    {
        for (uint16_t i = 0; i < 100; i++) {
            replay::add_packet(bytes_, 1'700'000'000 + i, 0,
                               replay::frame_of(1, static_cast<uint16_t>(1000 + i)));
        }
        capture_ = files_.write("web.pcap", bytes_);
        configuration_ = files_.path("gw.yaml");
        std::ofstream(configuration_) << kConfiguration;
    }

    [[nodiscard]] Ran replay(const std::string &arguments) const
    {
        return run("replay " + capture_ + " " + configuration_ + " " + arguments);
    }

    replay::Files files_;
    replay::Bytes bytes_ = replay::pcap_file();
    std::string capture_;
    std::string configuration_;
};

TEST_F(ReplayProgram, ReportsForPeopleAndForPrograms)
{
    const auto text = replay("");
    EXPECT_EQ(text.exit, 0) << text.err;
    EXPECT_TRUE(text.out.contains("100 packets")) << text.out;
    EXPECT_TRUE(text.out.contains("gateways/a")) << text.out;
    EXPECT_EQ(text.err, "") << "no progress bar where there is no terminal";

    const auto ran = replay("--json");
    const auto report = json::parse(ran.out);
    EXPECT_EQ(report.at("capture").at("packets"), 100);
    EXPECT_EQ(report.at("capture").at("seconds"), 99.0);
    EXPECT_EQ(report.at("engine"), "native");
    EXPECT_EQ(report.at("result").at("verdicts").at("send"), 100);
    EXPECT_EQ(report.at("result").at("flows").at("count"), 100);
    EXPECT_TRUE(report.at("capture").at("damage").is_null());
}

TEST_F(ReplayProgram, WritesWhatLeavesTheSameEachTime)
{
    const std::string out = files_.path("out.pcap");
    EXPECT_EQ(replay("--out " + out).exit, 0);
    const std::string first = slurp(out);
    EXPECT_EQ(replay("--out " + out + " --engine dpdk").exit, 0);
    EXPECT_EQ(slurp(out), first);
    EXPECT_EQ(first.size(), 24U + 100 * (16 + 74));
}

TEST_F(ReplayProgram, WritesOverNothingThatItReads)
{
    const std::string other = files_.path("other.yaml");
    std::ofstream(other) << kConfiguration;
    const std::string link = files_.path("link");
    std::filesystem::create_hard_link(capture_, link);
    const auto refused = [&](const std::string &arguments, const std::string &why) {
        const auto ran = replay(arguments);
        EXPECT_EQ(ran.exit, 1) << arguments;
        EXPECT_TRUE(ran.err.contains("cannot write to")) << ran.err;
        EXPECT_TRUE(ran.err.contains(why)) << ran.err;
    };
    for (const std::string option : {"--out ", "--flows "}) {
        refused(option + capture_, "it is the capture that is read");
        refused(option + link, "it is the capture that is read");
        refused(option + configuration_, "it is the configuration that is read");
    }
    refused("--out " + other + " --compare " + other, "that is compared");
    const std::string made = files_.path("new");
    refused("--out " + made + " --flows " + files_.path(".").string() + "/new", "of --out");
    const auto piped =
        run("replay - " + configuration_ + " --out " + capture_ + " <" + capture_);
    EXPECT_EQ(piped.exit, 1) << piped.err;
    EXPECT_EQ(slurp(capture_), std::string(bytes_.begin(), bytes_.end()));
    EXPECT_EQ(slurp(configuration_), kConfiguration);
    EXPECT_FALSE(std::filesystem::exists(made));
    EXPECT_EQ(replay("--out /dev/null --flows /dev/null").exit, 0);
    EXPECT_EQ(replay("--out -").exit, 2);
}

TEST_F(ReplayProgram, UsesWhatCanBeReadOfADamagedCapture)
{
    bytes_.resize(bytes_.size() - 7);
    capture_ = files_.write("cut.pcap", bytes_);
    const auto text = replay("");
    EXPECT_EQ(text.exit, 5);
    EXPECT_TRUE(text.out.contains("99 packets")) << text.out;
    EXPECT_TRUE(text.err.contains("is damaged at byte 6954, in packet 100:")) << text.err;
    const auto ran = replay("--json");
    EXPECT_EQ(ran.exit, 5);
    EXPECT_EQ(json::parse(ran.out).at("capture").at("damage").at("packet"), 100);
}

TEST_F(ReplayProgram, ReadsStandardInput)
{
    const auto ran = run("replay - " + configuration_ + " --json <" + capture_);
    EXPECT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(json::parse(ran.out).at("capture").at("packets"), 100);
    EXPECT_EQ(run("replay - - <" + capture_).exit, 2);
}

TEST_F(ReplayProgram, ExplainsAPacketByItsNumber)
{
    const auto ran = replay("--explain 100 --json");
    EXPECT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(json::parse(ran.out).at("packet"), 100);
    EXPECT_EQ(json::parse(ran.out).at("service"), "api");
    const auto beyond = replay("--explain 101");
    EXPECT_EQ(beyond.exit, 1);
    EXPECT_TRUE(beyond.err.contains("there is no packet 101")) << beyond.err;
}

TEST_F(ReplayProgram, ComparesConfigurations)
{
    const std::string other = files_.path("other.yaml");
    std::ofstream(other) << std::string(kConfiguration) +
                                "      - {name: c, address: 10.2.0.4}\n";
    const auto ran = replay("--compare " + other + " --json --list 3");
    ASSERT_EQ(ran.exit, 0) << ran.err;
    const auto comparison = json::parse(ran.out).at("comparison");
    EXPECT_GT(comparison.at("elsewhere"), 10);
    EXPECT_EQ(comparison.at("list").size(), 3U);
    EXPECT_EQ(comparison.at("packets_apart"), comparison.at("elsewhere"));
    EXPECT_TRUE(
        replay("--compare " + configuration_).out.contains("all 100 are treated the same"));
}

TEST_F(ReplayProgram, ComparesBuilds)
{
    const auto same = replay("--compare-with " GUIDEWAY_PROGRAM " --json");
    ASSERT_EQ(same.exit, 0) << same.err;
    EXPECT_EQ(json::parse(same.out).at("comparison").at("flows"), 100);
    EXPECT_EQ(json::parse(same.out).at("comparison").at("differ"), 0);

    // A build that differs in one flow: this one's words, changed on their way.
    const std::string build = files_.path("other-build");
    std::ofstream(build) << "#!/bin/sh\n" GUIDEWAY_PROGRAM
                            " \"$@\" | sed '2s/10\\.2\\.0\\.[0-9]*/10.2.0.99/'\n";
    std::filesystem::permissions(build, std::filesystem::perms::owner_all);
    const auto other = replay("--compare-with " + build + " --json");
    ASSERT_EQ(other.exit, 0) << other.err;
    EXPECT_EQ(json::parse(other.out).at("comparison").at("elsewhere"), 1);

    const auto changed_by = [&](const std::string &filter) {
        std::ofstream(build) << "#!/bin/sh\n" GUIDEWAY_PROGRAM " \"$@\" | " + filter + "\n";
        return replay("--compare-with " + build);
    };
    for (const auto &[filter, why] :
         {std::pair{"sed 7d", "there are 99 of 100 flows"},
          {"sed '7s/}$//'", "line 7 is neither a flow nor the end"},
          {"sed '7s/\"packets\":1/\"packets\":\"1\"/'", "line 7 is neither"},
          {"sed '102s/\"packets\":100/\"packets\":98/'",
           "98 packets of it, and this build 100 packets of it"},
          {"sed '102s/\"damage\":null/\"damage\":{\"packet\":101}/'",
           "100 packets of it, damaged in packet 101, and this build"}}) {
        const auto ran = changed_by(filter);
        EXPECT_EQ(ran.exit, 1) << filter << ran.out;
        EXPECT_TRUE(ran.err.contains(why)) << filter << ran.err;
    }
    std::ofstream(build) << "#!/bin/sh\n" GUIDEWAY_PROGRAM " \"$@\" | head -5\n";
    const auto cut = replay("--compare-with " + build);
    EXPECT_EQ(cut.exit, 1);
    EXPECT_TRUE(cut.err.contains("ended before")) << cut.err;
    const auto old = replay("--compare-with /bin/false");
    EXPECT_EQ(old.exit, 1);
    EXPECT_TRUE(old.err.contains("must be a guideway that has the verb replay")) << old.err;
}

TEST_F(ReplayProgram, IsRefusedInOneLine)
{
    const auto line = [&](const std::string &arguments, int exit) {
        const auto ran = run("replay " + arguments);
        EXPECT_EQ(ran.exit, exit) << arguments << ran.err;
        EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
    };
    line("/nowhere.pcap " + configuration_, 1);
    line(capture_ + " /nowhere.yaml", 1);
    line(configuration_ + " " + configuration_, 1);
    line(capture_ + " " + configuration_ + " --engine vpp", 2);
    line(capture_ + " " + configuration_ + " --explain 0", 2);
    line(capture_ + " " + configuration_ + " --out /nowhere/out.pcap", 1);
    line(capture_ + " " + configuration_ + " --flows - --json", 2);
    line(capture_ + " " + configuration_ + " --flows /nowhere/flows", 1);
    line(capture_ + " " + configuration_ + " --out /dev/full", 1);
    line(capture_ + " " + configuration_ + " --explain 1 --out " + files_.path("x").string(),
         2);
    line(capture_, 2);
}

}  // namespace
}  // namespace guideway::cli
