// Pins as words in memory, and packets of two processors that meet at them. What a packet
// does in each state of its slot is told by tests/packets/cases.
#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

namespace {

// Runs `act` when the core comes to a place, counted from `begin`, where other processors
// may come between.
struct Interleaving {
    int point = 0;
    int at = -1;
    std::function<void()> act;

    void begin(int chosen, std::function<void()> what)
    {
        point = 0;
        at = chosen;
        act = std::move(what);
    }

    void meet()
    {
        if (point++ == at) {
            act();
        }
    }

    // Whether the packet came to the chosen place.
    bool end() { return std::exchange(at, -1) < point; }
};
Interleaving interleaving;

}  // namespace

#define GW_INTERLEAVE() interleaving.meet()

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"
#include "dataplane/tables/tables.hpp"

namespace guideway {
namespace {

constexpr uint64_t kTickNs = uint64_t{1} << 27;
constexpr uint32_t kNow = 1000;  // in ticks
constexpr gw_pin_times kTimes{.idle_ticks = 100, .closing_ticks = 10, .handshake_ticks = 3};
constexpr uint32_t kPrevious = 1;
constexpr uint32_t kOwner = 2;
constexpr uint32_t kForeign = 5;  // where the pins of other flows lead

// A flow with a pin of its own choice: its first bucket and its fingerprint.
struct Flow {
    uint32_t bucket = 0;
    uint64_t fingerprint = 1;
};

// Service 3 has one slot, number 6 of all rings, that moves from kPrevious to kOwner.
class CorePins : public testing::Test {
  protected:
    static constexpr uint32_t kService = 3;
    static constexpr uint32_t kSlot = 6;

    void make(uint32_t buckets)
    {
        tables_ = Tables::anonymous({.addresses_max = 1,
                                     .services_max = 8,
                                     .backends_max = 8,
                                     .ring_slots_max = 16,
                                     .cpus_max = 1,
                                     .pins_max = buckets * GW_PIN_WAYS},
                                    gw_hash_key{});
        ASSERT_TRUE(tables_);
        tables_->header().pin_times = kTimes;
        auto &service = tables_->services()[kService];
        service.ring_offset = kSlot;
        service.ring_size = 1;
        set_slot(GW_SLOT_MOVING);
    }

    void set_slot(gw_slot_state state)
    {
        tables_->ring_slots()[kSlot] = gw_slot_make(kOwner, state, kPrevious);
    }

    [[nodiscard]] gw_walk walk(const Flow &flow, uint8_t flags, uint32_t service = kService)
    {
        gw_walk walk{};
        walk.tables = tables_->base();
        walk.layout = &tables_->layout();
        walk.counters = reinterpret_cast<uint8_t *>(&tables_->counters_area(0));
        walk.service = service;
        walk.tcp_flags = flags;
        // The inverse of what a flow's pin makes of the flow's hash.
        walk.hash =
            (flow.fingerprint << 17 | flow.bucket) ^ (kService + 1) * 0x9e3779b97f4a7c15ULL;
        return walk;
    }

    // One packet; the backend it goes to.
    uint32_t send(const Flow &flow, uint8_t flags, uint32_t now = kNow)
    {
        gw_walk packet_walk = walk(flow, flags);
        gw_packet packet{};
        packet.now_ns = now * kTickNs;
        EXPECT_EQ(gw_select(&packet_walk, &packet), GW_REASON_FORWARDED);
        return packet_walk.backend;
    }

    [[nodiscard]] gw_pin &way(uint32_t bucket, uint32_t index)
    {
        return tables_->pin_buckets()[bucket].way[index];
    }

    // Fills the ways from `first` on with pins of other flows.
    void fill(uint32_t bucket, uint32_t first = 0, uint32_t age = 0,
              uint64_t confirmed = GW_PIN_CONFIRMED)
    {
        for (uint32_t i = first; i < GW_PIN_WAYS; i++) {
            const uint64_t fingerprint = 0x700000 + bucket * GW_PIN_WAYS + i;
            way(bucket, i) = {.first = fingerprint << 17 | confirmed | kForeign,
                              .second = uint64_t{kNow - age} << 41};
        }
    }

    // Where the flow has pins; not in which order lookups find them.
    [[nodiscard]] std::vector<gw_pin> pins_of(const Flow &flow)
    {
        std::vector<gw_pin> found;
        for (const auto &bucket : tables_->pin_buckets()) {
            for (const auto &pin : bucket.way) {
                if (pin.first >> 17 == flow.fingerprint) {
                    found.push_back(pin);
                }
            }
        }
        return found;
    }

    [[nodiscard]] uint64_t events(gw_event event)
    {
        return tables_->counters_area(0).event[event];
    }

    Result<Tables> tables_ = fail("not made");
};

constexpr uint8_t kSyn = GW_TCP_SYN;
constexpr uint8_t kAck = GW_TCP_ACK;
constexpr uint8_t kFin = GW_TCP_FIN | GW_TCP_ACK;

TEST_F(CorePins, WordsAreAsDrawn)
{
    make(1);
    EXPECT_EQ(send({.fingerprint = 0x123456789abc}, kSyn), kOwner);
    EXPECT_EQ(way(0, 0).first, 0x123456789abcULL << 17 | 2);
    EXPECT_EQ(way(0, 0).second, 1000ULL << 41 | 3ULL << 27 | 6);
    EXPECT_EQ(send({.fingerprint = 0x123456789abc}, kAck, kNow + 1), kOwner);
    EXPECT_EQ(way(0, 0).first, 0x123456789abcULL << 17 | 1 << 14 | 2);
    EXPECT_EQ(way(0, 0).second, 1001ULL << 41 | 3ULL << 27 | 6);
    EXPECT_EQ(send({.fingerprint = 0x123456789abc}, kFin, kNow + 2), kOwner);
    EXPECT_EQ(way(0, 0).second, 1002ULL << 41 | 1ULL << 40 | 3ULL << 27 | 6);
}

TEST_F(CorePins, AFingerprintIsNeverZero)
{
    make(1);
    const gw_walk none = walk({.bucket = 77, .fingerprint = 0}, kSyn);
    EXPECT_NE(gw_pin_hash(&none) >> 17, 0);
    EXPECT_EQ(send({.bucket = 77, .fingerprint = 0}, kSyn), kOwner);
    EXPECT_EQ(send({.bucket = 77, .fingerprint = 0}, kAck), kOwner) << "its pin is found";
}

TEST_F(CorePins, TheSameFlowOfAnotherServiceHasAnotherPin)
{
    make(1);
    tables_->services()[4] = tables_->services()[kService];
    EXPECT_EQ(send({.fingerprint = 9}, kSyn), kOwner);
    gw_walk other = walk({.fingerprint = 9}, kAck, 4);
    gw_packet packet{};
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
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kSyn), kOwner);
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
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kSyn), kOwner);
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 1);
    way(1, 0).first &= ~GW_PIN_OVERFLOW;
    set_slot(GW_SLOT_PINNED);
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 1) << "the owner's packet, not the pin's";
}

TEST_F(CorePins, OverflowOutlastsThePinBesideIt)
{
    make(2);
    fill(1, 0, kTimes.idle_ticks);
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kSyn), kOwner);
    // Replaced, cleared because it closes, and made again.
    for (const uint8_t flags : {kSyn, kFin, kSyn}) {
        EXPECT_EQ(send({.bucket = 1, .fingerprint = 10}, flags, kNow + 1), kOwner);
        ASSERT_EQ(way(1, 0).first >> 17, 10);
        ASSERT_NE(way(1, 0).first & GW_PIN_OVERFLOW, 0);
    }
    gw_pin_clear(&way(1, 0), way(1, 0).first);
    EXPECT_EQ(way(1, 0).first, GW_PIN_OVERFLOW);
    EXPECT_EQ(send({.bucket = 1, .fingerprint = 9}, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 2);
}

TEST_F(CorePins, AClaimedWayIsNobodysPinAndNobodysPlace)
{
    make(1);
    for (uint32_t i = 0; i < GW_PIN_WAYS; i++) {
        way(0, i) = {.first = GW_PIN_CLAIMED, .second = 0};  // as old as can be
    }
    EXPECT_EQ(send({.fingerprint = 9}, kSyn), kPrevious);
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
            ASSERT_EQ(send({.fingerprint = 9}, kSyn, last), kPrevious) << seen;
            ASSERT_EQ(send({.fingerprint = 9}, kSyn, last + 1), kOwner) << seen;
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
            EXPECT_EQ(send({.fingerprint = 9}, kSyn, now), kPrevious);
        }
    }
}

// ---- Two processors. Each test tries every place where the other can come between.

// Two packets of a new flow, of one kind: they go to one backend, and later ones too.
TEST_F(CorePins, TwoProcessorsThatPinOneFlowAtOnceAgree)
{
    for (const uint8_t flags : {kSyn, kAck}) {
        int point = 0;
        for (bool reached = true; reached; point++) {
            make(2);
            uint32_t other = GW_OWNER_NONE;
            interleaving.begin(point, [&] { other = send({.fingerprint = 9}, flags); });
            const uint32_t own = send({.fingerprint = 9}, flags);
            reached = interleaving.end();
            if (reached) {
                EXPECT_EQ(own, other) << "at point " << point;
            }
            EXPECT_EQ(own, flags == kSyn ? kOwner : kPrevious) << "at point " << point;
            EXPECT_EQ(send({.fingerprint = 9}, kAck), own) << "at point " << point;
        }
        EXPECT_GE(point, 4);
    }
}

// A slot that moves on between the two: one began at the old owner, one at the new. All
// later packets agree with the one whose pin lies lower.
TEST_F(CorePins, OfTwoPinsOfAFlowTheLowerStays)
{
    make(1);
    way(0, 0) = {.first = GW_PIN_CLAIMED, .second = 0};
    // While the packet publishes way 1, way 0 becomes free and the other processor takes it.
    interleaving.begin(2, [&] {
        way(0, 0).first = 0;
        tables_->ring_slots()[kSlot] = gw_slot_make(4, GW_SLOT_MOVING, kPrevious);
        EXPECT_EQ(send({.fingerprint = 9}, kSyn), 4);
    });
    EXPECT_EQ(send({.fingerprint = 9}, kSyn), 4);
    EXPECT_TRUE(interleaving.end());
    EXPECT_EQ(pins_of({.fingerprint = 9}).size(), 1);
    EXPECT_EQ(way(0, 0).first, uint64_t{9} << 17 | 4);
    EXPECT_EQ(send({.fingerprint = 9}, kAck), 4);
}

// The same, when the higher pin has been given the overflow bit meanwhile.
TEST_F(CorePins, AHigherPinIsTakenAwayAlsoWithTheOverflowBit)
{
    make(1);
    const gw_walk packet_walk = walk({.fingerprint = 9}, kSyn);
    const uint64_t hash = gw_pin_hash(&packet_walk);
    const uint64_t word = gw_pin_word(9, kOwner, 0);
    way(0, 0) = {.first = uint64_t{9} << 17 | 4, .second = 0};
    way(0, 1) = {.first = word | GW_PIN_OVERFLOW, .second = 0};
    EXPECT_EQ(gw_pin_keep_lower(&packet_walk, hash, &way(0, 1), word), 4);
    EXPECT_EQ(way(0, 1).first, GW_PIN_OVERFLOW);
}

// A packet of one flow meets its pin while another flow takes the pin's place: the newcomer's
// pin is neither confirmed nor closed by it, and the flow goes where it was at home.
TEST_F(CorePins, ARefreshDoesNotTouchThePinThatReplacedIts)
{
    for (const uint8_t flags : {kAck, kFin, kSyn}) {
        int met = 0;
        // Point 0 is before the lookup: the flow comes too late to be at home anywhere.
        for (int point = 1; point < 8; point++) {
            make(1);
            ASSERT_EQ(send({.fingerprint = 9}, kSyn, kNow - 4), kOwner);
            fill(0, 1);
            interleaving.begin(point, [&] { (void)send({.fingerprint = 10}, kSyn); });
            EXPECT_EQ(send({.fingerprint = 9}, flags), kOwner) << "at point " << point;
            const auto newcomer = pins_of({.fingerprint = 10});
            if (!interleaving.end() || newcomer.empty()) {
                continue;  // the flow was first, so that there was no room for another
            }
            met++;
            ASSERT_EQ(newcomer.size(), 1);
            EXPECT_EQ(newcomer[0].first & ~GW_PIN_OVERFLOW, uint64_t{10} << 17 | kOwner)
                << "at point " << point;
            EXPECT_EQ(newcomer[0].second, uint64_t{kNow} << 41 | 3ULL << 27 | 6)
                << "at point " << point;
        }
        EXPECT_GE(met, 1);
    }
}

// A flow whose pin is taken away while its packet is noted in it is pinned again.
TEST_F(CorePins, ALivingFlowIsPinnedAgainWhenItsPinIsTakenAwayInThatMoment)
{
    make(1);
    ASSERT_EQ(send({.fingerprint = 9}, kSyn), kOwner);
    // The first place is before the lookup, the second between lookup and note.
    interleaving.begin(1, [&] { gw_pin_clear(&way(0, 0), way(0, 0).first); });
    EXPECT_EQ(send({.fingerprint = 9}, kAck), kOwner);
    EXPECT_TRUE(interleaving.end());
    const auto pins = pins_of({.fingerprint = 9});
    ASSERT_EQ(pins.size(), 1);
    EXPECT_EQ(pins[0].first, uint64_t{9} << 17 | GW_PIN_CONFIRMED | kOwner);
    EXPECT_EQ(send({.fingerprint = 9}, kAck), kOwner);
}

// The bucket overflows while its first way is being filled: the bit is not lost.
TEST_F(CorePins, APinPublishedWhileItsBucketOverflowsKeepsTheBit)
{
    make(2);
    fill(0, 1);
    const Flow first{.bucket = 0, .fingerprint = 9};
    const Flow second{.bucket = 0, .fingerprint = 10};
    // The places: before the lookup, before the pin, while it is claimed.
    interleaving.begin(2, [&] {
        ASSERT_EQ(way(0, 0).first, GW_PIN_CLAIMED);
        EXPECT_EQ(send(second, kSyn), kOwner);
    });
    EXPECT_EQ(send(first, kSyn), kOwner);
    EXPECT_TRUE(interleaving.end());
    EXPECT_EQ(way(0, 0).first, uint64_t{9} << 17 | GW_PIN_OVERFLOW | kOwner);
    EXPECT_EQ(send(first, kAck), kOwner);
    EXPECT_EQ(send(second, kAck), kOwner);
    EXPECT_EQ(events(GW_EVENT_PIN_HIT), 2);
}

// Two new flows, one place: one has it, the other goes to the previous owner.
TEST_F(CorePins, OnePlaceIsGivenToOneOfTwo)
{
    for (const uint32_t age : {kTimes.idle_ticks + 1, uint32_t{0}}) {
        for (int point = 0; point < 6; point++) {
            make(1);
            fill(0, 1);
            if (age != 0) {  // or else the place is empty
                way(0, 0) = {.first = uint64_t{99} << 17 | GW_PIN_CONFIRMED | kForeign,
                             .second = uint64_t{kNow - age} << 41};
            }
            uint32_t other = GW_OWNER_NONE;
            interleaving.begin(point, [&] { other = send({.fingerprint = 10}, kSyn); });
            const uint32_t own = send({.fingerprint = 9}, kSyn);
            if (!interleaving.end()) {
                other = send({.fingerprint = 10}, kSyn);
            }
            EXPECT_EQ(own + other, kOwner + kPrevious) << "at point " << point;
            const uint64_t holder = own == kOwner ? 9 : 10;
            EXPECT_EQ(way(0, 0).first & ~GW_PIN_OVERFLOW, holder << 17 | kOwner);
            EXPECT_EQ(events(GW_EVENT_PIN_REFUSED), 1);
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
