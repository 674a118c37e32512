#include "control/config/config.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace guideway::config {
namespace {

std::string read_file(const std::filesystem::path &path)
{
    std::ifstream stream(path);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
}

std::string all(const std::vector<Problem> &problems)
{
    std::string text;
    for (const Problem &problem : problems) {
        text += problem.to_string() + "\n";
    }
    return text;
}

TEST(Config, ParsesEveryExampleOfTheDocumentation)
{
    int examples = 0;
    for (const auto &entry :
         std::filesystem::directory_iterator(GUIDEWAY_SOURCE_ROOT "/docs/examples")) {
        const auto document = parse(entry.path().filename().string(), read_file(entry.path()));
        EXPECT_TRUE(document) << all(document.error());
        if (document) {
            const auto again = parse("emitted", emit(document->desired));
            ASSERT_TRUE(again) << all(again.error()) << emit(document->desired);
            EXPECT_EQ(again->desired, document->desired);
        }
        examples++;
    }
    EXPECT_GE(examples, 2);
}

const std::string kText = R"(instance: edge-1
interfaces: [eth0, eth1]
tunnel_source: 10.1.7.0/24
tunnel_source6: 2001:db8:1::2
services:
  - name: api
    listen: tcp://203.0.113.10:443
    pool: gws
  - name: dns
    listen: udp://[2001:db8::10]:53
    pool: gws
    ring_size: 16381
    unmatched: pass
pools:
  - name: gws
    backends:
      - {name: gw-a, address: 10.2.0.2}
      - {name: gw-b, address: "2001:db8:2::3", weight: 0}
)";

model::Desired desired()
{
    const auto document = parse("edge.yaml", kText);
    EXPECT_TRUE(document) << all(document.error());
    return document->desired;
}

TEST(Config, ReadsWhatIsWrittenAndFillsInTheRest)
{
    const model::Desired read = desired();
    EXPECT_EQ(read.instance, "edge-1");
    EXPECT_EQ(read.interfaces, (std::vector<std::string>{"eth0", "eth1"}));
    EXPECT_EQ(read.xdp_mode, model::XdpMode::kNative);
    EXPECT_EQ(read.tunnel_source_ipv4, model::Prefix::parse("10.1.7.0/24"));
    EXPECT_EQ(read.tunnel_source_ipv6, model::Prefix::parse("2001:db8:1::2"));
    EXPECT_EQ(read.hash_key, model::kHashKeyDefault);
    EXPECT_EQ(read.capacity, model::Capacity());
    ASSERT_EQ(read.services.size(), 2U);
    EXPECT_EQ(read.services[0],
              (model::Service{.name = "api",
                              .protocol = model::Protocol::kTcp,
                              .address = *model::IpAddress::parse("203.0.113.10"),
                              .port = 443,
                              .forwarding = model::Forwarding::kIpip,
                              .pool = "gws",
                              .ring_size = 65537,
                              .unmatched = model::Unmatched::kDrop}));
    EXPECT_EQ(read.services[1],
              (model::Service{.name = "dns",
                              .protocol = model::Protocol::kUdp,
                              .address = *model::IpAddress::parse("2001:db8::10"),
                              .port = 53,
                              .forwarding = model::Forwarding::kIpip,
                              .pool = "gws",
                              .ring_size = 16381,
                              .unmatched = model::Unmatched::kPass,
                              .affinity = model::Affinity::kNone}));
    ASSERT_EQ(read.pools.size(), 1U);
    EXPECT_EQ(
        read.pools[0].backends,
        (std::vector<model::Backend>{
            {.name = "gw-a", .address = *model::IpAddress::parse("10.2.0.2"), .weight = 100},
            {.name = "gw-b",
             .address = *model::IpAddress::parse("2001:db8:2::3"),
             .weight = 0}}));
}

TEST(Config, ReadsEveryOtherValue)
{
    const auto document =
        parse("edge.yaml",
              "{instance: \"1\", interfaces: [eth0], engine: xdp, xdp_mode: generic, hash_key: "
              "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F, capacity: "
              "{addresses: 3, services: 4, backends: 8, ring_slots: 100, pins: 2048, sources: "
              "4096, prefixes: 5000}, connections: "
              "{learning_period: 1s, idle_timeout: 7d}, services: [], pools: []}");
    ASSERT_TRUE(document) << all(document.error());
    EXPECT_EQ(document->desired.instance, "1");
    EXPECT_EQ(document->desired.xdp_mode, model::XdpMode::kGeneric);
    for (size_t i = 0; i < 32; i++) {
        EXPECT_EQ(document->desired.hash_key[i], i);
    }
    EXPECT_EQ(document->desired.capacity, (model::Capacity{.addresses = 3,
                                                           .services = 4,
                                                           .backends = 8,
                                                           .ring_slots = 100,
                                                           .pins = 2048,
                                                           .sources = 4096,
                                                           .prefixes = 5000}));
    EXPECT_EQ(document->desired.connections.learning_period, std::chrono::seconds(1));
    EXPECT_EQ(document->desired.connections.idle_timeout, std::chrono::days(7));
}

TEST(Config, KnowsThePlaceOfEachValue)
{
    const auto document = parse("edge.yaml", kText);
    ASSERT_TRUE(document);
    const auto at = [&](const std::string &path) {
        const auto found = document->positions.find(path);
        return found == document->positions.end() ? "nowhere"
                                                  : std::to_string(found->second.line) + ":" +
                                                        std::to_string(found->second.column);
    };
    EXPECT_EQ(at("instance"), "1:11");
    EXPECT_EQ(at("interfaces[1]"), "2:20");
    EXPECT_EQ(at("services[0].listen"), "7:13");
    EXPECT_EQ(at("services[1].unmatched"), "13:16");
    EXPECT_EQ(at("pools[0].backends[1].address"), "18:31");
    EXPECT_EQ(at("services[2]"), "nowhere");
}

TEST(Config, EmitsWhatItReads)
{
    model::Desired state = desired();
    state.xdp_mode = model::XdpMode::kGeneric;
    state.hash_key[31] ^= 1;
    state.capacity.ring_slots = 1000000;
    // Names that YAML would take for something else, and characters it would trip over.
    state.instance = "null";
    state.interfaces = {"v@1\"\\", "~", "{x}", "a#b", "-", "true", "1e3"};
    state.services[0].name = "NULL";
    state.services[0].pool = state.pools[0].name = "Null";
    state.services[1].pool = "007";
    state.pools.push_back({.name = "007", .backends = {}});
    const std::string text = emit(state);
    const auto document = parse("emitted.yaml", text);
    ASSERT_TRUE(document) << all(document.error()) << text;
    EXPECT_EQ(document->desired, state) << text;
    EXPECT_EQ(emit(document->desired), text);
    EXPECT_TRUE(text.contains("\nxdp_mode: generic   # GRO must be off: ")) << text;

    state.services.clear();
    state.pools.clear();
    state.tunnel_source_ipv4.reset();
    state.tunnel_source_ipv6.reset();
    const auto bare = parse("emitted.yaml", emit(state));
    ASSERT_TRUE(bare) << all(bare.error());
    EXPECT_EQ(bare->desired, state);
}

TEST(Config, EmitsDisabledBackendsWithAComment)
{
    model::Desired state = desired();
    state.pools[0].backends[0].enabled = false;
    const std::string text = emit(state);
    EXPECT_NE(
        text.find("{name: gw-a, address: 10.2.0.2, weight: 100}   # disabled by an operator\n"),
        std::string::npos)
        << text;
    EXPECT_EQ(parse("emitted.yaml", text)->desired, desired());

    state.pools[0].backends[0].drained = true;
    EXPECT_NE(emit(state).find("   # disabled and drained by an operator\n"),
              std::string::npos);
    state.pools[0].backends[0].enabled = true;
    state.pools[0].backends[0].drain_deadline = 1767225600;
    EXPECT_NE(emit(state).find("   # drained by an operator, cut at 2026-01-01T00:00:00Z\n"),
              std::string::npos)
        << emit(state);
}

TEST(Config, ChecksInterfacesAndAddressesOnTheHost)
{
    const auto document = parse("edge.yaml", kText);
    ASSERT_TRUE(document);
    model::HostFacts host{
        .interfaces = {{"eth0", 2}, {"eth1", 3}, {"lo", 1}},
        .local_addresses = {{*model::IpAddress::parse("10.1.0.2"), "eth0"},
                            {*model::IpAddress::parse("203.0.113.11"), "eth0"}}};
    EXPECT_EQ(all(check_on_host(*document, host)), "");

    host.interfaces.erase("eth1");
    host.local_addresses.emplace(*model::IpAddress::parse("2001:db8::10"), "lo");
    host.local_addresses.emplace(*model::IpAddress::parse("203.0.113.10"), "eth0");
    EXPECT_EQ(
        all(check_on_host(*document, host)),
        "edge.yaml:2:20: this host has no interface 'eth1'; it has: eth0, lo\n"
        "edge.yaml:7:13: service address 203.0.113.10 is an address of this host, on 'eth0'; "
        "remove it there, or the local route to it: the host would take unmatched packets and "
        "replies for itself; "
        "service addresses are routed to this host, never configured on it\n"
        "edge.yaml:10:13: service address 2001:db8::10 is an address of this host, on 'lo'; "
        "remove it there, or the local route to it: the host would take unmatched packets and "
        "replies for itself; "
        "service addresses are routed to this host, never configured on it\n");
}

TEST(Config, NamesTheFileOnOneLine)
{
    const auto document = parse("a\nb.yaml", "x");
    ASSERT_FALSE(document);
    EXPECT_EQ(document.error()[0].file, "a\nb.yaml");
    EXPECT_TRUE(document.error()[0].to_string().starts_with("a?b.yaml:1:1: "));
}

}  // namespace
}  // namespace guideway::config
