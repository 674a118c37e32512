#include "control/health/syn_watch.hpp"

namespace guideway::health {

std::optional<std::string> SynWatch::observe(const model::PassiveHealth &settings,
                                             const SynCounts &counts, Time now)
{
    const bool is_reset =
        counts.syns < at_begin_.syns || counts.repeats < at_begin_.repeats;  // other tables
    std::optional<std::string> reason;
    const auto elapsed = std::chrono::duration_cast<model::Milliseconds>(now - begun_);
    if (has_begun_ && !is_reset) {
        const uint64_t syns = counts.syns - at_begin_.syns;
        const uint64_t repeats = counts.repeats - at_begin_.repeats;
        // In floating point, as products of counters could overflow.
        const double least = static_cast<double>(syns) * settings.syn_repeats_percent / 100.0;
        if (syns >= settings.at_least && repeats > 0 && static_cast<double>(repeats) >= least) {
            reason = "clients repeat their SYNs: " + std::to_string(repeats) + " of " +
                     std::to_string(syns) + " within " + model::duration_text(elapsed);
        }
    }
    if (!has_begun_ || is_reset || reason || elapsed >= settings.window) {
        has_begun_ = true;
        begun_ = now;
        at_begin_ = counts;
    }
    return reason;
}

}  // namespace guideway::health
