// Configurations whose values are each fine and do not go together, or exceed a bound.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

// Two services, of which `rest` are the keys beside name and pool.
std::string two_services(const std::string &first, const std::string &second,
                         const std::string &name = "second")
{
    return "services:\n  - {name: api, pool: gws, " + first + "}\n  - {name: " + name +
           ", pool: gws, " + second + "}\n";
}

TEST(ConfigClashes, NamesThatAreNone)
{
    for (const std::string &name :
         {std::string("''"), std::string("-a"), std::string(".a"), std::string("a b"),
          std::string("a/b"), std::string("é"), std::string("'a\nb'"), std::string(64, 'a')}) {
        Parts parts;
        parts.top = "instance: " + name + "\ninterfaces: [eth0]\n";
        if (name.find('\n') == std::string::npos) {
            expect(parts.text(),
                   {"1:11: '…' is not a name for an instance; names are up to 63"});
        }
        parts = {};
        parts.services = "services:\n  - {name: " + name +
                         ", listen: 'tcp://203.0.113.10:443', pool: gws}\n";
        expect(parts.text(), {"6:12: '…' is not a name for a service; names are up to 63"});
    }
    Parts parts;
    parts.top = "instance: " + std::string(63, 'a') + "\ninterfaces: [eth0]\n";
    expect(parts.text(), {});
    // The BPF file system refuses directories with a dot in their names.
    parts.top = "instance: edge.1\ninterfaces: [eth0]\n";
    expect(parts.text(), {"1:11: 'edge.1' is not a name for an instance; names are up to 63 "
                          "letters, digits, '_' or '-', beginning with a letter or digit; no "
                          "'.', which the BPF file system"});
    parts = {};
    parts.services =
        "services:\n  - {name: api.v1, listen: 'tcp://203.0.113.10:443', pool: gws}\n";
    expect(parts.text(), {});
    expect(
        "instance: e\ninterfaces: [eth0]\nservices: []\npools:\n  - {name: a b, backends: "
        "[{name: c d, address: 10.2.0.2}]}\n",
        {"5:12: 'a b' is not a name for a pool", "5:35: 'c d' is not a name for a backend"});
}

TEST(ConfigClashes, InterfacesThatLinuxDoesNotHave)
{
    expect("instance: e\ninterfaces: []\nservices: []\n",
           {"2:13: no interface is given; name the interfaces"});
    expect(
        "instance: e\ninterfaces: [a234567890123456, 'a b', a/b, .., '', eth0, eth0, 'a:b', "
        "ä]\nservices: []\n",
        {"2:14: 'a234567890123456' is not a name for an interface; 1 to 15",
         "2:32: 'a b' is not a name", "2:39: 'a/b' is not a name", "2:44: '..' is not a name",
         "2:48: '' is not a name",
         "2:58: interface 'eth0' is given twice (the other is on line 2)",
         "2:64: 'a:b' is not a name", "2:71: 'ä' is not a name"});
    expect("instance: e\ninterfaces: [a23456789012345, eth0.100, 'v@h#1\"\\']\nservices: []\n",
           {});
}

TEST(ConfigClashes, NamesThatAreUsedTwice)
{
    Parts parts;
    parts.services = two_services("listen: 'tcp://203.0.113.10:443'",
                                  "listen: 'tcp://203.0.113.10:80'", "api");
    parts.pools = backends({"name: gw-a, address: 10.2.0.2", "name: gw-a, address: 10.2.0.3"}) +
                  "  - {name: gws, backends: []}\n";
    expect(parts.text(),
           {"7:12: two services are named 'api' (the other is on line 6); give each",
            "12:16: pool 'gws' has two backends named 'gw-a' (the other is on line 11)",
            "13:12: two pools are named 'gws' (the other is on line 9)"});
}

TEST(ConfigClashes, BackendsOfOnePoolWithOneAddress)
{
    Parts parts;
    parts.pools = backends(
        {"name: gw-a, address: '2001:db8:2::2'", "name: gw-b, address: '2001:0db8:2:0::0002'"});
    expect(parts.text(),
           {"11:31: pool 'gws' has two backends with the address 2001:db8:2::2 (the "
            "other is on line 10); a backend is known by its address"});
    // In two pools it may stand.
    parts.pools = backends({"name: gw-a, address: 10.2.0.2"}) +
                  "  - {name: other, backends: [{name: gw-a, address: 10.2.0.2}]}\n";
    expect(parts.text(), {});
}

TEST(ConfigClashes, ServicesThatListenOnTheSame)
{
    Parts parts;
    parts.services =
        two_services("listen: 'tcp://203.0.113.10:443'", "listen: 'tcp://203.0.113.10:443'");
    expect(parts.text(),
           {"7:39: two services listen on tcp://203.0.113.10:443 (the other is on "
            "line 6); a service needs an address, protocol and port of its own"});
    for (const std::string other :
         {"udp://203.0.113.10:443", "tcp://203.0.113.11:443", "tcp://203.0.113.10:444"}) {
        parts.services =
            two_services("listen: 'tcp://203.0.113.10:443'", "listen: '" + other + "'");
        expect(parts.text(), {});
    }
}

TEST(ConfigClashes, ServicesOfOneAddressThatDisagreeOnTheRest)
{
    Parts parts;
    parts.services = two_services("listen: 'tcp://203.0.113.10:443'",
                                  "listen: 'udp://203.0.113.10:53', unmatched: pass");
    expect(parts.text(),
           {"7:75: services 'api' and 'second' share the address 203.0.113.10 but "
            "disagree on unmatched (the other is on line 6)"});
    parts.services = two_services("listen: 'tcp://203.0.113.10:443', unmatched: pass",
                                  "listen: 'udp://203.0.113.11:53'");
    expect(parts.text(), {});
}

TEST(ConfigClashes, PoolsThatAreNotDefined)
{
    Parts parts;
    parts.services = "services:\n  - {name: api, listen: 'tcp://203.0.113.10:443', pool: gw}\n";
    expect(parts.text(), {"6:57: pool 'gw' is not defined; defined are: gws"});
    parts.pools = "";
    expect(parts.text(), {"6:57: pool 'gw' is not defined; define it under pools"});
    parts.pools = "pools: 5\n";  // not both
    expect(parts.text(), {"7:8: pools: found '5'"});
}

TEST(ConfigClashes, PoolsThatNoServiceUsesAreFine)
{
    Parts parts;
    parts.source = "tunnel_source: 10.1.0.2\n";
    parts.pools += "  - {name: spare, backends: [{name: a, address: '2001:db8:2::2'}]}\n";
    expect(parts.text(), {});
    parts.services = "services: []\n";
    expect(parts.text(), {});
}

TEST(ConfigClashes, BackendsThatAreServices)
{
    Parts parts;
    parts.pools = backends({"name: gw-a, address: 203.0.113.10"});
    expect(parts.text(),
           {"10:31: backend address 203.0.113.10 is a service address (the other is "
            "on line 6); tunnelled packets would come back here"});
}

TEST(ConfigClashes, TunnelSourcesThatAreSomethingElse)
{
    Parts parts;
    parts.source = "tunnel_source: 203.0.113.10\n";
    expect(parts.text(), {"5:25: service address 203.0.113.10 is a source of tunnelled packets "
                          "(the other is on line 3)"});
    parts.source = "tunnel_source: 203.0.113.0/24\n";
    expect(parts.text(),
           {"5:25: service address 203.0.113.10 is a source of tunnelled packets"});
    parts.source = "tunnel_source: 10.2.0.2\n";
    expect(parts.text(), {"9:31: backend address 10.2.0.2 is a source of tunnelled packets"});
    parts.source = "tunnel_source: 10.2.0.0/16\n";
    expect(parts.text(), {"9:31: backend address 10.2.0.2 is a source of tunnelled packets"});
    parts.source = "tunnel_source: 10.1.0.0/16\n";
    expect(parts.text(), {});
}

TEST(ConfigClashes, TunnelSourcesThatAreMissing)
{
    Parts parts;
    parts.source = "";
    expect(parts.text(),
           {"8:31: backend address 10.2.0.2 needs tunnel_source, which is not given"});
    parts.pools = backends({"name: gw-a, address: '2001:db8:2::2'"});
    parts.source = "tunnel_source: 10.1.0.2\n";
    expect(parts.text(),
           {"9:31: backend address 2001:db8:2::2 needs tunnel_source6, which is not given"});
    parts.source = "tunnel_source6: 2001:db8:1::2\n";
    expect(parts.text(), {});
    parts.source = "tunnel_source6: nonsense\n";  // not both
    expect(parts.text(), {"3:17: tunnel_source6: found 'nonsense'"});
}

TEST(ConfigClashes, TunnelSourcesOfTheWrongKind)
{
    struct Case {
        std::string source, problem;
    };
    const Case cases[] = {
        {"tunnel_source: 10.1.0.2/16", "3:16: …bits set beyond its prefix; write 10.1.0.0/16"},
        {"tunnel_source: 8.0.0.0/7",
         "3:16: tunnel source 8.0.0.0/7 is too wide; a prefix length"},
        {"tunnel_source: 10.1.0.0/33", "3:16: tunnel_source: found"},
        {"tunnel_source: 10.1.0.0/", "3:16: tunnel_source: found"},
        {"tunnel_source: 10.1.0.0/-1", "3:16: tunnel_source: found"},
        {"tunnel_source: 10.1.0.0/08", "3:16: tunnel_source: found"},
        {"tunnel_source6: 10.1.0.2", "4:17: tunnel source 10.1.0.2 is not IPv6"},
        {"tunnel_source6: '2001:db8::/64'",
         "4:17: the IPv6 tunnel source is a prefix; give one"},
        {"tunnel_source: '2001:db8::1'", "3:16: tunnel source 2001:db8::1 is not IPv4"},
    };
    for (const Case &c : cases) {
        Parts parts;
        parts.source = c.source + "\n";
        if (c.source.starts_with("tunnel_source6")) {
            parts.source = "tunnel_source: 10.1.0.2\n" + parts.source;
        }
        if (c.problem.find("found") == std::string::npos &&
            c.source.find("2001:db8::1") == std::string::npos) {
            expect(parts.text(), {c.problem});
        } else {
            EXPECT_TRUE(problems(parts.text()).at(0).starts_with("edge.yaml:" + c.problem))
                << problems(parts.text()).at(0);
        }
    }
}

TEST(ConfigClashes, RingsOfTheWrongSize)
{
    const auto with_ring = [](const std::string &size) {
        Parts parts;
        parts.services = service("listen: 'tcp://203.0.113.10:443', ring_size: " + size);
        return parts.text();
    };
    expect(with_ring("65536"), {"6:73: ring_size 65536 is not a prime; a prime number of "
                                "slots, such as 65521 or 65537"});
    expect(with_ring("0"),
           {"6:73: ring_size 0 is not a prime; a prime number of slots, such as 2"});
    expect(with_ring("67108879"), {"6:73: ring_size 67108879 is too large; …such as 67108859",
                                   "6:73: 67108879 ring slots exceed capacity.ring_slots"});
    expect(with_ring("2"), {});
    Parts parts;
    parts.services = service("listen: 'tcp://203.0.113.10:443', ring_size: 5");
    parts.pools = backends({"name: a, address: 10.2.0.2", "name: b, address: 10.2.0.3",
                            "name: c, address: 10.2.0.4"});
    expect(parts.text(),
           {"6:73: a ring of 5 slots is too small for the 3 backends of pool 'gws'; "
            "at least 2 slots for each backend"});
}

TEST(ConfigClashes, CapacitiesOutOfBounds)
{
    const auto with_capacity = [](const std::string &key, const std::string &value) {
        return "instance: e\ninterfaces: [eth0]\nservices: []\ncapacity:\n  " + key + ": " +
               value + "\n";
    };
    struct Case {
        std::string key, good, bad, rule;
    };
    const Case cases[] = {{"addresses", "4096", "4097", "from 1 to 4096"},
                          {"services", "4096", "8192", "a power of two from 1 to 4096"},
                          {"services", "1", "3", "a power of two from 1 to 4096"},
                          {"backends", "8192", "16384", "a power of two from 1 to 8192"},
                          {"backends", "1", "1000", "a power of two from 1 to 8192"},
                          {"ring_slots", "67108864", "67108865", "from 1 to 67108864"},
                          {"pins", "1024", "512", "a power of two from 1024 to 33554432"},
                          {"pins", "33554432", "1048577", "a power of two from 1024 to "},
                          {"pins", "2048", "67108864", "a power of two from 1024 to "},
                          {"sources", "1024", "512", "a power of two from 1024 to 33554432"},
                          {"sources", "33554432", "67108864", "a power of two from 1024 to"},
                          {"sources", "2048", "3000", "a power of two from 1024 to 33554432"},
                          {"prefixes", "1024", "1023", "from 1024 to 2097152"},
                          {"prefixes", "2097152", "2097153", "from 1024 to 2097152"}};
    for (const auto &[key, good, bad, rule] : cases) {
        const std::string column = std::to_string(5 + key.size());
        expect(with_capacity(key, good), {});
        expect(with_capacity(key, bad),
               {"5:" + column + ": capacity." + key + " is " + bad + "; " + rule});
        expect(with_capacity(key, "0"),
               {"5:" + column + ": capacity." + key + " is 0; " + rule});
    }
    expect(with_capacity("slots", "1"), {"5:3: unknown key 'slots' in capacity"});
}

TEST(ConfigClashes, MoreThanTheTablesHold)
{
    Parts parts;
    parts.top += "capacity: {addresses: 1, services: 1, backends: 1, ring_slots: 100000}\n";
    parts.services =
        two_services("listen: 'tcp://203.0.113.10:443'", "listen: 'tcp://203.0.113.11:443'");
    parts.pools = backends({"name: a, address: 10.2.0.2", "name: b, address: 10.2.0.3"});
    expect(parts.text(),
           {"8:5: 2 services exceed capacity.services, which is 1; raise capacity.services",
            "8:5: 131074 ring slots exceed capacity.ring_slots, which is 100000",
            "8:39: 2 service addresses exceed capacity.addresses, which is 1",
            "13:9: 2 backends exceed capacity.backends, which is 1"});
}

TEST(ConfigClashes, WeightsAndKeysOutOfBounds)
{
    Parts parts;
    parts.pools = backends({"name: gw-a, address: 10.2.0.2, weight: 10000"});
    expect(parts.text(), {});
    parts.pools = backends({"name: gw-a, address: 10.2.0.2, weight: 10001"});
    expect(parts.text(), {"10:49: weight 10001 is too large; from 0 (no new flows) to 10000"});
    parts = {};
    parts.top += "hash_key: '" + std::string(48, '0') + std::string(16, 'a') + "'\n";
    expect(parts.text(), {"3:11: the hash key has a 64-bit word of zeros"});
    for (const std::string &key :
         {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'g'),
          std::string(62, 'a') + "+1", std::string(62, 'a') + " 1"}) {
        parts = {};
        parts.top += "hash_key: '" + key + "'\n";
        expect(parts.text(), {"3:11: hash_key: not a key; expected 64 hexadecimal digits"});
        EXPECT_EQ(problems(parts.text())[0].find("aaaa"), std::string::npos)
            << "it is a secret";
    }
}

TEST(ConfigClashes, AllAreReportedInTheOrderOfTheText)
{
    Parts parts;
    parts.top = "instance: a b\ninterfaces: []\nxyzzy: 1\n";
    parts.services = service("listen: 'tcp://127.0.0.1:443', ring_size: 8, unmatched: maybe");
    parts.pools = backends({"name: gw-a, address: 10.2.0.2.5, weight: many"});
    expect(parts.text(),
           {"1:11: 'a b' is not a name", "2:13: no interface is given",
            "3:1: unknown key 'xyzzy'", "7:36: service address 127.0.0.1",
            "7:70: ring_size 8 is not a prime", "7:84: services[0].unmatched: found 'maybe'",
            "11:31: pools[0].backends[0].address: found",
            "11:51: pools[0].backends[0].weight: f"});
}

}  // namespace
}  // namespace guideway::config
