// Health.
#include <fmt/format.h>

#include <cmath>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

std::string last_probe(const json &backend)
{
    std::string reason = text(backend, "reason", "");
    const uint64_t good = number(backend, "successes");
    const uint64_t bad = number(backend, "failures");
    if (good > 0) {
        return fmt::format("good, {} in a row", grouped(good));
    }
    if (bad > 0) {
        return fmt::format("{}, {} in a row", reason, grouped(bad));
    }
    return reason;
}

std::string remark(const json &backend, bool is_panic)
{
    if (member(backend, "held_until").is_string()) {
        return "flapping: held down until " + text(backend, "held_until");
    }
    if (!truth(backend, "in_use")) {
        return "";
    }
    if (text(backend, "state") == "down") {
        return is_panic ? "used nevertheless: the pool is in panic"
                        : "down; taken out within an interval";
    }
    const uint64_t share = number(backend, "share_percent");
    return share < 100 ? fmt::format("starting slowly, with {} % of its weight", share) : "";
}

std::string health_of_pool(const json &pool, bool colours)
{
    const std::string type = text(pool, "type");
    std::string view = "\n" + text(pool, "pool") + "  ";
    if (type == "none") {
        view += "not checked";
    } else if (member(pool, "service").is_string()) {
        view += fmt::format("{}, {} {}", type,
                            text(pool, "through") == "tunnel" ? "through the tunnel to service"
                                                              : "directly, as service",
                            text(pool, "service"));
    } else {
        view += "no service uses it, and it is not checked";
    }
    if (truth(pool, "panic")) {
        view += "  " +
                coloured("panic: too few look healthy, so all are used", Colour::kBad, colours);
    }
    Table table({{"BACKEND"},
                 {"HEALTH"},
                 {"SINCE"},
                 {"LAST PROBE"},
                 {"LATENCY", Align::kRight},
                 {"SYNS REPEATED", Align::kRight},
                 {"REMARKS"}});
    for (const auto &backend : array(pool, "backends")) {
        const std::string state = text(backend, "state");
        const double latency = real(backend, "latency_ms");
        table.add(
            {{text(backend, "name")},
             {state, state == "up"     ? Colour::kGood
                     : state == "down" ? Colour::kBad
                                       : Colour::kFaint},
             {text(backend, "since", "")},
             {last_probe(backend)},
             {std::isnan(latency) ? "" : fmt::format("{:.1f} ms", latency)},
             {fmt::format("{} of {}", count(backend, "syn_repeats"), count(backend, "syns"))},
             {remark(backend, truth(pool, "panic")), Colour::kWarning}});
    }
    return view + "\n" + (table.empty() ? "" : table.to_string(colours));
}

}  // namespace

std::string health_view(const json &health, bool colours)
{
    std::string view;
    for (const auto &pool : array(health, "pools")) {
        view += health_of_pool(pool, colours);
    }
    return view.empty() ? "no pools\n" : view.substr(1);
}

}  // namespace guideway::cli
