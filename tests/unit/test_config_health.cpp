// The keys of health checks and of connections: what they mean and are refused for.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

using namespace std::chrono_literals;
using model::HealthType;

// The pool gws, used by the TCP service api, checked as `health` says. In line 9, from
// column 13 on, of a text whose services are one line.
Parts checked(const std::string &health)
{
    Parts parts;
    parts.pools = "pools:\n  - name: gws\n    health: {" + health +
                  "}\n    backends: [{name: a, address: 10.2.0.2}]\n";
    return parts;
}

model::Pool pool(const std::string &health)
{
    const auto document = parse("edge.yaml", checked(health).text());
    EXPECT_TRUE(document) << health << ": " << document.error().front().to_string();
    return document ? document->desired.pools.at(0) : model::Pool();
}

// Expects one problem, somewhere in the pool.
void refused(const std::string &health, const std::string &problem)
{
    expect(checked(health).text(), {"9:…" + problem});
}

TEST(ConfigHealth, IsNoneUnlessTheFileSaysSo)
{
    const auto document = parse("edge.yaml", Parts().text());
    ASSERT_TRUE(document);
    EXPECT_EQ(document->desired.pools[0].health, model::Health());
    EXPECT_EQ(document->desired.pools[0].health.type, HealthType::kNone);
    EXPECT_EQ(document->desired.pools[0].on_failure, model::OnFailure::kReset);
    EXPECT_EQ(pool("type: none").health, model::Health());
}

TEST(ConfigHealth, FillsInTheDefaults)
{
    model::Health expected;
    expected.type = HealthType::kTcp;
    EXPECT_EQ(pool("type: tcp").health, expected);
    EXPECT_EQ(expected.interval, 2s);
    EXPECT_EQ(expected.timeout, 1s);
    EXPECT_EQ(expected.recheck, 500ms);
    const model::Health slow = pool("type: tcp, interval: 1m").health;
    EXPECT_EQ(slow.recheck, 15s);
    EXPECT_EQ(slow.timeout, 1s);
    const model::Health fast = pool("type: tcp, interval: 150ms").health;
    EXPECT_EQ(fast.recheck, 50ms);
    EXPECT_EQ(fast.timeout, 75ms);
}

TEST(ConfigHealth, ReadsEveryKey)
{
    const model::Health read =
        pool(
            "type: https, service: api, port: 8443, path: '/a?b=1', host: 'x.example:8443', "
            "sni: y.example, verify: true, ca: /etc/ca.pem, expect_status: [200, 301-302], "
            "body: 'all: \"well\"', interval: 4s, timeout: 900ms, rise: 4, fall: 5, jitter: "
            "0, recheck: 1500ms, slow_start: 1m, panic_threshold: 30, through: direct, "
            "passive: {syn_repeats: 40, at_least: 7, window: 1m}")
            .health;
    const model::Health expected{.type = HealthType::kHttps,
                                 .service = "api",
                                 .port = 8443,
                                 .path = "/a?b=1",
                                 .host = "x.example:8443",
                                 .sni = "y.example",
                                 .verify = true,
                                 .ca_file = "/etc/ca.pem",
                                 .expect_status = {{200, 200}, {301, 302}},
                                 .body = "all: \"well\"",
                                 .interval = 4s,
                                 .timeout = 900ms,
                                 .rise = 4,
                                 .fall = 5,
                                 .jitter_percent = 0,
                                 .recheck = 1500ms,
                                 .slow_start = 1min,
                                 .panic_threshold_percent = 30,
                                 .through = model::ProbeThrough::kDirect,
                                 .passive = model::PassiveHealth{40, 7, 1min}};
    EXPECT_EQ(read, expected);
    EXPECT_EQ(pool("type: tcp, passive: {}").health.passive, model::PassiveHealth());

    Parts parts;
    parts.pools = "pools: [{name: gws, on_failure: keep, backends: []}]\n";
    EXPECT_EQ(parse("edge.yaml", parts.text())->desired.pools[0].on_failure,
              model::OnFailure::kKeep);
}

TEST(ConfigHealth, IsTheSameAfterBeingWrittenOut)
{
    for (const std::string health :
         {"type: none", "type: none, interval: 5s, sni: a.example, ca: /x, path: /y",
          "type: tcp, interval: 90s, recheck: 10s, rise: 7, jitter: 3", "type: tcp, port: 53",
          "type: tcp, interval: 90s, timeout: 1001ms, slow_start: 60m",
          "type: http, path: '/\\\"', body: 'say \"a: b # \\ c\"', host: '[2001:db8::1]:80'",
          "type: https, verify: true, host: null.example, expect_status: [599, 100-102]",
          "type: https, body: 'null', through: direct, passive: {at_least: 1}"}) {
        const auto document = parse("edge.yaml", checked(health).text());
        ASSERT_TRUE(document) << health << document.error().front().to_string();
        const auto again = parse("emitted.yaml", emit(document->desired));
        ASSERT_TRUE(again) << emit(document->desired) << again.error().front().to_string();
        EXPECT_EQ(again->desired, document->desired) << emit(document->desired);
    }
}

TEST(ConfigHealth, RefusesWhatIsNoValue)
{
    refused("path: /healthz", "health has no key 'type'; add type:");
    refused("type: icmp", "pools[0].health.type: found 'icmp'; expected one of: none, tcp");
    refused("type: grpc", "'grpc' is not yet supported; expected one of: none, tcp");
    refused("type: tcp, intervall: 2s", "unknown key 'intervall' in health; did you mean 'int");
    refused("type: tcp, rise: 2, rise: 2", "key 'rise' is given twice");
    for (const std::string value :
         {"2", "2 s", "1.5s", "-2s", "02s", "+2s", "s", "2sec", "2S", "''", "[]", "~",
          "99999999999999999999s", "1h30m", "9223372036854775807d"}) {
        refused("type: tcp, interval: " + value,
                "pools[0].health.interval: found …; expected a duration: a whole number and");
    }
    for (const std::string value : {"0", "65536", "http", "'80'", "080"}) {
        refused("type: tcp, port: " + value, "health.port: found …; expected a port from 1");
    }
    for (const std::string value : {"yes", "1", "True", "[]"}) {
        refused("type: https, host: a, verify: " + value, "expected one of: false, true");
    }
    refused("type: http, expect_status: 200", "expected a list of statuses or ranges");
    for (const std::string value : {"2xx", "200-", "-200", "200-299-", "0200", "200 - 299"}) {
        refused("type: http, expect_status: [" + value + "]",
                "health.expect_status[0]: found …; expected a status or a range of them");
    }
    refused("type: tcp, passive: {syns: 3}", "unknown key 'syns' in passive; known keys");
}

TEST(ConfigHealth, RefusesWhatIsOutOfBounds)
{
    const std::pair<std::string, std::string> cases[] = {
        {"interval: 99ms, timeout: 50ms, recheck: 50ms", "interval is 99ms; from 100ms to 1h"},
        {"interval: 61m", "interval is 61m; from 100ms to 1h"},
        {"timeout: 49ms", "timeout is 49ms; from 50ms to 1m"},
        {"timeout: 61s", "timeout is 61s; from 50ms to 1m"},
        {"recheck: 49ms", "recheck is 49ms; from 50ms to 1h"},
        {"slow_start: 2h", "slow_start is 2h; from 0s to 1h"},
        {"rise: 0", "rise is 0; from 1 to 100"},
        {"fall: 0", "fall is 0; from 1 to 100"},
        {"fall: 101", "fall is 101; from 1 to 100"},
        {"jitter: 51", "jitter is 51; from 0 to 50"},
        {"panic_threshold: 101", "panic_threshold is 101; from 0 to 100"},
        {"passive: {syn_repeats: 0}", "passive.syn_repeats is 0; from 1 to 100"},
        {"passive: {syn_repeats: 101}", "passive.syn_repeats is 101; from 1 to 100"},
        {"passive: {at_least: 0}", "passive.at_least is 0; from 1 to 1000000"},
        {"passive: {window: 999ms}", "passive.window is 999ms; from 1s to 10m"},
        {"timeout: 2s", "timeout 2s is not below the interval, 2s; a probe ends before"},
        {"recheck: 3s", "recheck 3s is above the interval, 2s; it makes probes more"},
    };
    for (const auto &[health, problem] : cases) {
        refused("type: tcp, " + health, problem);
        refused("type: none, " + health, problem);
    }
}

TEST(ConfigHealth, PromisesATimeToFindADeadBackend)
{
    refused("type: tcp, interval: 10s, timeout: 5s, fall: 1",
            "a dead backend could go unnoticed for 15s; fall times interval and a second are "
            "11s; a timeout of at most 1s, or another fall");
    refused(
        "type: tcp, interval: 10s, timeout: 9s, fall: 2",
        "a dead backend could go unnoticed for 28020ms; …are 21s; a timeout of at most 5490");
    refused("type: tcp, interval: 10s, timeout: 2s, recheck: 10s, fall: 2",
            "go unnoticed for 22s; …are 21s; a timeout of at most 1s");
    // What the hints say is right.
    pool("type: tcp, interval: 10s, timeout: 1s, fall: 1");
    pool("type: tcp, interval: 10s, timeout: 5490ms, fall: 2");
    pool("type: tcp, interval: 10s, timeout: 1s, recheck: 10s, fall: 2");
}

TEST(ConfigHealth, RefusesTextsThatFitNoRequest)
{
    for (const std::string value : {"''", "healthz", "'/a b'", "'/a#b'", "\"/a\\r\\nX: y\"",
                                    "'/\u00e4'", "'http://a/'"}) {
        refused("type: http, path: " + value, "path is …; what follows the host in a URL");
    }
    for (const std::string value :
         {"'a b'", "'a/b'", "'a:'", "'a:b'", "'a:123456'", "\"a\\r\\nX: y\"", "'::1'", "'[::1'",
          "'[10.0.0.1]'", "'-a'", "'a@b'"}) {
        refused("type: http, host: " + value, "host is …; a DNS name or an address, and");
    }
    for (const std::string value : {"10.0.0.1", "'a:1'", "'a b'", "'*'"}) {
        refused("type: https, sni: " + value, "sni is …; a DNS name, such as");
    }
    refused("type: http, body: \"a\\nb\"", "body is 'a\\x0ab'; text of printable ASCII");
    refused("type: https, host: a, verify: true, ca: ca.pem", "ca is 'ca.pem'; the absolute");
    refused("type: http, body: " + std::string(1025, 'a'), "body has 1025 bytes; at most 1024");
    pool("type: http, body: " + std::string(1024, 'a'));
    refused("type: http, expect_status: []", "expect_status has 0 entries; from 1 to 32");
    refused("type: http, expect_status: [99]", "expect_status[0] is 99-99; statuses are from");
    refused("type: http, expect_status: [200, 599-600]", "expect_status[1] is 599-600; ");
    refused("type: http, expect_status: [299-200]", "expect_status[0] is 299-200; ");
    refused("type: http, expect_status: [200-299, 204]",
            "expect_status[1] overlaps with expect_status[0]; say each status once");
}

TEST(ConfigHealth, RefusesKeysThatContradictEachOther)
{
    for (const std::string key : {"path: /x", "host: a", "body: a", "expect_status: [200]"}) {
        refused("type: tcp, " + key,
                key.substr(0, key.find(':')) +
                    " means nothing to a probe of type tcp; remove it, or take the type http");
        pool("type: http, " + key);
    }
    for (const std::string key : {"sni: a", "verify: true", "ca: /a"}) {
        refused("type: http, " + key, " means nothing to a probe of type http; …type https");
        pool("type: none, " + key);
    }
    refused("type: https, ca: /a", "ca is given, but certificates are not checked; add verify");
    refused("type: https, verify: true", "there is no name to check certificates against; giv");
    refused("type: https, verify: true, host: '10.0.0.1:443'", "there is no name to check");
    refused("type: https, verify: true, host: '[::1]'", "there is no name to check");
    EXPECT_EQ(server_name(pool("type: https, verify: true, host: 'a.example:1'").health),
              "a.example");
    EXPECT_EQ(server_name(pool("type: https, sni: b, host: a.example").health), "b");
}

// The pools gws and other, of three services: dns (UDP) and api (TCP) use gws, web other.
Parts with_services(const std::string &health)
{
    Parts parts = checked(health);
    parts.services =
        "services:\n"
        "  - {name: dns, listen: 'udp://203.0.113.10:53', pool: gws}\n"
        "  - {name: api, listen: 'tcp://203.0.113.10:443', pool: gws}\n"
        "  - {name: web, listen: 'tcp://203.0.113.11:80', pool: other}\n";
    parts.pools += "  - {name: other, backends: []}\n";
    return parts;
}

TEST(ConfigHealth, ProbesTheFirstTcpServiceOrTheOneThatIsNamed)
{
    const auto probed = [](const Parts &parts) -> std::string {
        const auto document = parse("edge.yaml", parts.text());
        EXPECT_TRUE(document) << document.error().front().to_string();
        const model::Pool &pool = document->desired.pools[0];
        const model::Service *service = probed_service(document->desired, pool);
        return service == nullptr
                   ? "none"
                   : service->name + " " + std::to_string(probed_port(pool.health, *service));
    };
    EXPECT_EQ(probed(with_services("type: tcp")), "api 443");
    EXPECT_EQ(probed(with_services("type: tcp, port: 8080")), "api 8080");
    EXPECT_EQ(probed(with_services("type: tcp, service: api")), "api 443");
    EXPECT_EQ(probed(with_services("type: tcp, service: dns, port: 53")), "dns 53");
    Parts unused = checked("type: tcp");
    unused.services = "services: []\n";
    EXPECT_EQ(probed(unused), "none");

    expect(with_services("type: tcp, service: dns").text(),
           {"11:13: probes of pool 'gws' have no port: service 'dns' is not TCP; give port:"});
    expect(with_services("type: tcp, service: nope").text(),
           {"11:34: service 'nope' is not defined; services of pool 'gws' are: dns, api"});
    expect(with_services("type: tcp, service: web").text(),
           {"11:34: service 'web' does not use pool 'gws' but 'other'; services of pool 'gws' "
            "are: dns, api"});
    unused = checked("type: tcp, service: api");
    unused.services = "services: []\n";
    expect(unused.text(),
           {"8:34: service 'api' is not defined; no service uses the pool; remo"});
    unused.services = "services: 1\n";  // not reported twice
    expect(unused.text(), {"5:11: services: found '1'"});
}

TEST(ConfigHealth, BoundsTheProbesOfAllPools)
{
    Parts parts = with_services("type: tcp, interval: 100ms");
    parts.top += "capacity: {backends: 1024}\n";
    const auto many = [](const std::string &name, int count, int third) {
        std::string text =
            "  - name: " + name + "\n    health: {type: tcp, interval: 100ms}\n    backends:\n";
        for (int i = 0; i < count; i++) {
            text += "      - {name: b" + std::to_string(i) + ", address: 10." +
                    std::to_string(third) + "." + std::to_string(i / 200) + "." +
                    std::to_string(1 + i % 200) + "}\n";
        }
        return text;
    };
    parts.pools = "pools:\n" + many("gws", 250, 2) + many("other", 250, 3);
    expect(parts.text(), {});
    parts.pools = "pools:\n" + many("gws", 250, 2) + many("other", 251, 3);
    expect(parts.text(),
           {"265:35: the backends of all pools would get 5010 probes a second; at "
            "most 5000; raise the interval"});
    parts.pools = "pools:\n" + many("gws", 250, 2) + many("unused", 251, 3) +
                  "  - {name: other, backends: []}\n";
    expect(parts.text(), {});
}

TEST(ConfigHealth, MistakesAreNotReportedTwice)
{
    expect(checked("type: udp, service: nope, path: x").text(),
           {"9:20: pools[0].health.type: 'udp' is not yet supported"});
    refused("type: tcp, interval: soon, recheck: 3s, timeout: 10s", "found 'soon'");
    refused("type: http, expect_status: [2xx]", "found '2xx'");
}

TEST(ConfigConnections, AreBounded)
{
    const auto with = [](const std::string &connections) {
        return "instance: e\ninterfaces: [eth0]\nservices: []\nconnections: {" + connections +
               "}\n";
    };
    expect(with(""), {});
    expect(with("learning_period: 1s"), {});
    expect(with("learning_period: 1d, idle_timeout: 7d"), {});
    expect(with("learning_period: 999ms"), {"4:32: learning_period is 999ms; from 1s to 1d"});
    expect(with("learning_period: 86401s, idle_timeout: 7d"),
           {"4:32: learning_period is 86401s; from 1s to 1d"});
    expect(with("idle_timeout: 8d"), {"4:29: idle_timeout is 8d; at most 7d"});
    expect(with("idle_timeout: 14m"),
           {"4:29: idle_timeout 14m is below learning_period, 15m; at "
            "least learning_period: a connection must not be forgotten while"});
    expect(with("learning_period: 16m"), {"4:14: idle_timeout 15m is below learning_period"});
    expect(with("learning_period: x, idle_timeout: 1s"),
           {"4:32: connections.learning_period: found 'x'; expected a duration"});
    expect(with("timeout: 1s"),
           {"4:15: unknown key 'timeout' in connections; …known keys: le"});
}

TEST(ConfigAffinity, FitsTheProtocol)
{
    const auto affinity = [](const std::string &protocol,
                             const std::string &rest) -> std::optional<model::Affinity> {
        Parts parts;
        parts.services = service("listen: '" + protocol + "://203.0.113.10:443'" + rest);
        const auto document = parse("edge.yaml", parts.text());
        if (!document) {
            return std::nullopt;
        }
        const auto again = parse("emitted.yaml", emit(document->desired));
        EXPECT_TRUE(again && again->desired == document->desired);
        return document->desired.services[0].affinity;
    };
    EXPECT_EQ(affinity("tcp", ""), model::Affinity::kConnection);
    EXPECT_EQ(affinity("tcp", ", affinity: connection"), model::Affinity::kConnection);
    EXPECT_EQ(affinity("udp", ""), model::Affinity::kNone);
    EXPECT_EQ(affinity("udp", ", affinity: none"), model::Affinity::kNone);
    EXPECT_EQ(affinity("udp", ", affinity: flow"), model::Affinity::kFlow);
    const auto refuse = [](const std::string &listen, const std::string &value,
                           const std::string &problem) {
        Parts parts;
        parts.services = service("listen: '" + listen + "', affinity: " + value);
        expect(parts.text(), {problem});
    };
    refuse("tcp://203.0.113.10:443", "flow",
           "6:72: this affinity is not one of TCP services; connection, the only one of TCP");
    refuse("tcp://203.0.113.10:443", "none", "6:72: this affinity is not one of TCP services");
    refuse("udp://203.0.113.10:443", "connection",
           "6:72: this affinity is not one of UDP services; none or flow");
    refuse("tcp://203.0.113.10:443", "session", "6:72: services[0].affinity: found 'session'");
    refuse("quic://203.0.113.10:443", "flow", "6:36: services[0].listen: found");
}

}  // namespace
}  // namespace guideway::config
