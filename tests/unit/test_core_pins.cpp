// Pins as words in memory, and SYNs seen again. What a packet does in each state of its slot is
// told by tests/packets/cases.
#include "tests/unit/core_pins_fixture.hpp"

namespace guideway {
namespace {

TEST_F(CorePins, WordsAreAsDrawn)
{
    make(1);
    EXPECT_EQ(send(0x123456789abc, kSyn), kOwner);
    EXPECT_EQ(way(0, 0).first, 0x123456789abcULL << 17 | 2);
    EXPECT_EQ(way(0, 0).second, 1000ULL << 41 | 3ULL << 27 | 6);
    EXPECT_EQ(send(0x123456789abc, kAck, kNow + 1), kOwner);
    EXPECT_EQ(way(0, 0).first, 0x123456789abcULL << 17 | 1 << 14 | 2);
    EXPECT_EQ(way(0, 0).second, 1001ULL << 41 | 3ULL << 27 | 6);
    EXPECT_EQ(send(0x123456789abc, kFin, kNow + 2), kOwner);
    EXPECT_EQ(way(0, 0).second, 1002ULL << 41 | 1ULL << 40 | 3ULL << 27 | 6);
}

TEST_F(CorePins, AFingerprintIsNeverZero)
{
    make(1);
    const gw_walk none = walk(0, kSyn);
    EXPECT_NE(gw_pin_hash(&none) >> 17, 0);
    EXPECT_EQ(send(0, kSyn), kOwner);
    EXPECT_EQ(send(0, kAck), kOwner) << "its pin is found";
}

TEST_F(CorePins, TheSameFlowOfAnotherServiceHasAnotherPin)
{
    make(1);
    tables_->services()[4] = tables_->services()[kService];
    EXPECT_EQ(send(9, kSyn), kOwner);
    gw_walk other = walk(9, kAck, 4);
    gw_packet packet{};
    packet.tables = tables_->base();
    packet.layout = &tables_->layout();
    packet.now_ns = kNow * kTickNs;
    EXPECT_EQ(gw_select(&other, &packet), GW_REASON_FORWARDED);
    EXPECT_EQ(other.backend, kPrevious);
    EXPECT_EQ(events(GW_EVENT_PIN_MADE), 2);
}

TEST_F(CorePins, TheOtherBucketIsAnotherAndItsOtherTheFirst)
{
    for (const uint32_t mask : {1U, 3U, 7U, 0x7fffffU}) {
        for (uint64_t n = 1; n < 1000; n++) {
            const uint64_t fingerprint = n * 0x9e3779b97f4a7c15ULL >> 17;
            const uint32_t bucket = static_cast<uint32_t>(n * 7) & mask;
            const uint32_t other = gw_pin_other_bucket(bucket, fingerprint, mask);
            ASSERT_LE(other, mask);
            ASSERT_NE(other, bucket);
            ASSERT_EQ(gw_pin_other_bucket(other, fingerprint, mask), bucket);
        }
    }
    EXPECT_EQ(gw_pin_other_bucket(0, 12345, 0), 0);
}

TEST_F(CorePins, OverflowIsSaidOfTheFirstBucketInItsFirstWayOnly)
{
    make(2);
    fill(1);
    EXPECT_EQ(send(9, kSyn), kOwner);
    EXPECT_EQ(way(0, 0).first >> 17, 9);
    for (const uint32_t bucket : {0U, 1U}) {
        for (uint32_t i = 0; i < GW_PIN_WAYS; i++) {
            EXPECT_EQ((way(bucket, i).first & GW_PIN_OVERFLOW) != 0, bucket == 1 && i == 0);
        }
    }
}

TEST_F(CorePins, TheSecondBucketIsReadOnlyAfterOverflow)
{
    make(2);
    fill(1);
    EXPECT_EQ(send(9, kSyn), kOwner);
    EXPECT_EQ(send(9, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 1);
    way(1, 0).first &= ~GW_PIN_OVERFLOW;
    set_slot(GW_SLOT_PINNED, GW_PREVIOUS_NONE);
    EXPECT_EQ(send(9, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 1) << "the owner's packet, not the pin's";
}

TEST_F(CorePins, OverflowOutlastsThePinBesideIt)
{
    make(2);
    fill(1, 0, kTimes.idle_ticks);
    EXPECT_EQ(send(9, kSyn), kOwner);
    // Replaced, cleared because it closes, and made again.
    for (const uint8_t flags : {kSyn, kFin, kSyn}) {
        EXPECT_EQ(send(11, flags, kNow + 1), kOwner);
        ASSERT_EQ(way(1, 0).first >> 17, 11);
        ASSERT_NE(way(1, 0).first & GW_PIN_OVERFLOW, 0);
    }
    gw_pin_clear(&way(1, 0), way(1, 0).first);
    EXPECT_EQ(way(1, 0).first, GW_PIN_OVERFLOW);
    EXPECT_EQ(send(9, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 2);
}

TEST_F(CorePins, AClaimedWayIsNobodysPinAndNobodysPlace)
{
    make(1);
    for (uint32_t i = 0; i < GW_PIN_WAYS; i++) {
        way(0, i) = {.first = GW_PIN_CLAIMED, .second = 0};  // as old as can be
    }
    EXPECT_EQ(send(9, kSyn), kPrevious);
    EXPECT_EQ(events(GW_EVENT_PIN_REFUSED), 1);
    EXPECT_EQ(tables_->counters_area(0).refused[kSlot], 1);
    EXPECT_EQ(way(0, 3).first, GW_PIN_CLAIMED);
}

struct Lapse {
    uint64_t flags;  // of the first word
    uint64_t closing;
    uint32_t ticks;  // the age at which a pin is last kept
};
constexpr Lapse kLapses[] = {{GW_PIN_CONFIRMED, 0, kTimes.idle_ticks},
                             {GW_PIN_CONFIRMED, GW_PIN_CLOSING, kTimes.closing_ticks},
                             {0, GW_PIN_CLOSING, kTimes.handshake_ticks},
                             {0, 0, kTimes.handshake_ticks}};

// Also where the clock, of 23 bits, wraps between a pin's last packet and now.
TEST_F(CorePins, APinIsReplacedATickAfterItsTimeAlsoAcrossTheClocksWrap)
{
    for (const uint32_t seen : {5U, 0x7fffffU, 0x7fffffU - 2, 0x400000U, 0x3fffffU}) {
        for (const auto &lapse : kLapses) {
            make(1);
            fill(0, 1);
            for (uint32_t i = 1; i < GW_PIN_WAYS; i++) {
                way(0, i).second = uint64_t{seen + 1} << 41;
            }
            way(0, 0) = {.first = uint64_t{99} << 17 | lapse.flags | kForeign,
                         .second = uint64_t{seen} << 41 | lapse.closing};
            const uint32_t last = (seen + lapse.ticks) & GW_PIN_TICKS_MASK;
            ASSERT_EQ(send(9, kSyn, last), kPrevious) << seen;
            ASSERT_EQ(send(9, kSyn, last + 1), kOwner) << seen;
            ASSERT_EQ(way(0, 0).first >> 17, 9);
        }
    }
}

TEST_F(CorePins, AClockATickBehindNeitherExpiresNorReplaces)
{
    for (const uint32_t now : {kNow, 0U, 0x7fffffU}) {
        for (const auto &lapse : kLapses) {
            make(1);
            fill(0, 1);
            for (uint32_t i = 0; i < GW_PIN_WAYS; i++) {
                way(0, i) = {
                    .first = uint64_t{90 + i} << 17 | lapse.flags | kForeign,
                    .second = uint64_t{(now + 1) & GW_PIN_TICKS_MASK} << 41 | lapse.closing};
            }
            EXPECT_FALSE(gw_pin_is_expired(&kTimes, way(0, 0).second, now));
            EXPECT_EQ(send(9, kSyn, now), kPrevious);
        }
    }
}

// ---- SYNs seen again.

class SynSeen : public CorePins {
  protected:
    // Whether the SYN counts as seen before.
    bool is_repeat(uint64_t hash, uint32_t now)
    {
        gw_walk packet_walk = walk({}, kSyn);
        packet_walk.hash = hash;
        gw_packet packet{};
        packet.now_ns = now * kTickNs;
        return gw_note_syn(&packet_walk, &packet) != 0;
    }
};

TEST_F(SynSeen, ARepeatIsCountedWithinTheTimeAndNotAfterIt)
{
    for (const uint32_t start : {1U, 4000U, 4095U, 8000U}) {  // 12 bits, which wrap
        make(1);
        uint32_t now = start;
        EXPECT_FALSE(is_repeat(0x5000000000123, now));
        EXPECT_TRUE(is_repeat(0x5000000000123, now));
        EXPECT_TRUE(is_repeat(0x5000000000123, now += GW_SYN_REPEAT_TICKS));
        EXPECT_FALSE(is_repeat(0x5000000000123, now += GW_SYN_REPEAT_TICKS + 1));
        EXPECT_TRUE(is_repeat(0x5000000000123, now + 1)) << "the time runs from the last one";
        EXPECT_EQ(events(GW_EVENT_SYN_REPEATED), 3);
    }
}

TEST_F(SynSeen, FlowsOfOneCellAreToldApartAndTheNewerIsRemembered)
{
    make(1);
    EXPECT_FALSE(is_repeat(0x5000000000123, 9));
    EXPECT_FALSE(is_repeat(0x5000000000124, 9));
    EXPECT_TRUE(is_repeat(0x5000000000124, 9));
    EXPECT_FALSE(is_repeat(0x5000000000123, 9));
    EXPECT_FALSE(is_repeat(0x0000000000000, 9)) << "an empty cell is no SYN";
}

}  // namespace
}  // namespace guideway
