// Packets of two processors that meet at a pin. Each test tries the places at which the other
// can come between.
#include "tests/unit/core_pins_fixture.hpp"

namespace guideway {
namespace {

// Two packets of a new flow, of one kind: they go to one backend, and later ones too.
TEST_F(CorePins, TwoProcessorsThatPinOneFlowAtOnceAgree)
{
    for (const uint8_t flags : {kSyn, kAck}) {
        int point = 0;
        for (bool reached = true; reached; point++) {
            make(2);
            uint32_t other = GW_OWNER_NONE;
            interleaving.begin(point, [&] { other = send(9, flags); });
            const uint32_t own = send(9, flags);
            reached = interleaving.end();
            if (reached) {
                EXPECT_EQ(own, other) << "at point " << point;
            }
            EXPECT_EQ(own, flags == kSyn ? kOwner : kPrevious) << "at point " << point;
            EXPECT_EQ(pins_of(9).size(), 1) << "at point " << point;
            EXPECT_EQ(send(9, kAck), own) << "at point " << point;
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
        EXPECT_EQ(send(9, kSyn), 4);
    });
    EXPECT_EQ(send(9, kSyn), 4);
    EXPECT_TRUE(interleaving.end());
    EXPECT_EQ(pins_of(9).size(), 1);
    EXPECT_EQ(way(0, 0).first, uint64_t{9} << 17 | 4);
    EXPECT_EQ(send(9, kAck), 4);
}

// The same, when the higher pin has been given the overflow bit meanwhile.
TEST_F(CorePins, AHigherPinIsTakenAwayAlsoWithTheOverflowBit)
{
    make(1);
    const gw_walk packet_walk = walk(9, kSyn);
    const uint64_t hash = gw_pin_hash(&packet_walk);
    const uint64_t word = gw_pin_word(9, kOwner, 0);
    way(0, 0) = {.first = uint64_t{9} << 17 | 4, .second = 0};
    way(0, 1) = {.first = word | GW_PIN_OVERFLOW, .second = 0};
    EXPECT_EQ(gw_pin_keep_lower(&packet_walk, hash, &way(0, 1), word), 4);
    EXPECT_EQ(way(0, 1).first, GW_PIN_OVERFLOW);
}

// A packet of one flow meets its pin while another flow takes the pin's place: the newcomer's
// pin is neither confirmed nor closed by it, and the flow is one without a pin.
TEST_F(CorePins, ARefreshDoesNotTouchThePinThatReplacedIts)
{
    struct Meeting {
        uint8_t flags;
        uint64_t confirmed;
        uint32_t age;  // at which the pin just gives its place
    };
    for (const auto &[flags, confirmed, age] :
         {Meeting{kAck, 0, kTimes.handshake_ticks + 1},
          Meeting{kFin, 0, kTimes.handshake_ticks + 1},
          Meeting{kSyn, 0, kTimes.handshake_ticks + 1},
          Meeting{kFin, GW_PIN_CONFIRMED, kTimes.idle_ticks + 1}}) {
        int met = 0;
        int point = 0;
        for (bool reached = true; reached; point++) {
            make(1);
            fill(0, 1);
            way(0, 0) = {.first = uint64_t{9} << 17 | confirmed | kOwner,
                         .second = uint64_t{kNow - age} << 41};
            interleaving.begin(point, [&] { (void)send(10, kSyn); });
            const uint32_t own = send(9, flags);
            reached = interleaving.end();
            const auto newcomer = pins_of(10);
            // Where the flow is first there is no room for another.
            ASSERT_EQ(own, newcomer.empty() ? kOwner : kPrevious) << "at point " << point;
            if (newcomer.empty()) {
                continue;
            }
            met++;
            ASSERT_EQ(newcomer.size(), 1);
            EXPECT_EQ(newcomer[0].first & ~GW_PIN_OVERFLOW, uint64_t{10} << 17 | kOwner)
                << "at point " << point;
            EXPECT_EQ(newcomer[0].second, uint64_t{kNow} << 41 | 3ULL << 27 | 6)
                << "at point " << point;
        }
        EXPECT_GE(met, 2);
    }
}

// A pin that the control plane takes away under a packet is not made again by it: the packet
// is one without a pin, as the control plane counts on.
TEST_F(CorePins, APinTakenAwayUnderAPacketIsNotMadeAgain)
{
    for (const uint64_t confirmed : {uint64_t{0}, uint64_t{GW_PIN_CONFIRMED}}) {
        int point = 0;
        for (bool reached = true; reached; point++) {
            make(1);
            set_slot(GW_SLOT_PINNED, GW_PREVIOUS_NONE);
            way(0, 0) = {.first = uint64_t{9} << 17 | confirmed | kForeign,
                         .second = uint64_t{kNow} << 41};
            interleaving.begin(point, [&] { gw_pin_clear(&way(0, 0), way(0, 0).first); });
            const uint32_t own = send(9, kAck);
            reached = interleaving.end();
            EXPECT_EQ(own, reached ? kOwner : kForeign) << "at point " << point;
            EXPECT_EQ(pins_of(9).size(), reached ? 0 : 1) << "at point " << point;
        }
        EXPECT_GE(point, 3);
    }
}

// A pin's bucket begins to overflow while the pin is being confirmed: neither is lost.
TEST_F(CorePins, APinConfirmedWhileItsBucketOverflowsIsBoth)
{
    int point = 0;
    for (bool reached = true; reached; point++) {
        make(2);
        ASSERT_EQ(send(8, kSyn), kOwner);
        fill(0, 1);
        interleaving.begin(point, [&] { EXPECT_EQ(send(10, kSyn), kOwner); });
        EXPECT_EQ(send(8, kAck), kOwner);
        reached = interleaving.end();
        const uint64_t overflow = reached ? GW_PIN_OVERFLOW : 0;
        EXPECT_EQ(way(0, 0).first, uint64_t{8} << 17 | overflow | GW_PIN_CONFIRMED | kOwner)
            << "at point " << point;
    }
    EXPECT_GE(point, 3);
}

// The bucket overflows while its first way is being filled: the bit is not lost.
TEST_F(CorePins, APinPublishedWhileItsBucketOverflowsKeepsTheBit)
{
    make(2);
    fill(0, 1);

    // The places: before the lookup, before the pin, while it is claimed.
    interleaving.begin(2, [&] {
        ASSERT_EQ(way(0, 0).first, GW_PIN_CLAIMED);
        EXPECT_EQ(send(10, kSyn), kOwner);
    });
    EXPECT_EQ(send(8, kSyn), kOwner);
    EXPECT_TRUE(interleaving.end());
    EXPECT_EQ(way(0, 0).first, uint64_t{8} << 17 | GW_PIN_OVERFLOW | kOwner);
    EXPECT_EQ(send(8, kAck), kOwner);
    EXPECT_EQ(send(10, kAck), kOwner);
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
            interleaving.begin(point, [&] { other = send(10, kSyn); });
            const uint32_t own = send(9, kSyn);
            if (!interleaving.end()) {
                other = send(10, kSyn);
            }
            EXPECT_EQ(own + other, kOwner + kPrevious) << "at point " << point;
            const uint64_t holder = own == kOwner ? 9 : 10;
            EXPECT_EQ(way(0, 0).first & ~GW_PIN_OVERFLOW, holder << 17 | kOwner);
            EXPECT_EQ(events(GW_EVENT_PIN_REFUSED), 1);
        }
    }
}

}  // namespace
}  // namespace guideway
