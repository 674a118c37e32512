// One capture through every engine, and what is said of it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "tests/unit/capture_fixture.hpp"
#include "tools/replay/compare.hpp"
#include "tools/replay/explain.hpp"
#include "tools/replay/report.hpp"

namespace guideway::cli {
namespace {

using replay::Bytes;

constexpr const char *kConfiguration = R"(
instance: test
interfaces: [eth0]
tunnel_source: 10.1.0.2
capacity: {ring_slots: 65536, pins: 1024, sources: 1024, prefixes: 1024}
services:
  - name: api
    listen: tcp://203.0.113.10:443
    pool: gateways
    ring_size: 1009
    limits:
      - {per: source, of: new_connections, rate: 10/s, burst: 3}
      # By the exact clock: its burst is over within a few ticks of the coarse one.
      - {name: rush, per: source, of: packets, rate: 2k/s, burst: 2}
  - name: quic
    listen: udp://203.0.113.10:443
    pool: gateways
    ring_size: 1009
    affinity: flow
pools:
  - name: gateways
    backends:
      - {name: a, address: 10.2.0.2}
      - {name: b, address: 10.2.0.3}
      - {name: c, address: 10.2.0.4}
)";

std::string with(std::string text, const std::string &old, const std::string &now)
{
    const auto at = text.find(old);
    EXPECT_NE(at, text.npos) << old;
    return text.replace(at, old.size(), now);
}

std::unique_ptr<World> world_of(const std::string &text = kConfiguration,
                                EngineKind engine = EngineKind::kNative)
{
    auto world = World::make("test.yaml", text, {.engine = engine});
    EXPECT_TRUE(world) << world.error().message;
    return std::move(*world);
}

// Flows, floods, damaged headers and what is for nobody, a few milliseconds apart.
Bytes busy_capture()
{
    std::mt19937 random(20261122);
    Bytes file = replay::pcap_file(replay::kEthernetType, replay::kNanoseconds);
    uint64_t time_ns = 0;
    for (int i = 0; i < 4000; i++) {
        time_ns += random() % 4'000'000;
        const auto client = static_cast<uint8_t>(1 + random() % 20);
        const auto port = static_cast<uint16_t>(1024 + random() % 40);
        Bytes frame = replay::frame_of(client, port, random() % 3 == 0 ? 2 : 0x10,
                                       random() % 5 == 0 ? random() % 2000 : random() % 40);
        if (random() % 4 == 0) {
            frame[23] = 17;  // the quic service; lengths stay those of a segment
        }
        if (random() % 8 == 0) {
            frame[random() % 54] ^= static_cast<uint8_t>(1U << random() % 8);
        }
        if (random() % 32 == 0) {
            frame.resize(14 + random() % (frame.size() - 14));
        }
        for (int copies = random() % 16 == 0 ? 6 : 1; copies > 0; copies--) {
            time_ns += 100'000;
            replay::add_packet(file, static_cast<uint32_t>(time_ns / 1'000'000'000),
                               static_cast<uint32_t>(time_ns % 1'000'000'000), frame);
        }
    }
    return file;
}

class Replay : public testing::Test {
  protected:
    replay::Frames frames(const Bytes &file)
    {
        return replay::Frames(
            replay::CaptureReader::open(files_.write("capture", file)).value());
    }

    replay::Tally run(const std::vector<World *> &worlds, const Bytes &file)
    {
        auto all = frames(file);
        replay::Tally tally(static_cast<uint32_t>(worlds.size()), 100'000);
        while (const auto frame = all.next()) {
            if (frame->unusable != replay::Unusable::kNo) {
                continue;
            }
            std::vector<replay::Ran> ran;
            for (auto *world : worlds) {
                ran.push_back(world->engine().run(frame->bytes, frame->now_ns).value());
            }
            tally.add(*frame, ran);
            is_same_throughout_ =
                is_same_throughout_ && std::ranges::all_of(ran, [&](const replay::Ran &other) {
                    return other.decision == ran[0].decision;
                });
        }
        return tally;
    }

    void expect_same(EngineKind kind)
    {
        auto native = world_of();
        auto other = world_of(kConfiguration, kind);
        const auto tally = run({native.get(), other.get()}, busy_capture());
        EXPECT_EQ(tally.packets_apart(), 0U);
        EXPECT_TRUE(is_same_throughout_);
        // Of every kind something, or nothing was compared.
        const auto &reasons = tally.decisions(0).reasons;
        for (const auto reason :
             {GW_REASON_FORWARDED, GW_REASON_LIMITED, GW_REASON_NOT_OURS, GW_REASON_MALFORMED,
              GW_REASON_TOO_BIG, GW_REASON_NO_SUCH_PORT}) {
            EXPECT_GT(reasons[reason], 0U) << reason_name(reason);
        }
        const auto a = native->tables().counters();
        const auto b = other->tables().counters();
        EXPECT_EQ(a.reasons, b.reasons);
        EXPECT_EQ(a.events, b.events);
        EXPECT_GT(a.events[GW_EVENT_PIN_HIT], 0U);
        for (size_t i = 0; i < 3; i++) {
            EXPECT_EQ(a.backends[i].packets, b.backends[i].packets);
            EXPECT_EQ(a.backends[i].syn_repeats, b.backends[i].syn_repeats);
        }
        for (const auto &limit : native->plane().policing().limits()) {
            EXPECT_GT(limit.excess.packets, 0U) << limit.name;
            EXPECT_EQ(other->tables().excess_counters(limit.index).packets,
                      limit.excess.packets)
                << limit.name;
            EXPECT_EQ(limit.exact_clock, limit.name == "rush");
        }
        // The counters are the decisions.
        EXPECT_EQ(a.reasons[GW_REASON_LIMITED], reasons[GW_REASON_LIMITED]);
    }

    std::string story(const World &world, replay::Engine &engine, const Bytes &file,
                      uint64_t number)
    {
        auto all = frames(file);
        replay::Tally tally(1, 100);
        while (const auto frame = all.next()) {
            Story story(world, *frame);
            std::vector<replay::Ran> ran;
            if (frame->unusable == replay::Unusable::kNo) {
                ran.push_back(engine.run(frame->bytes, frame->now_ns).value());
                tally.add(*frame, ran);
            }
            if (frame->packet.number == number) {
                return story_view(
                    story.tell("x.pcap", all, tally, ran.empty() ? nullptr : &ran[0]), false);
            }
        }
        return "";
    }

    replay::Files files_;
    bool is_same_throughout_ = true;
};

TEST_F(Replay, IsTheSameByDpdkAsNatively)
{
    expect_same(EngineKind::kDpdk);
}

TEST_F(Replay, IsTheSameInTheKernelAsNatively)
{
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root: loads a BPF program";
    }
    expect_same(EngineKind::kXdp);
}

TEST_F(Replay, LimitsGoByTheTimesOfTheCapture)
{
    for (const auto &[gap_ns, limited] :
         {std::pair{50'000'000U, true}, {100'000'000U, false}}) {
        Bytes file = replay::pcap_file(replay::kEthernetType, replay::kNanoseconds);
        for (uint32_t i = 0; i < 40; i++) {
            const uint64_t time = uint64_t{i} * gap_ns;
            replay::add_packet(file, static_cast<uint32_t>(time / 1'000'000'000),
                               static_cast<uint32_t>(time % 1'000'000'000),
                               replay::frame_of(1, static_cast<uint16_t>(1000 + i)));
        }
        auto world = world_of();
        const auto tally = run({world.get()}, file);
        // Ten a second and a burst of three: of twenty a second for two seconds, 18 are too many.
        EXPECT_EQ(tally.decisions(0).reasons[GW_REASON_LIMITED], limited ? 18U : 0U);
    }
}

TEST_F(Replay, ReportsTheBalanceOfTheRing)
{
    Bytes file = replay::pcap_file();
    for (uint16_t port = 1000; port < 2000; port++) {
        replay::add_packet(file, port, 0, replay::frame_of(1, port));
        replay::add_packet(file, port, 1, replay::frame_of(1, port, 0x10));
    }
    auto world = world_of();
    const auto tally = run({world.get()}, file);
    const auto report = world_json(*world, tally, 0);
    const auto &service = report.at("services").at(0);
    EXPECT_EQ(service.at("forwarded"), 2000);
    EXPECT_EQ(service.at("bytes"), 2000 * 40);
    uint64_t bytes = 0;
    EXPECT_EQ(service.at("flows"), 1000);
    uint64_t flows = 0;
    uint64_t slots = 0;
    for (const auto &backend : service.at("backends")) {
        flows += backend.at("flows").get<uint64_t>();
        slots += backend.at("slots").get<uint64_t>();
        bytes += backend.at("bytes").get<uint64_t>();
        EXPECT_NEAR(backend.at("flows_share").get<double>(), 1.0 / 3, 0.06);
        EXPECT_EQ(backend.at("packets").get<uint64_t>(),
                  2 * backend.at("flows").get<uint64_t>());
    }
    EXPECT_EQ(flows, 1000U);
    EXPECT_EQ(slots, 1009U);
    EXPECT_EQ(bytes, 2000U * 40) << "of IP packets, as the service's";
    EXPECT_EQ(report.at("verdicts").at("send"), 2000);
}

TEST_F(Replay, AnswersPingsThatTheCaptureHasCut)
{
    Bytes ping = {0x45, 0, 0,   84, 0,   1,  0, 0, 64,   1,    0, 0, 198, 51,
                  100,  7, 203, 0,  113, 10, 8, 0, 0x12, 0x34, 0, 1, 0,   1};
    ping.resize(84, 0x61);
    Bytes ping6 = {0x60, 0, 0, 0, 0, 64, 58, 64};
    replay::put(ping6, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7});
    replay::put(ping6, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10});
    replay::put(ping6, {128, 0, 0x12, 0x34, 0, 1, 0, 1});
    ping6.resize(104, 0x61);
    auto world =
        world_of(with(kConfiguration, "  - name: quic\n    listen: udp://203.0.113.10:443",
                      "  - name: quic\n    listen: udp://[2001:db8::10]:443"));
    Bytes file = replay::pcap_file();
    for (const auto &whole : {replay::ethernet(ping), replay::ethernet(ping6, 0x86dd)}) {
        // To the end of the ICMP header, and no byte of the data.
        const auto headers = static_cast<ptrdiff_t>(whole.size() - 56);
        replay::add_packet(file, 0, 0, {whole.begin(), whole.begin() + headers},
                           static_cast<uint32_t>(whole.size()));
    }
    const auto tally = run({world.get()}, file);
    EXPECT_EQ(tally.decisions(0).reasons[GW_REASON_MALFORMED], 0U);
    EXPECT_EQ(tally.decisions(0).reasons[GW_REASON_ECHO_REPLIED], 2U);
}

TEST_F(Replay, TellsTheStoryOfAPacket)
{
    Bytes file = replay::pcap_file();
    for (uint16_t i = 0; i < 4; i++) {
        replay::add_packet(file, 0, i * 1000U,
                           replay::frame_of(7, static_cast<uint16_t>(1000 + i)));
    }
    replay::add_packet(file, 0, 9000, replay::frame_of(7, 1000, 0x10));
    replay::add_packet(file, 0, 10000, Bytes(5));
    Bytes elsewhere = replay::frame_of(7, 1000);
    elsewhere[33] = 99;
    replay::add_packet(file, 0, 11000, elsewhere);

    const auto tell = [&](uint64_t number) {
        auto world = world_of();
        return story(*world, world->engine(), file, number);
    };
    std::string told = tell(1);
    for (const char *words :
         {"1 of x.pcap", "tcp 198.51.100.7:1000 -> 203.0.113.10:443, SYN",
          "api, tcp://203.0.113.10:443, of pool gateways", "10/s new_connections, burst 3",
          "not exceeded", " of 1009, by the hash", "stable",
          "IPv4 packet from 10.1.0.2 to 10.2.0.", "it is sent to the backend (forwarded"}) {
        EXPECT_TRUE(told.contains(words)) << words << "\n" << told;
    }
    told = tell(4);
    EXPECT_TRUE(told.contains("exceeded, and refuses it")) << told;
    EXPECT_TRUE(told.contains("it is dropped (limited")) << told;
    EXPECT_FALSE(told.contains("by the hash")) << told;
    told = tell(5);
    EXPECT_TRUE(told.contains("its packet 2; the first was 1")) << told;
    EXPECT_TRUE(told.contains("this packet begins none")) << told;
    EXPECT_TRUE(tell(6).contains("it is not replayed, for it has no whole Ethernet header"));
    EXPECT_TRUE(tell(7).contains("it passes to the host, unchanged (not_ours"));
}

// The kind of difference that one change of the configuration makes, and of how many flows.
TEST_F(Replay, ComparisonsSayWhyAFlowGoesElsewhere)
{
    Bytes file = replay::pcap_file();
    for (uint16_t i = 0; i < 200; i++) {
        replay::add_packet(file, i, 0, replay::frame_of(1, static_cast<uint16_t>(1000 + i)));
    }
    const auto kinds = [&](const std::string &other) {
        auto before = world_of();
        auto after = world_of(other);
        const auto tally = run({before.get(), after.get()}, file);
        Comparison comparison(5, &before->desired(), &after->desired());
        for (uint32_t i = 0; i < tally.flows().flows().size(); i++) {
            comparison.add(flow_result(*before, tally.flows(), i, 0),
                           flow_result(*after, tally.flows(), i, 1));
        }
        const auto result = comparison.to_json();
        EXPECT_EQ(result.at("flows"), 200);
        EXPECT_LE(result.at("list").size(), 5U);
        EXPECT_EQ(result.at("list").size() + result.at("left_out").get<size_t>(),
                  result.at("differ").get<size_t>());
        std::map<std::string, int> found;
        for (const auto &kind : result.at("kinds")) {
            found[kind.at("kind")] = kind.at("flows");
        }
        return found;
    };
    const std::string same = kConfiguration;
    EXPECT_TRUE(kinds(same).empty());
    EXPECT_EQ(kinds(with(same, "tcp://203.0.113.10:443", "tcp://203.0.113.10:444")),
              (std::map<std::string, int>{{"not forwarded", 200}}));
    auto found = kinds(with(same, "      - {name: c, address: 10.2.0.4}\n", ""));
    EXPECT_GT(found["backend gone"], 40);
    EXPECT_LT(found["backend gone"], 100);
    found = kinds(same + "      - {name: d, address: 10.2.0.5}\n");
    EXPECT_GT(found["backend new"], 20);
    EXPECT_FALSE(found.contains("backend gone"));
    found = kinds(with(same, "ring_size: 1009", "ring_size: 2003"));
    EXPECT_GT(found["ring size"], 80);
    found = kinds(with(same, "rate: 10/s, burst: 3", "rate: 1/h, burst: 1"));
    EXPECT_EQ(found, (std::map<std::string, int>{{"limited more", 199}}));
    found = kinds(with(same, "tunnel_source: 10.1.0.2", "tunnel_source: 10.1.0.3"));
    EXPECT_EQ(found, (std::map<std::string, int>{{"other bytes", 200}}));
    // Another name of the same gateway is the same place.
    EXPECT_TRUE(kinds(with(same, "name: a, address", "name: z, address")).empty());
}

TEST(Flows, AreTheSameWhenTheyAreReadBack)
{
    const FlowResult flow{.flow = "tcp a -> b",
                          .first_packet = 7,
                          .packets = 8,
                          .service = "api",
                          .backend = "p/b",
                          .address = "10.2.0.2",
                          .reason = "limited",
                          .forwarded = 5,
                          .refused = 2,
                          .others = 1,
                          .moves = 1,
                          .digest = "00ff"};
    EXPECT_EQ(flow_from_json(to_json(flow)), flow);
    EXPECT_FALSE(flow_from_json({{"end", true}}));
    EXPECT_FALSE(flow_from_json(nlohmann::json(3)));
}

TEST(Flows, OfTwoListsMeetWhateverTheirOrder)
{
    const auto flow = [](const std::string &name, uint64_t packet) {
        return FlowResult{.flow = name,
                          .first_packet = packet,
                          .packets = 1,
                          .service = "s",
                          .backend = "p/b",
                          .address = "10.2.0.2",
                          .forwarded = 1};
    };
    Comparison comparison(10, nullptr, nullptr);
    comparison.add_first(flow("a", 1));
    comparison.add_second(flow("b", 2));
    comparison.add_second(flow("a", 1));
    comparison.add_first(flow("c", 3));
    comparison.add_first(flow("b", 2));
    comparison.finish();
    const auto result = comparison.to_json();
    EXPECT_EQ(result.at("flows"), 3);
    EXPECT_EQ(result.at("differ"), 1);
    EXPECT_EQ(result.at("list").at(0).at("flow"), "c");
    EXPECT_EQ(result.at("list").at(0).at("to"), "not_ours");
}

}  // namespace
}  // namespace guideway::cli
