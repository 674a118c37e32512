#include "control/model/health.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/model/desired.hpp"

namespace guideway::model {

namespace {

// From the largest on.
constexpr std::pair<std::string_view, int64_t> kUnits[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr int64_t kDurationMax = 365 * kUnits[0].second;

}  // namespace

Milliseconds default_timeout(Milliseconds interval)
{
    return std::min(Health().timeout, std::max(interval / 2, kTimeoutMin));
}

Milliseconds default_recheck(Milliseconds interval)
{
    return std::max(interval / 4, kRecheckMin);
}

Milliseconds detection_max(const Health &health)
{
    const Milliseconds between = std::max(health.recheck, health.timeout + kProbePause);
    return health.interval + (health.fall - 1) * between + health.timeout;
}

Milliseconds detection_bound(const Health &health)
{
    return health.fall * health.interval + std::chrono::seconds(1);
}

std::string server_name(const Health &health)
{
    if (!health.sni.empty()) {
        return health.sni;
    }
    const std::string name = health.host.substr(0, health.host.find(':'));
    return name.starts_with('[') || IpAddress::parse(health.host) || IpAddress::parse(name)
               ? ""
               : name;
}

const Service *probed_service(const Desired &desired, const Pool &pool)
{
    const Service *found = nullptr;
    for (const Service &service : desired.services) {
        if (service.pool != pool.name) {
            continue;
        }
        if (!pool.health.service.empty()) {
            if (service.name == pool.health.service) {
                return &service;
            }
        } else if (found == nullptr ||
                   (found->protocol != Protocol::kTcp && service.protocol == Protocol::kTcp)) {
            found = &service;
        }
    }
    return found;
}

uint16_t probed_port(const Health &health, const Service &service)
{
    if (health.port != 0) {
        return health.port;
    }
    return service.protocol == Protocol::kTcp ? service.port : uint16_t{0};
}

std::string duration_text(Milliseconds duration)
{
    const int64_t count = duration.count();
    if (count == 0) {
        return "0s";
    }
    for (const auto &[unit, size] : kUnits) {
        if (count % size == 0) {
            return std::to_string(count / size) + std::string(unit);
        }
    }
    return {};  // not reached: the last unit is one
}

std::optional<Milliseconds> parse_duration(std::string_view text)
{
    int64_t count = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), count);
    const std::string_view digits(text.begin(), end);
    const std::string_view unit = text.substr(digits.size());
    const auto found =
        std::ranges::find(kUnits, unit, &std::pair<std::string_view, int64_t>::first);
    const bool leading_zero = digits.size() > 1 && digits.front() == '0';
    if (error != std::errc() || leading_zero || found == std::end(kUnits) || count < 0 ||
        text.starts_with('-') || count > kDurationMax / found->second) {
        return std::nullopt;
    }
    return Milliseconds(count * found->second);
}

std::string_view to_string(HealthType type)
{
    constexpr std::string_view kNames[] = {"none", "tcp", "http", "https"};
    return kNames[static_cast<size_t>(type)];
}

}  // namespace guideway::model
