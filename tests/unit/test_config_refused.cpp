// What a configuration is refused for: each case is a text and the problems it brings.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

TEST(ConfigRefused, NothingOfAValidFile)
{
    expect(Parts().text(), {});
}

TEST(ConfigRefused, TextsThatAreNoConfiguration)
{
    expect("", {"1:1: the configuration is empty; at least"});
    expect("# only a comment\n", {"1:1: the configuration is empty"});
    expect("hello",
           {"1:1: the document: found 'hello'; expected a map with the keys instance,"});
    expect("- a\n", {"1:1: the document: found a list"});
}

TEST(ConfigRefused, KeysThatAreMissing)
{
    expect("instance: e\n", {"1:1: the configuration has no key 'interfaces'; add",
                             "1:1: the configuration has no key 'services'; add"});
    expect("instance: e\ninterfaces: [eth0]\nservices:\n  - {}\npools:\n  - {}\n",
           {"4:5: a service has no key 'name'", "4:5: a service has no key 'listen'",
            "4:5: a service has no key 'pool'", "6:5: a pool has no key 'name'",
            "6:5: a pool has no key 'backends'"});
    Parts parts;
    parts.pools = backends({"weight: 1"});
    expect(parts.text(),
           {"10:9: a backend has no key 'name'", "10:9: a backend has no key 'address'"});
}

TEST(ConfigRefused, UnknownKeys)
{
    Parts parts;
    parts.top += "intreface: [eth1]\n";
    parts.services = service("listen: 'tcp://203.0.113.10:443', Ring_size: 13, xyzzy: 1");
    parts.pools = backends({"name: a, address: 10.2.0.2, wieght: 3, 'a\\n': 1, \"\\n\": 2"});
    expect(
        parts.text(),
        {"3:1: unknown key 'intreface' in the configuration; did you mean 'interfaces'? known "
         "keys: instance, interfaces, engine, xdp_mode,",
         "7:62: unknown key 'Ring_size' in a service; did you mean 'ring_size'? known keys: "
         "name, listen, forwarding, pool, ring_size, unmatched",
         "7:77: unknown key 'xyzzy' in a service; known keys: name, listen",
         "11:38: unknown key 'wieght' in a backend; did you mean 'weight'? known keys: name, "
         "address, weight",
         "11:49: unknown key 'a\\n'", "11:59: unknown key '\\x0a'"});
}

TEST(ConfigRefused, WhatIsNotYetSupported)
{
    Parts parts;
    parts.top += "admission: {}\nannounce: arp\n";
    parts.source = "deny: [10.0.0.0/8]\n";
    parts.services = service(
        "listen: 'tcp://203.0.113.10:443', forwarding: gue, health: {}, on_failure: keep");
    parts.pools =
        "pools:\n  - name: gws\n    health: {type: grpc}\n    affinity: flow\n    backends: "
        "[]\n";
    expect(parts.text(),
           {"3:1: 'admission' is a key of services; move it to the services",
            "4:1: 'announce' is not yet supported; remove it",
            "5:1: 'deny' is not a key of files; remove it; use guideway deny",
            "7:74: services[0].forwarding: 'gue' is not yet supported; expected "
            "one of: ipip",
            "7:79: 'health' is a key of pools; move it to the service's pool",
            "7:91: 'on_failure' is a key of pools; move it to the service's pool",
            "10:20: pools[0].health.type: 'grpc' is not yet supported; expected one of: none",
            "11:5: 'affinity' is a key of services; move it to the services"});
    for (const std::string value : {"l2", "nat"}) {
        parts = {};
        parts.services = service("listen: 'tcp://203.0.113.10:443', forwarding: " + value);
        expect(parts.text(), {"6:74: services[0].forwarding: '" + value + "' is not yet supp"});
    }
}

TEST(ConfigRefused, ValuesOfTheWrongType)
{
    expect(
        "instance: [a]\ninterfaces: eth0\nengine: xpd\nxdp_mode: [native]\n"
        "tunnel_source: 10.1.0\ntunnel_source6: {a: b}\nhash_key: 00ff\ncapacity: 5\n"
        "services: {}\npools: none\n",
        {"1:11: instance: found a list; expected a name",
         "2:13: interfaces: found 'eth0'; expected a list of interfaces",
         "3:9: engine: found 'xpd'; did you mean 'xdp'? expected one of: xdp, dpdk",
         "4:11: xdp_mode: found a list; expected one of: native, generic",
         "5:16: tunnel_source: found '10.1.0'; expected an IPv4 address or prefix, such as",
         "6:17: tunnel_source6: found a map; expected an IPv6 address",
         "7:11: hash_key: not a key; expected 64 hexadecimal digits",
         "8:11: capacity: found '5'; expected a map with the keys addresses, services,",
         "9:11: services: found a map; expected a list of services, or []",
         "10:8: pools: found 'none'; expected a list of pools"});
    expect(
        "instance: e\ninterfaces: [{a: b}]\nservices: [3]\npools: [[], {name: p, backends: "
        "1}]\n",
        {"2:14: interfaces[0]: found a map; expected the name of an interface",
         "3:12: services[0]: found '3'; expected a map with the keys name, listen,",
         "4:9: pools[0]: found a list; expected a map with the keys name, backends",
         "4:33: pools[1].backends: found '1'; expected a list of backends, or [] for none"});
}

TEST(ConfigRefused, ValuesThatAreNotWritten)
{
    expect("instance:\ninterfaces: ~\nservices:\n  - name: api\n    listen:\n    pool:\n",
           {"1:1: instance: found nothing; expected a name",
            "2:1: interfaces: found nothing; expected a list",
            "5:5: services[0].listen: found nothing; expected PROTOCOL://ADDRESS:PORT",
            "6:5: services[0].pool: found nothing; expected the name of a pool"});
}

TEST(ConfigRefused, NumbersThatAreNone)
{
    for (const std::string value : {"-1", "1.0", "1e3", "0x10", "0100", "'100'",
                                    "99999999999999999999", "+5", "5 6", "[5]"}) {
        Parts parts;
        parts.pools = backends({"name: gw-a, address: 10.2.0.2, weight: " + value});
        expect(parts.text(),
               {"10:49: pools[0].backends[0].weight: found …expected a number from 0"});
    }
}

TEST(ConfigRefused, KeysThatAreGivenTwice)
{
    Parts parts;
    parts.top += "instance: edge-2\n";
    parts.services = service("listen: 'tcp://203.0.113.10:443', name: api");
    expect(parts.text(),
           {"3:1: key 'instance' is given twice; keep one; the first is on line 1",
            "7:62: key 'name' is given twice; keep one; the first is on line 7"});
}

TEST(ConfigRefused, ListenAddressesThatAreNone)
{
    struct Case {
        std::string listen, problem;
    };
    const Case cases[] = {
        {"203.0.113.10:443",
         "found '203.0.113.10:443'; expected PROTOCOL://ADDRESS:PORT, such as tcp"},
        {"TCP://203.0.113.10:443", "found …expected PROTOCOL"},
        {"sctp://203.0.113.10:443", "found …expected PROTOCOL"},
        {"tcp://203.0.113.10", "found …expected a port at the end of"},
        {"tcp://[2001:db8::1]", "found …expected a port at the end of"},
        {"tcp://203.0.113.10:", "found …expected a port from 1 to 65535"},
        {"tcp://203.0.113.10:0", "found …expected a port from 1 to 65535"},
        {"tcp://203.0.113.10:65536", "found …expected a port from 1 to 65535"},
        {"tcp://203.0.113.10:-1", "found …expected a port from 1 to 65535"},
        {"tcp://203.0.113.10:0443", "found …expected a port from 1 to 65535"},
        {"tcp://203.0.113.10:443/x", "found …expected a port from 1 to 65535"},
        {"tcp://2001:db8::1:443",
         "found …expected an IPv4 address, or an IPv6 address in brackets"},
        {"tcp://[203.0.113.10]:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://[]:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://api.example.net:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://203.0.113.010:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://203.0.113.10/32:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://[::ffff:203.0.113.10]:443", "found …expected an IPv4 address, or an IPv6"},
        {"tcp://[fe80::1%eth0]:443", "found …expected an IPv4 address, or an IPv6"},
    };
    for (const Case &c : cases) {
        Parts parts;
        parts.services = service("listen: '" + c.listen + "'");
        expect(parts.text(), {"6:36: services[0].listen: " + c.problem});
    }
}

TEST(ConfigRefused, AddressesThatNothingCanServe)
{
    struct Case {
        std::string address, kind;
    };
    const Case cases[] = {{"0.0.0.0", "unspecified"},   {"0.1.2.3", "unspecified"},
                          {"127.0.0.1", "loopback"},    {"224.0.0.1", "multicast"},
                          {"239.255.0.1", "multicast"}, {"255.255.255.255", "broadcast"},
                          {"::", "unspecified"},        {"::1", "loopback"},
                          {"ff02::1", "multicast"},     {"fe80::1", "link-local"}};
    for (const auto &[address, kind] : cases) {
        const bool is_ipv6 = address.find(':') != std::string::npos;
        Parts parts;
        parts.services =
            service("listen: 'tcp://" + (is_ipv6 ? "[" + address + "]" : address) + ":443'");
        expect(parts.text(),
               {"6:36: service address " + address + " is a" +
                (kind == "unspecified" ? "n " : " ") + kind + " address; give a"});
        parts = {};
        parts.pools = backends({"name: gw-a, address: '" + address + "'"});
        expect(parts.text(),
               {"10:31: backend address " + address + " is a" +
                (kind == "unspecified" ? "n " : " ") + kind + " address; give a"});
        parts = {};
        parts.source = "tunnel_source: 10.1.0.2\ntunnel_source6: 2001:db8:1::2\n";
        const std::string key = is_ipv6 ? "tunnel_source6" : "tunnel_source";
        parts.source =
            (is_ipv6 ? "tunnel_source: 10.1.0.2\n" : "") + key + ": '" + address + "'\n";
        expect(parts.text(), {std::string(is_ipv6 ? "4:17" : "3:16") + ": tunnel source " +
                              address + " is a" + (kind == "unspecified" ? "n " : " ") + kind});
    }
}

}  // namespace
}  // namespace guideway::config
