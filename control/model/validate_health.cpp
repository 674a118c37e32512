#include "control/model/validate_health.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace guideway::model {

namespace {

bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Printable ASCII: what goes into a request is what stands in the file.
bool is_printable(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

// Of DNS, as far as one must know to refuse what is none.
bool is_dns_name(std::string_view text)
{
    return !text.empty() && text.size() <= 253 && is_alphanumeric(text.front()) &&
           std::ranges::all_of(text, [](char c) {
               return is_alphanumeric(c) || c == '.' || c == '-' || c == '_';
           });
}

// A DNS name or an address (IPv6 in brackets), and perhaps a port.
bool is_host(std::string_view text)
{
    std::string_view port;
    if (const size_t colon = text.rfind(':');
        colon != std::string_view::npos && !text.ends_with(']')) {
        port = text.substr(colon + 1);
        text = text.substr(0, colon);
        if (port.empty() || port.size() > 5 ||
            !std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; })) {
            return false;
        }
    }
    if (text.starts_with('[') && text.ends_with(']')) {
        const auto address = IpAddress::parse(text.substr(1, text.size() - 2));
        return address && address->is_ipv6();
    }
    return is_dns_name(text);
}

class HealthValidator {
  public:
    HealthValidator(const Desired &desired, const Pool &pool, std::string path,
                    std::vector<Violation> &violations)
        : desired_(desired),
          pool_(pool),
          health_(pool.health),
          path_(std::move(path)),
          violations_(violations)
    {
    }

    void run()
    {
        check_numbers();
        check_times();
        check_texts();
        check_statuses();
        check_passive();
        if (health_.type != HealthType::kNone) {
            check_type();
            check_endpoint();
        }
    }

  private:
    void report(std::string_view key, std::string message, std::string hint)
    {
        violations_.push_back(
            {path_ + "." + std::string(key), std::move(message), std::move(hint), {}});
    }

    void check_number(std::string_view key, uint32_t value, uint32_t least, uint32_t most)
    {
        if (value < least || value > most) {
            report(key, std::string(key) + " is " + std::to_string(value),
                   "from " + std::to_string(least) + " to " + std::to_string(most));
        }
    }

    bool check_time(std::string_view key, Milliseconds value, Milliseconds least,
                    Milliseconds most)
    {
        if (value < least || value > most) {
            report(key, std::string(key) + " is " + duration_text(value),
                   "from " + duration_text(least) + " to " + duration_text(most));
            return false;
        }
        return true;
    }

    void check_numbers();
    void check_times();
    void check_detection();
    void check_texts();
    void check_text(std::string_view key, std::string_view text, bool is_right,
                    std::string hint);
    void check_statuses();
    void check_passive();
    void check_type();
    void check_endpoint();

    const Desired &desired_;
    const Pool &pool_;
    const Health &health_;
    std::string path_;
    std::vector<Violation> &violations_;
};

void HealthValidator::check_numbers()
{
    check_number("rise", health_.rise, 1, kRiseFallMax);
    check_number("fall", health_.fall, 1, kRiseFallMax);
    check_number("jitter", health_.jitter_percent, 0, kJitterPercentMax);
    check_number("panic_threshold", health_.panic_threshold_percent, 0, 100);
}

void HealthValidator::check_times()
{
    bool ok = check_time("interval", health_.interval, kIntervalMin, kIntervalMax);
    ok &= check_time("timeout", health_.timeout, kTimeoutMin, kTimeoutMax);
    ok &= check_time("recheck", health_.recheck, kRecheckMin, kIntervalMax);
    check_time("slow_start", health_.slow_start, Milliseconds(0), kSlowStartMax);
    if (!ok || health_.fall == 0 || health_.fall > kRiseFallMax) {
        return;
    }
    if (health_.timeout >= health_.interval) {
        report("timeout",
               "timeout " + duration_text(health_.timeout) + " is not below the interval, " +
                   duration_text(health_.interval),
               "a probe ends before the next one begins; shorten timeout or raise interval");
    } else if (health_.recheck > health_.interval) {
        report("recheck",
               "recheck " + duration_text(health_.recheck) + " is above the interval, " +
                   duration_text(health_.interval),
               "it makes probes more frequent while a backend is changing state");
    } else {
        check_detection();
    }
}

void HealthValidator::check_detection()
{
    const Milliseconds bound = detection_bound(health_);
    if (detection_max(health_) <= bound) {
        return;
    }
    // The longest that keeps to the bound, with the recheck interval as it is; whole
    // milliseconds, rounded down.
    const Milliseconds spare = bound - health_.interval;
    const Milliseconds by_recheck = spare - (health_.fall - 1) * health_.recheck;
    const Milliseconds by_timeout = (spare - (health_.fall - 1) * kProbePause) / health_.fall;
    const Milliseconds longest = std::min(by_recheck, by_timeout);
    report("timeout",
           "a dead backend could go unnoticed for " + duration_text(detection_max(health_)) +
               "; fall times interval and a second are " + duration_text(bound),
           longest >= kTimeoutMin
               ? "a timeout of at most " + duration_text(longest) + ", or another fall"
               : "shorten recheck");
}

void HealthValidator::check_text(std::string_view key, std::string_view text, bool is_right,
                                 std::string hint)
{
    if (text.size() > kHealthTextMax) {
        report(key, std::string(key) + " has " + std::to_string(text.size()) + " bytes",
               "at most " + std::to_string(kHealthTextMax));
    } else if (!is_right) {
        report(key, std::string(key) + " is " + quoted(text), std::move(hint));
    }
}

void HealthValidator::check_texts()
{
    const std::string &path = health_.path;
    check_text("path", path,
               path.starts_with('/') && is_printable(path) && !path.contains(' ') &&
                   !path.contains('#'),
               "what follows the host in a URL: it begins with '/' and has only printable "
               "ASCII characters, no spaces and no '#'");
    check_text("host", health_.host, health_.host.empty() || is_host(health_.host),
               "a DNS name or an address, and perhaps a port, such as api.example.net");
    check_text(
        "sni", health_.sni,
        health_.sni.empty() || (is_dns_name(health_.sni) && !IpAddress::parse(health_.sni)),
        "a DNS name, such as api.example.net");
    check_text("body", health_.body, is_printable(health_.body),
               "text of printable ASCII characters, in one line");
    check_text("ca", health_.ca_file,
               health_.ca_file.empty() ||
                   (health_.ca_file.starts_with('/') && is_printable(health_.ca_file)),
               "the absolute path of a file of certificates in PEM form");
}

void HealthValidator::check_statuses()
{
    const auto &ranges = health_.expect_status;
    if (ranges.empty() || ranges.size() > kStatusRangesMax) {
        report("expect_status",
               "expect_status has " + std::to_string(ranges.size()) + " entries",
               "from 1 to " + std::to_string(kStatusRangesMax) +
                   " statuses or ranges, such as [200, 300-399]");
        return;
    }
    for (size_t i = 0; i < ranges.size(); i++) {
        const std::string key = "expect_status[" + std::to_string(i) + "]";
        if (ranges[i].from < 100 || ranges[i].to > 599 || ranges[i].from > ranges[i].to) {
            report(key,
                   key + " is " + std::to_string(ranges[i].from) + "-" +
                       std::to_string(ranges[i].to),
                   "statuses are from 100 to 599, the smaller one first");
            continue;
        }
        for (size_t j = 0; j < i; j++) {
            if (ranges[i].from <= ranges[j].to && ranges[j].from <= ranges[i].to) {
                report(key, key + " overlaps with expect_status[" + std::to_string(j) + "]",
                       "say each status once");
                break;
            }
        }
    }
}

void HealthValidator::check_passive()
{
    if (!health_.passive) {
        return;
    }
    check_number("passive.syn_repeats", health_.passive->syn_repeats_percent, 1, 100);
    check_number("passive.at_least", health_.passive->at_least, 1, kPassiveSynsMax);
    check_time("passive.window", health_.passive->window, kPassiveWindowMin, kPassiveWindowMax);
}

void HealthValidator::check_type()
{
    const std::string type(to_string(health_.type));
    const bool is_http = health_.type != HealthType::kTcp;
    const bool is_tls = health_.type == HealthType::kHttps;
    const auto need = [&](std::string_view key, bool is_given, bool has_use,
                          std::string_view types) {
        if (is_given && !has_use) {
            report(key, std::string(key) + " means nothing to a probe of type " + type,
                   "remove it, or take the type " + std::string(types));
        }
    };
    const Health defaults;
    need("path", health_.path != defaults.path, is_http, "http or https");
    need("host", !health_.host.empty(), is_http, "http or https");
    need("body", !health_.body.empty(), is_http, "http or https");
    need("expect_status", health_.expect_status != defaults.expect_status, is_http,
         "http or https");
    need("sni", !health_.sni.empty(), is_tls, "https");
    need("verify", health_.verify, is_tls, "https");
    need("ca", !health_.ca_file.empty(), is_tls, "https");
    if (is_tls && !health_.ca_file.empty() && !health_.verify) {
        report("ca", "ca is given, but certificates are not checked",
               "add verify: true, or remove ca");
    }
    if (is_tls && health_.verify && server_name(health_).empty()) {
        report("verify", "there is no name to check certificates against",
               "give sni, or a host that is a name");
    }
}

void HealthValidator::check_endpoint()
{
    const Service *probed = probed_service(desired_, pool_);
    if (probed == nullptr && !health_.service.empty()) {
        const auto named =
            std::ranges::find(desired_.services, health_.service, &Service::name);
        std::string known;
        for (const Service &service : desired_.services) {
            if (service.pool == pool_.name && known.size() < 200) {
                known += (known.empty() ? "" : ", ") + service.name;
            }
        }
        report(
            "service",
            "service " + quoted(health_.service) +
                (named == desired_.services.end() ? " is not defined"
                                                  : " does not use pool " + quoted(pool_.name) +
                                                        " but " + quoted(named->pool)),
            known.empty() ? "no service uses the pool; remove it"
                          : "services of pool " + quoted(pool_.name) + " are: " + known);
        return;
    }
    if (probed != nullptr && probed_port(health_, *probed) == 0) {
        report("port",
               "probes of pool " + quoted(pool_.name) + " have no port: service " +
                   quoted(probed->name) + " is not TCP",
               "give port: one that its backends answer TCP connections on");
    }
}

// Reports the first pool with which the probes of all pools get too many.
void check_rate(const Desired &desired, std::vector<Violation> &violations)
{
    double per_second = 0;
    std::string first_over;
    for (size_t i = 0; i < desired.pools.size(); i++) {
        const Pool &pool = desired.pools[i];
        const Milliseconds interval = pool.health.interval;
        if (pool.health.type == HealthType::kNone || interval < kIntervalMin ||
            probed_service(desired, pool) == nullptr) {
            continue;
        }
        per_second += 1000.0 * static_cast<double>(pool.backends.size()) /
                      static_cast<double>(interval.count());
        if (per_second > kProbesPerSecondMax && first_over.empty()) {
            first_over = "pools[" + std::to_string(i) + "].health.interval";
        }
    }
    if (!first_over.empty()) {
        violations.push_back(
            {first_over,
             "the backends of all pools would get " +
                 std::to_string(static_cast<uint64_t>(per_second)) + " probes a second",
             "at most " + std::to_string(kProbesPerSecondMax) + "; raise the interval",
             {}});
    }
}

}  // namespace

void validate_health(const Desired &desired, std::vector<Violation> &violations)
{
    for (size_t i = 0; i < desired.pools.size(); i++) {
        HealthValidator(desired, desired.pools[i], "pools[" + std::to_string(i) + "].health",
                        violations)
            .run();
    }
    check_rate(desired, violations);
}

}  // namespace guideway::model
