// What must hold of every packet, of the tables whenever nothing is on its way, and of a world
// that has come to rest. The promise itself is in promise.cpp.
#include <fmt/format.h>

#include "tests/sim/world.hpp"
// (the seam comes first)
#include "dataplane/core/pins.h"

namespace guideway::sim {
namespace {

constexpr uint64_t kFingerprint = ~0ULL << GW_PIN_FINGERPRINT_SHIFT;

bool is_pin(uint64_t first)
{
    return (first & kFingerprint) != 0;
}

uint64_t pin_hash(const FlowConfig &flow)
{
    const gw_walk walk{.service = flow.service, .hash = flow.hash};
    return gw_pin_hash(&walk);
}

uint32_t slot_of(const FlowConfig &flow, uint32_t ring_size)
{
    return flow.service * kRingMax + static_cast<uint32_t>((flow.hash >> 32) * ring_size >> 32);
}

// Ticks are rounded, and the processors' clocks differ.
constexpr int64_t kTicksMs = 500;

}  // namespace

std::string World::text_of(gw_slot slot) const
{
    constexpr std::array<const char *, 4> kStates{"stable", "moving", "pinned", "every flow"};
    std::string text = kStates.at(gw_slot_state_of(slot));
    const uint32_t owner = gw_slot_owner(slot);
    text += owner == GW_OWNER_NONE ? ", no owner" : fmt::format(", owner {}", owner);
    if (gw_slot_previous(slot) != GW_PREVIOUS_NONE) {
        text += fmt::format(", previous {}", gw_slot_previous(slot));
    }
    return text;
}

std::string World::text_of(const Flight &flight) const
{
    constexpr std::array<const char *, 6> kNames{"SYN", "data", "FIN", "RST", "ICMP error", ""};
    const Flow &flow = promise_.flows()[flight.passage.flow];
    return fmt::format("cpu {}: flow {} {}", flight.run.packet.cpu, flight.passage.flow,
                       kNames.at(static_cast<size_t>(flight.passage.send))) +
           (flow.config.role == Role::client
                ? fmt::format(" (home {}, {})", flight.passage.homes.text(),
                              name_of(flight.passage.excuse))
                : "");
}

uint64_t World::events_of(const Flight &flight, uint32_t cpu, gw_event event) const
{
    return tables_.counters_area(cpu).event[event] - flight.events_before[event];
}

// Every packet that meets a slot which is not stable is counted once, and says what it found.
void World::check_counters(uint32_t cpu) const
{
    const Flight &flight = flights_[cpu];
    const auto events = [&](gw_event event) { return events_of(flight, cpu, event); };
    const uint64_t ends =
        events(GW_EVENT_PIN_HIT) + events(GW_EVENT_PIN_MADE) + events(GW_EVENT_PIN_REFUSED);
    const bool is_tracked = gw_slot_state_of(flight.run.slot) != GW_SLOT_STABLE;
    if (events(GW_EVENT_PIN_LOOKED_UP) != (is_tracked ? 1 : 0) ||
        ends + events(GW_EVENT_PIN_DEAD) > (is_tracked ? 2 : 0) || ends > 1) {
        throw Violation("counters",
                        fmt::format("{}; slot {}: looked up {}, hit {}, made {}, refused {}",
                                    text_of(flight), text_of(flight.run.slot),
                                    events(GW_EVENT_PIN_LOOKED_UP), events(GW_EVENT_PIN_HIT),
                                    events(GW_EVENT_PIN_MADE), events(GW_EVENT_PIN_REFUSED)));
    }
}

void World::check_destination(const Flight &flight) const
{
    if (flight.run.reason != GW_REASON_FORWARDED) {
        return;
    }
    const uint32_t index = flight.run.walk.backend;
    if (index >= kBackends ||
        !services_[flight.run.walk.service].owners.contains(backends_[index].life)) {
        throw Violation("outside", fmt::format("{} went to backend {}, which its service has "
                                               "never had",
                                               text_of(flight), index));
    }
    const Backend &backend = backends_[index];
    // (Another one of its flow, on its way since before, may have pinned it there.)
    if (backend.is_dead && flight.is_alone && flight.serial > backend.died_at &&
        gw_slot_owner(flight.run.slot) != index) {
        throw Violation("dead", fmt::format("{} went to backend {}, which was dead",
                                            text_of(flight), index));
    }
}

// A packet that nothing interrupted did what the table at the top of select.h says.
void World::check_table_of_states(const Flight &flight) const
{
    const gw_slot slot = flight.run.slot;
    const uint32_t cpu = flight.run.packet.cpu;
    if (events_of(flight, cpu, GW_EVENT_PIN_HIT) > 0) {
        return;
    }
    const auto is_alive = [&](uint32_t backend) {
        return backend < kBackends && !backends_[backend].is_dead;
    };
    const gw_slot_state state = gw_slot_state_of(slot);
    const bool is_syn = flight.run.walk.tcp_flags == GW_TCP_SYN;
    const bool has_refused = events_of(flight, cpu, GW_EVENT_PIN_REFUSED) > 0;
    uint32_t expected = gw_slot_owner(slot);
    bool makes_pin = state == GW_SLOT_EVERY_FLOW;
    const uint32_t previous = gw_slot_previous(slot);
    if (previous != GW_PREVIOUS_NONE) {
        const bool is_ending = state == GW_SLOT_PINNED || !is_alive(previous);
        makes_pin = is_syn || is_alive(previous);
        if (has_refused || (!is_syn && is_alive(previous))) {
            expected = is_syn && is_ending ? GW_OWNER_NONE : previous;
        }
    }
    const bool pinned_to_living =
        is_syn && has_refused ? is_alive(gw_slot_owner(slot)) : is_alive(expected);
    makes_pin = makes_pin && pinned_to_living && flight.passage.send != Send::rst &&
                flight.passage.send != Send::icmp_error;
    const bool has_tried = has_refused || events_of(flight, cpu, GW_EVENT_PIN_MADE) > 0;
    const uint32_t found =
        flight.run.reason == GW_REASON_FORWARDED ? flight.run.walk.backend : GW_OWNER_NONE;
    if (found != expected || has_tried != makes_pin) {
        throw Violation("states",
                        fmt::format("{}, without a pin, went to {} and {} one, not to "
                                    "{}; slot {}",
                                    text_of(flight), found, has_tried ? "wanted" : "wanted not",
                                    expected, text_of(slot)));
    }
}

const Flow *World::flow_of_pin(const gw_pin &pin) const
{
    for (const auto &flow : promise_.flows()) {
        if (((pin_hash(flow.config) ^ pin.first) & kFingerprint) == 0) {
            return &flow;
        }
    }
    return nullptr;
}

// What is not a SYN has confirmed the pin that it found.
void World::check_confirmed(const Flight &flight) const
{
    const Send send = flight.passage.send;
    const Flow &flow = promise_.flows()[flight.passage.flow];
    if (send == Send::syn || send == Send::icmp_error || flow.config.role != Role::client ||
        flow.affinity != GW_AFFINITY_CONNECTION || !promise_.is_undisturbed(flight.passage)) {
        return;
    }
    const gw_walk &walk = flight.run.walk;
    uint64_t first = 0;
    if (gw_pin_find(&walk, gw_pin_hash(&walk), &first) != nullptr &&
        (first & GW_PIN_CONFIRMED) == 0) {
        throw Violation("confirmed", fmt::format("{} has found its pin, which is not confirmed",
                                                 text_of(flight)));
    }
}

// Only pins that matter keep another one out.
void World::check_refusal(const Flight &flight) const
{
    if (events_of(flight, flight.run.packet.cpu, GW_EVENT_PIN_REFUSED) == 0) {
        return;
    }
    const gw_walk &walk = flight.run.walk;
    const uint64_t hash = gw_pin_hash(&walk);
    const uint32_t mask = tables_.layout().pin_buckets_mask;
    const uint32_t first = static_cast<uint32_t>(hash >> GW_PIN_FINGERPRINT_SHIFT) & mask;
    const uint32_t other = gw_pin_other_bucket(first, hash >> GW_PIN_FINGERPRINT_SHIFT, mask);
    const int64_t late_ms = 2 * config_.grace_ms + kTicksMs;
    for (const uint32_t at : {first, other}) {
        for (const auto &pin : tables_.pin_buckets()[at].way) {
            if ((pin.first & GW_PIN_CLAIMED) != 0) {
                continue;
            }
            const Flow *holder = is_pin(pin.first) ? flow_of_pin(pin) : nullptr;
            const int64_t silence_ms = holder != nullptr ? now_ms_ - holder->last_ms : 0;
            if (holder == nullptr || silence_ms > config_.idle_ms + late_ms ||
                (!holder->has_sent_more_than_syns &&
                 silence_ms > config_.handshake_ms + late_ms)) {
                throw Violation(
                    "refusal",
                    fmt::format("{} got no pin, though a way of bucket {} {}", text_of(flight),
                                at, holder == nullptr ? "is empty" : "has one of no more use"));
            }
        }
    }
}

void World::check_owners(uint32_t service, const std::vector<uint32_t> &owners) const
{
    for (uint32_t i = 0; i < owners.size(); i++) {
        if (gw_slot_owner(slot(service, i)) != owners[i]) {
            throw Violation("owners",
                            fmt::format("slot {} of service {} is {}, not of {}", i, service,
                                        text_of(slot(service, i)), owners[i]));
        }
    }
}

// An index is used again: nothing may name it.
void World::check_unused(uint32_t backend) const
{
    for (const auto &bucket : tables_.pin_buckets()) {
        for (const auto &pin : bucket.way) {
            if (is_pin(pin.first) && (pin.first & GW_OWNER_MASK) == backend) {
                throw Violation("free",
                                fmt::format("backend {} is free, but has pins", backend));
            }
        }
    }
    for (uint32_t service = 0; service < services_.size(); service++) {
        for (uint32_t i = 0; services_[service].is_present && i < services_[service].ring_size;
             i++) {
            const gw_slot at = slot(service, i);
            if (gw_slot_owner(at) == backend || gw_slot_previous(at) == backend) {
                throw Violation("free", fmt::format("backend {} is free, but service {} has {}",
                                                    backend, service, text_of(at)));
            }
        }
    }
}

void World::audit()
{
    if (is_told()) {
        tell("all packets arrive, and two whole sweeps");
    }
    finish_flights();
    finish_control();
    // The sweep under way, and a whole one.
    whole_sweep();
    whole_sweep();
    audit_pins();
    audit_references();
    audit_counters();
}

void World::audit_pin(const gw_pin &pin) const
{
    const auto wrong = [&](const char *which, const char *how) {
        const Flow *flow = flow_of_pin(pin);
        throw Violation(which,
                        fmt::format("the pin of flow {} to backend {} {}",
                                    flow == nullptr ? -1 : flow - promise_.flows().data(),
                                    pin.first & GW_OWNER_MASK, how));
    };
    const Flow *flow = flow_of_pin(pin);
    const auto service = pin.second >> GW_PIN_SERVICE_SHIFT & GW_PIN_SERVICE_MASK;
    const auto index = static_cast<uint32_t>(pin.second & GW_PIN_SLOT_MASK);
    if (flow == nullptr || flow->config.service != service || !services_[service].is_present ||
        index != slot_of(flow->config, services_[service].ring_size)) {
        wrong("pins", "names a service or slot that is not the flow's");
    }
    const uint32_t backend = pin.first & GW_OWNER_MASK;
    if (backend >= kBackends || backends_[backend].is_dead) {
        wrong("pins", "names a dead backend after a sweep");
    }
    if (gw_pin_is_expired(&tables_.header().pin_times, pin.second,
                          control_moment().pin_ticks) != 0) {
        wrong("pins", "has expired before the sweep");
    }
    if ((pin.first & GW_PIN_CONFIRMED) != 0 && !flow->has_sent_more_than_syns) {
        wrong("confirmed", "is confirmed, but only SYNs were sent");
    }
    const gw_slot at = tables_.ring_slots()[index];
    if (gw_slot_state_of(at) == GW_SLOT_STABLE && gw_slot_owner(at) != backend &&
        services_[service].affinity == GW_AFFINITY_CONNECTION) {
        wrong("stable", "is of a slot which is stable, and another backend's");
    }
}

void World::audit_pins() const
{
    std::array<std::array<Pins, kBackends>, kServicesMax> found{};
    std::set<uint64_t> flows;
    const auto buckets = tables_.pin_buckets();
    for (uint32_t i = 0; i < buckets.size(); i++) {
        for (const auto &pin : buckets[i].way) {
            if ((pin.first & GW_PIN_CLAIMED) != 0 ||
                (&pin != buckets[i].way && (pin.first & GW_PIN_OVERFLOW) != 0)) {
                throw Violation("pins", fmt::format("a way of bucket {} holds {:#x} while no "
                                                    "packet is on its way",
                                                    i, pin.first));
            }
            if (!is_pin(pin.first)) {
                continue;
            }
            audit_pin(pin);
            if (!flows.insert(pin.first >> GW_PIN_FINGERPRINT_SHIFT).second) {
                throw Violation("pins", fmt::format("a flow of bucket {} has two pins", i));
            }
            const Flow *flow = flow_of_pin(pin);
            const auto first_bucket =
                static_cast<uint32_t>(pin_hash(flow->config) >> GW_PIN_FINGERPRINT_SHIFT) &
                tables_.layout().pin_buckets_mask;
            if (first_bucket != i &&
                (buckets[first_bucket].way[0].first & GW_PIN_OVERFLOW) == 0) {
                throw Violation("overflow",
                                fmt::format("a pin in bucket {} cannot be found from bucket {}",
                                            i, first_bucket));
            }
            const uint32_t backend = pin.first & GW_OWNER_MASK;
            const uint32_t service = flow->config.service;
            Pins &pins = found[service][backend];
            pins.pins++;
            pins.confirmed += (pin.first & GW_PIN_CONFIRMED) != 0 ? 1 : 0;
            const gw_slot at = tables_.ring_slots()[pin.second & GW_PIN_SLOT_MASK];
            pins.elsewhere += gw_slot_owner(at) != backend ? 1 : 0;
        }
    }
    for (uint32_t service = 0; service < services_.size(); service++) {
        for (uint32_t backend = 0; backend < kBackends; backend++) {
            const Pins &is = found[service][backend];
            const Pins said = control_->pins(service, backend);
            if (said.pins != is.pins || said.confirmed != is.confirmed ||
                said.elsewhere != is.elsewhere) {
                throw Violation(
                    "counts", fmt::format("service {} has {} pins ({} confirmed, {} elsewhere) "
                                          "to backend {}, not {} ({}, {})",
                                          service, is.pins, is.confirmed, is.elsewhere, backend,
                                          said.pins, said.confirmed, said.elsewhere));
            }
        }
    }
}

void World::audit_references() const
{
    for (uint32_t backend = 0; backend < kBackends; backend++) {
        if (control_->backend_is_free(backend)) {
            check_unused(backend);
        }
    }
    for (uint32_t service = 0; service < services_.size(); service++) {
        std::array<uint32_t, 4> states{};
        for (uint32_t i = 0; services_[service].is_present && i < services_[service].ring_size;
             i++) {
            states[gw_slot_state_of(slot(service, i))]++;
        }
        if (states != control_->slots(service)) {
            throw Violation("counts",
                            fmt::format("the slots of service {} are miscounted", service));
        }
    }
}

void World::audit_counters() const
{
    const CounterTotals totals = tables_.counters();
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t refused = 0;
    for (const auto &service : totals.services) {
        sent += service.packets;
    }
    for (const auto &backend : totals.backends) {
        received += backend.packets;
    }
    for (uint32_t cpu = 0; cpu < kCpus; cpu++) {
        for (uint32_t i = 0; i < kServicesMax * kRingMax; i++) {
            refused += tables_.counters_area(cpu).refused[i];
        }
    }
    const uint64_t dropped =
        totals.reasons[GW_REASON_NO_BACKEND] + totals.reasons[GW_REASON_NO_PIN];
    if (sent + dropped != packets_ || sent != received || refused != refusals_that_count_) {
        throw Violation(
            "counters",
            fmt::format("of {} packets {} were sent, {} received, {} dropped; {} "
                        "pins refused in slots that learn, {} counted",
                        packets_, sent, received, totals.reasons[GW_REASON_NO_BACKEND],
                        refusals_that_count_, refused));
    }
}

}  // namespace guideway::sim
