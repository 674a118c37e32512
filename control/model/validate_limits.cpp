#include "control/model/validate_limits.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace guideway::model {

namespace {

// What the API has where the limits of the instance are.
constexpr std::string_view kTopName = "top";

// Of one list of limits, or of all.
class LimitsValidator {
  public:
    LimitsValidator(const Desired &desired, std::vector<Violation> &violations)
        : desired_(desired), violations_(violations)
    {
    }

    void run()
    {
        check_list(desired_.limits, nullptr, "limits");
        if (desired_.limits.size() > kLimitsOfServiceMax) {
            report("limits[" + std::to_string(kLimitsOfServiceMax) + "]",
                   "the instance has " + std::to_string(desired_.limits.size()) + " limits",
                   "at most " + std::to_string(kLimitsOfServiceMax) +
                       ", which then apply to all services");
        }
        for (size_t i = 0; i < desired_.services.size(); i++) {
            const Service &service = desired_.services[i];
            const std::string path = "services[" + std::to_string(i) + "]";
            check_list(service.limits, &service, path + ".limits");
            check_number(service, path);
            if (service.admission) {
                check_admission(service, path + ".admission");
            }
        }
        check_sum();
    }

  private:
    void report(std::string path, std::string message, std::string hint,
                std::string related = {})
    {
        violations_.push_back(
            {std::move(path), std::move(message), std::move(hint), std::move(related)});
    }

    void report(std::string path, std::optional<RateProblem> problem)
    {
        if (problem) {
            report(std::move(path), std::move(problem->message), std::move(problem->hint));
        }
    }

    // `service` is null for those of the whole instance.
    void check_list(const std::vector<Limit> &limits, const Service *service,
                    const std::string &path);
    void check_limit(const Limit &limit, const Service *service, const std::string &path);
    void check_bits(uint8_t bits, Family family, const std::string &path);
    void check_number(const Service &service, const std::string &path);
    void check_admission(const Service &service, const std::string &path);
    void check_sum();

    const Desired &desired_;
    std::vector<Violation> &violations_;
};

std::string item(const std::string &list, size_t index)
{
    return list + "[" + std::to_string(index) + "]";
}

// Whether both measure the same of the same sources.
bool is_same(const Limit &a, const Limit &b, const Service *service)
{
    const auto bits = [&](const Limit &limit) {
        SourceBits counted = limit.per;
        if (service != nullptr) {
            (service->address.is_ipv6() ? counted.ipv4 : counted.ipv6) = 0;
        }
        return counted;
    };
    return a.of == b.of && bits(a) == bits(b) && is_same_rate(a.rate, b.rate);
}

void LimitsValidator::check_bits(uint8_t bits, Family family, const std::string &path)
{
    const int most = family == Family::kIpv6 ? 128 : 32;
    if (bits < 1 || bits > most) {
        report(path, "sources of " + std::to_string(bits) + " bits",
               "from 1 to " + std::to_string(most) + " bits of an " +
                   (family == Family::kIpv6 ? "IPv6" : "IPv4") + " address");
    }
}

void LimitsValidator::check_limit(const Limit &limit, const Service *service,
                                  const std::string &path)
{
    if (!is_name(limit.name)) {
        report(path + ".name", quoted(limit.name) + " is not a name for a limit",
               "names are " + std::string(kNameRule));
    }
    if (limit.name == kAdmissionName) {
        report(path + ".name", quoted(limit.name) + " is what admission itself is called",
               "give the limit another name");
    }
    if (service == nullptr && limit.name == kTopName) {
        report(path + ".name",
               quoted(limit.name) + " is what the API calls the sources that send most",
               "give the limit another name");
    }
    check_bits(limit.per.ipv4, Family::kIpv4, path + ".per");
    check_bits(limit.per.ipv6, Family::kIpv6, path + ".per");
    if (limit.of == LimitOf::kNewConnections && service != nullptr &&
        service->protocol == Protocol::kUdp) {
        report(path + ".of",
               "service " + quoted(service->name) +
                   " is UDP, where new connections cannot be told from others",
               "limit its packets or bytes");
    }
    auto problem = check_rate(limit.of, limit.rate);
    if (!problem) {
        report(path + ".burst", check_burst(limit.of, limit.rate, limit.burst));
    }
    report(path + ".rate", std::move(problem));
}

void LimitsValidator::check_list(const std::vector<Limit> &limits, const Service *service,
                                 const std::string &path)
{
    const std::string whose =
        service == nullptr ? "of the instance" : "of service " + quoted(service->name);
    std::map<std::string, std::string> names;
    // What comes after them is too much anyway.
    const size_t count = std::min<size_t>(limits.size(), kLimitsMax);
    for (size_t i = 0; i < count; i++) {
        const std::string at = item(path, i);
        check_limit(limits[i], service, at);
        const auto [named, is_new] = names.try_emplace(limits[i].name, at + ".name");
        const auto same = std::find_if(
            limits.begin(), limits.begin() + static_cast<ptrdiff_t>(i),
            [&](const Limit &limit) { return is_same(limit, limits[i], service); });
        if (same != limits.begin() + static_cast<ptrdiff_t>(i)) {
            report(at, "two limits " + whose + " measure the same",
                   "keep one; the smaller burst of both is what counted",
                   item(path, static_cast<size_t>(same - limits.begin())));
        } else if (!is_new && !limits[i].name.empty()) {
            report(at + ".name", "two limits " + whose + " are named " + quoted(limits[i].name),
                   "give each its own name; one without is named after what it limits",
                   named->second);
        }
    }
}

// Packets look at a few limits at most.
void LimitsValidator::check_number(const Service &service, const std::string &path)
{
    const auto of_instance =
        static_cast<size_t>(std::ranges::count_if(desired_.limits, [&](const Limit &limit) {
            return limit.of != LimitOf::kNewConnections || service.protocol == Protocol::kTcp;
        }));
    const size_t others = of_instance + (service.admission ? 1 : 0);
    const size_t count = others + service.limits.size();
    if (desired_.limits.size() > kLimitsOfServiceMax || count <= kLimitsOfServiceMax) {
        return;
    }
    report(others > kLimitsOfServiceMax ? path + ".admission"
                                        : item(path + ".limits", kLimitsOfServiceMax - others),
           "service " + quoted(service.name) + " has " + std::to_string(count) + " limits" +
               (of_instance > 0
                    ? ", " + std::to_string(of_instance) + " of them those of the instance"
                    : ""),
           "at most " + std::to_string(kLimitsOfServiceMax) +
               ", with its admission and those of the instance that apply to it");
}

void LimitsValidator::check_admission(const Service &service, const std::string &path)
{
    const Admission &admission = *service.admission;
    constexpr auto kOf = LimitOf::kNewConnections;
    if (service.protocol == Protocol::kUdp) {
        report(path,
               "service " + quoted(service.name) +
                   " is UDP, where new connections cannot be told from others",
               "limit the packets or bytes of its sources");
        return;
    }
    if (!admission.new_connections && !admission.per_backend) {
        report(path, "admission has no rate",
               "new_connections, per_backend, or both, such as {new_connections: 20k/s}");
        return;
    }
    bool is_sound = true;
    for (const auto &[rate, key] : {std::pair{&admission.new_connections, ".new_connections"},
                                    std::pair{&admission.per_backend, ".per_backend"}}) {
        if (*rate) {
            auto problem = check_rate(kOf, **rate);
            is_sound = is_sound && !problem;
            report(path + key, std::move(problem));
        }
    }
    if (is_sound && admission.burst) {
        // More backends make it no slower.
        report(path + ".burst",
               check_burst(kOf, in_force(admission, 1).rate, *admission.burst));
    }
}

void LimitsValidator::check_sum()
{
    size_t sum = desired_.limits.size();
    std::string first_over = sum > kLimitsMax ? item("limits", kLimitsMax) : "";
    for (size_t i = 0; i < desired_.services.size(); i++) {
        const Service &service = desired_.services[i];
        sum += service.limits.size() + (service.admission ? 1 : 0);
        if (sum > kLimitsMax && first_over.empty()) {
            first_over = item("services", i) + (service.limits.empty() ? "" : ".limits");
        }
    }
    if (!first_over.empty()) {
        report(first_over,
               std::to_string(sum) +
                   " limits of the instance and its services, with what "
                   "admits connections",
               "at most " + std::to_string(kLimitsMax));
    }
}

}  // namespace

void validate_limits(const Desired &desired, std::vector<Violation> &violations)
{
    LimitsValidator(desired, violations).run();
}

}  // namespace guideway::model
