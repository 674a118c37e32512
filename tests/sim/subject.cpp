// The code under test, as one translation unit: the core's selection and the control plane's.
//
// Everything that it reads of memory that is shared is made a place where others may come
// between, by giving the words for it another meaning before the code is included.
#include "tests/sim/subject.hpp"

#include "tests/sim/fiber.hpp"

namespace guideway::sim {

thread_local Interleaving interleaving;

namespace {

void interleave()
{
    if (Fiber::current() != nullptr) {
        Fiber::yield();
    }
}

void interleave_access()
{
    if (interleaving.is_everywhere) {
        interleave();
    }
}

uint64_t read64(const uint64_t *word)
{
    interleave_access();
    return gw_read_once64(word);
}

uint64_t compare_exchange64(uint64_t *word, uint64_t expected, uint64_t desired)
{
    interleave_access();
    return gw_compare_exchange64(word, expected, desired);
}

uint32_t read32(const uint32_t *word)
{
    PacketRun *packet = interleaving.packet;
    if (packet == nullptr) {
        if (word == interleaving.first_refusal_cell) {
            interleave_access();
        }
        return gw_read_once32(word);
    }
    interleave_access();
    const uint32_t value = gw_read_once32(word);
    const auto at =
        static_cast<uint64_t>(reinterpret_cast<const uint8_t *>(word) - packet->walk.tables);
    const gw_layout &layout = *packet->walk.layout;
    if (at - layout.rings_offset < layout.ring_slots_max * sizeof(gw_slot)) {
        packet->slot = value;
    }
    return value;
}

}  // namespace
}  // namespace guideway::sim

#undef GW_INTERLEAVE
#define GW_INTERLEAVE() guideway::sim::interleave()
#define gw_read_once64 guideway::sim::read64
#define gw_read_once32 guideway::sim::read32
#define gw_compare_exchange64 guideway::sim::compare_exchange64

#include "control/plane/selection.cpp"  // NOLINT(bugprone-suspicious-include)
#include "dataplane/core/select.h"

namespace guideway::sim {
namespace {

plane::Moment moment(ControlMoment now)
{
    return {plane::Milliseconds(now.time_ms), now.pin_ticks};
}

class TrueControl final : public Control {
  public:
    TrueControl(const Tables &tables, Timing timing, ControlMoment now)
        : selection_(tables,
                     {.learning = plane::Milliseconds(timing.learning_ms),
                      .grace = plane::Milliseconds(timing.grace_ms)},
                     moment(now))
    {
    }

    void add_service(uint32_t service, ControlMoment now) override
    {
        selection_.add_service(service, moment(now));
    }
    void remove_service(uint32_t service, ControlMoment now) override
    {
        selection_.remove_service(service, moment(now));
    }
    bool service_is_free(uint32_t service) const override
    {
        return selection_.service_is_free(service);
    }
    void retarget(uint32_t service, std::span<const uint32_t> owners,
                  ControlMoment now) override
    {
        selection_.retarget(service, owners, moment(now));
    }
    void kill_backend(uint32_t backend, ControlMoment now) override
    {
        selection_.kill_backend(backend, moment(now));
    }
    bool revive_backend(uint32_t backend) override
    {
        return selection_.revive_backend(backend);
    }
    bool backend_is_free(uint32_t backend) const override
    {
        return selection_.backend_is_free(backend);
    }
    bool sweep(size_t buckets, ControlMoment now) override
    {
        return selection_.sweep(buckets, moment(now));
    }
    bool has_work() const override { return selection_.has_work(); }
    std::array<uint32_t, 4> slots(uint32_t service) const override
    {
        const auto counts = selection_.slots(service);
        return {counts.stable, counts.moving, counts.pinned, counts.every_flow};
    }
    Pins pins(uint32_t service, uint32_t backend) const override
    {
        const auto counts = selection_.pins(service, backend);
        return {counts.pins, counts.confirmed, counts.elsewhere};
    }

  private:
    plane::Selection selection_;
};

}  // namespace

std::unique_ptr<Control> make_control(const Tables &tables, Timing timing, ControlMoment now)
{
    return std::make_unique<TrueControl>(tables, timing, now);
}

void run_packet(PacketRun &run)
{
    run.reason = gw_select(&run.walk, &run.packet);
    if (run.reason == GW_REASON_FORWARDED) {
        gw_count_forwarded(&run.walk, &run.packet);
    } else {
        gw_count_reason(&run.walk, run.reason);
    }
}

}  // namespace guideway::sim
