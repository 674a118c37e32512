#include "tests/sim/world.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace guideway::sim {
namespace {

gw_capacity capacity_of(const Config &config)
{
    return {.addresses_max = 1,
            .services_max = kServicesMax,
            .backends_max = kBackends,
            .ring_slots_max = kServicesMax * kRingMax,
            .cpus_max = kCpus + 1,  // the last counts what the control plane does
            .pins_max = config.buckets * GW_PIN_WAYS,
            .sources_max = 1024,
            .prefixes_max = 64};
}

constexpr int64_t kMsNs = 1'000'000;

uint8_t flags_of(Send send, bool is_tcp)
{
    if (!is_tcp) {
        return 0;
    }
    switch (send) {
        case Send::syn:
            return GW_TCP_SYN;
        case Send::fin:
            return GW_TCP_FIN | GW_TCP_ACK;
        case Send::rst:
            return GW_TCP_RST;
        default:
            return GW_TCP_ACK;
    }
}

}  // namespace

World::World(const Config &config, std::ostream *story)
    : config_(config),
      story_(story),
      tables_(Tables::anonymous(capacity_of(config), gw_hash_key{}).value()),
      promise_(config_, lives_),
      services_(config.services.size())
{
    tables_.header().pin_times = {.idle_ticks = ticks_at_least(config.idle_ms),
                                  .closing_ticks = ticks_at_least(config.closing_ms),
                                  .handshake_ticks = ticks_at_least(config.handshake_ms)};
    for (auto &backend : backends_) {
        backend.life = lives_.begin();
    }
    for (uint32_t i = 0; i < kBackends; i++) {
        tables_.backends()[i].state = GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED;
    }
    for (uint32_t i = 0; i < services_.size(); i++) {
        write_service(i, config.services[i]);
    }
    interleaving = {.is_everywhere = config.is_interleaved_everywhere,
                    .first_refusal_cell = &tables_.counters_area(0).refused[0]};
    restart(0);
}

World::~World() = default;

uint32_t World::ticks_at_least(int64_t ms) const
{
    return static_cast<uint32_t>((ms * kMsNs >> GW_PIN_TICK_SHIFT) + 1);
}

void World::tell(const std::string &line) const
{
    *story_ << fmt::format("{:10.3f} s  {}\n", static_cast<double>(now_ms_) / 1000, line);
}

// The record and an empty ring.
void World::write_service(uint32_t index, const ServiceConfig &as)
{
    ServiceState &service = services_[index];
    service = {.is_present = true, .ring_size = as.ring_size, .affinity = as.affinity};
    tables_.services()[index] = {.identity = index + 1,
                                 .ring_offset = index * kRingMax,
                                 .ring_size = as.ring_size,
                                 .affinity = as.affinity};
    for (uint32_t i = 0; i < as.ring_size; i++) {
        tables_.ring_slots()[index * kRingMax + i] =
            gw_slot_make(GW_OWNER_NONE, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
    }
    promise_.reset_service(index, as.affinity);
}

gw_slot World::slot(uint32_t service, uint32_t at) const
{
    return tables_.ring_slots()[service * kRingMax + at];
}

bool World::has_ending_slot() const
{
    return std::ranges::any_of(tables_.ring_slots(), [](gw_slot slot) {
        return gw_slot_state_of(slot) == GW_SLOT_PINNED &&
               gw_slot_previous(slot) != GW_PREVIOUS_NONE;
    });
}

ControlMoment World::control_moment() const
{
    const uint64_t ns = config_.clock_base_ns + static_cast<uint64_t>(now_ms_ * kMsNs);
    return {.time_ms = now_ms_ + control_offset_ms_,
            .pin_ticks = static_cast<uint32_t>(ns >> GW_PIN_TICK_SHIFT) & GW_PIN_TICKS_MASK};
}

void World::apply(Event event)
{
    serial_++;
    switch (event.act) {
        case Act::packet:
        case Act::whole_packet:
            begin_packet(event.at, static_cast<Send>(event.what),
                         event.act == Act::whole_packet);
            return;
        case Act::step:
            run_flight(event.at);
            return;
        case Act::finish:
            finish_flight(event.at);
            return;
        case Act::clock:
            pass_time(event.value);
            return;
        case Act::control:
        case Act::whole_control:
            begin_control(static_cast<Operation>(event.what), event.at, event.value);
            if (event.act == Act::whole_control) {
                finish_control();
            }
            return;
        case Act::control_step:
            run_control();
            return;
        case Act::restart:
            restart(event.value);
            return;
        case Act::audit:
            audit();
            return;
    }
}

void World::begin_packet(uint32_t flow, Send send, bool is_whole)
{
    const Flow &of = promise_.flows()[flow];
    if (!services_[of.config.service].is_present) {
        return;
    }
    if (send == Send::nothing_more) {
        promise_.give_up(flow);
        if (is_told()) {
            tell(fmt::format("flow {} is given up by its client", flow));
        }
        return;
    }
    if (!promise_.can_send(flow, send)) {
        return;
    }
    uint32_t cpu = kCpus;
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < kCpus; i++) {
        if (!flights_[i].is_active) {
            cpu = i;
        } else if (!flights_[oldest].is_active ||
                   flights_[i].serial < flights_[oldest].serial) {
            oldest = i;
        }
    }
    if (cpu == kCpus) {
        finish_flight(oldest);
        cpu = oldest;
        if (!promise_.can_send(flow, send)) {
            return;
        }
    }
    Flight &flight = flights_[cpu];
    flight.is_active = flight.is_alone = true;
    flight.began_ms = now_ms_;
    flight.serial = serial_;
    flight.passage = promise_.begin(flow, send, now_ms_);
    auto &area = tables_.counters_area(cpu);
    std::ranges::copy(area.event, flight.events_before.begin());
    const bool is_tcp = of.affinity != GW_AFFINITY_FLOW;
    flight.run = {};
    flight.run.walk = {.tables = tables_.base(),
                       .layout = &tables_.layout(),
                       .counters = reinterpret_cast<uint8_t *>(&area),
                       .inner_bytes = 100,
                       .service = of.config.service,
                       .hash = of.config.hash,
                       .tcp_flags = flags_of(send, is_tcp),
                       .is_icmp_error = send == Send::icmp_error};
    flight.run.packet = {.tables = tables_.base(), .layout = &tables_.layout(), .cpu = cpu};
    packets_++;
    if (is_told()) {
        tell(fmt::format("{} sets out", text_of(flight)));
    }
    run_flight(cpu);
    if (is_whole) {
        finish_flight(cpu);
    }
}

void World::run_flight(uint32_t cpu)
{
    Flight &flight = flights_[cpu];
    if (!flight.is_active) {
        return;
    }
    for (uint32_t i = 0; i < kCpus; i++) {
        flights_[i].is_alone = flights_[i].is_alone && i == cpu;
    }
    flight.run.packet.now_ns = config_.clock_base_ns + static_cast<uint64_t>(now_ms_ * kMsNs) -
                               config_.clock_lag_ns[cpu];
    interleaving.packet = &flight.run;
    if (fibers_[cpu].is_idle()) {
        fibers_[cpu].start([&flight] { run_packet(flight.run); });
    } else {
        fibers_[cpu].resume();
    }
    interleaving.packet = nullptr;
    if (fibers_[cpu].is_idle()) {
        end_flight(cpu);
    }
}

void World::finish_flight(uint32_t cpu)
{
    while (flights_[cpu].is_active) {
        run_flight(cpu);
    }
}

void World::finish_flights()
{
    for (uint32_t cpu = 0; cpu < kCpus; cpu++) {
        finish_flight(cpu);
    }
}

void World::end_flight(uint32_t cpu)
{
    Flight &flight = flights_[cpu];
    flight.is_active = false;
    const gw_walk &walk = flight.run.walk;
    const bool is_sent = flight.run.reason == GW_REASON_FORWARDED;
    if (is_told()) {
        tell(fmt::format("{} -> {}; slot {}", text_of(flight),
                         is_sent ? fmt::format("{} (#{})", walk.backend,
                                               backends_[walk.backend % kBackends].life)
                                 : "dropped",
                         text_of(flight.run.slot)));
    }
    check_counters(cpu);
    check_destination(flight);
    // Where every flow is pinned, nothing is learnt that would have to begin again.
    if (gw_slot_state_of(flight.run.slot) != GW_SLOT_EVERY_FLOW) {
        refusals_that_count_ += events_of(flight, cpu, GW_EVENT_PIN_REFUSED);
    }
    if (flight.is_alone) {
        check_table_of_states(flight);
        check_refusal(flight);
    }
    if (events_of(flight, cpu, GW_EVENT_PIN_HIT) > 0) {
        check_confirmed(flight);
    }
    promise_.end(flight.passage,
                 {.at_ms = now_ms_,
                  .life = is_sent ? backends_[walk.backend].life : kNoLife,
                  .has_found_pin = events_of(flight, cpu, GW_EVENT_PIN_HIT) > 0,
                  .has_made_pin = events_of(flight, cpu, GW_EVENT_PIN_MADE) > 0});
}

// No packet is on its way for as long as the grace; an operation of the control plane takes
// no time.
void World::pass_time(int64_t ms)
{
    finish_control();
    const int64_t until = now_ms_ + ms;
    for (;;) {
        const auto overdue = [&](const Flight &flight) {
            return flight.is_active && flight.began_ms + config_.grace_ms <= until;
        };
        const auto next = std::ranges::min_element(flights_, {}, [&](const Flight &flight) {
            return overdue(flight) ? flight.began_ms : INT64_MAX;
        });
        if (!overdue(*next)) {
            break;
        }
        now_ms_ = std::max(now_ms_, next->began_ms + config_.grace_ms - 1);
        finish_flight(static_cast<uint32_t>(next - flights_.begin()));
    }
    now_ms_ = until;
}

}  // namespace guideway::sim
