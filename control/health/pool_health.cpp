#include "control/health/pool_health.hpp"

#include <algorithm>
#include <utility>

namespace guideway::health {

namespace {

constexpr std::chrono::minutes kTroubleEventInterval{1};

std::string duration_text(std::chrono::nanoseconds duration)
{
    return model::duration_text(std::chrono::duration_cast<model::Milliseconds>(duration));
}

std::string probes_text(uint32_t count)
{
    return std::to_string(count) + (count == 1 ? " probe" : " probes in a row");
}

// No probe of it has told anything yet, and none has failed to be made either.
bool is_waiting(const Member &member)
{
    return member.health.state() == State::kUnknown && !member.health.attempted();
}

bool is_down(const Member &member)
{
    return member.health.state() == State::kDown;
}

}  // namespace

std::string_view to_string(Event::Kind kind)
{
    constexpr std::string_view kNames[] = {"up",           "down",       "held down", "ejected",
                                           "panic begins", "panic ends", "not probed"};
    return kNames[static_cast<size_t>(kind)];
}

// Of the backends that count towards panic.
struct PoolHealth::Census {
    uint64_t weight = 0;
    uint64_t healthy_weight = 0;
    bool any_answered = false;
    bool any_returning = false;  // down, and not held there

    // Whether the share of the healthy is below the threshold, or none was ever healthy.
    [[nodiscard]] bool is_too_few(uint32_t threshold_percent) const
    {
        return weight != 0 && (healthy_weight * 100 < weight * threshold_percent ||
                               (healthy_weight == 0 && !any_answered));
    }
};

PoolHealth::PoolHealth(uint64_t seed, RememberedPool remembered)
    : random_(seed), remembered_(std::move(remembered))
{
}

void PoolHealth::add_member(const model::Backend &backend, const Now &now)
{
    const auto known = remembered_.find(backend.address);
    if (known == remembered_.end()) {
        Member &member =
            members_.try_emplace(backend.address, Member{.health = BackendHealth(now.time)})
                .first->second;
        const bool is_of_the_first_round = is_new_ && remembered_.empty();
        member.counts = is_of_the_first_round;
        // Those of the first round begin together: none is slower than the others.
        member.joins_slowly = !is_of_the_first_round;
        return;
    }
    const Remembered &before = known->second;
    Member member{.health = BackendHealth(before, now)};
    member.answered = before.answered;
    member.counts = before.counts;
    member.is_out = before.is_out;
    members_.emplace(backend.address, std::move(member));
}

void PoolHealth::configure(const model::Pool &pool, const Now &now)
{
    name_ = pool.name;
    settings_ = pool.health;
    on_failure_ = pool.on_failure;
    std::erase_if(members_, [&](const auto &member) {
        return std::ranges::find(pool.backends, member.first, &model::Backend::address) ==
               pool.backends.end();
    });
    for (const model::Backend &backend : pool.backends) {
        if (!members_.contains(backend.address)) {
            add_member(backend, now);
        }
        Member &member = members_.at(backend.address);
        member.name = backend.name;
        member.weight = backend.enabled && !backend.drained ? backend.weight : 0;
        if (settings_.type == model::HealthType::kNone) {
            member.health.set_unchecked(now.time);
            member.counts = true;
            member.joins_slowly = false;
        } else {
            member.health.reschedule(settings_, now.time);
        }
    }
    if (!members_.empty()) {
        is_new_ = false;
        remembered_.clear();
    }
    evaluate(now.time);
}

RememberedPool PoolHealth::remembered(const Now &now) const
{
    RememberedPool out;
    for (const auto &[address, member] : members_) {
        Remembered &one = out[address] = member.health.remembered(now);
        one.answered = member.answered;
        one.counts = member.counts;
        one.is_out = member.is_out;
    }
    return out;
}

std::vector<model::IpAddress> PoolHealth::start_due(Time now)
{
    std::vector<model::IpAddress> started;
    if (settings_.type == model::HealthType::kNone) {
        return started;
    }
    for (auto &[address, member] : members_) {
        if (member.health.due() <= now) {
            member.health.probe_begins(now);
            started.push_back(address);
        }
    }
    return started;
}

void PoolHealth::report(const model::IpAddress &address, const ProbeReport &report, Time now)
{
    const auto found = members_.find(address);
    if (found == members_.end()) {
        return;
    }
    Member &member = found->second;
    if (settings_.type == model::HealthType::kNone) {
        member.health.probe_is_dropped();
        return;
    }
    const bool was_under_way = member.health.due() == Time::max();
    const Change change = member.health.probe_ends(settings_, report, now, random_);
    if (!was_under_way) {
        return;
    }
    if (report.outcome == Outcome::kNotProbed && now >= next_trouble_event_) {
        next_trouble_event_ = now + kTroubleEventInterval;
        note(Event::Kind::kNotProbed, member.name,
             report.reason + "; what is known of the backends stays as it is");
    }
    if (report.outcome == Outcome::kOk) {
        member.answered = true;
        member.counts = true;
    }
    note_change(member, change, now);
    if (member.health.state() == State::kUp && member.health.failures() == 1) {
        ask_witnesses(member, now);
    }
    evaluate(now);
}

void PoolHealth::observe_syns(const model::IpAddress &address, const SynCounts &counts,
                              Time now)
{
    const auto found = members_.find(address);
    if (found == members_.end() || !settings_.passive ||
        settings_.type == model::HealthType::kNone) {
        return;
    }
    Member &member = found->second;
    if (const auto reason = member.syns.observe(*settings_.passive, counts, now);
        reason && member.health.eject(*reason, now) != Change::kNone) {
        note(Event::Kind::kEjected, member.name,
             *reason + "; held down for " + duration_text(member.health.held_until() - now));
        evaluate(now);
    }
}

void PoolHealth::advance(Time now)
{
    evaluate(now);
}

void PoolHealth::note(Event::Kind kind, const std::string &backend, std::string text)
{
    events_.push_back({kind, name_, backend, std::move(text)});
}

void PoolHealth::note_change(const Member &member, Change change, Time now)
{
    const BackendHealth &health = member.health;
    if (change == Change::kUp) {
        note(Event::Kind::kUp, member.name, "answered " + probes_text(health.successes()));
    } else if (change != Change::kNone) {
        note(Event::Kind::kDown, member.name,
             health.reason() + ", " + probes_text(health.failures()));
    }
    if (change == Change::kDownAndHeld) {
        note(Event::Kind::kHeldDown, member.name,
             "went down more than " + std::to_string(kFlapsMax) + " times within " +
                 duration_text(kFlapWindow) + "; held down for " +
                 duration_text(health.held_until() - now));
    }
}

void PoolHealth::ask_witnesses(const Member &failing, Time now)
{
    std::vector<Member *> healthy;
    for (auto &[address, member] : members_) {
        if (&member != &failing && member.weight != 0 && member.health.state() == State::kUp &&
            member.health.failures() == 0) {
            healthy.push_back(&member);
        }
    }
    for (size_t i = 0; i < std::min(kWitnesses, healthy.size()); i++) {
        std::swap(healthy[i], healthy[i + random_() % (healthy.size() - i)]);
        healthy[i]->health.hasten(now);
    }
}

bool PoolHealth::others_are_failing(const Member &member) const
{
    return std::ranges::any_of(members_, [&](const auto &entry) {
        const Member &other = entry.second;
        const bool is_failing =
            (other.health.state() == State::kUp && other.health.failures() > 0) ||
            (is_down(other) && !other.is_out);
        return &other != &member && other.counts && other.weight != 0 && is_failing;
    });
}

// How long a backend may need to come back when what made it fail is over.
model::Milliseconds PoolHealth::return_max() const
{
    const auto between = std::max(settings_.recheck, settings_.timeout + model::kProbePause);
    return settings_.interval + (settings_.rise - 1) * between + settings_.timeout;
}

PoolHealth::Census PoolHealth::census(Time now) const
{
    Census census;
    for (const auto &[address, member] : members_) {
        census.any_answered |= member.answered;
        if (!member.counts) {
            continue;
        }
        census.weight += member.weight;
        if (!is_down(member)) {
            census.healthy_weight += member.weight;
        } else if (member.weight != 0 && !member.health.is_held(now)) {
            census.any_returning = true;
        }
    }
    return census;
}

void PoolHealth::evaluate_panic(Time now)
{
    const Census found = census(now);
    const uint32_t threshold = settings_.panic_threshold_percent;
    if (found.is_too_few(threshold)) {
        enough_since_ = Time::max();
        if (!is_panic_) {
            is_panic_ = true;
            note(Event::Kind::kPanicBegins, "",
                 !found.any_answered
                     ? std::string("no backend has answered a probe yet; all are used")
                     : std::to_string(found.healthy_weight * 100 / found.weight) +
                           " % of the weight looks healthy, less than " +
                           std::to_string(threshold) + " %; all backends are used");
        }
        return;
    }
    if (!is_panic_) {
        return;
    }
    enough_since_ = std::min(enough_since_, now);
    if (!found.any_returning || now - enough_since_ >= return_max()) {
        is_panic_ = false;
        enough_since_ = Time::max();
        note(Event::Kind::kPanicEnds, "",
             std::to_string(found.weight == 0 ? 100
                                              : found.healthy_weight * 100 / found.weight) +
                 " % of the weight looks healthy");
    }
}

void PoolHealth::take_out(Time now)
{
    // All are judged by what held before, so that their order does not matter.
    std::vector<Member *> ready;
    for (auto &[address, member] : members_) {
        if (!is_down(member) || (is_panic_ && member.counts)) {
            member.is_out = false;
            member.waits_until = Time::min();
            continue;
        }
        if (member.is_out) {
            continue;
        }
        if (member.waits_until == Time::min() && member.counts && others_are_failing(member)) {
            member.waits_until = member.health.since() + settings_.interval;
        }
        if (member.waits_until <= now) {
            ready.push_back(&member);
        } else {
            member.health.hurry(settings_);
        }
    }
    for (Member *member : ready) {
        member->is_out = true;
    }
}

void PoolHealth::set_condition(Member &member, Time now)
{
    const bool is_used_in_panic = is_panic_ && member.counts;
    const bool is_failed = !is_used_in_panic && (member.is_out || is_waiting(member));
    if (member.condition.failed && !is_failed) {
        if (member.joins_slowly && member.health.state() == State::kUp) {
            member.health.begin_slow_start(now);
        }
        member.joins_slowly = false;  // one that panic brings back is needed whole
    }
    member.joins_slowly |= member.is_out;
    const bool is_whole = is_failed || is_used_in_panic;
    member.condition = {
        .failed = is_failed,
        .waiting = is_failed && !member.is_out,
        .cut = is_failed && member.is_out && on_failure_ == model::OnFailure::kReset,
        .share_percent = is_whole ? 100 : member.health.share_percent(settings_, now)};
}

void PoolHealth::evaluate(Time now)
{
    evaluated_ = now;
    evaluate_panic(now);
    take_out(now);
    for (auto &[address, member] : members_) {
        set_condition(member, now);
    }
}

Time PoolHealth::next_wake() const
{
    Time next = Time::max();
    if (settings_.type == model::HealthType::kNone) {
        return next;
    }
    if (is_panic_ && enough_since_ != Time::max()) {
        next = enough_since_ + return_max();
    }
    for (const auto &[address, member] : members_) {
        next = std::min(
            {next, member.health.due(), member.health.share_changes(settings_, evaluated_)});
        if (member.waits_until != Time::min() && !member.is_out) {
            next = std::min(next, member.waits_until);
        }
    }
    return next;
}

bool PoolHealth::first_round_is_over() const
{
    return settings_.type == model::HealthType::kNone ||
           std::ranges::all_of(
               members_, [](const auto &entry) { return entry.second.health.attempted(); });
}

std::vector<Event> PoolHealth::take_events()
{
    return std::exchange(events_, {});
}

}  // namespace guideway::health
