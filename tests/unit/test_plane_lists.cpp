// Lists in force, judged by what the packet path makes of them.
#include "dataplane/tables/lists.hpp"
#include "tests/unit/plane_fixture.hpp"

namespace guideway::plane {
namespace {

class PlaneLists : public PlaneTest {
  protected:
    // What becomes of the sources in 192.0.2.0/24, of which the packets come.
    ListsImage lists(std::vector<gw_list_verdict> verdicts)
    {
        std::vector<ListedPrefix> prefixes;
        for (const auto verdict : verdicts) {
            prefixes.push_back({.address = {192, 0, 2}, .length_bits = 24, .verdict = verdict});
        }
        return build_lists(ListsRoom::of(tables_), prefixes).value();
    }
    uint32_t policy(uint32_t service) const { return tables_.services()[service].policy; }
};

TEST_F(PlaneLists, StopSourcesOfServicesThatAreThere)
{
    apply(fleet({"10.2.0.11"}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
    EXPECT_EQ(policy(0) & GW_POLICY_LISTS, 0U) << "nothing is looked up for nothing";
    plane_.put_lists(lists({GW_LIST_DENY}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_DENIED);
    EXPECT_EQ(send(1000, 443, GW_TCP_ACK).outcome.reason, GW_REASON_DENIED);
    plane_.put_lists(lists({GW_LIST_ALLOW}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
    plane_.put_lists(lists({GW_LIST_DENY}));
    plane_.put_lists(lists({}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
    EXPECT_EQ(policy(0) & GW_POLICY_LISTS, 0U);
}

TEST_F(PlaneLists, StopSourcesOfServicesThatCome)
{
    plane_.put_lists(lists({GW_LIST_DENY}));
    auto desired = fleet({"10.2.0.11"});
    apply(desired);
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_DENIED);
    desired.services.push_back(desired.services[0]);
    desired.services[1].name = "second";
    desired.services[1].port = 444;
    apply(desired);
    EXPECT_EQ(send(1000, 444).outcome.reason, GW_REASON_DENIED);
    plane_.put_lists(lists({}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
    EXPECT_EQ(send(1000, 444).outcome.reason, GW_REASON_FORWARDED);
}

TEST_F(PlaneLists, GoOnWhileTheNextDaemonAdoptsTheTables)
{
    apply(fleet({"10.2.0.11"}));
    plane_.put_lists(lists({GW_LIST_DENY}));
    Plane next(tables_, [] {}, kTiming, now());
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_DENIED);
    ASSERT_TRUE(next.apply(fleet({"10.2.0.11"}), observed(), now()));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_DENIED);
    next.put_lists(lists({}));
    EXPECT_EQ(send(1000).outcome.reason, GW_REASON_FORWARDED);
}

TEST_F(PlaneLists, WaitForPacketsThatReadTheCopyOfBefore)
{
    apply(fleet({"10.2.0.11"}));
    const int before = quiesced_;
    plane_.put_lists(lists({GW_LIST_DENY}));
    EXPECT_EQ(quiesced_, before + 1);
}

}  // namespace
}  // namespace guideway::plane
