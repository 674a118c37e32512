// The plane's writes, judged by what the packet path makes of them.
#include "tests/unit/plane_fixture.hpp"

namespace guideway::plane {
namespace {

TEST_F(PlaneTest, SpreadsFlowsOverTheBackendsThatResolve)
{
    unresolved_.insert(ip("10.2.0.13"));
    apply(fleet({"10.2.0.11", "10.2.0.12", "10.2.0.13"}));
    const auto counts = spread();
    EXPECT_EQ(counts.size(), 2U);
    EXPECT_NEAR(counts.at(11), 500, 80);
    EXPECT_NEAR(counts.at(12), 500, 80);
    EXPECT_EQ(plane_.backends()[2].state, BackendState::kUnresolved);
    EXPECT_EQ(plane_.backends()[2].reason, "no answer");
}

TEST_F(PlaneTest, WritesTheNextHopOfTheChosenBackend)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    for (uint16_t port = 1000; port < 1100; port++) {
        const auto sent = send(port);
        ASSERT_EQ(sent.outcome.reason, GW_REASON_FORWARDED);
        EXPECT_EQ(sent.mac_last(), sent.outer_destination_last());
        EXPECT_EQ(sent.outcome.verdict, GW_SEND);
    }
}

TEST_F(PlaneTest, AddsABackendWhenItsNextHopIsResolved)
{
    unresolved_.insert(ip("10.2.0.12"));
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    EXPECT_EQ(spread().size(), 1U);
    unresolved_.clear();
    apply(desired);
    EXPECT_EQ(spread().size(), 2U);
}

TEST_F(PlaneTest, KeepsTheRingWhileEveryNextHopIsLost)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    const auto before = spread();
    unresolved_ = {ip("10.2.0.11"), ip("10.2.0.12")};
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NO_NEIGHBOUR);
    unresolved_.clear();
    apply(desired);
    EXPECT_EQ(spread(), before);
}

TEST_F(PlaneTest, EmptiesTheRingWhenNoBackendMayBeUsed)
{
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    desired.pools[0].backends[0].enabled = false;
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NO_BACKEND);
    desired.pools[0].backends[0].enabled = true;
    desired.pools[0].backends[0].weight = 0;
    pass(std::chrono::seconds(5));
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NO_BACKEND);
    EXPECT_EQ(plane_.backends()[0].state, BackendState::kDraining);
}

TEST_F(PlaneTest, StopsServingARemovedService)
{
    auto desired = fleet({"10.2.0.11"});
    desired.services.push_back(desired.services[0]);
    desired.services[1].name = "other";
    desired.services[1].port = 80;
    apply(desired);
    EXPECT_EQ(send(1000, 80).outcome.reason, GW_REASON_FORWARDED);
    desired.services.pop_back();
    apply(desired);
    EXPECT_EQ(send(1000, 80).outcome.reason, GW_REASON_NO_SUCH_PORT);
    desired.services.clear();
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NOT_OURS);
}

TEST_F(PlaneTest, ChangesHeadersInTheCopyThatIsNotInUse)
{
    const auto desired = fleet({"10.2.0.11"});
    apply(desired);
    const uint32_t index = plane_.backends()[0].index.value();
    const gw_backend before = tables_.backends()[index];
    const auto other_hop = [](const model::IpAddress &) -> Result<model::NextHop> {
        return hop(99);
    };
    ASSERT_TRUE(plane_.apply(desired, {.next_hop = other_hop}, now()));
    const gw_backend &after = tables_.backends()[index];
    const unsigned old_copy = (before.state & GW_BACKEND_COPY) != 0 ? 1 : 0;
    EXPECT_NE(before.state & GW_BACKEND_COPY, after.state & GW_BACKEND_COPY);
    EXPECT_EQ(0, std::memcmp(before.outer[old_copy], after.outer[old_copy], GW_OUTER_BYTES));
    EXPECT_EQ(send(1000).mac_last(), 99);
}

TEST_F(PlaneTest, AdoptsWhatAnEarlierDaemonWrote)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12", "10.2.0.13"});
    apply(desired);
    apply(fleet({"10.2.0.11", "10.2.0.13"}));
    const auto before = spread();
    std::vector<gw_slot> slots(tables_.ring_slots().begin(), tables_.ring_slots().end());

    Plane next(tables_, [] {}, kTiming, now());
    // The next daemon knows no next hop yet.
    const auto silent = [](const model::IpAddress &) -> Result<model::NextHop> {
        return fail("not known yet");
    };
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11", "10.2.0.13"}),
                           {.next_hop = silent, .trust_adopted = true}, now()));
    EXPECT_TRUE(std::equal(slots.begin(), slots.end(), tables_.ring_slots().begin()));
    EXPECT_EQ(spread(), before);
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11", "10.2.0.13"}), observed(), now()));
    EXPECT_EQ(spread(), before);
}

TEST_F(PlaneTest, TakesBackWhatAKilledDaemonHadGivenUp)
{
    auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    auto without = fleet({"10.2.0.11"});
    without.services[0].port = 80;
    apply(without);

    // The next daemon knows nothing of what the first one meant to free.
    Plane next(tables_, [] {}, kTiming, now());
    desired.services[0].ring_size = 2003;
    const auto again = next.apply(desired, observed(), now());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(spread().size(), 2U);
    EXPECT_GE(next.ring_slots_used(), 2003U + 1009U);
    for (int i = 0; i < 5; i++) {
        time_ += Milliseconds(1500);
        (void)next.sweep(SIZE_MAX, now());
    }
    EXPECT_EQ(next.ring_slots_used(), 2003U);
}

TEST_F(PlaneTest, PlacesAddressesThatDifferInBothHalvesAlike)
{
    auto desired = fleet({"10.2.0.11"});
    desired.services.clear();
    for (const char *address : {"2001:db8:0:1:0:1:0:1", "2001:db8:0:2:0:2:0:1",
                                "2001:db8:0:3:0:3:0:1", "2001:db8:0:4:0:4:0:1"}) {
        desired.services.push_back({.name = address,
                                    .address = ip(address),
                                    .port = 443,
                                    .pool = "gateways",
                                    .ring_size = 101});
    }
    std::set<uint32_t> hashes;
    for (const auto &service : desired.services) {
        const gw_address key = directory_address(service.address);
        hashes.insert(gw_address_hash(0x9e3779b97f4a7c15ULL, key.high, key.low));
    }
    EXPECT_EQ(hashes.size(), 4U);
    apply(desired);
}

TEST_F(PlaneTest, RefusesAnotherRingSizeForTheSameService)
{
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    const auto before = bytes();
    desired.services[0].ring_size = 2003;
    const auto applied = plane_.apply(desired, observed(), now());
    ASSERT_FALSE(applied);
    EXPECT_NE(applied.error().message.find("1009"), std::string::npos);
    EXPECT_EQ(bytes(), before);
}

TEST_F(PlaneTest, RefusesWhatDoesNotFitAndChangesNothing)
{
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    const auto before = bytes();
    auto many = desired;
    for (int i = 12; i < 20; i++) {
        const std::string address = "10.2.0." + std::to_string(i);
        many.pools[0].backends.push_back({.name = address, .address = ip(address.c_str())});
    }
    EXPECT_FALSE(plane_.apply(many, observed(), now()));
    EXPECT_EQ(bytes(), before);
    auto wide = desired;
    for (uint16_t port : {1, 2, 3}) {
        wide.services.push_back(desired.services[0]);
        wide.services.back().port = port;
        wide.services.back().ring_size = 1511;
    }
    const auto applied = plane_.apply(wide, observed(), now());
    ASSERT_FALSE(applied);
    EXPECT_NE(applied.error().message.find("ring_slots"), std::string::npos);
    EXPECT_EQ(bytes(), before);
}

TEST_F(PlaneTest, FindsRoomForARingWhereAnotherWas)
{
    auto desired = fleet({"10.2.0.11"});
    desired.services.push_back(desired.services[0]);
    desired.services[1].port = 80;
    desired.services.push_back(desired.services[0]);
    desired.services[2].port = 81;
    apply(desired);
    EXPECT_EQ(plane_.ring_slots_used(), 3 * 1009U);
    desired.services.erase(desired.services.begin() + 1);
    apply(desired);
    pass(std::chrono::seconds(5));
    desired.services.push_back(desired.services[0]);
    desired.services[2].port = 82;
    desired.services.push_back(desired.services[0]);
    desired.services[3].port = 83;
    apply(desired);
    EXPECT_EQ(send(1000, 81).outcome.reason, GW_REASON_FORWARDED);
    EXPECT_EQ(send(1000, 82).outcome.reason, GW_REASON_FORWARDED);
    EXPECT_EQ(send(1000, 83).outcome.reason, GW_REASON_FORWARDED);
}

TEST_F(PlaneTest, CountsTheTrafficOfRemovedServicesOn)
{
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    send(1000);
    send(1001);
    EXPECT_EQ(tables_.counters().reasons[GW_REASON_FORWARDED], 2U);
    desired.services[0].port = 80;
    apply(desired);
    pass(std::chrono::seconds(5));  // frees the old service
    EXPECT_EQ(tables_.counters().reasons[GW_REASON_FORWARDED], 2U);
    EXPECT_EQ(tables_.counters().services[plane_.services()[0].index].packets, 0U);
}

TEST_F(PlaneTest, FillsADirectoryToItsCapacity)
{
    auto desired = fleet({"10.2.0.11"});
    desired.services.clear();
    for (int i = 1; i <= 4; i++) {
        desired.services.push_back({.name = std::to_string(i),
                                    .address = ip(("203.0.113." + std::to_string(i)).c_str()),
                                    .port = 443,
                                    .pool = "gateways",
                                    .ring_size = 101});
    }
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NOT_OURS);
    EXPECT_EQ(plane_.services().size(), 4U);
}

}  // namespace
}  // namespace guideway::plane
