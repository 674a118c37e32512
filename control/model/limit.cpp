#include "control/model/limit.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace guideway::model {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr int kIntervalShift = 16;  // interval is in 2^-16 ns
constexpr int kToleranceShift = 4;  // tolerance is in 2^-4 ns
constexpr uint32_t kTicksMin = 4;   // of the coarse clock that a burst must cover

// From the largest on.
constexpr std::pair<char, uint64_t> kScales[] = {
    {'G', 1'000'000'000}, {'M', 1'000'000}, {'k', 1'000}};
constexpr std::pair<std::string_view, uint32_t> kPeriods[] = {
    {"s", 1}, {"m", 60}, {"h", 3'600}, {"d", 86'400}};

uint64_t divided_up(Wide value, Wide by)
{
    return static_cast<uint64_t>((value + by - 1) / by);
}

std::string_view period_text(uint32_t seconds)
{
    const auto *const found =
        std::ranges::find(kPeriods, seconds, &std::pair<std::string_view, uint32_t>::second);
    return found == std::end(kPeriods) ? std::string_view("?") : found->first;
}

// Takes a number with its scale from the beginning of `text`.
std::optional<uint64_t> take_number(std::string_view &text)
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto digits = static_cast<size_t>(end - text.data());
    const bool leading_zero = digits > 1 && text.front() == '0';
    if (error != std::errc() || leading_zero) {
        return std::nullopt;
    }
    text.remove_prefix(digits);
    if (text.empty()) {
        return value;
    }
    const char letter = text.front() == 'K' ? 'k' : text.front();
    const auto *const scale =
        std::ranges::find(kScales, letter, &std::pair<char, uint64_t>::first);
    if (scale == std::end(kScales)) {
        return value;
    }
    text.remove_prefix(1);
    if (value > std::numeric_limits<uint64_t>::max() / scale->second) {
        return std::nullopt;
    }
    return value * scale->second;
}

std::string scaled_text(uint64_t value)
{
    for (const auto &[letter, scale] : kScales) {
        if (value != 0 && value % scale == 0) {
            return std::to_string(value / scale) + letter;
        }
    }
    return std::to_string(value);
}

std::string_view unit_text(Rate::Unit unit)
{
    return unit == Rate::Unit::kBits ? "bit" : unit == Rate::Unit::kBytes ? "B" : "";
}

// Of a rate of bytes: its bits; of another: what is counted.
Wide atoms(const Rate &rate)
{
    return rate.unit == Rate::Unit::kBytes ? Wide{rate.amount} * 8 : Wide{rate.amount};
}

// How many atoms one unit (a connection, packet or byte) is.
uint32_t atoms_per_unit(const Rate &rate)
{
    return rate.unit == Rate::Unit::kCount ? 1 : 8;
}

// The most that can be asked for in one period.
Wide atoms_max(const Rate &rate)
{
    return Wide{rate.unit == Rate::Unit::kCount ? kCountPerSecondMax : kBitsPerSecondMax} *
           rate.period_seconds;
}

std::string noun(LimitOf of)
{
    return of == LimitOf::kNewConnections ? "new connections"
           : of == LimitOf::kPackets      ? "packets"
                                          : "bytes";
}

}  // namespace

std::optional<Rate> parse_rate(LimitOf of, std::string_view text)
{
    const size_t slash = text.rfind('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto *const period = std::ranges::find(kPeriods, text.substr(slash + 1),
                                                 &std::pair<std::string_view, uint32_t>::first);
    std::string_view rest = text.substr(0, slash);
    const auto amount = take_number(rest);
    if (period == std::end(kPeriods) || !amount) {
        return std::nullopt;
    }
    Rate rate{.amount = *amount, .period_seconds = period->second};
    if (of == LimitOf::kBytes) {
        rate.unit = rest == "bit" ? Rate::Unit::kBits : Rate::Unit::kBytes;
    }
    return rest == unit_text(rate.unit) ? std::optional(rate) : std::nullopt;
}

std::string rate_text(const Rate &rate)
{
    return scaled_text(rate.amount) + std::string(unit_text(rate.unit)) + "/" +
           std::string(period_text(rate.period_seconds));
}

std::optional<uint64_t> parse_burst(LimitOf of, std::string_view text)
{
    const auto burst = take_number(text);
    return text == (of == LimitOf::kBytes ? "B" : "") ? burst : std::nullopt;
}

std::string burst_text(LimitOf of, uint64_t burst)
{
    return scaled_text(burst) + (of == LimitOf::kBytes ? "B" : "");
}

bool is_same_rate(const Rate &a, const Rate &b)
{
    return atoms_per_unit(a) == atoms_per_unit(b) &&
           atoms(a) * b.period_seconds == atoms(b) * a.period_seconds;
}

std::optional<RateProblem> check_rate(LimitOf of, const Rate &rate)
{
    const bool is_of_bytes = of == LimitOf::kBytes;
    const std::string text = rate_text(rate);
    if ((rate.unit != Rate::Unit::kCount) != is_of_bytes ||
        period_text(rate.period_seconds) == "?") {
        return RateProblem{text + " is not a rate of " + noun(of),
                           is_of_bytes ? "bits or bytes in a time, such as 1Gbit/s or 10MB/s"
                                       : "a number in a time, such as 100/m or 50k/s"};
    }
    if (atoms(rate) > atoms_max(rate)) {
        return RateProblem{"the rate " + text + " is too high",
                           is_of_bytes ? "at most 400Gbit/s" : "at most 1G/s"};
    }
    if (is_of_bytes ? atoms(rate) < Wide{8} * rate.period_seconds : rate.amount == 0) {
        return RateProblem{
            "the rate " + text + (rate.amount == 0 ? " lets nothing through" : " is too low"),
            is_of_bytes
                ? "at least 1B/s; to let nothing of a source through, use guideway deny"
                : "at least 1/d; to let nothing of a source through, use guideway deny"};
    }
    return std::nullopt;
}

std::optional<RateProblem> check_burst(LimitOf of, const Rate &rate, uint64_t burst)
{
    const uint64_t most = of == LimitOf::kBytes ? kBurstBytesMax : kBurstCountMax;
    const std::string text = burst_text(of, burst);
    if (burst == 0) {
        return RateProblem{
            "a burst of " + text + " lets nothing through",
            "at least " + burst_text(of, 1) + ", and at most " + burst_text(of, most)};
    }
    if (burst > most) {
        return RateProblem{"a burst of " + text + " is too large",
                           "at most " + burst_text(of, most)};
    }
    // How many units the rate brings in the longest time that a burst may last; at least 365.
    const Wide longest =
        atoms(rate) * kBurstSecondsMax / (Wide{atoms_per_unit(rate)} * rate.period_seconds);
    if (burst > longest) {
        return RateProblem{
            "a burst of " + text + " lasts for more than a year at " + rate_text(rate),
            "at most " + burst_text(of, static_cast<uint64_t>(longest)) + " at this rate"};
    }
    return std::nullopt;
}

uint64_t default_burst(LimitOf of, const Rate &rate)
{
    const uint64_t second =
        divided_up(atoms(rate), Wide{atoms_per_unit(rate)} * rate.period_seconds);
    return std::max(second, of == LimitOf::kBytes ? kBurstBytesDefaultMin : uint64_t{1});
}

Gcra gcra(const Rate &rate, uint64_t burst)
{
    const Wide period = Wide{rate.period_seconds} * kNsPerSecond << kIntervalShift;
    const Wide interval = (period * atoms_per_unit(rate) + atoms(rate) / 2) / atoms(rate);
    const uint64_t rounded = std::max(static_cast<uint64_t>(interval), uint64_t{1});
    // Of the rounded interval, by which the packet path moves arrivals on, and rounded up: all
    // of a burst has room. The first unit needs no tolerance.
    constexpr int kShift = kIntervalShift - kToleranceShift;
    return {.interval = rounded,
            .tolerance = divided_up(Wide{burst - 1} * rounded, Wide{1} << kShift)};
}

bool needs_exact_clock(const Gcra &gcra, uint32_t tick_ns)
{
    if (tick_ns == 0) {
        return true;
    }
    const Wide covered =
        (Wide{gcra.tolerance} << (kIntervalShift - kToleranceShift)) + gcra.interval;
    return covered < Wide{kTicksMin} * tick_ns << kIntervalShift;
}

std::optional<std::string> per_text(const SourceBits &per, std::optional<Family> family)
{
    if (per == SourceBits()) {
        return "source";
    }
    const bool is_ipv6 = family == Family::kIpv6;
    const uint8_t other = is_ipv6 ? per.ipv4 : per.ipv6;
    if (other != (is_ipv6 ? SourceBits().ipv4 : SourceBits().ipv6)) {
        return std::nullopt;
    }
    return "source/" + std::to_string(is_ipv6 ? per.ipv6 : per.ipv4);
}

std::string describe_per(const SourceBits &per, std::optional<Family> family)
{
    return per_text(per, family)
        .value_or("source, ipv4 /" + std::to_string(per.ipv4) + ", ipv6 /" +
                  std::to_string(per.ipv6));
}

std::string default_limit_name(LimitOf of, const SourceBits &per, std::optional<Family> family)
{
    std::string name(kLimitOfNames[static_cast<size_t>(of)]);
    if (per == SourceBits()) {
        return name;
    }
    if (!per_text(per, family)) {
        return name + "-" + std::to_string(per.ipv4) + "-" + std::to_string(per.ipv6);
    }
    return name + "-" + std::to_string(family == Family::kIpv6 ? per.ipv6 : per.ipv4);
}

AdmissionInForce in_force(const Admission &admission, uint32_t backends)
{
    std::optional<Rate> rate = admission.new_connections;
    if (admission.per_backend) {
        Rate all = *admission.per_backend;
        all.amount *= std::max(backends, 1U);  // within 64 bits: see kCountPerSecondMax
        if (!rate ||
            Wide{all.amount} * rate->period_seconds < Wide{rate->amount} * all.period_seconds) {
            rate = all;
        }
    }
    const Rate chosen = rate.value_or(Rate{.amount = 1});
    return {.rate = chosen,
            .burst = admission.burst.value_or(default_burst(LimitOf::kNewConnections, chosen))};
}

}  // namespace guideway::model
