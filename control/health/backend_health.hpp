// What the probes of one backend say: a state machine without input, output or clock.
//
//                    first success                 `fall` failures in a row, or ejected
//        unknown ───────────────────▶ up ──────────────────────────────────────▶ down
//           │                         ▲                                           │ ▲
//           │                         └────── `rise` successes in a row, ─────────┘ │
//           │                                 and not held down                     │
//           └───────────────────────────────────────────────────────────────────────┘
//                                      first failure
//
// A backend that goes down too often is held down: it stays there for a while although its
// probes succeed.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "control/model/health.hpp"

namespace guideway::health {

using Time = std::chrono::steady_clock::time_point;
using Random = std::mt19937_64;

enum class Outcome : uint8_t {
    kOk,
    kFailed,
    kNotProbed,  // the checker's own fault: says nothing of the backend
};

struct ProbeReport {
    Outcome outcome = Outcome::kOk;
    std::string reason;  // in an operator's words, such as "connection refused"; of failures
    std::chrono::microseconds latency{0};
};

enum class State : uint8_t { kUnknown, kUp, kDown };
enum class Change : uint8_t { kNone, kUp, kDown, kDownAndHeld };

// Flap damping: a backend that has gone down more than kFlapsMax times within kFlapWindow is
// held down for kHoldFirst, then twice as long each time, up to kHoldMax. One that stayed up
// for kFlapWindow begins anew.
inline constexpr size_t kFlapsMax = 3;
inline constexpr std::chrono::minutes kFlapWindow{10};
inline constexpr std::chrono::seconds kHoldFirst{30};
inline constexpr std::chrono::minutes kHoldMax{15};

// One instant by two clocks: that of this process, and Unix time in milliseconds, which
// means something to the next process too.
struct Now {
    Time time;
    int64_t unix_ms = 0;
};

// What outlives a restart. Times are Unix times in milliseconds.
struct Remembered {
    State state = State::kUnknown;
    std::string reason;
    int64_t since = 0;
    uint32_t successes = 0;
    uint32_t failures = 0;
    std::vector<int64_t> downs;
    uint32_t holds = 0;
    int64_t held_until = 0;  // 0: not held
    int64_t slow_since = 0;  // 0: not starting slowly
    // For its pool: see pool_health.hpp.
    bool answered = false;
    bool counts = false;
    bool is_out = false;

    auto operator<=>(const Remembered &) const = default;
};

class BackendHealth {
  public:
    // Unknown; its first probe is due at once.
    explicit BackendHealth(Time now);
    // As it was: it stays so until probes say otherwise. Times that lie in the future, after
    // a step of the host's clock, are taken for now.
    BackendHealth(const Remembered &remembered, const Now &now);
    [[nodiscard]] Remembered remembered(const Now &now) const;

    // When the next probe should begin; Time::max() while one is under way.
    [[nodiscard]] Time due() const { return under_way_ ? Time::max() : due_; }
    void probe_begins(Time now);
    // Nothing happens if no probe is under way. Intervals are shortened at random, never
    // made longer.
    Change probe_ends(const model::Health &settings, const ProbeReport &report, Time now,
                      Random &random);
    // The result of the one that is under way is not wanted any more.
    void probe_is_dropped() { under_way_ = false; }
    // The next probe is due now, or as soon as the pause after the last one allows.
    void hasten(Time now);
    // The next probe is due as if the backend were changing state.
    void hurry(const model::Health &settings);
    // After a change of the settings: no wait that began under others is longer than theirs.
    void reschedule(const model::Health &settings, Time now);

    // Takes a backend that is up down, without waiting for its probes, and holds it there.
    Change eject(const std::string &reason, Time now);
    // Up, as if it had never been otherwise; for pools without checks. A probe that is under
    // way stays so until it ends or is dropped.
    void set_unchecked(Time now);

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] Time since() const { return since_; }
    // Why it is down, or the last failure of one that is up.
    [[nodiscard]] const std::string &reason() const { return reason_; }
    [[nodiscard]] std::chrono::microseconds latency() const { return latency_; }
    // In a row, of the latest probes; one of the two is zero.
    [[nodiscard]] uint32_t successes() const { return successes_; }
    [[nodiscard]] uint32_t failures() const { return failures_; }
    // Whether a probe has ended since this process began, whatever its outcome.
    [[nodiscard]] bool attempted() const { return attempted_; }
    [[nodiscard]] bool is_held(Time now) const { return held_until_ > now; }
    [[nodiscard]] Time held_until() const { return held_until_; }
    // Probes have begun to contradict the state.
    [[nodiscard]] bool is_changing(Time now) const;

    // From here on it gets a quarter, half and three quarters of its share, each for a third
    // of the time that the settings say.
    void begin_slow_start(Time now) { slow_since_ = now; }
    [[nodiscard]] uint32_t share_percent(const model::Health &settings, Time now) const;
    // When that changes next; Time::max() if it does not.
    [[nodiscard]] Time share_changes(const model::Health &settings, Time now) const;

  private:
    void become(State state, Time now);
    Change go_down(const std::string &reason, Time now);
    void hold(Time now);
    Change judge(const model::Health &settings, const ProbeReport &report, Time now);

    State state_ = State::kUnknown;
    Time since_;
    std::string reason_;
    std::chrono::microseconds latency_{0};
    uint32_t successes_ = 0;
    uint32_t failures_ = 0;
    bool attempted_ = false;
    bool under_way_ = false;
    Time begun_ = Time::min();
    Time ended_ = Time::min();
    Time due_;
    std::vector<Time> downs_;  // within kFlapWindow of the latest
    uint32_t holds_ = 0;
    Time held_until_ = Time::min();
    Time slow_since_ = Time::min();
};

}  // namespace guideway::health
