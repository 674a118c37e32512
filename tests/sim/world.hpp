// The world of one history: the tables, packets in flight, the control plane and the clock,
// and what must always hold of them.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fiber.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/promise.hpp"
#include "tests/sim/subject.hpp"

namespace guideway::sim {

// A packet on its way through one CPU.
struct Flight {
    bool is_active = false;
    bool is_alone = false;  // nothing else has run since it began
    int64_t began_ms = 0;
    uint64_t serial = 0;
    Passage passage;
    PacketRun run;
    std::array<uint64_t, GW_EVENTS_MAX> events_before{};
};

struct Backend {
    Life life = kNoLife;
    bool is_dead = false;
    bool is_retired = false;  // not configured any more
    uint64_t died_at = 0;     // serial
};

struct ServiceState {
    bool is_present = false;
    uint32_t ring_size = 0;
    uint32_t affinity = 0;
    std::set<Life> owners;  // that its slots have ever had
};

class World {
  public:
    // `story` gets a line for all that happens, or is nullptr.
    World(const Config &config, std::ostream *story);
    World(const World &) = delete;
    World &operator=(const World &) = delete;
    ~World();

    // Throws Violation.
    void apply(Event event);
    // Clients and changes stop; all must come to rest. Throws Violation.
    void come_to_rest();

    [[nodiscard]] const Config &config() const { return config_; }
    [[nodiscard]] int64_t now_ms() const { return now_ms_; }
    [[nodiscard]] const Promise &promise() const { return promise_; }
    [[nodiscard]] const std::array<Flight, kCpus> &flights() const { return flights_; }
    [[nodiscard]] const std::array<Backend, kBackends> &backends() const { return backends_; }
    [[nodiscard]] const ServiceState &service(uint32_t index) const { return services_[index]; }
    // A slot whose learning is over, but not for certain.
    [[nodiscard]] bool has_ending_slot() const;
    [[nodiscard]] bool is_control_busy() const { return !control_fiber_.is_idle(); }

  private:
    void write_service(uint32_t service, const ServiceConfig &as);
    [[nodiscard]] gw_slot slot(uint32_t service, uint32_t at) const;
    [[nodiscard]] ControlMoment control_moment() const;
    [[nodiscard]] uint32_t ticks_at_least(int64_t ms) const;
    void tell(const std::string &line) const;
    [[nodiscard]] bool is_told() const { return story_ != nullptr; }

    void begin_packet(uint32_t flow, Send send, bool is_whole);
    void run_flight(uint32_t cpu);
    void finish_flight(uint32_t cpu);
    void finish_flights();
    void end_flight(uint32_t cpu);
    void pass_time(int64_t ms);

    void begin_control(Operation operation, uint32_t at, uint32_t value);
    void run_control();
    void finish_control();
    void control(std::string what, std::function<void()> work, std::function<void()> after);
    void retarget(uint32_t service, uint32_t code);
    void kill(uint32_t backend);
    void revive(uint32_t backend);
    void reuse(uint32_t backend);
    void remove_service(uint32_t service);
    void add_service(uint32_t service, uint32_t value);
    void restart(uint32_t value);
    void whole_sweep();

    // checks.cpp
    void check_destination(const Flight &flight) const;
    void check_counters(uint32_t cpu) const;
    void check_table_of_states(const Flight &flight) const;
    void check_confirmed(const Flight &flight) const;
    void check_refusal(const Flight &flight) const;
    void check_owners(uint32_t service, const std::vector<uint32_t> &owners) const;
    void check_unused(uint32_t backend) const;
    void audit();
    void audit_pins() const;
    void audit_pin(const gw_pin &pin) const;
    void audit_references() const;
    void audit_counters() const;
    [[nodiscard]] uint64_t events_of(const Flight &flight, uint32_t cpu, gw_event event) const;
    [[nodiscard]] const Flow *flow_of_pin(const gw_pin &pin) const;
    [[nodiscard]] std::string text_of(gw_slot slot) const;
    [[nodiscard]] std::string text_of(const Flight &flight) const;

    const Config config_;
    std::ostream *story_;
    Tables tables_;
    Lives lives_;
    Promise promise_;
    int64_t now_ms_ = 0;
    int64_t control_offset_ms_ = 0;
    uint64_t serial_ = 0;
    std::array<Backend, kBackends> backends_;
    std::vector<ServiceState> services_;
    uint64_t packets_ = 0;
    uint64_t refusals_that_count_ = 0;  // of pins, in slots that learn

    std::unique_ptr<Control> control_;
    std::function<void()> after_control_;
    std::vector<uint32_t> owners_wanted_;
    std::array<Flight, kCpus> flights_;
    // Last, so that what they use outlives them.
    Fiber control_fiber_;
    std::array<Fiber, kCpus> fibers_;
};

}  // namespace guideway::sim
