// What becomes of connections while the plane changes who serves.
#include "tests/unit/plane_fixture.hpp"

namespace guideway::plane {
namespace {

using PlaneConnectionsTest = PlaneTest;

TEST_F(PlaneConnectionsTest, GivesAnIndexAwayOnlyWhenNothingNamesIt)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    pass(std::chrono::seconds(5));
    const uint32_t removed = plane_.backends()[1].index.value();
    uint16_t port = 1000;  // of a connection to the backend that goes
    while (send(port).outer_destination_last() != 12) {
        port++;
    }
    apply(fleet({"10.2.0.11", "10.2.0.13"}));
    EXPECT_NE(plane_.backends()[1].index.value(), removed);
    ASSERT_EQ(plane_.backends().size(), 3U);
    EXPECT_EQ(plane_.backends()[2].state, BackendState::kLeaving);
    EXPECT_EQ(plane_.backends()[2].backend.name, "gw-10.2.0.12");
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 12);
        pass(std::chrono::seconds(5));
        EXPECT_NE(tables_.backends()[removed].identity, 0U);
    }
    EXPECT_EQ(plane_.services().at(0).backends.at(2).pins.pins, 1U);
    // The connection is silent for longer than the idle timeout.
    EXPECT_TRUE(pass(std::chrono::seconds(15)));
    EXPECT_EQ(tables_.backends()[removed].identity, 0U);
    apply(fleet({"10.2.0.11", "10.2.0.13", "10.2.0.14"}));
    EXPECT_EQ(plane_.backends()[2].index.value(), removed);
    EXPECT_EQ(plane_.backends().size(), 3U);
}

TEST_F(PlaneConnectionsTest, KeepsConnectionsWhileBackendsComeAndGo)
{
    const auto one = fleet({"10.2.0.11", "10.2.0.12"});
    const auto two = fleet({"10.2.0.12", "10.2.0.13", "10.2.0.14"});
    apply(one);
    pass(std::chrono::seconds(5));
    std::map<uint16_t, int> homes;
    for (uint16_t port = 1000; port < 1500; port++) {
        homes[port] = send(port).outer_destination_last();
    }
    for (int change = 0; change < 20; change++) {
        apply(change % 2 == 0 ? two : one);
        for (const auto &[port, home] : homes) {
            ASSERT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), home) << port;
        }
        pass(std::chrono::seconds(change % 3 == 0 ? 3 : 9));
    }
    EXPECT_GT(slots().pinned + slots().moving, 0U);
}

TEST_F(PlaneConnectionsTest, SettlesWhenConnectionsHaveEnded)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    EXPECT_EQ(slots().pinned, 1009U);
    pass(std::chrono::seconds(5));
    EXPECT_EQ(slots().stable, 1009U);
    apply(fleet({"10.2.0.11", "10.2.0.13"}));
    EXPECT_GT(slots().moving, 400U);
    EXPECT_EQ(slots().moving + slots().stable, 1009U);
    send(1000);
    pass(std::chrono::seconds(30));
    EXPECT_EQ(slots().stable, 1009U);
    EXPECT_FALSE(plane_.has_sweeping_to_do());
}

TEST_F(PlaneConnectionsTest, GivesUpTheConnectionsOfAFailedBackendAndTakesItBackClean)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    pass(std::chrono::seconds(5));
    conditions_["gw-10.2.0.12"] = {.failed = true, .cut = true};
    apply(desired);
    EXPECT_EQ(plane_.backends()[1].state, BackendState::kFailed);
    for (uint16_t port = 1000; port < 1100; port++) {
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 11);
    }
    conditions_.clear();
    apply(desired);
    EXPECT_EQ(plane_.backends()[1].state, BackendState::kReturning);
    EXPECT_EQ(spread().size(), 1U);
    EXPECT_TRUE(pass(std::chrono::seconds(5)));
    apply(desired);
    EXPECT_EQ(plane_.backends()[1].state, BackendState::kForwarding);
    EXPECT_EQ(spread().size(), 2U);
}

TEST_F(PlaneConnectionsTest, KeepsTheConnectionsOfAFailedBackendWhereAskedTo)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    pass(std::chrono::seconds(5));
    std::map<uint16_t, int> homes;
    for (uint16_t port = 1000; port < 1100; port++) {
        homes[port] = send(port).outer_destination_last();
    }
    conditions_["gw-10.2.0.12"] = {.failed = true, .cut = false};
    apply(desired);
    for (const auto &[port, home] : homes) {
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), home);
    }
    EXPECT_EQ(send(2000).outer_destination_last(), 11);
}

TEST_F(PlaneConnectionsTest, CutsABackendThatIsLeaving)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    pass(std::chrono::seconds(5));
    apply(fleet({"10.2.0.11"}));
    plane_.cut(plane_.backends()[1].index.value(), now());
    for (uint16_t port = 1000; port < 1100; port++) {
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 11);
    }
    EXPECT_TRUE(pass(std::chrono::seconds(5)));
    EXPECT_EQ(tables_.backends()[1].identity, 0U);
}

TEST_F(PlaneConnectionsTest, FollowsTheNextHopOfABackendThatIsLeaving)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    pass(std::chrono::seconds(5));
    uint16_t port = 1000;
    while (send(port).outer_destination_last() != 12) {
        port++;
    }
    apply(fleet({"10.2.0.11"}));
    Plane next(tables_, [] {}, kTiming, now());
    const auto other_hop = [](const model::IpAddress &) -> Result<model::NextHop> {
        return hop(99);
    };
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11"}), {.next_hop = other_hop}, now()));
    EXPECT_EQ(next.backends()[1].backend.name, "10.2.0.12");
    EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 12);
    EXPECT_EQ(send(port, 443, GW_TCP_ACK).mac_last(), 99);
}

TEST_F(PlaneConnectionsTest, GoesOnWithAdoptedSlotsUntilTheFirstProbesHaveEnded)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    pass(std::chrono::seconds(5));
    const auto before = spread();
    const model::Condition waiting{.failed = true, .waiting = true};
    conditions_ = {{"gw-10.2.0.11", waiting}, {"gw-10.2.0.12", waiting}};
    Plane next(tables_, [] {}, kTiming, now());
    ASSERT_TRUE(next.apply(desired, observed(), now()));
    EXPECT_EQ(next.backends()[0].state, BackendState::kForwarding);
    EXPECT_EQ(spread(), before);
    // The first of the probes does not take the other's slots.
    conditions_["gw-10.2.0.11"] = {};
    ASSERT_TRUE(next.apply(desired, observed(), now()));
    EXPECT_EQ(spread(), before);
    conditions_["gw-10.2.0.12"] = {.failed = true};
    ASSERT_TRUE(next.apply(desired, observed(), now()));
    EXPECT_EQ(next.backends()[1].state, BackendState::kFailed);
    EXPECT_FALSE(spread().contains(12));
}

TEST_F(PlaneConnectionsTest, KeepsOwnersWhileNoneOfTheNewBackendsIsChecked)
{
    const model::Condition waiting{.failed = true, .waiting = true};
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    pass(std::chrono::seconds(5));
    conditions_ = {{"gw-10.2.0.13", waiting}};
    apply(fleet({"10.2.0.13"}));
    EXPECT_EQ(plane_.backends()[0].state, BackendState::kUnchecked);
    EXPECT_EQ(spread().size(), 2U);
    EXPECT_FALSE(spread().contains(-1));
    // Those whose connections are given up are no owners.
    plane_.cut(plane_.backends()[1].index.value(), now());
    apply(fleet({"10.2.0.13"}));
    EXPECT_FALSE(spread().contains(11));
    EXPECT_TRUE(spread().contains(12));
    conditions_.clear();
    apply(fleet({"10.2.0.13"}));
    EXPECT_EQ(spread(), (std::map<int, int>{{13, 1000}}));
}

TEST_F(PlaneConnectionsTest, CallsADrainedBackendDrainingAlsoWhenItWouldReturn)
{
    auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    apply(desired);
    pass(std::chrono::seconds(5));
    conditions_["gw-10.2.0.12"] = {.failed = true, .cut = true};
    apply(desired);
    conditions_.clear();
    desired.pools[0].backends[1].drained = true;
    apply(desired);
    EXPECT_EQ(plane_.backends()[1].state, BackendState::kDraining);
}

TEST_F(PlaneConnectionsTest, StartsSlowlyWithAShareOfTheWeight)
{
    const auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    conditions_["gw-10.2.0.12"] = {.failed = false, .cut = false, .share_percent = 25};
    apply(desired);
    const auto counts = spread();
    EXPECT_NEAR(counts.at(12), 200, 60);
}

TEST_F(PlaneConnectionsTest, PinsEveryFlowOfAServiceThatAsksForIt)
{
    auto desired = fleet({"10.2.0.11", "10.2.0.12"});
    desired.services[0].affinity = model::Affinity::kFlow;
    apply(desired);
    EXPECT_EQ(slots().every_flow, 1009U);
    std::map<uint16_t, int> homes;
    for (uint16_t port = 1000; port < 1100; port++) {
        homes[port] = send(port, 443, GW_TCP_ACK).outer_destination_last();
    }
    desired.pools = fleet({"10.2.0.13", "10.2.0.14"}).pools;
    apply(desired);
    pass(std::chrono::seconds(5));
    for (const auto &[port, home] : homes) {
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), home);
    }
    EXPECT_GE(send(3000).outer_destination_last(), 13);
    EXPECT_EQ(slots().every_flow, 1009U);
}

TEST_F(PlaneConnectionsTest, GivesAServiceThatComesBackAnotherIndex)
{
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    const uint32_t before = plane_.services()[0].index;
    auto without = desired;
    without.services.clear();
    apply(without);
    apply(desired);
    EXPECT_NE(plane_.services()[0].index, before);
    EXPECT_EQ(plane_.ring_slots_used(), 2 * 1009U);
    // It keeps that one while the former is still there.
    const uint32_t index = plane_.services()[0].index;
    apply(desired);
    EXPECT_EQ(plane_.services()[0].index, index);
    EXPECT_EQ(plane_.ring_slots_used(), 2 * 1009U);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
    pass(std::chrono::seconds(5));
    EXPECT_EQ(plane_.ring_slots_used(), 1009U);
}

}  // namespace
}  // namespace guideway::plane
