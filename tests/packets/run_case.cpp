#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "tests/packets/case.hpp"
#include "tests/packets/dissect.hpp"

namespace guideway::packets {
namespace {

#define GW_NAME(constant, name, ...) name,
constexpr std::array<std::string_view, GW_REASON_COUNT> kReasons = {GW_REASON_LIST(GW_NAME)};
constexpr std::array<std::string_view, GW_EVENT_COUNT> kEvents = {GW_EVENT_LIST(GW_NAME)};
#undef GW_NAME

template <size_t N>
std::optional<size_t> position(const std::array<std::string_view, N> &names,
                               std::string_view name)
{
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
        return std::nullopt;
    }
    return static_cast<size_t>(found - names.begin());
}

template <typename Entry>
std::string name_of(const std::vector<Entry> &entries, size_t index)
{
    return index < entries.size() ? entries[index].name : std::to_string(index);
}

// The names of all counters, as a case calls them, in the order of counter_values().
std::vector<std::string> counter_names(const Tables &tables, const World &world)
{
    std::vector<std::string> names(kReasons.begin(), kReasons.end());
    names.insert(names.end(), kEvents.begin(), kEvents.end());
    auto add = [&names](const std::string &kind, const auto &entries, size_t count) {
        for (size_t i = 0; i < count; i++) {
            const std::string name = kind + " " + name_of(entries, i);
            names.push_back(name);
            names.push_back(name + " bytes");
        }
    };
    add("service", world.services, tables.capacity().services_max);
    add("backend", world.backends, tables.capacity().backends_max);
    for (size_t i = 0; i < tables.capacity().backends_max; i++) {
        const std::string name = name_of(world.backends, i);
        names.push_back("backend " + name + " syns");
        names.push_back("backend " + name + " syn repeats");
    }
    names.emplace_back("refusals by slot");
    for (const auto &limit : world.limits) {
        names.push_back("limit " + limit.name + " excess");
        names.push_back("limit " + limit.name + " excess bytes");
    }
    names.emplace_back("excess of other limits");
    return names;
}

std::vector<uint64_t> counter_values(const Tables &tables, const World &world)
{
    const CounterTotals totals = tables.counters();
    std::vector<uint64_t> values = totals.reasons;
    values.insert(values.end(), totals.events.begin(), totals.events.end());
    const auto add = [&values](const auto &list) {
        for (const auto &traffic : list) {
            values.push_back(traffic.packets);
            values.push_back(traffic.bytes);
        }
    };
    add(totals.services);
    add(totals.backends);
    for (const auto &traffic : totals.backends) {
        values.push_back(traffic.syns);
        values.push_back(traffic.syn_repeats);
    }
    uint64_t refusals = 0;
    for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
        const auto &cells = tables.counters_area(cpu).refused;
        refusals = std::accumulate(std::begin(cells), std::end(cells), refusals);
    }
    values.push_back(refusals);
    uint64_t other_excess = 0;
    for (uint32_t i = 0; i < GW_LIMITS_MAX; i++) {
        const gw_excess excess = tables.excess_counters(i);
        if (i < world.limits.size()) {
            values.push_back(excess.packets);
            values.push_back(excess.bytes);
        } else {
            other_excess += excess.packets + excess.bytes;
        }
    }
    values.push_back(other_excess);
    return values;
}

std::string describe(const std::vector<Pin> &pins)
{
    std::string text;
    for (const auto &pin : pins) {
        text += (text.empty() ? "" : " / ") + pin.backend +
                (pin.confirmed ? " confirmed" : "") + (pin.closing ? " closing" : "") +
                (pin.age_ticks != 0 ? " age " + std::to_string(pin.age_ticks) : "");
    }
    return text.empty() ? "none" : text;
}

class Run {
  public:
    Run(const Case &packet_case, Engine &engine) : case_(packet_case), engine_(engine) {}

    CaseReport all()
    {
        if (auto loaded = engine_.load(case_.world); !loaded) {
            failure(case_.file, loaded.error().message + "\n");
            return std::move(report_);
        }
        names_ = counter_names(engine_.tables(), case_.world);
        expected_ = counter_values(engine_.tables(), case_.world);
        for (const auto &step : case_.steps) {
            change(step);
            for (uint64_t n = step.first; n <= step.last; n++) {
                packet(step, n);
            }
        }
        check_totals();
        return std::move(report_);
    }

  private:
    void failure(const std::string &where, const std::string &what)
    {
        report_.failures++;
        if (report_.failures <= 10) {  // the rest would only bury them
            report_.text += "  " + where + " [" + engine_.name() + "]:\n" + what;
        }
    }

    // Null when there is no such counter.
    uint64_t *counter(std::string_view name)
    {
        const auto found = std::ranges::find(names_, name);
        return found == names_.end() ? nullptr
                                     : &expected_[static_cast<size_t>(found - names_.begin())];
    }

    [[nodiscard]] std::vector<Pin> pins()
    {
        return read_pins(engine_.tables(), case_.world, engine_.now_ticks());
    }

    void change(const Step &step)
    {
        for (const auto &change : step.changes) {
            if (auto applied =
                    apply_change(engine_.tables(), case_.world, change, engine_.now_ticks());
                !applied) {
                failure(case_.file + ":" + std::to_string(step.line) + ": " + step.name,
                        "    " + applied.error().message + "\n");
            }
        }
    }

    void prepare_icmp_limit(const Step &step)
    {
        auto &tables = engine_.tables();
        for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
            tables.counters_area(cpu).icmp_arrival_ns =
                step.icmp_exhausted ? UINT64_MAX / 2 : 0;
        }
    }

    void expect_one_more(const Step &step, const Bytes &in, std::string &problems)
    {
        auto more = [this, &problems](const std::string &name, uint64_t by) {
            uint64_t *value = counter(name);
            if (value == nullptr) {
                problems += "    the case names '" + name + "', which does not exist\n";
            } else {
                *value += by;
            }
        };
        more(step.reason, 1);
        for (const auto &event : step.events) {
            more(event, 1);
        }
        const auto range = ip_range(in);
        for (const auto &limit : step.excesses) {
            more("limit " + limit + " excess", 1);
            more("limit " + limit + " excess bytes", range.end - range.begin);
        }
        const bool is_repeat = std::ranges::count(step.events, "syn_repeated") != 0;
        // Where every flow is pinned, nothing is learnt that would have to begin again.
        const auto service = case_.world.service_index(step.service);
        const bool learns =
            !service || !case_.world.services[*service].ring.front().starts_with("every-flow");
        more("refusals by slot",
             learns ? static_cast<uint64_t>(std::ranges::count(step.events, "pin_refused"))
                    : 0U);
        if (step.reason == "forwarded") {
            more("service " + step.service, 1);
            more("service " + step.service + " bytes", range.end - range.begin);
            more("backend " + step.backend, 1);
            more("backend " + step.backend + " bytes", range.end - range.begin);
            more("backend " + step.backend + " syns", is_syn(in) ? 1 : 0);
            more("backend " + step.backend + " syn repeats", is_repeat ? 1 : 0);
        }
    }

    void check_counters(std::string &problems)
    {
        auto actual = counter_values(engine_.tables(), case_.world);
        for (size_t i = 0; i < actual.size(); i++) {
            if (actual[i] != expected_[i]) {
                problems += "    counter " + names_[i] + ": expected " +
                            std::to_string(expected_[i]) + ", got " +
                            std::to_string(actual[i]) + "\n";
            }
        }
        expected_ = std::move(actual);  // each packet is judged by itself
    }

    void packet(const Step &step, uint64_t n)
    {
        const std::string where = case_.file + ":" + std::to_string(step.line) + ": " +
                                  step.name +
                                  (step.first < step.last ? ", n = " + std::to_string(n) : "");
        const auto in = frame_from_text(substitute(step.in, n));
        if (!in) {
            failure(where, "    in: " + in.error().message + "\n");
            return;
        }
        if (in->size() < engine_.frame_bytes_min()) {
            return;
        }
        Bytes expected = step.verdict == Verdict::kPass ? *in : Bytes{};
        if (step.out) {
            auto out = frame_from_text(substitute(*step.out, n), *in);
            if (!out) {
                failure(where, "    out: " + out.error().message + "\n");
                return;
            }
            expected = std::move(*out);
        }
        report_.packets++;
        const auto pins_expected = step.pins.value_or(pins());
        prepare_icmp_limit(step);
        const auto ran = engine_.run(*in, step.headroom_bytes);
        if (!ran) {
            failure(where, "    " + ran.error().message + "\n");
            return;
        }
        std::string problems;
        if (ran->verdict != step.verdict) {
            problems += "    verdict: expected " + std::string(verdict_name(step.verdict)) +
                        ", got " + std::string(verdict_name(ran->verdict)) + "\n";
        }
        if (ran->egress_ifindex != 0 && ran->egress_ifindex != step.egress_ifindex) {
            problems += "    egress interface: expected " +
                        std::to_string(step.egress_ifindex) + ", got " +
                        std::to_string(ran->egress_ifindex) + "\n";
        }
        problems += describe_difference(expected, ran->frame);
        expect_one_more(step, *in, problems);
        check_counters(problems);
        if (const auto found = pins(); found != pins_expected) {
            problems += "    pins: expected " + describe(pins_expected) +
                        "\n          got      " + describe(found) + "\n";
        }
        if (!problems.empty()) {
            failure(where, problems);
        }
    }

    // The totals that the case states: a second account, not derived from its verdicts.
    void check_totals()
    {
        std::string problems;
        auto check = [&problems, this](const std::string &name, uint64_t want) {
            const uint64_t *have = counter(name);
            if (have == nullptr || *have != want) {
                problems +=
                    "    total " + name + ": expected " + std::to_string(want) + ", got " +
                    (have == nullptr ? "no such counter" : std::to_string(*have)) + "\n";
            }
        };
        for (const auto &total : case_.counters) {
            check(total.name, total.packets);
            if (total.bytes) {
                check(total.name + " bytes", *total.bytes);
            }
        }
        if (!problems.empty()) {
            failure(case_.file, problems);
        }
    }

    const Case &case_;
    Engine &engine_;
    std::vector<std::string> names_;
    std::vector<uint64_t> expected_;  // by index of names_
    CaseReport report_;
};

}  // namespace

CaseReport run_case(const Case &packet_case, Engine &engine)
{
    return Run(packet_case, engine).all();
}

}  // namespace guideway::packets
