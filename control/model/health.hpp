// How the backends of a pool are checked, as the configuration says it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace guideway::model {

using Milliseconds = std::chrono::milliseconds;

enum class HealthType : uint8_t { kNone, kTcp, kHttp, kHttps };
enum class ProbeThrough : uint8_t { kTunnel, kDirect };
// What becomes of a failed backend's connections: reset gives them up, keep leaves them.
enum class OnFailure : uint8_t { kReset, kKeep };

struct StatusRange {
    uint32_t from = 0;
    uint32_t to = 0;  // included

    auto operator<=>(const StatusRange &) const = default;
};

// Ejects a backend to which clients repeat their SYNs, without waiting for its probes.
struct PassiveHealth {
    uint32_t syn_repeats_percent = 50;  // of the SYNs in the window
    uint32_t at_least = 20;             // SYNs in the window, below which nothing is said
    Milliseconds window{10'000};

    auto operator<=>(const PassiveHealth &) const = default;
};

struct Health {
    HealthType type = HealthType::kNone;
    std::string service;  // whose address is probed; empty: see probed_service()
    uint16_t port = 0;    // 0: that of the service
    std::string path = "/";
    std::string host;  // empty: the probed address
    std::string sni;   // empty: see server_name()
    bool verify = false;
    std::string ca_file;  // empty: the host's own authorities
    std::vector<StatusRange> expect_status = {{200, 399}};
    std::string body;  // empty: any
    Milliseconds interval{2'000};
    Milliseconds timeout{1'000};
    uint32_t rise = 2;
    uint32_t fall = 3;
    uint32_t jitter_percent = 10;  // of each interval; makes it shorter, never longer
    Milliseconds recheck{500};     // the interval while a backend is changing state
    Milliseconds slow_start{0};
    uint32_t panic_threshold_percent = 50;
    ProbeThrough through = ProbeThrough::kTunnel;
    std::optional<PassiveHealth> passive;

    auto operator<=>(const Health &) const = default;
};

inline constexpr Milliseconds kIntervalMin{100};
inline constexpr Milliseconds kIntervalMax{3'600'000};
inline constexpr Milliseconds kTimeoutMin{50};
inline constexpr Milliseconds kTimeoutMax{60'000};
inline constexpr Milliseconds kRecheckMin{50};
// Between the end of a probe and the next one of the same backend, however late it is.
inline constexpr Milliseconds kProbePause{20};
inline constexpr Milliseconds kSlowStartMax{3'600'000};
inline constexpr Milliseconds kPassiveWindowMin{1'000};
inline constexpr Milliseconds kPassiveWindowMax{600'000};
inline constexpr uint32_t kRiseFallMax = 100;
inline constexpr uint32_t kJitterPercentMax = 50;
inline constexpr uint32_t kPassiveSynsMax = 1'000'000;
inline constexpr uint32_t kProbesPerSecondMax = 5'000;  // of all pools; about half a core
inline constexpr size_t kStatusRangesMax = 32;
inline constexpr size_t kHealthTextMax = 1'024;  // bytes of a path, host, body or file name

// Of a file that names none.
[[nodiscard]] Milliseconds default_timeout(Milliseconds interval);
[[nodiscard]] Milliseconds default_recheck(Milliseconds interval);

// How long a backend that dies without a word may go unnoticed: it died just after a probe
// began that it still answered, and each of the next `fall` probes times out.
[[nodiscard]] Milliseconds detection_max(const Health &health);
// What is promised for it.
[[nodiscard]] Milliseconds detection_bound(const Health &health);

// The name that a TLS probe asks for and checks the certificate against: `sni`, or `host`
// without its port if that is a name. Empty if there is none.
[[nodiscard]] std::string server_name(const Health &health);

struct Desired;
struct Pool;
struct Service;

// The service whose address the probes of `pool` go to: the one that it names, or else the
// first TCP service in the file that uses the pool, or else the first service that does.
// Null if no service uses the pool: nothing is probed then.
[[nodiscard]] const Service *probed_service(const Desired &desired, const Pool &pool);
// Zero if none is given and the service is not TCP.
[[nodiscard]] uint16_t probed_port(const Health &health, const Service &service);

// "250ms", "2s", "15m", "1h", "1d": the largest unit that says it exactly.
[[nodiscard]] std::string duration_text(Milliseconds duration);
// As duration_text() writes it, without fractions; at most a year.
[[nodiscard]] std::optional<Milliseconds> parse_duration(std::string_view text);

[[nodiscard]] std::string_view to_string(HealthType type);

}  // namespace guideway::model
