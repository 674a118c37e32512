// The control plane's half of selection: the states of ring slots, the sweep over pins, and
// when an index may be used again. The packets' half is dataplane/core/select.h; the rules and
// their reasons are in docs/design/0006-selection.md.
//
// Does no I/O but the tables and takes the time as an argument, so that a simulator can drive
// it. It is the only writer of slots and of the backends' dead bit.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/tables/tables.hpp"

namespace guideway::plane {

using Milliseconds = std::chrono::milliseconds;

// One moment on two clocks: the control plane's, which begins anywhere and never goes back,
// and the pins' (GW_PIN_TICK_SHIFT).
struct Moment {
    Milliseconds time{};
    uint32_t pin_ticks = 0;
};

struct SelectionTiming {
    Milliseconds learning = std::chrono::minutes(15);
    // By when every packet that began before has ended, on every CPU and worker.
    Milliseconds grace = std::chrono::seconds(1);
};

struct SlotCounts {
    uint32_t stable = 0;
    uint32_t moving = 0;
    uint32_t pinned = 0;
    uint32_t every_flow = 0;
};

// Pins as the last whole sweep found them.
struct PinCounts {
    uint64_t pins = 0;
    uint64_t confirmed = 0;
    uint64_t elsewhere = 0;  // of a slot whose owner is another backend
};

class Selection {
  public:
    // Adopts the services that have an identity: every moving slot counts as moved now.
    Selection(const Tables &tables, SelectionTiming timing, Moment now);

    void set_timing(SelectionTiming timing) { timing_ = timing; }

    // Takes up a service whose record (ring, affinity) was just written; its slots have no
    // owner yet.
    void add_service(uint32_t service, Moment now);
    // The directory does not name it any more: its pins go. Its index and ring may be used
    // again once service_is_free().
    void remove_service(uint32_t service, Moment now);
    [[nodiscard]] bool service_is_free(uint32_t service) const;

    // Changes the owners of a service's slots, one each: a backend, or GW_OWNER_NONE.
    void retarget(uint32_t service, std::span<const uint32_t> owners, Moment now);

    // Gives up a backend's connections: pins to it are misses from now on.
    void kill_backend(uint32_t backend, Moment now);
    // True when the backend is not dead. A dead one comes back only when a whole sweep has
    // shown that no pin to it is left; until then this is false and changes nothing.
    [[nodiscard]] bool revive_backend(uint32_t backend);
    [[nodiscard]] bool backend_may_return(uint32_t backend) const;
    [[nodiscard]] bool backend_is_dead(uint32_t backend) const;
    // True when no slot and no pin names the backend, nor can one any more.
    [[nodiscard]] bool backend_is_free(uint32_t backend) const;

    // Goes on with the sweep by at most `buckets` buckets of pins. True when that ended a
    // sweep, which is when slots change their state and indices become free.
    bool sweep(size_t buckets, Moment now);

    // Whether a sweep could find or change anything.
    [[nodiscard]] bool has_work() const;

    [[nodiscard]] SlotCounts slots(uint32_t service) const;
    [[nodiscard]] PinCounts pins(uint32_t service, uint32_t backend) const;
    [[nodiscard]] PinCounts pins_of_backend(uint32_t backend) const;
    // When the last slot stops learning whose connections are still a backend's, by backend; now
    // or earlier where there is none.
    [[nodiscard]] std::vector<Milliseconds> learning_ends() const;
    // Of all services, by the last whole sweep; also those that it took away.
    [[nodiscard]] uint64_t pins_in_use() const { return pins_counted_; }

  private:
    // What is known of a slot that is not stable.
    struct SlotNote {
        uint32_t changed = 0;  // when, in units of kNoteUnit since epoch_
        uint32_t refused = 0;  // its cell's count when learning began
    };
    struct Service {
        bool is_known = false;
        std::span<gw_slot> slots;
        uint32_t first_slot = 0;
        gw_affinity affinity = GW_AFFINITY_RING;
        std::vector<SlotNote> notes;  // one a slot
        uint32_t unsettled = 0;       // slots that are moving or pinned
    };
    struct SweptPin {
        uint64_t second = 0;
        uint32_t service = 0;
        uint32_t slot = 0;  // of all rings
        uint32_t backend = 0;
    };
    // Since when nothing new can come to name an index, and whether a sweep that began a grace
    // later found nothing.
    struct Purge {
        Milliseconds quiet_since{};
        bool is_clean = false;
    };

    [[nodiscard]] uint32_t to_note(Milliseconds time) const;
    [[nodiscard]] Milliseconds changed_at(uint32_t changed) const;
    [[nodiscard]] bool has_passed(uint32_t changed, Milliseconds span, Milliseconds at) const;
    [[nodiscard]] gw_backend &backend(uint32_t index) const;
    [[nodiscard]] bool can_receive(uint32_t backend) const;
    void read_refusals();
    [[nodiscard]] uint32_t refusals_of(uint32_t slot_index) const;
    void adopt(uint32_t service, Moment now);
    void write(Service &service, size_t at, gw_slot slot, Moment now);
    void add_reference(uint32_t backend, int by, Moment now);
    [[nodiscard]] gw_slot owned_by(const Service &service, gw_slot slot, uint32_t owner) const;
    void sweep_bucket(gw_pin_bucket &bucket, Moment now);
    void sweep_pin(gw_pin &pin, Moment now);
    [[nodiscard]] bool is_done_with(const SweptPin &pin, Moment now, gw_event &event) const;
    void count(gw_event event) const;
    void end_sweep(Moment now);
    void end_purges(std::vector<Purge> &purges, const std::set<uint32_t> &found,
                    Moment now) const;
    void settle(Service &service, Moment now);
    void settle_slot(Service &service, size_t at, Moment now);
    void clear_overflow() const;
    [[nodiscard]] bool is_settled() const;

    const Tables &tables_;
    SelectionTiming timing_;
    Milliseconds epoch_;
    std::vector<Service> services_;
    std::vector<Purge> service_purges_;
    std::vector<Purge> backend_purges_;
    std::vector<uint32_t> references_;  // slots that name a backend, by backend
    std::vector<uint32_t> refusals_;    // by cell, of all CPUs

    // The sweep under way, and what it has found so far.
    size_t next_bucket_ = 0;
    Milliseconds sweep_began_{};
    std::vector<bool> disagrees_;  // by slot: a pin to another backend than its owner
    using Counts = std::map<std::pair<uint32_t, uint32_t>, PinCounts>;  // service, backend
    Counts counting_;
    uint64_t pins_seen_ = 0;
    bool overflow_seen_ = false;
    Milliseconds tracked_until_{};  // when a slot was last written

    Counts counted_;  // by the last whole sweep
    uint64_t pins_counted_ = 0;
};

}  // namespace guideway::plane
