// Limits in force, judged by what the packet path makes of them: records that keep their place,
// services that name them, and admission that follows the backends.
#include <algorithm>

#include "tests/unit/plane_fixture.hpp"

namespace guideway::plane {
namespace {

constexpr auto kConnections = model::LimitOf::kNewConnections;

model::Limit limit(const std::string &name, std::string_view rate, uint64_t burst,
                   model::LimitOf of = kConnections)
{
    return {.name = name,
            .per = {},
            .of = of,
            .rate = model::parse_rate(of, rate).value(),
            .burst = burst};
}

class PlaneLimits : public PlaneTest {
  protected:
    PlaneLimits() : desired_(fleet({"10.2.0.11", "10.2.0.12"}))
    {
        tables_.header().tick_ns = 4'000'000;
        time_ = Milliseconds(1'000'000);
    }

    model::Service &service() { return desired_.services[0]; }

    void add_service(const std::string &name, uint16_t port)
    {
        auto other = service();
        other.name = name;
        other.port = port;
        other.limits.clear();
        other.admission.reset();
        desired_.services.push_back(other);
    }

    // How many of so many packets are forwarded, all at this moment.
    int forwarded(int packets, uint8_t source = 1, uint8_t flags = GW_TCP_SYN,
                  uint16_t port = 443)
    {
        int count = 0;
        for (int i = 0; i < packets; i++) {
            const auto sent = send(static_cast<uint16_t>(1000 + i), port, flags, source);
            count += sent.outcome.reason == GW_REASON_FORWARDED ? 1 : 0;
        }
        return count;
    }

    LimitView view(const std::string &name, const Plane *plane = nullptr)
    {
        for (const auto &each : (plane == nullptr ? plane_ : *plane).policing().limits()) {
            if (each.name == name) {
                return each;
            }
        }
        ADD_FAILURE() << "no limit " << name;
        return {};
    }
    const gw_limit &record(const std::string &name)
    {
        return tables_.limits()[view(name).index];
    }

    [[nodiscard]] size_t records() const
    {
        return static_cast<size_t>(std::ranges::count_if(
            tables_.limits(), [](const auto &each) { return each.identity != 0; }));
    }

    std::vector<uint32_t> words(uint32_t service) const
    {
        const auto &limits = tables_.services()[service].limits;
        return {std::begin(limits), std::end(limits)};
    }

    model::Desired desired_;
};

TEST_F(PlaneLimits, ASourceHasItsBurstAndThenItsRate)
{
    service().limits = {limit("hundred", "100/m", 20)};
    apply(desired_);
    EXPECT_EQ(forwarded(30), 20);
    EXPECT_EQ(send(7).outcome.reason, GW_REASON_LIMITED);
    EXPECT_EQ(forwarded(30, 2), 20) << "another source has its own";
    EXPECT_EQ(forwarded(30, 1, GW_TCP_ACK), 30) << "connections that there are pass";
    time_ += Milliseconds(1'200);
    EXPECT_EQ(forwarded(30), 2);
    EXPECT_EQ(view("hundred").excess.packets, 10U + 1 + 10 + 28);
    EXPECT_EQ(view("hundred").excess.bytes, 40U * 49);
    EXPECT_EQ(tables_.counters().reasons[GW_REASON_LIMITED], 49U);
}

TEST_F(PlaneLimits, AServiceWithoutAnyAsksForNoPolicy)
{
    apply(desired_);
    EXPECT_EQ(tables_.services()[0].policy, 0U);
    EXPECT_EQ(words(0), std::vector<uint32_t>(8, 0));
    EXPECT_TRUE(plane_.policing().limits().empty());
    service().limits = {limit("some", "1/s", 1)};
    apply(desired_);
    EXPECT_EQ(tables_.services()[0].policy, uint32_t{GW_POLICY_LIMITS});
    service().limits.clear();
    apply(desired_);
    EXPECT_EQ(tables_.services()[0].policy, 0U);
    EXPECT_EQ(words(0), std::vector<uint32_t>(8, 0));
    EXPECT_EQ(forwarded(30), 30);
}

TEST_F(PlaneLimits, WhatObservesDropsNothingAndCountsAll)
{
    service().limits = {limit("look", "1/s", 3)};
    service().limits[0].mode = model::LimitMode::kObserve;
    apply(desired_);
    EXPECT_EQ(forwarded(10), 10);
    EXPECT_EQ(view("look").excess.packets, 7U);
    service().limits[0].mode = model::LimitMode::kDrop;
    apply(desired_);
    EXPECT_EQ(forwarded(10), 0) << "it goes on with what it has observed";
}

TEST_F(PlaneLimits, ThoseOfTheInstanceCountOverAllServices)
{
    add_service("other", 80);
    desired_.limits = {limit("all", "1/s", 10)};
    desired_.services[1].limits = {limit("own", "1/s", 4)};
    apply(desired_);
    EXPECT_EQ(forwarded(7), 7);
    EXPECT_EQ(forwarded(9, 1, GW_TCP_SYN, 80), 3) << "of ten, seven are used up";
    EXPECT_EQ(forwarded(9, 2, GW_TCP_SYN, 80), 4);
    EXPECT_EQ(records(), 2U);
    EXPECT_EQ(words(0)[0], words(1)[1]);
    EXPECT_EQ(view("all").service, "");
    EXPECT_EQ(view("own").service, "other");
}

TEST_F(PlaneLimits, NewConnectionsOfTheInstanceAreNoneOfUdps)
{
    add_service("dns", 53);
    desired_.services[1].protocol = model::Protocol::kUdp;
    desired_.services[1].affinity = model::Affinity::kNone;
    desired_.limits = {limit("connections", "1/s", 1),
                       limit("packets", "1k/s", 1000, model::LimitOf::kPackets)};
    apply(desired_);
    EXPECT_EQ(words(0)[0], view("connections").index + 1);
    EXPECT_EQ(words(0)[1], view("packets").index + 1);
    EXPECT_EQ(words(1)[0], view("packets").index + 1);
    EXPECT_EQ(words(1)[1], 0U);
}

TEST_F(PlaneLimits, RefuseFirstThenAdmitThenObserve)
{
    service().limits = {limit("look", "1/s", 1), limit("drop", "2/s", 1)};
    service().limits[0].mode = model::LimitMode::kObserve;
    service().admission =
        model::Admission{.new_connections = model::parse_rate(kConnections, "9/s")};
    desired_.limits = {limit("all", "3/s", 1)};
    apply(desired_);
    EXPECT_EQ(words(0), (std::vector<uint32_t>{view("drop").index + 1, view("all").index + 1,
                                               view("admission").index + 1,
                                               view("look").index + 1, 0, 0, 0, 0}));
    std::vector<std::string> names;
    for (const auto &each : plane_.policing().limits()) {
        names.push_back(each.service + "/" + each.name);
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{"/all", "api/look", "api/drop", "api/admission"}));
}

TEST_F(PlaneLimits, ParametersAreThoseOfTheModel)
{
    service().limits = {limit("tight", "10k/s", 20, model::LimitOf::kPackets),
                        limit("wide", "1Gbit/s", 10'000'000, model::LimitOf::kBytes)};
    service().limits[1].per = {24, 56};
    apply(desired_);
    const auto &tight = record("tight");
    EXPECT_EQ(tight.kind, GW_LIMIT_PACKETS);
    EXPECT_EQ(tight.flags, GW_LIMIT_EXACT_CLOCK);
    EXPECT_EQ(tight.interval, uint64_t{100'000} << 16);
    EXPECT_EQ(tight.tolerance, uint64_t{19} * 100'000 << 4);
    EXPECT_EQ(tight.ipv4_bits, 32);
    EXPECT_EQ(tight.ipv6_bits, 64);
    EXPECT_TRUE(view("tight").exact_clock);
    const auto &wide = record("wide");
    EXPECT_EQ(wide.kind, GW_LIMIT_BYTES);
    EXPECT_EQ(wide.flags, 0);
    EXPECT_EQ(wide.ipv4_bits, 24);
    EXPECT_EQ(wide.ipv6_bits, 56);
    EXPECT_NE(wide.seed, tight.seed);
    EXPECT_FALSE(view("wide").exact_clock);
}

TEST_F(PlaneLimits, AnotherRateKeepsWhatSourcesHaveUsed)
{
    service().limits = {limit("some", "1/h", 5), limit("more", "2/h", 50)};
    apply(desired_);
    const uint32_t index = view("some").index;
    const uint64_t seed = record("some").seed;
    EXPECT_EQ(forwarded(9), 5);
    std::swap(service().limits[0], service().limits[1]);
    service().limits[1].rate = model::parse_rate(kConnections, "1/m").value();
    apply(desired_);
    EXPECT_EQ(view("some").index, index);
    EXPECT_EQ(record("some").seed, seed);
    EXPECT_EQ(view("some").excess.packets, 4U);
    EXPECT_EQ(forwarded(9), 0) << "no fresh burst";
    EXPECT_EQ(forwarded(9, 2), 5);
    // Not for as long as the former rate had asked for.
    time_ += std::chrono::minutes(2);
    EXPECT_EQ(forwarded(9), 2);
}

TEST_F(PlaneLimits, WhatCountsSomethingElseIsAnotherLimit)
{
    service().limits = {limit("some", "1/h", 5)};
    apply(desired_);
    const uint64_t seed = record("some").seed;
    EXPECT_EQ(forwarded(9), 5);
    service().limits[0].per.ipv6 = 48;
    apply(desired_);
    EXPECT_EQ(record("some").seed, seed) << "no IPv6 source comes to an IPv4 service";
    service().limits[0].of = model::LimitOf::kPackets;
    apply(desired_);
    EXPECT_NE(record("some").seed, seed);
    EXPECT_EQ(view("some").excess.packets, 0U);
    EXPECT_EQ(forwarded(9), 5);
    const uint64_t packets = record("some").seed;
    service().limits[0].per.ipv4 = 24;
    apply(desired_);
    EXPECT_NE(record("some").seed, packets);
}

TEST_F(PlaneLimits, TheSameNameOfAnotherServiceIsAnotherLimit)
{
    add_service("other", 80);
    desired_.services[0].limits = {limit("some", "1/h", 5)};
    desired_.services[1].limits = {limit("some", "1/h", 5)};
    desired_.limits = {limit("some", "1/h", 100)};
    apply(desired_);
    EXPECT_EQ(records(), 3U);
    EXPECT_EQ(forwarded(9), 5);
    EXPECT_EQ(forwarded(9, 1, GW_TCP_SYN, 80), 5);
}

TEST_F(PlaneLimits, ARecordIsGivenOutAgainOnlyAfterAQuiescentPoint)
{
    service().limits = {limit("first", "1/h", 5)};
    apply(desired_);
    const uint32_t index = view("first").index;
    EXPECT_EQ(forwarded(9), 5);
    ASSERT_EQ(view("first").excess.packets, 4U);
    // Packets that began before the second may still use the first.
    service().limits = {limit("second", "1/h", 3)};
    apply(desired_);
    EXPECT_NE(view("second").index, index);
    EXPECT_NE(tables_.limits()[index].identity, 0U);
    const auto noted = [&] {
        return std::ranges::count_if(tables_.limited(), [&](const gw_limited &each) {
            return each.fingerprint != 0 && each.limit == index;
        });
    };
    EXPECT_EQ(noted(), 1);
    apply(desired_);
    EXPECT_EQ(tables_.limits()[index].identity, 0U);
    EXPECT_EQ(noted(), 0);
    service().limits.push_back(limit("third", "1/h", 4));
    apply(desired_);
    EXPECT_EQ(view("third").index, index);
    EXPECT_EQ(view("third").excess.packets, 0U);
    EXPECT_EQ(forwarded(9), 3);
}

// The first change frees a record, and the second gives it to another limit.
TEST_F(PlaneLimits, ALimitDoesNotInheritTheExcessOfTheOneBeforeIt)
{
    service().limits = {limit("first", "1/h", 5)};
    apply(desired_);
    const uint32_t index = view("first").index;
    EXPECT_EQ(forwarded(9), 5);
    service().limits = {};
    apply(desired_);
    service().limits = {limit("second", "1/h", 3)};
    apply(desired_);
    ASSERT_EQ(view("second").index, index);
    EXPECT_EQ(view("second").excess.packets, 0U);
    EXPECT_EQ(forwarded(9), 3);
}

// Taken off and put back at once: what sources have used is found again by the seed.
TEST_F(PlaneLimits, TakingALimitOffAndOnIsNoFreshBurst)
{
    service().limits = {limit("some", "1/h", 5)};
    apply(desired_);
    EXPECT_EQ(forwarded(9), 5);
    const uint32_t index = view("some").index;
    const auto with = desired_;
    service().limits.clear();
    apply(desired_);
    apply(desired_);
    EXPECT_EQ(records(), 0U);
    EXPECT_EQ(forwarded(9), 9);
    desired_.limits = {limit("before", "1/s", 100)};
    apply(desired_);
    desired_.services = with.services;
    apply(desired_);
    EXPECT_NE(view("some").index, index);
    EXPECT_EQ(forwarded(9), 0);
}

TEST_F(PlaneLimits, OfAServiceThatGoesAreGoneAfterIt)
{
    add_service("other", 80);
    desired_.services[1].limits = {limit("some", "1/h", 5)};
    desired_.services[1].admission =
        model::Admission{.per_backend = model::parse_rate(kConnections, "1/s")};
    apply(desired_);
    EXPECT_EQ(records(), 2U);
    desired_.services.pop_back();
    apply(desired_);
    EXPECT_EQ(records(), 2U) << "packets may be on their way";
    EXPECT_TRUE(plane_.policing().limits().empty());
    apply(desired_);
    EXPECT_EQ(records(), 0U);
    EXPECT_NE(tables_.services()[1].identity, 0U) << "its pins may still be there";
    EXPECT_EQ(words(1), std::vector<uint32_t>(8, 0)) << "the next daemon must not be misled";
    EXPECT_EQ(tables_.services()[1].policy, 0U);
}

TEST_F(PlaneLimits, MoreThanThereAreRecordsDoNotFit)
{
    const auto many = [](const std::string &name) {
        std::vector<model::Limit> limits;
        for (int i = 0; i < 8; i++) {
            limits.push_back(limit(name + std::to_string(i), "1/s", 1));
        }
        return limits;
    };
    // Other daemons' limits, named by a service that is in force.
    service().limits = many("mine");
    apply(desired_);
    const auto before = bytes();
    for (uint32_t i = 0; i < GW_LIMITS_MAX; i++) {
        if (tables_.limits()[i].identity == 0) {
            tables_.limits()[i].identity = 1'000'000 + i;
        }
    }
    service().limits = many("other");
    EXPECT_TRUE(plane_.fits(desired_)) << "what nobody names is free";
    std::memcpy(tables_.base(), before.data(), before.size());

    model::Desired all = desired_;
    all.limits.clear();
    for (uint32_t i = 0; i <= GW_LIMITS_MAX; i++) {
        all.limits.push_back(limit("l" + std::to_string(i), "1/s", 1));
    }
    all.services[0].limits.clear();
    const auto fits = plane_.fits(all);
    ASSERT_FALSE(fits);
    EXPECT_TRUE(
        fits.error().message.starts_with("no free place for every limit: there are 1024"))
        << fits.error().message;
    ASSERT_FALSE(plane_.apply(all, observed(), now()));
    EXPECT_EQ(bytes(), before) << "nothing has changed";
    all.limits.resize(GW_LIMITS_MAX);
    EXPECT_FALSE(plane_.fits(all)) << "eight are still named";
    all.limits.resize(GW_LIMITS_MAX - 8);
    EXPECT_TRUE(plane_.fits(all));
}

TEST_F(PlaneLimits, ADaemonThatComesAfterGoesOnWithThem)
{
    service().limits = {limit("gone", "1/h", 50), limit("some", "1/h", 5)};
    service().admission =
        model::Admission{.new_connections = model::parse_rate(kConnections, "7/h")};
    apply(desired_);
    EXPECT_EQ(forwarded(9), 1) << "seven an hour are one at once";
    const uint32_t index = view("some").index;
    const uint64_t seed = record("some").seed;
    const auto excess = view("admission").excess.packets;
    EXPECT_EQ(excess, 8U);

    Plane next(tables_, [] {}, kTiming, now());
    EXPECT_TRUE(next.policing().limits().empty()) << "names come with the first apply";
    EXPECT_EQ(forwarded(9), 0) << "what is in force stays so";
    service().limits.erase(service().limits.begin());
    ASSERT_TRUE(next.apply(desired_, observed(), now()));
    EXPECT_EQ(view("some", &next).index, index);
    EXPECT_EQ(tables_.limits()[index].seed, seed);
    EXPECT_EQ(view("admission", &next).excess.packets, 17U);
    EXPECT_EQ(forwarded(9), 0);
    ASSERT_TRUE(next.apply(desired_, observed(), now()));
    EXPECT_EQ(records(), 2U);
}

// Killed between a record and the service that was to name it.
TEST_F(PlaneLimits, ARecordThatNobodyNamesIsTakenUpOrFreed)
{
    service().limits = {limit("some", "1/h", 5)};
    apply(desired_);
    EXPECT_EQ(forwarded(9), 5);
    const auto made = record("some");
    const uint32_t index = view("some").index;
    tables_.services()[0].limits[0] = 0;
    tables_.limits()[77].identity = 77;
    tables_.limits()[index].interval = 0;
    Plane next(tables_, [] {}, kTiming, now());
    ASSERT_TRUE(next.apply(desired_, observed(), now()));
    EXPECT_EQ(view("some", &next).index, index);
    EXPECT_EQ(tables_.limits()[index].interval, made.interval);
    EXPECT_EQ(words(0)[0], index + 1);
    EXPECT_EQ(view("some", &next).excess.packets, 4U);
    EXPECT_EQ(tables_.limits()[77].identity, 0U);
}

TEST_F(PlaneLimits, AdmissionFollowsTheBackendsThatTakeNewFlows)
{
    const auto rate = [](std::string_view text) {
        return model::parse_rate(kConnections, text);
    };
    service().admission = model::Admission{
        .new_connections = rate("25/h"), .per_backend = rate("10/h"), .burst = 5};
    const auto in_force = [&] { return model::rate_text(view("admission").rate); };
    apply(desired_);
    EXPECT_EQ(in_force(), "20/h");
    EXPECT_EQ(view("admission").backends, 2U);
    EXPECT_EQ(record("admission").interval, uint64_t{180'000'000'000} << 16);
    EXPECT_EQ(record("admission").flags, GW_LIMIT_ALL_SOURCES);
    const uint32_t index = view("admission").index;
    desired_.pools[0].backends.push_back({.name = "gw-c", .address = ip("10.2.0.13")});
    apply(desired_);
    EXPECT_EQ(in_force(), "25/h");
    conditions_["gw-c"].failed = true;
    conditions_["gw-10.2.0.11"].failed = true;
    apply(desired_);
    EXPECT_EQ(in_force(), "10/h");
    conditions_["gw-10.2.0.12"].failed = true;
    apply(desired_);
    EXPECT_EQ(in_force(), "10/h");
    EXPECT_EQ(view("admission").backends, 0U);
    EXPECT_EQ(view("admission").index, index);
}

TEST_F(PlaneLimits, AdmissionIsOfAllSourcesTogether)
{
    service().admission =
        model::Admission{.new_connections = model::parse_rate(kConnections, "1/s"),
                         .per_backend = {},
                         .burst = 5};
    apply(desired_);
    EXPECT_EQ(forwarded(3, 1), 3);
    EXPECT_EQ(forwarded(9, 2), 2);
    EXPECT_EQ(send(7, 443, GW_TCP_SYN, 3).outcome.reason, GW_REASON_SHED);
    EXPECT_EQ(forwarded(9, 3, GW_TCP_ACK), 9);
    time_ += std::chrono::seconds(2);
    EXPECT_EQ(forwarded(9, 4), 2);
    // What is refused elsewhere is not charged here.
    time_ += std::chrono::seconds(100);
    service().limits = {limit("one", "1/h", 1)};
    apply(desired_);
    EXPECT_EQ(forwarded(9, 5), 1);
    EXPECT_EQ(forwarded(1, 6) + forwarded(1, 7) + forwarded(1, 8) + forwarded(1, 9), 4);
    EXPECT_EQ(forwarded(1, 10), 0);
}

TEST_F(PlaneLimits, ListsAndSamplesAreAskedForBesides)
{
    apply(desired_);
    tables_.header().lists_used = 1;
    plane_.policing().lists_changed();
    EXPECT_EQ(tables_.services()[0].policy, uint32_t{GW_POLICY_LISTS});
    plane_.policing().set_sampling(true);
    service().limits = {limit("some", "1/h", 5)};
    add_service("other", 80);
    apply(desired_);
    EXPECT_EQ(tables_.services()[0].policy,
              uint32_t{GW_POLICY_LISTS | GW_POLICY_SAMPLE | GW_POLICY_LIMITS});
    EXPECT_EQ(tables_.services()[1].policy, uint32_t{GW_POLICY_LISTS | GW_POLICY_SAMPLE});
    tables_.header().lists_used = 0;
    plane_.policing().lists_changed();
    plane_.policing().set_sampling(false);
    EXPECT_EQ(tables_.services()[0].policy, uint32_t{GW_POLICY_LIMITS});
    EXPECT_EQ(tables_.services()[1].policy, 0U);
}

}  // namespace
}  // namespace guideway::plane
