#include <algorithm>
#include <array>
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

// The names of all counters, as a case calls them, in the order of counter_values().
std::vector<std::string> counter_names(const Tables &tables, const World &world)
{
    std::vector<std::string> names(kReasons.begin(), kReasons.end());
    names.insert(names.end(), kEvents.begin(), kEvents.end());
    auto add = [&names](const std::string &kind, const auto &entries, size_t count) {
        for (size_t i = 0; i < count; i++) {
            const std::string name =
                kind + " " + (i < entries.size() ? entries[i].name : std::to_string(i));
            names.push_back(name);
            names.push_back(name + " bytes");
        }
    };
    add("service", world.services, tables.capacity().services_max);
    add("backend", world.backends, tables.capacity().backends_max);
    return names;
}

std::vector<uint64_t> counter_values(const Tables &tables)
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
    return values;
}

class Run {
  public:
    Run(const Case &packet_case, Engine &engine) : case_(packet_case), engine_(engine) {}

    CaseReport all()
    {
        if (auto written = write_world(engine_.tables(), case_.world); !written) {
            failure(case_.file, written.error().message + "\n");
            return std::move(report_);
        }
        names_ = counter_names(engine_.tables(), case_.world);
        expected_ = counter_values(engine_.tables());
        for (const auto &step : case_.steps) {
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
        if (!step.event.empty()) {
            more(step.event, 1);
        }
        if (step.reason == "forwarded") {
            const auto range = ip_range(in);
            more("service " + step.service, 1);
            more("service " + step.service + " bytes", range.end - range.begin);
            more("backend " + step.backend, 1);
            more("backend " + step.backend + " bytes", range.end - range.begin);
        }
    }

    void check_counters(std::string &problems)
    {
        auto actual = counter_values(engine_.tables());
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
