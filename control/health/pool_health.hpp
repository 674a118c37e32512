// The health of one pool: which of its backends are out of the ring.
//
// Panic: when those that look healthy have less than the threshold of the pool's weight, the
// checks are more likely wrong than the backends, and all are used. Two rules keep a shared
// fault from doing harm at its edges:
//  - At its beginning a backend that goes down while others of the pool are failing too is
//    taken out one interval later, if it is still down, so that panic is recognised before
//    the first one is cut. When a backend begins to fail, up to kWitnesses others are asked
//    at once, to know whether they fail too.
//  - At its end, panic lasts until those that are down had the time to come back, so that the
//    last ones are not cut because the first ones are up again.
//
// Who counts towards panic: the backends of the pool's first round, and later ones once
// they have answered a probe. Backends that are added before they exist cause no panic, and
// panic does not use them. If none has ever answered, that is panic, whatever the threshold.
//
// Pure: no input, no output, no clock. The owner starts the probes that start_due() names,
// reports how they end, and calls advance() at next_wake().
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/health/backend_health.hpp"
#include "control/health/syn_watch.hpp"
#include "control/model/condition.hpp"
#include "control/model/desired.hpp"

namespace guideway::health {

inline constexpr size_t kWitnesses = 8;

// Something that an operator wants to read of. Whoever records it adds the time.
struct Event {
    enum class Kind : uint8_t {
        kUp,
        kDown,
        kHeldDown,  // after a kDown
        kEjected,
        kPanicBegins,
        kPanicEnds,
        kNotProbed,
    };
    Kind kind = Kind::kUp;
    std::string pool;
    std::string backend;  // empty: the whole pool
    std::string text;     // "connection refused, 3 probes in a row"

    auto operator<=>(const Event &) const = default;
};
[[nodiscard]] std::string_view to_string(Event::Kind kind);

struct Member {
    std::string name;
    uint32_t weight = 0;  // 0 if disabled or drained: neither causes nor prevents panic
    BackendHealth health;
    bool answered = false;           // ever
    bool counts = false;             // towards panic
    Time waits_until = Time::min();  // of one that is down, for panic to be recognised
    bool is_out = false;             // down, and the wait for others is over
    bool joins_slowly = false;       // when it is used next
    SynWatch syns;
    model::Condition condition;
};

// By address, which is what a backend is known by.
using RememberedPool = std::map<model::IpAddress, Remembered>;

class PoolHealth {
  public:
    // `remembered` is empty for a pool that was never seen before.
    PoolHealth(uint64_t seed, RememberedPool remembered);

    // Takes over the pool as it is to be now: its backends, their weights, its settings.
    void configure(const model::Pool &pool, const Now &now);
    [[nodiscard]] RememberedPool remembered(const Now &now) const;

    // The backends whose probe begins now.
    [[nodiscard]] std::vector<model::IpAddress> start_due(Time now);
    // Of a backend that is no longer in the pool: nothing happens.
    void report(const model::IpAddress &address, const ProbeReport &report, Time now);
    void observe_syns(const model::IpAddress &address, const SynCounts &counts, Time now);
    // What time alone changes.
    void advance(Time now);
    // When to call start_due() and advance() again, if nothing is reported before.
    [[nodiscard]] Time next_wake() const;

    // Conditions are those of the latest call.
    [[nodiscard]] const std::map<model::IpAddress, Member> &members() const { return members_; }
    [[nodiscard]] bool is_panic() const { return is_panic_; }
    // Whether a probe of each backend has ended since the start.
    [[nodiscard]] bool first_round_is_over() const;
    // Those since the last call, oldest first.
    [[nodiscard]] std::vector<Event> take_events();

  private:
    struct Census;
    [[nodiscard]] Census census(Time now) const;
    void add_member(const model::Backend &backend, const Now &now);
    void evaluate(Time now);
    void evaluate_panic(Time now);
    void take_out(Time now);
    void set_condition(Member &member, Time now);
    [[nodiscard]] bool others_are_failing(const Member &member) const;
    void ask_witnesses(const Member &failing, Time now);
    void note(Event::Kind kind, const std::string &backend, std::string text);
    void note_change(const Member &member, Change change, Time now);
    [[nodiscard]] model::Milliseconds return_max() const;

    std::string name_;
    model::Health settings_;
    model::OnFailure on_failure_ = model::OnFailure::kReset;
    Random random_;
    RememberedPool remembered_;  // until the first backends are there
    bool is_new_ = true;         // there was no backend yet
    std::map<model::IpAddress, Member> members_;
    Time evaluated_ = Time::min();  // the latest time that was given
    bool is_panic_ = false;
    // Since when enough look healthy for panic to end; Time::max() while too few do.
    Time enough_since_ = Time::max();
    Time next_trouble_event_ = Time::min();
    std::vector<Event> events_;
};

}  // namespace guideway::health
