#include "control/health/backend_health.hpp"

#include <algorithm>

namespace guideway::health {

namespace {

using model::Health;
using model::Milliseconds;

// A time of this process as Unix time, and back. Time::min() is 0.
int64_t to_unix(Time time, const Now &now)
{
    return time == Time::min()
               ? 0
               : now.unix_ms +
                     std::chrono::duration_cast<Milliseconds>(time - now.time).count();
}

// `ahead` is how far in the future it may be.
Time from_unix(int64_t unix_ms, const Now &now, Milliseconds ahead = Milliseconds(0))
{
    if (unix_ms == 0) {
        return Time::min();
    }
    // What is older is as good as a year old, and the sum cannot overflow.
    constexpr int64_t kYear = 31'536'000'000;
    const int64_t least = std::max<int64_t>(now.unix_ms - kYear, 0);
    const int64_t most = now.unix_ms + ahead.count();
    return now.time +
           Milliseconds(std::clamp(unix_ms, std::min(least, most), most) - now.unix_ms);
}

}  // namespace

BackendHealth::BackendHealth(Time now) : since_(now), due_(now) {}

BackendHealth::BackendHealth(const Remembered &remembered, const Now &now)
    : state_(remembered.state),
      since_(remembered.since == 0 ? now.time : from_unix(remembered.since, now)),
      reason_(remembered.reason),
      successes_(remembered.successes),
      failures_(remembered.failures),
      due_(now.time),
      holds_(remembered.holds),
      held_until_(from_unix(remembered.held_until, now, kHoldMax)),
      slow_since_(from_unix(remembered.slow_since, now))
{
    for (const int64_t down : remembered.downs) {
        downs_.push_back(from_unix(down, now));
    }
    std::erase(downs_, Time::min());
    if (downs_.size() > kFlapsMax + 1) {
        downs_.resize(kFlapsMax + 1);
    }
}

Remembered BackendHealth::remembered(const Now &now) const
{
    Remembered out{.state = state_,
                   .reason = reason_,
                   .since = to_unix(since_, now),
                   .successes = successes_,
                   .failures = failures_,
                   .downs = {},
                   .holds = holds_,
                   .held_until = to_unix(held_until_, now),
                   .slow_since = to_unix(slow_since_, now)};
    for (const Time down : downs_) {
        out.downs.push_back(to_unix(down, now));
    }
    return out;
}

void BackendHealth::probe_begins(Time now)
{
    under_way_ = true;
    begun_ = now;
}

Change BackendHealth::probe_ends(const Health &settings, const ProbeReport &report, Time now,
                                 Random &random)
{
    if (!under_way_) {
        return Change::kNone;
    }
    const bool is_first = !attempted_;
    under_way_ = false;
    attempted_ = true;
    ended_ = now;
    const Change change =
        report.outcome == Outcome::kNotProbed ? Change::kNone : judge(settings, report, now);

    const bool is_fast = is_changing(now);
    const int64_t interval = (is_fast ? settings.recheck : settings.interval).count();
    // The first probes of all backends begin together; the next are spread over an interval.
    const int64_t jitter = is_first && !is_fast
                               ? interval
                               : interval * static_cast<int64_t>(settings.jitter_percent) / 100;
    const auto shorter = static_cast<int64_t>(random() % static_cast<uint64_t>(jitter + 1));
    due_ = std::max(begun_ + Milliseconds(interval - shorter), now + model::kProbePause);
    return change;
}

Change BackendHealth::judge(const Health &settings, const ProbeReport &report, Time now)
{
    latency_ = report.latency;
    if (report.outcome == Outcome::kOk) {
        failures_ = 0;
        successes_ = std::min(successes_, UINT32_MAX - 1) + 1;
        const bool has_risen = state_ == State::kUnknown || successes_ >= settings.rise;
        if (state_ != State::kUp && has_risen && !is_held(now)) {
            become(State::kUp, now);
            return Change::kUp;
        }
        return Change::kNone;
    }
    successes_ = 0;
    failures_ = std::min(failures_, UINT32_MAX - 1) + 1;
    reason_ = report.reason;
    const bool has_fallen = state_ == State::kUnknown || failures_ >= settings.fall;
    return state_ != State::kDown && has_fallen ? go_down(report.reason, now) : Change::kNone;
}

void BackendHealth::become(State state, Time now)
{
    state_ = state;
    since_ = now;
    slow_since_ = Time::min();
}

Change BackendHealth::go_down(const std::string &reason, Time now)
{
    const bool was_up = state_ == State::kUp;
    const bool was_steady = was_up && now - since_ >= kFlapWindow;
    become(State::kDown, now);
    reason_ = reason;
    if (was_steady) {
        downs_.clear();
        holds_ = 0;
    }
    if (!was_up) {
        return Change::kDown;
    }
    std::erase_if(downs_, [&](Time down) { return now - down > kFlapWindow; });
    downs_.push_back(now);
    if (downs_.size() <= kFlapsMax) {
        return Change::kDown;
    }
    downs_.erase(downs_.begin(), downs_.end() - (kFlapsMax + 1));
    hold(now);
    return Change::kDownAndHeld;
}

void BackendHealth::hold(Time now)
{
    const auto doubled = kHoldFirst * (int64_t{1} << std::min(holds_, 10U));
    held_until_ = now + std::min<std::chrono::seconds>(doubled, kHoldMax);
    holds_ = std::min(holds_ + 1, 10U);
}

void BackendHealth::hasten(Time now)
{
    const Time soonest =
        ended_ == Time::min() ? now : std::max(now, ended_ + model::kProbePause);
    due_ = std::min(due_, soonest);
}

void BackendHealth::hurry(const Health &settings)
{
    if (ended_ != Time::min()) {
        due_ = std::min(due_, std::max(begun_ + settings.recheck, ended_ + model::kProbePause));
    }
}

void BackendHealth::reschedule(const Health &settings, Time now)
{
    due_ = std::min(due_, now + settings.interval);
}

Change BackendHealth::eject(const std::string &reason, Time now)
{
    if (state_ != State::kUp) {
        return Change::kNone;
    }
    if (go_down(reason, now) == Change::kDown) {
        hold(now);
    }
    successes_ = 0;
    return Change::kDownAndHeld;
}

void BackendHealth::set_unchecked(Time now)
{
    const Time since = state_ == State::kUp ? since_ : now;
    const bool under_way = under_way_;
    *this = BackendHealth(now);
    under_way_ = under_way;
    begun_ = under_way ? now : begun_;
    become(State::kUp, since);
}

bool BackendHealth::is_changing(Time now) const
{
    return (state_ == State::kUp && failures_ > 0) ||
           (state_ == State::kDown && successes_ > 0 && !is_held(now));
}

uint32_t BackendHealth::share_percent(const Health &settings, Time now) const
{
    if (slow_since_ == Time::min() || now - slow_since_ >= settings.slow_start) {
        return 100;
    }
    return 25 * (1 + static_cast<uint32_t>((now - slow_since_) * 3 / settings.slow_start));
}

Time BackendHealth::share_changes(const Health &settings, Time now) const
{
    const uint32_t share = share_percent(settings, now);
    // A millisecond more than the exact time, which is rounded down.
    return share == 100
               ? Time::max()
               : slow_since_ + settings.slow_start * (share / 25) / 3 + Milliseconds(1);
}

}  // namespace guideway::health
