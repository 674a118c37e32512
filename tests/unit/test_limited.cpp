// What is read of sources: those that exceed limits, and packets that were sampled.
#include "dataplane/tables/limited.hpp"

#include <map>

#include "dataplane/tables/samples.hpp"
#include "tests/unit/limited_fixture.hpp"

namespace guideway {
namespace {

TEST_F(LimitedTest, AreReadAsPacketsLeftThem)
{
    set_limit(3, 24);
    EXPECT_TRUE(limited_sources(tables_).empty());
    exceed(address("192.0.2.7"), 2);
    now_ns_ += kSecond / 2;
    send(address("192.0.2.9"), 50);
    const auto sources = limited_sources(tables_);
    ASSERT_EQ(sources.size(), 1U);
    EXPECT_EQ(sources[0].source.low, address("192.0.2.0").low);
    EXPECT_EQ(sources[0].packets, 3U);
    EXPECT_EQ(sources[0].bytes, 250U);
    EXPECT_EQ(sources[0].last_ns - sources[0].since_ns, kSecond / 2);
    EXPECT_EQ(sources[0].limit, 3U);
    EXPECT_EQ(sources[0].told, Told::kNothing);
}

TEST_F(LimitedTest, ThatAreBeingWrittenAreSkipped)
{
    set_limit(0);
    exceed(address(1));
    const auto records = tables_.limited();
    records[limited_sources(tables_).at(0).record].fingerprint = GW_LIMITED_CLAIMED;
    EXPECT_TRUE(limited_sources(tables_).empty());
}

TEST_F(LimitedTest, KeepWhatWasToldOfThemUntilTheyAreGivenUp)
{
    set_limit(0);
    exceed(address(1));
    auto source = limited_sources(tables_).at(0);
    mark_told(tables_, source, Told::kAlone);
    exceed(address(1));
    source = limited_sources(tables_).at(0);
    EXPECT_EQ(source.told, Told::kAlone);
    EXPECT_EQ(source.service, 0U);
    mark_told(tables_, source, Told::kAmongOthers);
    EXPECT_EQ(limited_sources(tables_).at(0).told, Told::kAmongOthers);
    EXPECT_TRUE(give_up(tables_, source));
    EXPECT_FALSE(give_up(tables_, source));
    EXPECT_TRUE(limited_sources(tables_).empty());
    exceed(address(1));
    EXPECT_EQ(limited_sources(tables_).at(0).told, Told::kNothing);
}

TEST_F(LimitedTest, WithTwoRecordsBecomeOne)
{
    set_limit(0);
    exceed(address(1), 4);
    const auto source = limited_sources(tables_).at(0);
    const auto records = tables_.limited();
    const uint32_t other = source.record ^ 1;
    records[other] = records[source.record];
    records[other].packets = 2;
    records[other].bytes = 30;
    for (int round = 0; round < 2; round++) {
        const auto sources = limited_sources(tables_);
        ASSERT_EQ(sources.size(), 1U);
        EXPECT_EQ(sources[0].record, source.record & ~1U);
        EXPECT_EQ(sources[0].packets, 6U);
        EXPECT_EQ(sources[0].bytes, 430U);
    }
}

TEST_F(LimitedTest, OfAFormerLimitAreToldFromThoseOfThePresentOne)
{
    set_limit(0);
    exceed(address(1));
    const auto source = limited_sources(tables_).at(0);
    EXPECT_TRUE(is_of_present_limit(tables_, source));
    gw_limit &limit = tables_.limits()[0];
    limit.seed++;
    EXPECT_FALSE(is_of_present_limit(tables_, source));
    limit.seed--;
    EXPECT_TRUE(is_of_present_limit(tables_, source));
    limit.identity = 0;
    EXPECT_FALSE(is_of_present_limit(tables_, source));
}

TEST_F(LimitedTest, AreDeniedByTheListsInForceOnly)
{
    EXPECT_EQ(verdict_on(tables_, address("192.0.2.1")), GW_LIST_NONE);
    auto *roots = reinterpret_cast<uint32_t *>(
        tables_.base() + tables_.layout().lists_offset[1] + sizeof(gw_lists));
    roots[0xc000] = GW_LIST_DENY;
    tables_.header().lists_used = 1;
    EXPECT_EQ(verdict_on(tables_, address("192.0.2.1")), GW_LIST_NONE);
    tables_.header().lists_active = 1;
    EXPECT_EQ(verdict_on(tables_, address("192.0.2.1")), GW_LIST_DENY);
    EXPECT_EQ(verdict_on(tables_, address("192.1.2.1")), GW_LIST_NONE);
}

TEST_F(LimitedTest, ComeAlongIntoOtherTables)
{
    set_limit(3);
    for (uint32_t i = 0; i < 300; i++) {
        exceed(address(i));
    }
    auto before = limited_sources(tables_);
    mark_told(tables_, before.at(0), Told::kAlone);
    mark_told(tables_, before.at(1), Told::kAmongOthers);
    tables_.limited()[before.at(2).record].fingerprint = GW_LIMITED_CLAIMED;
    tables_.limited()[before.at(3).record].limit = GW_LIMITS_MAX;
    auto capacity = kCapacity;
    capacity.sources_max = 1024;
    const auto other = Tables::anonymous(capacity, kKey).value();
    other.limits()[3] = tables_.limits()[3];
    copy_limited(TablesView::of(tables_), other);
    const auto after = limited_sources(other);
    ASSERT_EQ(after.size(), before.size() - 2);
    EXPECT_EQ(after[0].told, Told::kAlone);
    EXPECT_EQ(after[1].told, Told::kAmongOthers);
    before.erase(before.begin() + 2, before.begin() + 4);
    for (size_t i = 0; i < after.size(); i++) {
        EXPECT_EQ(after[i].fingerprint, before[i].fingerprint);
        EXPECT_EQ(after[i].since_ns, before[i].since_ns);
        EXPECT_EQ(after[i].packets, before[i].packets);
        EXPECT_TRUE(is_of_present_limit(other, after[i]));
    }
}

class SamplesTest : public LimitedTest {
  protected:
    SampleReader::Polled poll()
    {
        return reader_.poll(tables_, [this](const gw_sample &sample, double packets) {
            packets_[sample.low] += packets;
        });
    }
    SampleReader reader_{tables_};
    std::map<uint64_t, double> packets_;  // by source
};

TEST_F(SamplesTest, AreReadOnceEach)
{
    send(address(1));
    sample(true);
    send(address(1));
    send(address(2), 100, false, 1, 1);
    EXPECT_EQ(poll().packets, 2U);
    EXPECT_EQ(packets_[address(1).low], 1.0);
    EXPECT_EQ(packets_[address(2).low], 1.0);
    EXPECT_EQ(poll().packets, 0U);
    sample(false);
    send(address(1));
    EXPECT_EQ(poll().packets, 0U);
}

TEST_F(SamplesTest, StandForAllPacketsWhenSomeAreMissed)
{
    sample(true);
    for (uint32_t i = 0; i < 10'000; i++) {
        send(address(i % 4));
    }
    const auto polled = poll();
    EXPECT_EQ(polled.packets, 10'000U);
    EXPECT_EQ(polled.samples, GW_SAMPLES - 1U);
    EXPECT_EQ(polled.missed, 10'000U - polled.samples);
    EXPECT_EQ(polled.fullest, 10'000U);
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT_NEAR(packets_[address(i).low], 2500, 25);
    }
    EXPECT_EQ(poll().samples, 0U);
}

TEST_F(SamplesTest, StandForThePacketsBetweenThem)
{
    sample(true);
    tables_.header().sample_mask = 63;
    double sum = 0;
    for (int round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 10; i++) {
            send(address(1));
        }
        sum += static_cast<double>(poll().packets);
    }
    EXPECT_NEAR(sum, 1000, 64);
    EXPECT_NEAR(packets_[address(1).low], sum, 1e-6);
}

TEST_F(SamplesTest, AreFewerWhereARingOverflowsAndMoreWhereItIsNearlyEmpty)
{
    const auto after = [](uint32_t mask, uint64_t fullest, uint64_t all) {
        return next_sample_mask(
            mask, {.packets = 0, .samples = all, .missed = 0, .fullest = fullest});
    };
    EXPECT_EQ(after(0, 0, 0), 0U);
    EXPECT_EQ(after(0, GW_SAMPLES / 2, GW_SAMPLES), 0U);
    EXPECT_EQ(after(0, GW_SAMPLES, GW_SAMPLES), 1U);
    EXPECT_EQ(after(0, uint64_t{GW_SAMPLES} * 64, uint64_t{GW_SAMPLES} * 64), 127U);
    EXPECT_EQ(after(3, 200, uint64_t{GW_SAMPLES} * 20), 15U) << "of many CPUs";
    EXPECT_EQ(after(7, 200, 400), 7U);
    EXPECT_EQ(after(7, 10, 20), 3U);
    EXPECT_LE(after(0, UINT64_MAX / 2, UINT64_MAX / 2), (1U << 20) - 1);
}

}  // namespace
}  // namespace guideway
