#include "control/plane/selection.hpp"

#include <algorithm>
#include <atomic>
#include <set>

namespace guideway::plane {
namespace {

constexpr Milliseconds kNoteUnit{10};  // 32 bits of it are more than a year

gw_slot with_state(gw_slot slot, gw_slot_state state, uint32_t previous)
{
    return gw_slot_make(gw_slot_owner(slot), state, previous);
}

bool is_unsettled(gw_slot slot)
{
    const auto state = gw_slot_state_of(slot);
    return state == GW_SLOT_MOVING || state == GW_SLOT_PINNED;
}

}  // namespace

Selection::Selection(const Tables &tables, SelectionTiming timing, Moment now)
    : tables_(tables),
      timing_(timing),
      epoch_(now.time),
      services_(tables.services().size()),
      // Pins of an earlier daemon's time may name anything.
      service_purges_(tables.services().size(), Purge{now.time, false}),
      backend_purges_(tables.backends().size(), Purge{now.time, false}),
      references_(tables.backends().size()),
      // Of the cells, those that a slot uses.
      refusals_(std::min<size_t>(GW_REFUSAL_CELLS, tables.ring_slots().size())),
      sweep_began_(now.time),
      disagrees_(tables.ring_slots().size()),
      tracked_until_(now.time)
{
    read_refusals();
    for (uint32_t i = 0; i < services_.size(); i++) {
        if (tables.services()[i].identity != 0) {
            adopt(i, now);
        }
    }
}

uint32_t Selection::to_note(Milliseconds time) const
{
    return static_cast<uint32_t>((time - epoch_) / kNoteUnit);
}

// Whether `span` after `changed` is over at `at`; a unit more than exact, never less.
bool Selection::has_passed(uint32_t changed, Milliseconds span, Milliseconds at) const
{
    return changed_at(changed) + kNoteUnit + span <= at;
}

// Notes wrap after 497 days: the one that is meant is near the last sweep.
Milliseconds Selection::changed_at(uint32_t changed) const
{
    return sweep_began_ + kNoteUnit * static_cast<int32_t>(changed - to_note(sweep_began_));
}

gw_backend &Selection::backend(uint32_t index) const
{
    return tables_.backends()[index];
}

bool Selection::backend_is_dead(uint32_t index) const
{
    return (std::atomic_ref(backend(index).state).load(std::memory_order_relaxed) &
            GW_BACKEND_DEAD) != 0;
}

// Whether there is a backend of that index which connections may still be on.
bool Selection::can_receive(uint32_t index) const
{
    return index < references_.size() && !backend_is_dead(index);
}

void Selection::read_refusals()
{
    std::ranges::fill(refusals_, 0);
    for (uint32_t cpu = 0; cpu < tables_.capacity().cpus_max; cpu++) {
        const auto &area = tables_.counters_area(cpu);
        for (size_t i = 0; i < refusals_.size(); i++) {
            refusals_[i] += gw_read_once32(&area.refused[i]);
        }
    }
}

uint32_t Selection::refusals_of(uint32_t slot_index) const
{
    return refusals_[slot_index % GW_REFUSAL_CELLS];
}

void Selection::adopt(uint32_t index, Moment now)
{
    const auto &record = tables_.services()[index];
    Service &service = services_[index];
    service.is_known = true;
    service.slots = tables_.ring_slots().subspan(record.ring_offset, record.ring_size);
    service.first_slot = record.ring_offset;
    service.affinity = static_cast<gw_affinity>(record.affinity);
    service.notes.assign(record.ring_size, {});
    for (size_t i = 0; i < service.slots.size(); i++) {
        const gw_slot slot = service.slots[i];
        add_reference(gw_slot_owner(slot), 1, now);
        add_reference(gw_slot_previous(slot), 1, now);
        service.notes[i] = {to_note(now.time),
                            refusals_of(service.first_slot + static_cast<uint32_t>(i))};
        service.unsettled += is_unsettled(slot) ? 1 : 0;
        const uint32_t previous = gw_slot_previous(slot);
        if (!is_unsettled(slot) || previous == GW_PREVIOUS_NONE) {
            continue;
        }
        if (!can_receive(previous)) {
            write(service, i, with_state(slot, GW_SLOT_PINNED, GW_PREVIOUS_NONE), now);
        } else if (gw_slot_state_of(slot) == GW_SLOT_PINNED) {
            // Learning had just ended; whether a pin was refused at its end is not known.
            write(service, i, with_state(slot, GW_SLOT_MOVING, previous), now);
        }
    }
}

void Selection::add_service(uint32_t index, Moment now)
{
    read_refusals();
    adopt(index, now);
}

void Selection::remove_service(uint32_t index, Moment now)
{
    Service &service = services_[index];
    for (const gw_slot slot : service.slots) {
        add_reference(gw_slot_owner(slot), -1, now);
        add_reference(gw_slot_previous(slot), -1, now);
    }
    service = {};
    service_purges_[index] = {now.time, false};
}

bool Selection::service_is_free(uint32_t index) const
{
    return !services_[index].is_known && service_purges_[index].is_clean;
}

void Selection::add_reference(uint32_t index, int by, Moment now)
{
    if (index < references_.size()) {
        references_[index] += static_cast<uint32_t>(by);
        backend_purges_[index] = {now.time, false};
    }
}

// The one place where slots are written.
void Selection::write(Service &service, size_t at, gw_slot slot, Moment now)
{
    gw_slot &word = service.slots[at];
    add_reference(gw_slot_owner(slot), 1, now);
    add_reference(gw_slot_previous(slot), 1, now);
    add_reference(gw_slot_owner(word), -1, now);
    add_reference(gw_slot_previous(word), -1, now);
    service.unsettled += (is_unsettled(slot) ? 1U : 0U) - (is_unsettled(word) ? 1U : 0U);
    tracked_until_ = now.time;
    // Released: who reads the owner must find the owner's record written.
    std::atomic_ref(word).store(slot, std::memory_order_release);
    service.notes[at] = {to_note(now.time),
                         refusals_of(service.first_slot + static_cast<uint32_t>(at))};
}

// The slot with this owner.
gw_slot Selection::owned_by(const Service &service, gw_slot slot, uint32_t owner) const
{
    if (service.affinity == GW_AFFINITY_RING) {
        return gw_slot_make(owner, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
    }
    if (service.affinity == GW_AFFINITY_FLOW) {
        return gw_slot_make(owner, GW_SLOT_EVERY_FLOW, GW_PREVIOUS_NONE);
    }
    if (gw_slot_owner(slot) == owner) {
        return slot;
    }
    // Of a slot that is moving already, connections without a pin are older than all of it.
    const uint32_t previous = gw_slot_previous(slot) != GW_PREVIOUS_NONE
                                  ? gw_slot_previous(slot)
                                  : gw_slot_owner(slot);
    return can_receive(previous) ? gw_slot_make(owner, GW_SLOT_MOVING, previous)
                                 : gw_slot_make(owner, GW_SLOT_PINNED, GW_PREVIOUS_NONE);
}

void Selection::retarget(uint32_t index, std::span<const uint32_t> owners, Moment now)
{
    Service &service = services_[index];
    service.affinity = static_cast<gw_affinity>(tables_.services()[index].affinity);
    read_refusals();
    for (size_t i = 0; i < service.slots.size(); i++) {
        const gw_slot slot = owned_by(service, service.slots[i], owners[i]);
        if (slot != service.slots[i]) {
            write(service, i, slot, now);
        }
    }
}

void Selection::kill_backend(uint32_t index, Moment now)
{
    std::atomic_ref(backend(index).state).fetch_or(GW_BACKEND_DEAD, std::memory_order_release);
    read_refusals();
    // Nothing is left to learn from it.
    for (auto &service : services_) {
        for (size_t i = 0; i < service.slots.size(); i++) {
            if (gw_slot_previous(service.slots[i]) == index) {
                write(service, i,
                      with_state(service.slots[i], GW_SLOT_PINNED, GW_PREVIOUS_NONE), now);
            }
        }
    }
    backend_purges_[index] = {now.time, false};
}

bool Selection::backend_may_return(uint32_t index) const
{
    return !backend_is_dead(index) || backend_purges_[index].is_clean;
}

bool Selection::revive_backend(uint32_t index)
{
    if (!backend_may_return(index)) {
        return false;
    }
    std::atomic_ref(backend(index).state)
        .fetch_and(~uint32_t{GW_BACKEND_DEAD}, std::memory_order_release);
    return true;
}

bool Selection::backend_is_free(uint32_t index) const
{
    return references_[index] == 0 && backend_purges_[index].is_clean;
}

void Selection::count(gw_event event) const
{
    tables_.counters_area(tables_.capacity().cpus_max - 1).event[event]++;
}

// Whether the pin is of no more use; `event` says why.
bool Selection::is_done_with(const SweptPin &pin, Moment now, gw_event &event) const
{
    const bool is_known = pin.service < services_.size() && services_[pin.service].is_known &&
                          pin.backend < references_.size();
    const Service *service = is_known ? &services_[pin.service] : nullptr;
    if (service == nullptr || pin.slot - service->first_slot >= service->slots.size() ||
        backend_is_dead(pin.backend)) {
        event = GW_EVENT_PIN_DEAD;
        return true;
    }
    if (gw_pin_is_expired(&tables_.header().pin_times, pin.second, now.pin_ticks) != 0) {
        event = GW_EVENT_PIN_EXPIRED;
        return true;
    }
    // In a stable slot the flow goes to the owner without a pin, and after a change it would go
    // to the previous owner, the same.
    event = GW_EVENT_PIN_RELEASED;
    const gw_slot slot = service->slots[pin.slot - service->first_slot];
    return gw_slot_state_of(slot) == GW_SLOT_STABLE &&
           (gw_slot_owner(slot) == pin.backend || service->affinity == GW_AFFINITY_RING);
}

void Selection::sweep_pin(gw_pin &pin, Moment now)
{
    const uint64_t first = gw_read_once64(&pin.first);
    if ((first & ~GW_PIN_OVERFLOW) == 0 || (first & GW_PIN_CLAIMED) != 0) {
        return;
    }
    const uint64_t second = gw_pin_read_second(&pin, first);
    const SweptPin swept{
        .second = second,
        .service = static_cast<uint32_t>(second >> GW_PIN_SERVICE_SHIFT) & GW_PIN_SERVICE_MASK,
        .slot = static_cast<uint32_t>(second) & GW_PIN_SLOT_MASK,
        .backend = static_cast<uint32_t>(first) & GW_OWNER_MASK};
    // Also when it goes now: a packet that has seen it may still be on its way.
    PinCounts &counts = counting_[{swept.service, swept.backend}];
    pins_seen_++;
    gw_event event{};
    if (is_done_with(swept, now, event)) {
        if (gw_compare_exchange64(&pin.first, first, first & GW_PIN_OVERFLOW) == first) {
            count(event);
        }
        return;
    }
    const Service &service = services_[swept.service];
    counts.pins++;
    counts.confirmed += (first & GW_PIN_CONFIRMED) != 0 ? 1 : 0;
    if (gw_slot_owner(service.slots[swept.slot - service.first_slot]) != swept.backend) {
        counts.elsewhere++;
        disagrees_[swept.slot] = true;
    }
}

void Selection::sweep_bucket(gw_pin_bucket &bucket, Moment now)
{
    overflow_seen_ =
        overflow_seen_ || (gw_read_once64(&bucket.way[0].first) & GW_PIN_OVERFLOW) != 0;
    for (auto &pin : bucket.way) {
        sweep_pin(pin, now);
    }
}

bool Selection::sweep(size_t buckets, Moment now)
{
    const auto all = tables_.pin_buckets();
    if (next_bucket_ == 0) {
        sweep_began_ = now.time;
    }
    const size_t end = std::min(all.size(), next_bucket_ + buckets);
    for (; next_bucket_ < end; next_bucket_++) {
        sweep_bucket(all[next_bucket_], now);
    }
    if (next_bucket_ < all.size()) {
        return false;
    }
    end_sweep(now);
    return true;
}

void Selection::end_purges(std::vector<Purge> &purges, const std::set<uint32_t> &found,
                           Moment now) const
{
    for (uint32_t i = 0; i < purges.size(); i++) {
        if (found.contains(i)) {
            purges[i] = {now.time, false};
        } else if (purges[i].quiet_since + timing_.grace <= sweep_began_) {
            purges[i].is_clean = true;
        }
    }
}

void Selection::end_sweep(Moment now)
{
    std::set<uint32_t> services_found;
    std::set<uint32_t> backends_found;
    for (const auto &[key, counts] : counting_) {
        services_found.insert(key.first);
        backends_found.insert(key.second);
    }
    end_purges(service_purges_, services_found, now);
    end_purges(backend_purges_, backends_found, now);

    read_refusals();
    for (auto &service : services_) {
        if (service.unsettled > 0) {
            settle(service, now);
        }
    }
    if (overflow_seen_ && pins_seen_ == 0 && is_settled() &&
        tracked_until_ + timing_.grace <= sweep_began_) {
        clear_overflow();
    }
    counted_ = std::move(counting_);
    pins_counted_ = pins_seen_;
    counting_.clear();
    pins_seen_ = 0;
    overflow_seen_ = false;
    next_bucket_ = 0;
    disagrees_.assign(disagrees_.size(), false);
}

void Selection::settle(Service &service, Moment now)
{
    for (size_t i = 0; i < service.slots.size(); i++) {
        if (is_unsettled(service.slots[i])) {
            settle_slot(service, i, now);
        }
    }
}

// At the end of a sweep: moving -> pinned -> stable, where nothing speaks against it.
void Selection::settle_slot(Service &service, size_t at, Moment now)
{
    const gw_slot slot = service.slots[at];
    const SlotNote note = service.notes[at];
    const auto index = service.first_slot + static_cast<uint32_t>(at);
    const uint32_t previous = gw_slot_previous(slot);
    const bool refused = refusals_of(index) != note.refused;
    if (gw_slot_state_of(slot) == GW_SLOT_MOVING) {
        if (refused) {
            write(service, at, slot, now);  // learning begins again
        } else if (has_passed(note.changed, timing_.learning + timing_.grace, now.time)) {
            // Ending: the previous owner stays written until it is certain that packets which
            // were on their way have found room too. Until then no packet may go without a pin
            // to the owner, where it would be lost if the slot had to go back to moving.
            write(service, at, with_state(slot, GW_SLOT_PINNED, previous), now);
        }
        return;
    }
    if (previous != GW_PREVIOUS_NONE) {
        if (refused) {
            write(service, at, with_state(slot, GW_SLOT_MOVING, previous), now);
        } else if (has_passed(note.changed, timing_.grace, now.time)) {
            write(service, at, with_state(slot, GW_SLOT_PINNED, GW_PREVIOUS_NONE), now);
        }
        return;
    }
    if (has_passed(note.changed, timing_.grace, sweep_began_) && !disagrees_[index]) {
        write(service, at, with_state(slot, GW_SLOT_STABLE, GW_PREVIOUS_NONE), now);
    }
}

// No packet looks at pins any more, and none is left: buckets may forget that they once
// overflowed.
void Selection::clear_overflow() const
{
    for (auto &bucket : tables_.pin_buckets()) {
        gw_compare_exchange64(&bucket.way[0].first, GW_PIN_OVERFLOW, 0);
    }
}

bool Selection::has_work() const
{
    const auto is_clean = [](const Purge &purge) { return purge.is_clean; };
    return pins_counted_ > 0 || !is_settled() ||
           !std::ranges::all_of(service_purges_, is_clean) ||
           !std::ranges::all_of(backend_purges_, is_clean);
}

// No packet looks for a pin.
bool Selection::is_settled() const
{
    return std::ranges::all_of(services_, [](const Service &service) {
        return service.unsettled == 0 && service.affinity != GW_AFFINITY_FLOW;
    });
}

SlotCounts Selection::slots(uint32_t index) const
{
    SlotCounts counts;
    for (const gw_slot slot : services_[index].slots) {
        switch (gw_slot_state_of(slot)) {
            case GW_SLOT_STABLE:
                counts.stable++;
                break;
            case GW_SLOT_MOVING:
                counts.moving++;
                break;
            case GW_SLOT_PINNED:
                counts.pinned++;
                break;
            case GW_SLOT_EVERY_FLOW:
                counts.every_flow++;
                break;
        }
    }
    return counts;
}

PinCounts Selection::pins(uint32_t service, uint32_t to) const
{
    const auto found = counted_.find({service, to});
    return found == counted_.end() ? PinCounts{} : found->second;
}

PinCounts Selection::pins_of_backend(uint32_t to) const
{
    PinCounts sum;
    for (const auto &[key, counts] : counted_) {
        if (key.second == to) {
            sum.pins += counts.pins;
            sum.confirmed += counts.confirmed;
            sum.elsewhere += counts.elsewhere;
        }
    }
    return sum;
}

std::vector<Milliseconds> Selection::learning_ends() const
{
    std::vector<Milliseconds> ends(references_.size(), epoch_);
    for (const auto &service : services_) {
        for (size_t i = 0; service.unsettled > 0 && i < service.slots.size(); i++) {
            const uint32_t previous = gw_slot_previous(service.slots[i]);
            if (gw_slot_state_of(service.slots[i]) == GW_SLOT_MOVING &&
                previous < ends.size()) {
                ends[previous] = std::max(ends[previous], changed_at(service.notes[i].changed) +
                                                              timing_.learning + timing_.grace);
            }
        }
    }
    return ends;
}

}  // namespace guideway::plane
