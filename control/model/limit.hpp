// Limits of sources and admission of new connections, as values: what an operator writes, and
// the parameters that the packet path works with.
//
// A limit is a GCRA (ITU-T I.371; "leaky bucket as a meter"): of each source one time is kept,
// its theoretical arrival. A packet conforms if that is at most `tolerance` ahead of now, and
// then moves it on by `interval` for each unit that it costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/model/address.hpp"

namespace guideway::model {

enum class LimitOf : uint8_t { kNewConnections, kPackets, kBytes };
enum class LimitMode : uint8_t { kDrop, kObserve };

inline constexpr std::string_view kLimitOfNames[] = {"new_connections", "packets", "bytes"};
inline constexpr std::string_view kLimitModeNames[] = {"drop", "observe"};

// So many in a period. A rate of bytes is kept as it was written, in bits or in bytes.
struct Rate {
    enum class Unit : uint8_t { kCount, kBits, kBytes };

    uint64_t amount = 0;
    Unit unit = Unit::kCount;
    uint32_t period_seconds = 1;  // a second, minute, hour or day

    auto operator<=>(const Rate &) const = default;
};

// Of all rates.
inline constexpr uint64_t kCountPerSecondMax = 1'000'000'000;   // and at least one a day
inline constexpr uint64_t kBitsPerSecondMax = 400'000'000'000;  // and at least 8
inline constexpr uint64_t kBurstCountMax = 1'000'000'000;       // connections, packets
inline constexpr uint64_t kBurstBytesMax = 1'000'000'000'000;   // a terabyte
inline constexpr uint64_t kBurstBytesDefaultMin = 65'536;       // the largest packet fits
inline constexpr uint64_t kBurstSecondsMax =
    365 * uint64_t{86'400};  // that it lasts at the rate

// "100/m", "50k/s": a whole number, perhaps k, M or G (powers of 1000), for s, m, h or d; of
// bytes also with a unit: "1Gbit/s", "10MB/s". Nothing for other texts, and for what does not
// fit into 64 bits.
[[nodiscard]] std::optional<Rate> parse_rate(LimitOf of, std::string_view text);
// With the largest of k, M and G that says it exactly.
[[nodiscard]] std::string rate_text(const Rate &rate);

// "20", "100k"; of bytes "64kB".
[[nodiscard]] std::optional<uint64_t> parse_burst(LimitOf of, std::string_view text);
[[nodiscard]] std::string burst_text(LimitOf of, uint64_t burst);

// Whether both allow the same, such as 60/m and 1/s.
[[nodiscard]] bool is_same_rate(const Rate &a, const Rate &b);

// Why a rate or a burst cannot be one, in the form of a Violation without its place.
struct RateProblem {
    std::string message;
    std::string hint;
};
[[nodiscard]] std::optional<RateProblem> check_rate(LimitOf of, const Rate &rate);
// For a rate that passes check_rate().
[[nodiscard]] std::optional<RateProblem> check_burst(LimitOf of, const Rate &rate,
                                                     uint64_t burst);

// Of a limit that names no burst: what the rate brings in a second, rounded up; of bytes at
// least the largest packet.
[[nodiscard]] uint64_t default_burst(LimitOf of, const Rate &rate);

// Functions of here on take rates and bursts that passed the checks.
struct Gcra {
    uint64_t interval = 0;   // time of one unit, in 2^-16 ns, rounded to the nearest; not 0
    uint64_t tolerance = 0;  // of burst - 1 intervals, in 2^-4 ns, rounded up

    auto operator<=>(const Gcra &) const = default;
};
[[nodiscard]] Gcra gcra(const Rate &rate, uint64_t burst);

// Whether the burst is used up at the rate within four ticks of the coarse clock, which then is
// too coarse: what comes between two ticks would not all have room. A tick of 0 is not known.
[[nodiscard]] bool needs_exact_clock(const Gcra &gcra, uint32_t tick_ns);

// The bits of an address that say which source it is.
struct SourceBits {
    uint8_t ipv4 = 32;
    uint8_t ipv6 = 64;

    auto operator<=>(const SourceBits &) const = default;
};

// What each source may have, of one service or of all together.
struct Limit {
    std::string name;
    SourceBits per;
    LimitOf of = LimitOf::kNewConnections;
    Rate rate;
    uint64_t burst = 1;
    LimitMode mode = LimitMode::kDrop;

    auto operator<=>(const Limit &) const = default;
};

// "source", or "source/24" where that says it: of IPv6 services the bits are those of IPv6
// addresses, of all others (`family` none: of all services) those of IPv4. Nothing where both
// would have to be given.
[[nodiscard]] std::optional<std::string> per_text(const SourceBits &per,
                                                  std::optional<Family> family);
// What people read, also where per_text() has nothing: "source, ipv4 /24, ipv6 /56".
[[nodiscard]] std::string describe_per(const SourceBits &per, std::optional<Family> family);

// Of a limit that has none of its own: "new_connections", "packets-24", "bytes-24-56".
[[nodiscard]] std::string default_limit_name(LimitOf of, const SourceBits &per,
                                             std::optional<Family> family);

// By which it is known among the limits of its service.
inline constexpr std::string_view kAdmissionName = "admission";

// New connections that a service takes, whoever they come from; at least one of the rates.
struct Admission {
    std::optional<Rate> new_connections;
    std::optional<Rate> per_backend;  // times the backends that take new flows
    std::optional<uint64_t> burst;    // none: that of the rate in force

    auto operator<=>(const Admission &) const = default;
};

// The lesser of both rates while `backends` take new flows. Without any, connections end at
// that; the rate of one keeps what is counted defined.
struct AdmissionInForce {
    Rate rate;
    uint64_t burst = 1;
};
[[nodiscard]] AdmissionInForce in_force(const Admission &admission, uint32_t backends);

}  // namespace guideway::model
