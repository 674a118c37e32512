// Pins moved into other tables, and the packets that look for them meanwhile.
#include "tests/unit/migrate_fixture.hpp"

#include <tuple>

namespace guideway {
namespace {

TEST_F(MigrateTest, PinsFindTheirPlaceInTablesOfAnySize)
{
    for (const uint32_t pins_max : {1U << 10, 1U << 12, 1U << 18}) {
        for (uint64_t flow = 1; flow <= 500; flow++) {
            pin(from_, 2, flow, flow % 2 == 0 ? 7 : 40, 30 + flow % 20,
                flow % 3 == 0 ? GW_PIN_CLOSING : 0);
        }
        const auto to = made(with([=](auto &c) { c.pins_max = pins_max; }));
        ASSERT_EQ(complaint(to), "");
        const auto account = move_pins(TablesView::of(from_), TablesView::of(to));
        EXPECT_EQ(account.moved, 500U);
        EXPECT_EQ(account.no_room, 0U);
        for (uint64_t flow = 1; flow <= 500; flow++) {
            const auto pin = found(to, 2, flow);
            ASSERT_EQ(pin.backend, flow % 2 == 0 ? 7U : 40U) << flow;
            EXPECT_TRUE(pin.confirmed);
            EXPECT_EQ(pin.second >> GW_PIN_SEEN_SHIFT, 30 + flow % 20);
            EXPECT_EQ((pin.second & GW_PIN_CLOSING) != 0, flow % 3 == 0);
            EXPECT_EQ(found(from_, 2, flow).backend, GW_OWNER_NONE) << "taken out";
        }
    }
}

// As full as it is let become: half, which leaves some flows with both buckets full.
TEST_F(MigrateTest, AHalfFullTableTakesThemAll)
{
    for (uint64_t flow = 1; flow <= 256; flow++) {
        ASSERT_TRUE(pin(from_, 2, flow, 7));
    }
    const auto to = made(with([](auto &c) { c.pins_max = 512; }));
    ASSERT_EQ(complaint(to), "");
    const auto account = move_pins(TablesView::of(from_), TablesView::of(to));
    EXPECT_EQ(account.no_room, 0U);
    for (uint64_t flow = 1; flow <= 256; flow++) {
        EXPECT_EQ(found(to, 2, flow).backend, 7U) << flow;
    }
}

TEST_F(MigrateTest, PinsOfTheDeadAndTheGoneAreForgotten)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    ASSERT_TRUE(pin(from_, 2, 2, 40));
    from_.backends()[40].state |= GW_BACKEND_DEAD;
    from_.services()[9] = from_.services()[2];
    ASSERT_TRUE(pin(from_, 9, 3, 7));
    const auto to = made(kCapacity);
    ASSERT_EQ(complaint(to), "");
    const auto account = move_pins(TablesView::of(from_), TablesView::of(to));
    EXPECT_EQ(account.moved, 1U);
    EXPECT_EQ(account.forgotten, 2U);
    EXPECT_EQ(found(to, 2, 2).backend, GW_OWNER_NONE);
}

TEST_F(MigrateTest, TheNewerPinWins)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    const auto to = made(kCapacity);
    ASSERT_EQ(complaint(to), "");
    ASSERT_TRUE(pin(to, 2, 1, 40));
    std::ignore = move_pins(TablesView::of(from_), TablesView::of(to));
    EXPECT_EQ(found(to, 2, 1).backend, 40U);
    EXPECT_EQ(found(from_, 2, 1).backend, GW_OWNER_NONE);
}

// As when two processors pin a flow at once: the lower place stays, also in the middle of a table.
TEST_F(MigrateTest, ASecondPinOfAFlowIsTakenAway)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    const auto walk = walk_of(from_, 2, 1);
    uint64_t first = 0;
    gw_pin *lower = gw_pin_find(&walk, gw_pin_hash(&walk), &first);
    ASSERT_NE(lower, nullptr);
    lower[2] = *lower;
    lower[0] = {};
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    EXPECT_NE(lower[0].first, 0U);
    EXPECT_EQ(lower[2].first, 0U);
}

TEST_F(MigrateTest, CopyingLeavesThem)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    const auto to = made(kCapacity);
    ASSERT_EQ(complaint(to), "");
    std::ignore = copy_pins(TablesView::of(from_), TablesView::of(to));
    EXPECT_EQ(found(to, 2, 1).backend, 7U);
    EXPECT_EQ(found(from_, 2, 1).backend, 7U);
}

class ReadThroughTest : public MigrateTest {
  protected:
    ReadThroughTest() : to_(made(with([](auto &c) { c.pins_max = 64; })))
    {
        // Every slot moves from 7 to 40.
        for (const auto *service : {&from_.services()[2], &from_.services()[5]}) {
            std::ranges::fill(
                from_.ring_slots().subspan(service->ring_offset, service->ring_size),
                gw_slot_make(40, GW_SLOT_MOVING, 7));
        }
        EXPECT_EQ(complaint(to_), "");
    }

    uint64_t event(gw_event event) const { return to_.counters().events[event]; }

    Tables to_;
};

TEST_F(ReadThroughTest, AFormerPinCountsAndIsMadeAnew)
{
    ASSERT_TRUE(pin(from_, 2, 1, 40, 50, GW_PIN_CLOSING));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U)
        << "without its pin it would go to the previous owner";
    EXPECT_EQ(event(GW_EVENT_PIN_HIT), 1U);
    EXPECT_EQ(event(GW_EVENT_PIN_MADE), 0U);
    const auto pin = found(to_, 2, 1);
    EXPECT_EQ(pin.backend, 40U);
    EXPECT_TRUE(pin.confirmed);
    EXPECT_NE(pin.second & GW_PIN_CLOSING, 0U);
    EXPECT_EQ(pin.second >> GW_PIN_SEEN_SHIFT, 60U);
    EXPECT_EQ(select(to_, nullptr, 2, 1, GW_TCP_ACK), 40U);
}

TEST_F(ReadThroughTest, AFlowThatNeitherKnowsIsJudgedByItsSlot)
{
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 7U);
    EXPECT_EQ(select(to_, &from_, 2, 2, GW_TCP_SYN), 40U);
    EXPECT_EQ(event(GW_EVENT_PIN_HIT), 0U);
    EXPECT_EQ(event(GW_EVENT_PIN_MADE), 2U);
    EXPECT_EQ(found(from_, 2, 1).backend, GW_OWNER_NONE) << "the former gains nothing";
}

TEST_F(ReadThroughTest, ASynEndsAFormerPinThatIsClosing)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7, 50, GW_PIN_CLOSING));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_SYN), 40U);
    EXPECT_EQ(found(from_, 2, 1).backend, GW_OWNER_NONE);
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U);
}

// The pin was made anew, closed there, and the flow began again: the former one must not return.
TEST_F(ReadThroughTest, AFlowThatBeganAgainIsNotFoundInTheFormer)
{
    ASSERT_TRUE(pin(from_, 2, 1, 7));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK | GW_TCP_FIN), 7U);
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_SYN), 40U);
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U);
    std::ignore = move_pins(TablesView::of(from_), TablesView::of(to_));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U);
}

TEST_F(ReadThroughTest, AFormerPinToTheDeadIsNone)
{
    ASSERT_TRUE(pin(from_, 2, 1, 40));
    to_.backends()[40].state |= GW_BACKEND_DEAD;
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 7U);
    EXPECT_EQ(found(from_, 2, 1).backend, GW_OWNER_NONE);
}

TEST_F(ReadThroughTest, AnIcmpErrorFollowsAFormerPinAndMakesNone)
{
    ASSERT_TRUE(pin(from_, 2, 1, 40));
    EXPECT_EQ(select(to_, &from_, 2, 1, 0, true), 40U);
    EXPECT_EQ(found(to_, 2, 1).backend, GW_OWNER_NONE);
}

TEST_F(ReadThroughTest, WithoutRoomTheFormerPinGoesOn)
{
    for (uint64_t flow = 1000; flow < 3000; flow++) {
        pin(to_, 2, flow, 7, 60);
    }
    ASSERT_TRUE(pin(from_, 2, 1, 40));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U);
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 40U);
    EXPECT_EQ(found(from_, 2, 1).backend, 40U);
}

TEST_F(ReadThroughTest, AStableSlotLooksNothingUp)
{
    std::ranges::fill(to_.ring_slots(), gw_slot_make(7, GW_SLOT_STABLE, GW_PREVIOUS_NONE));
    ASSERT_TRUE(pin(from_, 2, 1, 40));
    EXPECT_EQ(select(to_, &from_, 2, 1, GW_TCP_ACK), 7U);
    EXPECT_EQ(event(GW_EVENT_PIN_LOOKED_UP), 0U);
}

}  // namespace
}  // namespace guideway
