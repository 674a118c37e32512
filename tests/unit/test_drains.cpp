// Drains: deadlines, and what is told of them, over a plane with packets and sweeps.
#include "control/daemon/drains.hpp"

#include "control/model/validate.hpp"
#include "tests/unit/plane_fixture.hpp"

namespace guideway::daemon {
namespace {

using plane::BackendState;

class DrainsTest : public plane::PlaneTest {
  protected:
    // What the daemon does once a second.
    std::vector<std::string> kinds()
    {
        std::vector<std::string> kinds;
        for (const auto &event : drains_.note(plane_, unix_now_)) {
            kinds.push_back(event.kind + " " + event.backend);
        }
        return kinds;
    }
    void apply_drains(const model::Desired &desired)
    {
        drains_.set_deadlines(desired, unix_now_);
        conditions_.clear();
        for (const auto &backend : desired.pools.at(0).backends) {
            conditions_[backend.name].cut =
                drains_.is_over({"gateways", backend.name}, unix_now_);
        }
        apply(desired);
    }
    // A connection to the backend with that last byte in its address.
    uint16_t connection_to(int last)
    {
        uint16_t port = 1000;
        while (send(port).outer_destination_last() != last) {
            port++;
        }
        return port;
    }

    Drains drains_;
    int64_t unix_now_ = 1'800'000'000;
};

using Kinds = std::vector<std::string>;

TEST_F(DrainsTest, AreToldFromTheirBeginningToTheLastConnection)
{
    auto desired = plane::fleet({"10.2.0.11", "10.2.0.12"});
    apply_drains(desired);
    pass(std::chrono::seconds(30));
    EXPECT_EQ(kinds(), Kinds{});
    const uint16_t port = connection_to(12);
    desired.pools[0].backends[1].drained = true;
    apply_drains(desired);
    EXPECT_EQ(kinds(), Kinds{"drain_begun gw-10.2.0.12"});
    for (int i = 0; i < 6; i++) {  // longer than the learning period
        EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 12);
        pass(std::chrono::seconds(4));
        EXPECT_EQ(kinds(), Kinds{});
    }
    pass(std::chrono::seconds(40));  // and it is silent for longer than the idle timeout
    EXPECT_EQ(kinds(), Kinds{"drain_done gw-10.2.0.12"});
    EXPECT_EQ(kinds(), Kinds{});
    desired.pools[0].backends[1].drained = false;
    apply_drains(desired);
    EXPECT_EQ(kinds(), Kinds{"drain_ended gw-10.2.0.12"});
}

TEST_F(DrainsTest, CutWhatIsLeftAtTheirDeadline)
{
    auto desired = plane::fleet({"10.2.0.11", "10.2.0.12"});
    apply_drains(desired);
    pass(std::chrono::seconds(30));
    EXPECT_EQ(kinds(), Kinds{});
    const uint16_t port = connection_to(12);
    auto &backend = desired.pools[0].backends[1];
    backend.drained = true;
    backend.drain_deadline = unix_now_ + 5;
    apply_drains(desired);
    EXPECT_EQ(kinds(), Kinds{"drain_begun gw-10.2.0.12"});
    unix_now_ += 4;
    EXPECT_FALSE(drains_.is_due(unix_now_));
    EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 12);
    unix_now_ += 1;
    ASSERT_TRUE(drains_.is_due(unix_now_));
    apply_drains(desired);
    EXPECT_FALSE(drains_.is_due(unix_now_)) << "once is enough";
    EXPECT_EQ(kinds(), Kinds{"drain_cut gw-10.2.0.12"});
    EXPECT_EQ(send(port, 443, GW_TCP_ACK).outer_destination_last(), 11);
    pass(std::chrono::seconds(5));
    EXPECT_EQ(kinds(), Kinds{"drain_done gw-10.2.0.12"});
    // And it may come back.
    backend.drained = false;
    backend.drain_deadline = 0;
    apply_drains(desired);
    EXPECT_EQ(plane_.backends()[1].state, BackendState::kForwarding);
}

TEST_F(DrainsTest, OfRemovedBackendsEndWithThem)
{
    apply_drains(plane::fleet({"10.2.0.11", "10.2.0.12"}));
    pass(std::chrono::seconds(30));
    EXPECT_EQ(kinds(), Kinds{});
    connection_to(12);
    apply_drains(plane::fleet({"10.2.0.11"}));
    EXPECT_EQ(kinds(), Kinds{"drain_begun gw-10.2.0.12"});
    plane_.cut(plane_.backends()[1].index.value(), now());
    EXPECT_EQ(kinds(), Kinds{"drain_cut gw-10.2.0.12"});
    pass(std::chrono::seconds(5));
    apply_drains(plane::fleet({"10.2.0.11"}));
    EXPECT_EQ(kinds(), Kinds{"drain_done gw-10.2.0.12"});
    EXPECT_EQ(plane_.backends().size(), 1U);
}

TEST_F(DrainsTest, ThatBeganAndEndedBeforeAStartAreNotTold)
{
    auto desired = plane::fleet({"10.2.0.11", "10.2.0.12"});
    desired.pools[0].backends[1].weight = 0;
    apply_drains(desired);
    EXPECT_EQ(kinds(), Kinds{});
    pass(std::chrono::seconds(30));
    EXPECT_EQ(kinds(), Kinds{});
}

TEST(Deadline, IsADurationOrATime)
{
    constexpr int64_t kNow = 1'800'000'000;
    EXPECT_EQ(model::parse_deadline("10m", kNow).value(), kNow + 600);
    EXPECT_EQ(model::parse_deadline("1500ms", kNow).value(), kNow + 2);
    EXPECT_EQ(model::parse_deadline("2026-11-22T10:00:00Z", 0).value(), 1'795'341'600);
    EXPECT_EQ(model::parse_deadline("2028-02-29T23:59:59Z", 0).value(), 1'835'481'599);
    EXPECT_EQ(model::utc_text(1'835'481'599), "2028-02-29T23:59:59Z");
    for (const char *text :
         {"", "0s", "999ms", "10", "-1m", "10 m", "2026-11-22", "2026-11-22T10:00:00",
          "2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z", "2026-11-22T24:00:00Z",
          "2026-11-22T10:00:60Z", "2026-11-22T10:00:00+00:00", "0000-00-00T00:00:00Z",
          "1969-12-31T23:59:59Z", "20260-1-22T10:00:00Z", "2026-11-22t10:00:00z"}) {
        EXPECT_FALSE(model::parse_deadline(text, 0)) << text;
    }
    const auto past = model::parse_deadline("2026-11-22T10:00:00Z", kNow);
    ASSERT_FALSE(past);
    EXPECT_TRUE(past.error().message.contains("is over already")) << past.error().message;
}

}  // namespace
}  // namespace guideway::daemon
