// The plane's writes, judged by what the packet path makes of them.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "control/plane/directory.hpp"
#include "control/plane/plane.hpp"
#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"

namespace guideway::plane {
namespace {

model::IpAddress ip(const char *text)
{
    return model::IpAddress::parse(text).value();
}

model::NextHop hop(uint8_t last)
{
    return {.egress_ifindex = 7,
            .interface = "eth0",
            .source = {2, 0, 0, 0, 0, 1},
            .destination = {2, 0, 0, 0, 0, last},
            .tags = {},
            .mtu_bytes = 1500,
            .via = ip("10.1.0.1")};
}

model::Desired fleet(const std::vector<std::string> &backends)
{
    model::Desired desired;
    desired.instance = "test";
    desired.tunnel_source_ipv4 = model::Prefix::parse("10.1.0.2");
    desired.services = {{.name = "api",
                         .address = ip("203.0.113.10"),
                         .port = 443,
                         .pool = "gateways",
                         .ring_size = 1009}};
    model::Pool pool{.name = "gateways", .backends = {}};
    for (const auto &address : backends) {
        pool.backends.push_back({.name = "gw-" + address, .address = ip(address.c_str())});
    }
    desired.pools = {pool};
    return desired;
}

class PlaneTest : public ::testing::Test {
  protected:
    static constexpr gw_capacity kCapacity = {.addresses_max = 16,
                                              .services_max = 4,
                                              .backends_max = 8,
                                              .ring_slots_max = 4096,
                                              .cpus_max = 1,
                                              .pins_max = 4096};

    PlaneTest()
        : tables_(Tables::anonymous(kCapacity, gw_hash_key{{1, 2, 3, 5}}).value()),
          plane_(tables_, [this] { quiesced_++; })
    {
        tables_.header().active_generation = 1;
    }

    NextHopLookup lookup()
    {
        return [this](const model::IpAddress &address) -> Result<model::NextHop> {
            if (unresolved_.contains(address)) {
                return fail("no answer");
            }
            return hop(address.bytes[3]);
        };
    }

    void apply(const model::Desired &desired, bool trust_adopted = false)
    {
        const auto applied = plane_.apply(desired, lookup(), trust_adopted);
        ASSERT_TRUE(applied) << applied.error().message;
    }

    struct Sent {
        gw_outcome outcome{};
        std::vector<uint8_t> frame;
        [[nodiscard]] uint8_t outer_destination_last() const { return frame.at(33); }
        [[nodiscard]] uint8_t mac_last() const { return frame.at(5); }
    };

    // A SYN from 192.0.2.1 and `source_port` to the service.
    Sent send(uint16_t source_port, uint16_t port = 443)
    {
        std::array<uint8_t, 256> buffer{};
        const std::vector<uint8_t> frame = {2,
                                            0,
                                            0,
                                            0,
                                            0,
                                            1,
                                            2,
                                            0,
                                            0,
                                            0,
                                            0,
                                            9,
                                            8,
                                            0,
                                            0x45,
                                            0,
                                            0,
                                            40,
                                            0,
                                            0,
                                            0x40,
                                            0,
                                            64,
                                            6,
                                            0,
                                            0,
                                            192,
                                            0,
                                            2,
                                            1,
                                            203,
                                            0,
                                            113,
                                            10,
                                            static_cast<uint8_t>(source_port >> 8),
                                            static_cast<uint8_t>(source_port),
                                            static_cast<uint8_t>(port >> 8),
                                            static_cast<uint8_t>(port),
                                            0,
                                            0,
                                            0,
                                            1,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0x50,
                                            2,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0};
        std::copy(frame.begin(), frame.end(), buffer.begin() + 128);
        gw_packet packet{.head = buffer.data(),
                         .data = buffer.data() + 128,
                         .end = buffer.data() + 128 + frame.size(),
                         .tables = tables_.base(),
                         .layout = &tables_.layout(),
                         .now_ns = 0,
                         .ingress_ifindex = 7,
                         .cpu = 0,
                         .generation = 1};
        Sent sent;
        gw_process(&packet, &sent.outcome);
        sent.frame.assign(packet.data, packet.end);
        return sent;
    }

    // How many of a thousand flows go to each backend, by the last byte of its address.
    std::map<int, int> spread()
    {
        std::map<int, int> counts;
        for (uint16_t port = 1000; port < 2000; port++) {
            const auto sent = send(port);
            counts[sent.outcome.reason == GW_REASON_FORWARDED ? sent.outer_destination_last()
                                                              : -1]++;
        }
        return counts;
    }

    std::vector<uint8_t> bytes() const
    {
        return {tables_.base(), tables_.base() + tables_.layout().total_bytes};
    }

    std::set<model::IpAddress> unresolved_;
    int quiesced_ = 0;
    Tables tables_;
    Plane plane_;
};

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
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_NO_BACKEND);
    EXPECT_EQ(plane_.backends()[0].state, BackendState::kWeightless);
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

TEST_F(PlaneTest, GivesAnIndexAwayOnlyAfterPacketsHaveEnded)
{
    apply(fleet({"10.2.0.11", "10.2.0.12"}));
    const uint32_t removed = plane_.backends()[1].index.value();
    apply(fleet({"10.2.0.11", "10.2.0.13"}));
    EXPECT_NE(plane_.backends()[1].index.value(), removed);
    // A packet that read the old ring still finds the old backend's headers.
    EXPECT_NE(tables_.backends()[removed].identity, 0U);
    const int before = quiesced_;
    apply(fleet({"10.2.0.11", "10.2.0.13", "10.2.0.14"}));
    EXPECT_GT(quiesced_, before);
    EXPECT_EQ(plane_.backends()[2].index.value(), removed);
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
    ASSERT_TRUE(plane_.apply(desired, other_hop, false));
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

    Plane next(tables_, [] {});
    // The next daemon knows no next hop yet.
    const auto silent = [](const model::IpAddress &) -> Result<model::NextHop> {
        return fail("not known yet");
    };
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11", "10.2.0.13"}), silent, true));
    EXPECT_TRUE(std::equal(slots.begin(), slots.end(), tables_.ring_slots().begin()));
    EXPECT_EQ(spread(), before);
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11", "10.2.0.13"}), lookup(), false));
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
    Plane next(tables_, [] {});
    desired.services[0].ring_size = 2003;
    const auto again = next.apply(desired, lookup(), false);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(spread().size(), 2U);
    EXPECT_EQ(next.ring_slots_used(), 2003U + 1009U);
    ASSERT_TRUE(next.apply(desired, lookup(), false));
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
    const auto applied = plane_.apply(desired, lookup(), false);
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
    EXPECT_FALSE(plane_.apply(many, lookup(), false));
    EXPECT_EQ(bytes(), before);
    auto wide = desired;
    for (uint16_t port : {1, 2, 3}) {
        wide.services.push_back(desired.services[0]);
        wide.services.back().port = port;
        wide.services.back().ring_size = 1511;
    }
    const auto applied = plane_.apply(wide, lookup(), false);
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
    apply(desired);  // the first packet-free moment frees the old service
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
