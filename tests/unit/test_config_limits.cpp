// Limits and admission in configurations: what is read, what is refused and where, and what is
// written back.
#include <gtest/gtest.h>

#include <string>

#include "control/model/validate.hpp"
#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

constexpr std::string_view kTcp = "listen: 'tcp://203.0.113.10:443'";
constexpr std::string_view kUdp = "listen: 'udp://203.0.113.10:53'";
constexpr std::string_view kTcp6 = "listen: 'tcp://[2001:db8::10]:443'";

// Of one service, whose keys stand on a line each from column 5: 6-8, `keys` from 9 on.
std::string with_service(std::string_view listen, const std::string &keys,
                         const std::string &top = "")
{
    Parts parts;
    parts.services =
        "services:\n  - name: api\n    pool: gws\n    " + std::string(listen) + "\n" + keys;
    parts.pools += top;
    return parts.text();
}

// With one limit, on line 10, from column 9.
std::string with_limit(const std::string &limit, std::string_view listen = kTcp)
{
    return with_service(listen, "    limits:\n      - {" + limit + "}\n");
}

std::string with_limits(const std::vector<std::string> &limits, std::string_view listen = kTcp)
{
    std::string keys = "    limits:\n";
    for (const std::string &limit : limits) {
        keys += "      - {" + limit + "}\n";
    }
    return with_service(listen, keys);
}

std::string with_admission(const std::string &admission, std::string_view listen = kTcp)
{
    return with_service(listen, "    admission: " + admission + "\n");
}

model::Desired read(const std::string &text)
{
    const auto document = parse("edge.yaml", text);
    EXPECT_TRUE(document) << document.error().at(0).to_string() << "\n" << text;
    return document ? document->desired : model::Desired();
}

model::Limit read_limit(const std::string &limit, std::string_view listen = kTcp)
{
    const model::Desired desired = read(with_limit(limit, listen));
    const bool is_there =
        desired.services.size() == 1 && desired.services[0].limits.size() == 1;
    EXPECT_TRUE(is_there) << limit;
    return is_there ? desired.services[0].limits[0] : model::Limit();
}

TEST(ConfigLimits, AreReadWithTheirDefaults)
{
    using enum model::LimitOf;
    constexpr auto kCount = model::Rate::Unit::kCount;
    EXPECT_EQ(read_limit("per: source, of: new_connections, rate: 100/m, burst: 20"),
              (model::Limit{.name = "new_connections",
                            .per = {32, 64},
                            .of = kNewConnections,
                            .rate = {100, kCount, 60},
                            .burst = 20,
                            .mode = model::LimitMode::kDrop}));
    EXPECT_EQ(read_limit("name: hourly, per: source/24, of: packets, rate: 1000/h, "
                         "mode: observe"),
              (model::Limit{.name = "hourly",
                            .per = {24, 64},
                            .of = kPackets,
                            .rate = {1000, kCount, 3600},
                            .burst = 1,
                            .mode = model::LimitMode::kObserve}));
    EXPECT_EQ(read_limit("rate: '1Gbit/s', mode: drop, of: bytes, per: {ipv6: 56}", kUdp),
              (model::Limit{.name = "bytes-32-56",
                            .per = {32, 56},
                            .of = kBytes,
                            .rate = {1'000'000'000, model::Rate::Unit::kBits, 1},
                            .burst = 125'000'000,
                            .mode = model::LimitMode::kDrop}));
    // The bits are those of the service's family.
    EXPECT_EQ(read_limit("per: source/48, of: packets, rate: 1/s", kTcp6).per,
              (model::SourceBits{32, 48}));
    EXPECT_EQ(read_limit("per: source/128, of: packets, rate: 1/s", kTcp6).name, "packets-128");
    EXPECT_EQ(read_limit("per: {ipv4: 1, ipv6: 1}, of: packets, rate: 1/s", kTcp6).per,
              (model::SourceBits{1, 1}));
    EXPECT_EQ(read_limit("per: source, of: bytes, rate: 1B/s, burst: 1B").burst, 1U);
    EXPECT_EQ(read_limit("per: source, of: bytes, rate: 1B/s").burst, 65'536U);
}

TEST(ConfigLimits, ComeBeforeTheAddressWhoseBitsTheyCount)
{
    const model::Desired desired = read(
        "instance: e\ninterfaces: [eth0]\ntunnel_source: 10.1.0.2\nservices:\n  - {limits: "
        "[{per: source/100, of: packets, rate: 1/s}], name: api, pool: p, listen: "
        "'tcp://[2001:db8::10]:443'}\npools: [{name: p, backends: []}]\n");
    ASSERT_EQ(desired.services.size(), 1U);
    EXPECT_EQ(desired.services[0].limits.at(0).per, (model::SourceBits{32, 100}));
}

TEST(ConfigLimits, OfTheInstance)
{
    const model::Desired desired = read(
        "instance: e\ninterfaces: [eth0]\nservices: []\nlimits:\n  - {name: flood, per: "
        "source, "
        "of: packets, rate: 50k/s, burst: 100k}\n  - {per: source/24, of: new_connections, "
        "rate: "
        "1k/s}\n  - {per: {ipv4: 16, ipv6: 48}, of: new_connections, rate: 1k/s}\n");
    ASSERT_EQ(desired.limits.size(), 3U);
    EXPECT_EQ(desired.limits[0].name, "flood");
    EXPECT_EQ(desired.limits[1].per, (model::SourceBits{24, 64}));
    EXPECT_EQ(desired.limits[1].name, "new_connections-24");
    EXPECT_EQ(desired.limits[2].name, "new_connections-16-48");
}

TEST(ConfigLimits, AdmissionIsRead)
{
    const auto admission = [](const std::string &text) {
        return read(with_admission(text)).services.at(0).admission.value();
    };
    const model::Rate all{20'000, model::Rate::Unit::kCount, 1};
    const model::Rate each{2'000, model::Rate::Unit::kCount, 1};
    EXPECT_EQ(admission("{new_connections: 20k/s, per_backend: 2k/s, burst: 5k}"),
              (model::Admission{all, each, 5'000}));
    EXPECT_EQ(admission("{new_connections: 20k/s}"), (model::Admission{all, {}, {}}));
    EXPECT_EQ(admission("{per_backend: 2000/s}"), (model::Admission{{}, each, {}}));
    EXPECT_FALSE(read(Parts().text()).services.at(0).admission);
}

TEST(ConfigLimits, AreWrittenAsTheyAreRead)
{
    const std::string text =
        "instance: e\ninterfaces: [eth0]\ntunnel_source: 10.1.0.2\n"
        "limits:\n"
        "  - {name: 'null', per: source, of: packets, rate: 50k/s}\n"
        "  - {per: {ipv4: 24, ipv6: 56}, of: bytes, rate: 1Gbit/s, burst: 10MB, mode: "
        "observe}\n"
        "services:\n"
        "  - name: a\n    listen: tcp://203.0.113.10:443\n    pool: p\n    limits:\n"
        "      - {per: source, of: new_connections, rate: 100/m, burst: 20}\n"
        "      - {name: hourly, per: source/24, of: new_connections, rate: 1000/h}\n"
        "      - {per: {ipv6: 56}, of: bytes, rate: 1001B/s}\n"
        "    admission: {per_backend: 2k/s, burst: 5000, new_connections: 90/m}\n"
        "  - name: b\n    listen: tcp://[2001:db8::10]:443\n    pool: p\n    limits:\n"
        "      - {per: source/128, of: packets, rate: 7/d, burst: 2}\n"
        "      - {per: {ipv4: 8}, of: packets, rate: 8/d}\n"
        "    admission: {per_backend: 1/s}\n"
        "pools: [{name: p, backends: []}]\n";
    const model::Desired desired = read(text);
    const std::string written = emit(desired);
    EXPECT_EQ(read(written), desired) << written;
    EXPECT_EQ(emit(read(written)), written);
    for (const std::string line :
         {"limits:\n  - {name: \"null\", per: source, of: packets, rate: 50k/s, burst: 50k, "
          "mode: drop}\n  - {name: bytes-24-56, per: {ipv4: 24, ipv6: 56}, of: bytes, rate: "
          "1Gbit/s, burst: 10MB, mode: observe}\nservices:",
          "    limits:\n      - {name: new_connections, per: source, of: new_connections, "
          "rate: "
          "100/m, burst: 20, mode: drop}\n      - {name: hourly, per: source/24, of: "
          "new_connections, rate: 1k/h, burst: 1, mode: drop}\n",
          "    admission: {new_connections: 90/m, per_backend: 2k/s, burst: 5k}\n",
          "per: source/128,", "    admission: {per_backend: 1/s}\n"}) {
        EXPECT_TRUE(written.contains(line)) << line << "\n" << written;
    }
    EXPECT_FALSE(emit(read(Parts().text())).contains("limits"));
    EXPECT_FALSE(emit(read(Parts().text())).contains("admission"));
}

TEST(ConfigLimitsRefused, KeysThatAreMissingOrUnknown)
{
    expect(with_limit(""), {"10:9: a limit has no key 'per'; add per:",
                            "10:9: a limit has no key 'of'; add of:",
                            "10:9: a limit has no key 'rate'; add rate:"});
    expect(with_limit("per: source, of: packets, rate: 1/s, brust: 3"),
           {"10:47: unknown key 'brust' in a limit; did you mean 'burst'? known keys: name, "
            "per, of, rate, burst, mode"});
    expect(with_service(kTcp, "    limits: {}\n"),
           {"9:13: services[0].limits: found a map; expected a list of limits"});
    expect(with_service(kTcp, "    limits: [3]\n"),
           {"9:14: services[0].limits[0]: found '3'; expected a map with the keys name, per,"});
    expect(with_admission("5k/s"),
           {"9:16: services[0].admission: found '5k/s'; expected a map with the keys "
            "new_connections, per_backend, burst"});
    expect(
        with_admission("{new_connection: 5k/s}"),
        {"9:16: admission has no rate; new_connections, per_backend, or both",
         "9:17: unknown key 'new_connection' in admission; did you mean 'new_connections'?"});
}

TEST(ConfigLimitsRefused, SourcesThatAreNone)
{
    const auto with_per = [](const std::string &per, std::string_view listen = kTcp) {
        return with_limit("of: packets, rate: 1/s, per: " + per, listen);
    };
    for (const std::string per :
         {"service", "source/", "source/0", "source/33", "source/024", "source/24x",
          "source/-1", "source /24", "24", "[24]", "{}", "'source/24/56'", "source/300"}) {
        expect(with_per(per), {"10:39: services[0].limits[0].per: found …; expected source, "
                               "source/BITS with 1 to 32 bits of an IPv4 address, or {ipv4: "
                               "24, ipv6: 56}"});
    }
    expect(with_per("source/129", kTcp6),
           {"10:39: …found 'source/129'; expected …1 to 128 bits of an IPv6 address"});
    expect(with_per("{ipv4: 33, ipv6: 129}"),
           {"10:46: services[0].limits[0].per.ipv4: found '33'; expected 1 to 32 bits of an "
            "IPv4 address, such as 24",
            "10:56: services[0].limits[0].per.ipv6: found '129'; expected 1 to 128 bits"});
    expect(with_per("{ipv4: 0, ipv6: '56'}"), {"10:46: …found '0'", "10:55: …found '56'"});
    expect(with_per("{ipv5: 24}"), {"10:40: unknown key 'ipv5' in per; did you mean 'ipv4'?"});
}

TEST(ConfigLimitsRefused, RatesAndBurstsThatAreNone)
{
    const std::string rate = "10:42: services[0].limits[0].rate: found ";
    for (const std::string text :
         {"100", "fast", "100/x", "1.5k/s", "-1/s", "[1]", "1Gbit/s"}) {
        expect(with_limit("per: source, of: packets, rate: " + text),
               {rate + "…; expected a rate: a whole number, perhaps k, M or G, and /s, /m, /h "
                       "or /d, such as 100/m or 50k/s"});
    }
    expect(with_limit("per: source, of: bytes, rate: 100/s"),
           {"10:40: services[0].limits[0].rate: found '100/s'; expected a rate of bytes: …such "
            "as 1Gbit/s or 10MB/s"});
    expect(
        with_limit("per: source, of: packets, rate: 1/s, burst: 10MB"),
        {"10:54: services[0].limits[0].burst: found '10MB'; expected a whole number, perhaps "
         "k, M or G, such as 20 or 100k"});
    expect(with_limit("per: source, of: bytes, rate: 1MB/s, burst: 10"),
           {"10:54: services[0].limits[0].burst: found '10'; expected a size: …64kB or 10MB"});
    // What they would have to be depends on `of`.
    expect(with_limit("per: source, of: stuff, rate: nonsense, burst: nonsense"),
           {"10:27: services[0].limits[0].of: found 'stuff'; expected one of: new_connections, "
            "packets, bytes"});
    expect(with_limit("per: source, of: packets, rate: 1/s, mode: log"),
           {"10:53: services[0].limits[0].mode: found 'log'; expected one of: drop, observe"});
    expect(with_admission("{new_connections: 1MB/s, per_backend: 5, burst: 1k/s}"),
           {"9:34: services[0].admission.new_connections: found '1MB/s'; expected a rate: ",
            "9:54: services[0].admission.per_backend: found '5'; expected a rate: ",
            "9:64: services[0].admission.burst: found '1k/s'; expected a whole number"});
}

TEST(ConfigLimitsRefused, RatesAndBurstsOutOfBounds)
{
    const auto rate = [](const std::string &of, const std::string &text) {
        return with_limit("per: source, of: " + of + ", rate: " + text);
    };
    expect(
        rate("packets", "0/s"),
        {"10:42: the rate 0/s lets nothing through; at least 1/d; to let nothing of a source "
         "through, use guideway deny"});
    expect(rate("packets", "2G/s"), {"10:42: the rate 2G/s is too high; at most 1G/s"});
    expect(rate("bytes", "500Gbit/s"),
           {"10:40: the rate 500Gbit/s is too high; at most 400Gbit/s"});
    expect(rate("bytes", "1B/m"), {"10:40: the rate 1B/m is too low; at least 1B/s"});
    expect(rate("packets", "18446744073709551616/s"),
           {"10:42: services[0].limits[0].rate: found '18446744073709551616/s'"});
    const auto burst = [](const std::string &text) {
        return with_limit("per: source, of: packets, rate: 1/h, burst: " + text);
    };
    expect(burst("0"),
           {"10:54: a burst of 0 lets nothing through; at least 1, and at most 1G"});
    expect(burst("2G"), {"10:54: a burst of 2G is too large; at most 1G"});
    expect(burst("8761"), {"10:54: a burst of 8761 lasts for more than a year at 1/h; at most "
                           "8760 at this rate"});
    expect(burst("8760"), {});
    expect(with_admission("{new_connections: 0/s, per_backend: 2G/s, burst: 0}"),
           {"9:34: the rate 0/s lets nothing", "9:52: the rate 2G/s is too high"});
    expect(with_admission("{new_connections: 1/s, burst: 0}"),
           {"9:46: a burst of 0 lets nothing through"});
    expect(with_admission("{new_connections: 1k/s, per_backend: 1/d, burst: 366}"),
           {"9:65: a burst of 366 lasts for more than a year at 1/d"});
    expect(with_admission("{}"), {"9:16: admission has no rate; new_connections, per_backend"});
}

TEST(ConfigLimitsRefused, NewConnectionsOfUdp)
{
    expect(with_limit("per: source, of: new_connections, rate: 1/s", kUdp),
           {"10:27: service 'api' is UDP, where new connections cannot be told from others; "
            "limit its packets or bytes"});
    expect(with_admission("{new_connections: 1/s}", kUdp),
           {"9:16: service 'api' is UDP, where new connections cannot be told from others"});
    expect(with_limit("per: source, of: packets, rate: 1/s", kUdp), {});
    // What is for all services is for those of TCP.
    expect(with_service(kUdp, "", "limits: [{per: source, of: new_connections, rate: 1/s}]\n"),
           {});
}

TEST(ConfigLimitsRefused, NothingMoreOfAServiceWhoseAddressIsNotKnown)
{
    expect(
        with_limits({"per: source/100, of: new_connections, rate: 0/s"}, "listen: x"),
        {"8:13: services[0].listen: found 'x'",
         "10:15: services[0].limits[0].per: found 'source/100'; expected source, source/BITS"});
    expect(with_admission("{new_connections: 0/s}", "listen: x"),
           {"8:13: services[0].listen: found 'x'"});
}

TEST(ConfigLimitsRefused, ANameThatTheApiHasForSomethingElse)
{
    expect(
        "instance: e\ninterfaces: [eth0]\nservices: []\nlimits:\n  - {name: top, per: "
        "source, of: packets, rate: 1/s}\n",
        {"5:12: 'top' is what the API calls the sources that send most; give the limit"});
    EXPECT_EQ(read_limit("name: top, per: source, of: packets, rate: 1/s").name, "top");
}

TEST(ConfigLimitsRefused, LimitsThatAreTheSame)
{
    expect(with_limit("name: admission, per: source, of: packets, rate: 10/s"),
           {"10:16: 'admission' is what admission itself is called; give the limit another"});
    expect(
        with_limits({"per: source, of: packets, rate: 1/s",
                     "name: other, per: source/32, of: packets, rate: 60/m, burst: 7"}),
        {"11:9: two limits of service 'api' measure the same (the other is on line 10); keep "
         "one"});
    // Another rate for another time is what two limits are for, but they need names.
    expect(with_limits({"per: source, of: packets, rate: 10/s",
                        "per: source, of: packets, rate: 60/m"}),
           {"11:9: two limits of service 'api' are named 'packets' (the other is on line 10); "
            "give each its own name"});
    expect(with_limits({"per: source, of: packets, rate: 10/s",
                        "name: slow, per: source, of: packets, rate: 60/m"}),
           {});
    // Bits of the other family do not count.
    expect(with_limits({"per: source, of: packets, rate: 10/s",
                        "name: b, per: {ipv4: 32, ipv6: 48}, of: packets, rate: 10/s"}),
           {"11:9: two limits of service 'api' measure the same"});
    expect(with_limits({"name: a, per: source, of: packets, rate: 10/s",
                        "name: a, per: source, of: bytes, rate: 10kB/s"}),
           {"11:16: two limits of service 'api' are named 'a' (the other is on line 10)"});
    expect(with_limit("name: a b, per: source, of: packets, rate: 10/s"),
           {"10:16: 'a b' is not a name for a limit; names are up to 63 letters"});
    expect(
        "instance: e\ninterfaces: [eth0]\nservices: []\nlimits:\n  - {per: source, of: "
        "packets, rate: 1/s}\n  - {per: source, of: packets, rate: 1/s}\n",
        {"6:5: two limits of the instance measure the same (the other is on line 5)"});
    // Of the instance and of a service are two things.
    expect(with_service(kTcp, "    limits: [{per: source, of: packets, rate: 1/s}]\n",
                        "limits: [{per: source, of: packets, rate: 1/s}]\n"),
           {});
}

std::string many_limits(size_t count, const std::string &indentation)
{
    std::string text;
    for (size_t i = 0; i < count; i++) {
        text += indentation + "- {name: l" + std::to_string(i) +
                ", per: source, of: packets, rate: " + std::to_string(i + 1) + "/s}\n";
    }
    return text;
}

TEST(ConfigLimitsRefused, MoreThanAPacketLooksAt)
{
    const auto text = [](size_t of_service, size_t of_instance) {
        return with_service(
            kTcp, "    limits:\n" + many_limits(of_service, "      "),
            of_instance == 0 ? "" : "limits:\n" + many_limits(of_instance, "  "));
    };
    expect(text(8, 0), {});
    expect(text(9, 0), {"18:9: service 'api' has 9 limits; at most 8, with its "
                        "admission and those of the instance that apply to it"});
    expect(text(1, 7), {});
    expect(text(2, 7), {"11:9: service 'api' has 9 limits, 7 of them those of the instance; at "
                        "most 8"});
    expect(text(1, 9), {"24:5: the instance has 9 limits; at most 8"});
    // What admits connections is one of them.
    const std::string admission = "    admission: {per_backend: 1/s}\n";
    expect(with_service(kTcp, admission + "    limits:\n" + many_limits(7, "      ")), {});
    expect(with_service(kTcp, admission + "    limits:\n" + many_limits(8, "      ")),
           {"18:9: service 'api' has 9 limits; at most 8"});
    expect(with_service(kTcp, admission, "limits:\n" + many_limits(8, "  ")),
           {"9:16: service 'api' has 9 limits, 8 of them those of the instance; at most 8"});
    // One of new connections is none of UDP's.
    const std::string connections = "limits: [{per: source, of: new_connections, rate: 1/s}]\n";
    expect(with_service(kUdp, "    limits:\n" + many_limits(8, "      "), connections), {});
    expect(with_service(kTcp, "    limits:\n" + many_limits(8, "      "), connections),
           {"17:9: service 'api' has 9 limits, 1 of them those of the instance"});
}

// 128 services with eight each, and one that has an admission.
TEST(ConfigLimitsRefused, MoreThanTheTablesHold)
{
    const auto text = [](const std::string &last) {
        Parts parts;
        parts.top += "capacity: {ring_slots: 1000000}\n";
        parts.services = "services:\n";
        for (int i = 0; i < 129; i++) {
            parts.services +=
                "  - name: s" + std::to_string(i) +
                "\n    pool: gws\n    ring_size: 13\n    listen: tcp://203.0.113.10:" +
                std::to_string(1000 + i) + "\n";
            parts.services += i < 128 ? "    limits:\n" + many_limits(8, "      ") : last;
        }
        return parts.text();
    };
    expect(text(""), {});
    expect(text("    admission: {per_backend: 1/s}\n"),
           {"1671:5: 1025 limits of the instance and its services, with what admits "
            "connections; at most 1024"});
}

TEST(ConfigLimitsRefused, ManyTakeNoLongerThanTheyMust)
{
    // Comparing each with each other would be 400 million comparisons.
    expect(
        "instance: e\ninterfaces: [eth0]\nservices: []\nlimits:\n" + many_limits(28'000, "  "),
        {"13:5: the instance has 28000 limits; at most 8",
         "1029:5: 28000 limits of the instance and its services, with what admits"});
}

TEST(ConfigLimitsRefused, ListsThatAreNotKeptInFiles)
{
    Parts parts;
    parts.top += "deny: [10.0.0.0/8]\nallow: []\n";
    parts.services = service(std::string(kTcp) + ", deny: [], allow: []");
    expect(parts.text(),
           {"3:1: 'deny' is not a key of files; remove it; use guideway deny",
            "4:1: 'allow' is not a key of files; remove it; use guideway allow",
            "8:62: 'deny' is not a key of files; …guideway deny, whose lists hold for all",
            "8:72: 'allow' is not a key of files; …guideway allow, whose lists hold for all"});
}

}  // namespace
}  // namespace guideway::config
