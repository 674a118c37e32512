// The engine in configurations: read, written out again, and refused.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

// With these keys of dpdk, the first on line 4.
std::string dpdk(const std::string &keys)
{
    return "instance: e\ninterfaces: [eth0, eth1]\nengine: dpdk\n" +
           (keys.empty() ? "" : "dpdk:\n" + keys) + "services: []\n";
}

TEST(ConfigEngine, IsXdpUnlessTheFileSaysSo)
{
    const auto document = parse("f", "instance: e\ninterfaces: [eth0]\nservices: []\n");
    ASSERT_TRUE(document);
    EXPECT_EQ(document->desired.engine, model::Engine::kXdp);
    EXPECT_EQ(document->desired.dpdk, model::Dpdk());
}

TEST(ConfigEngine, HasAPortForEachInterface)
{
    const auto document = parse("f", dpdk(""));
    ASSERT_TRUE(document) << document.error().front().to_string();
    EXPECT_EQ(document->desired.engine, model::Engine::kDpdk);
    EXPECT_EQ(document->desired.dpdk,
              (model::Dpdk{.ports = {{.interface = "eth0", .device = "net_af_packet"},
                                     {.interface = "eth1", .device = "net_af_packet"}}}));
}

TEST(ConfigEngine, ReadsEveryKeyAndWritesItOutAgain)
{
    const auto document = parse(
        "f", dpdk("  workers: 2\n  cores: [3, 0]\n  queues: 1\n  memory: 1GiB\n  hugepages: "
                  "require\n  idle: poll\n  start: external\n  ports:\n    - {interface: eth1, "
                  "device: \"0000:01:00.0,x='1'\"}\n    - {interface: eth0}\n"));
    ASSERT_TRUE(document) << document.error().front().to_string();
    EXPECT_EQ(document->desired.dpdk,
              (model::Dpdk{.workers = 2,
                           .cores = {3, 0},
                           .queues = 1,
                           .memory_mib = 1024,
                           .hugepages = model::Hugepages::kRequire,
                           .idle = model::Idle::kPoll,
                           .start = model::EngineStart::kExternal,
                           .ports = {{.interface = "eth1", .device = "0000:01:00.0,x='1'"},
                                     {.interface = "eth0", .device = "net_af_packet"}}}));
    const auto again = parse("emitted", emit(document->desired));
    ASSERT_TRUE(again) << again.error().front().to_string() << emit(document->desired);
    EXPECT_EQ(again->desired, document->desired);
}

TEST(ConfigEngine, RefusesKeysOfTheOtherEngine)
{
    expect("instance: e\ninterfaces: [eth0]\nservices: []\ndpdk: {workers: 1}\n",
           {"4:7: dpdk: this is for engine dpdk, and the engine is xdp; remove it, or add "
            "engine: dpdk"});
    expect("instance: e\ninterfaces: [eth0]\nservices: []\nengine: dpdk\nxdp_mode: native\n",
           {"5:11: xdp_mode: this is for engine xdp, and the engine is dpdk; remove it"});
    // Of which engine they are is not known.
    expect("instance: e\ninterfaces: [eth0]\nservices: []\nengine: fast\ndpdk: {}\n",
           {"4:9: engine: found 'fast'; expected one of: xdp, dpdk"});
}

TEST(ConfigEngine, RefusesValuesOfTheWrongType)
{
    expect(dpdk("  workers: many\n  cores: 2\n  queues: 0\n  memory: 64\n  hugepages: on\n  "
                "idle: sleeep\n  start: [daemon]\n  ports: {}\n  core: 1\n"),
           {"5:12: dpdk.workers: found 'many'; expected a number",
            "6:10: dpdk.cores: found '2'; expected a list of CPUs' numbers",
            "7:11: dpdk.queues: found '0'; expected a number from 1 to that of the workers",
            "8:11: dpdk.memory: found '64'; expected a whole number and MiB or GiB",
            "9:14: dpdk.hugepages: found 'on'; expected one of: auto, "
            "require, off",
            "10:9: dpdk.idle: found 'sleeep'; did you mean 'sleep'? expected one of: sleep, "
            "poll",
            "11:10: dpdk.start: found a list; expected one of: daemon, external",
            "12:10: dpdk.ports: found a map; expected a list of ports",
            "13:3: unknown key 'core' in dpdk; did you mean 'cores'? known keys: workers"});
    expect(dpdk("  memory: 99999999999MiB\n"), {"5:11: dpdk.memory: found '99999999999MiB'"});
    expect(dpdk("  memory: 4294967295GiB\n"), {"5:11: dpdk.memory: found '4294967295GiB'"});
    expect(dpdk("  memory: 064MiB\n"), {"5:11: dpdk.memory: found '064MiB'"});
    expect(dpdk("  memory: [64MiB]\n"), {"5:11: dpdk.memory: found a list"});
}

TEST(ConfigEngine, RefusesWhatCannotBe)
{
    expect(dpdk("  workers: 0\n  memory: 1MiB\n"),
           {"5:12: dpdk.workers is 0; from 1 to 127",
            "6:11: dpdk.memory is 1MiB; from 16MiB to 65536MiB"});
    expect(dpdk("  workers: 2\n  cores: [1]\n  queues: 3\n"),
           {"6:10: 1 core is given for 2 workers; one for each worker, or none",
            "7:11: a port has 3 queues for 2 workers; at most as many queues as workers"});
    expect(dpdk("  workers: 3\n  cores: [1, 1, 4096]\n"),
           {"6:14: core 1 is given twice (the other is on line 6); a core of its own",
            "6:17: there is no core 4096; a CPU's number, from 0 to 1023"});
}

TEST(ConfigEngine, RefusesPortsThatCannotBe)
{
    expect(dpdk("  ports:\n    - {interface: eth2}\n    - {interface: eth0}\n    - {interface: "
                "eth0, device: net_null}\n    - {device: 5}\n"),
           {"6:19: 'eth2' is not one of the interfaces; add it to interfaces, or leave",
            "8:19: the interface 'eth0' has two ports (the other is on line 7); keep one",
            "9:7: a port has no key 'interface'; add interface:"});
    expect(dpdk("  ports:\n    - {interface: eth0, device: 'net_tap, x'}\n    - {interface: "
                "eth1, device: --x}\n"),
           {"6:33: 'net_tap, x' cannot be a device of DPDK's; DPDK's device arguments",
            "7:33: '--x' cannot be a device of DPDK's"});
    // Whether a port's interface is among them is not known.
    expect(
        "instance: e\ninterfaces: 5\nservices: []\nengine: dpdk\ndpdk: {ports: [{interface: "
        "a}]}\n",
        {"2:13: interfaces: found '5'"});
    expect("instance: e\ninterfaces: [a=b]\nservices: []\nengine: dpdk\n",
           {"2:14: the interface 'a=b' has '=' in its name"});
    std::string many = "instance: e\nservices: []\nengine: dpdk\ninterfaces: [p0";
    for (int i = 1; i < 17; i++) {
        many += ", p" + std::to_string(i);
    }
    expect(many + "]\n", {"4:84: there are 17 interfaces; at most 16 with engine dpdk"});
}

TEST(ConfigEngine, WantsSharedInterfacesOnTheHostAndNotThoseThatTheEngineMakes)
{
    const auto on_host = [](const std::string &ports) {
        const auto document = parse("f", dpdk("  ports:\n" + ports));
        EXPECT_TRUE(document);
        std::vector<std::string> found;
        for (const auto &problem : check_on_host(*document, {.interfaces = {{"lo", 1}}})) {
            found.push_back(problem.to_string());
        }
        return found;
    };
    EXPECT_EQ(on_host("    - {interface: eth0, device: net_tap0}\n    - {interface: eth1, "
                      "device: 0000:01:00.0}\n"),
              std::vector<std::string>{});
    EXPECT_EQ(
        on_host("    - {interface: eth0, device: net_memif}\n"),
        std::vector<std::string>{"f:2:20: this host has no interface 'eth1'; it has: lo"});
    EXPECT_EQ(on_host("    - {interface: eth0, device: net_af_xdp0}\n    - {interface: eth1, "
                      "device: net_af_packet1}\n")
                  .size(),
              2U);
}

}  // namespace
}  // namespace guideway::config
