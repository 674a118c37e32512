#include "control/daemon/limited_sources.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "control/model/address.hpp"

namespace guideway::daemon {
namespace {

// Of time differences on the limits' clock, which processors may see a tick apart.
uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

std::string duration_text(uint64_t duration_ns)
{
    const uint64_t seconds = duration_ns / 1'000'000'000;
    if (seconds < 60) {
        return fmt::format("{} s", seconds);
    }
    if (seconds < 3600) {
        return fmt::format("{} min {} s", seconds / 60, seconds % 60);
    }
    return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
}

std::string name_of_service(const LimitedSources::Names &names, uint32_t service)
{
    const auto named = names.services.find(service);
    return named == names.services.end() ? "" : named->second;
}

}  // namespace

std::string source_text(const gw_address &source, int ipv4_bits, int ipv6_bits)
{
    model::Prefix prefix;
    if (source.high == GW_IPV4_TAG) {
        std::memcpy(prefix.address.bytes.data(), &source.low, 4);
        prefix.length_bits = ipv4_bits;
    } else {
        prefix.address.family = model::Family::kIpv6;
        std::memcpy(prefix.address.bytes.data(), &source, 16);
        prefix.length_bits = ipv6_bits;
    }
    return prefix.to_string();
}

std::string full_limit_name(const std::string &service, const std::string &name)
{
    return service.empty() ? name : service + "/" + name;
}

std::vector<model::Event> LimitedSources::note(const Tables &tables,
                                               const std::function<Names()> &make_names,
                                               uint64_t now_ns)
{
    std::vector<model::Event> events;
    const auto tell = [&events](std::optional<model::Event> event) {
        if (event) {
            events.push_back(std::move(*event));
        }
    };
    if (since(period_began_ns_, now_ns) >= kPeriodNs) {
        tell(sum());
        period_began_ns_ = now_ns;
    }
    const auto sources = limited_sources(tables);
    const Names names = sources.empty() ? Names{} : make_names();
    for (auto source : sources) {
        const bool is_limit_gone = !is_of_present_limit(tables, source);
        const auto named = names.limits.find(source.limit);
        const Limit *limit =
            is_limit_gone || named == names.limits.end() ? nullptr : &named->second;
        if (source.told == Told::kNothing && limit != nullptr) {
            auto event = begun(source, *limit, names);
            source.told = event ? Told::kAlone : Told::kAmongOthers;
            mark_told(tables, source, source.told);
            tell(std::move(event));
        }
        if (source.told == Told::kAlone) {
            know(source, limit, names, now_ns);
        }
        const bool is_over = is_limit_gone || since(source.last_ns, now_ns) >= kOverAfterNs;
        if (is_over && give_up(tables, source)) {
            if (const auto known = known_.extract(source.fingerprint)) {
                tell(over(known.mapped(), is_limit_gone));
            } else if (source.told == Told::kAmongOthers) {
                over_among_others_++;
            }
        }
    }
    // Their records went with their limits.
    std::erase_if(known_, [&](const auto &known) {
        const bool is_gone = known.second.seen_at_ns != now_ns;
        if (is_gone) {
            tell(over(known.second, true));
        }
        return is_gone;
    });
    return events;
}

void LimitedSources::know(const LimitedSource &source, const Limit *limit, const Names &names,
                          uint64_t now_ns)
{
    auto [at, is_new] = known_.try_emplace(source.fingerprint);
    Known &known = at->second;
    if (is_new || limit != nullptr) {
        const Limit named = limit == nullptr ? Limit{} : *limit;
        known.source = source_text(source.source, named.ipv4_bits, named.ipv6_bits);
        known.limit = named.name;
        known.service = name_of_service(names, source.service);
    }
    known.packets = source.packets;
    known.bytes = source.bytes;
    known.lasted_ns = since(source.since_ns, source.last_ns);
    known.seen_at_ns = now_ns;
}

std::optional<model::Event> LimitedSources::begun(const LimitedSource &source,
                                                  const Limit &limit, const Names &names)
{
    if (begun_alone_ == kAloneInAPeriod) {
        begun_among_others_[limit.name]++;
        return std::nullopt;
    }
    begun_alone_++;
    return model::Event{
        .kind = "limit_exceeded",
        .pool = "",
        .backend = "",
        .service = name_of_service(names, source.service),
        .text = fmt::format("{} exceeds limit {}: {}{}",
                            source_text(source.source, limit.ipv4_bits, limit.ipv6_bits),
                            limit.name, limit.terms,
                            limit.observes ? "; it is only observed" : "")};
}

std::optional<model::Event> LimitedSources::over(const Known &known, bool is_limit_gone)
{
    if (over_alone_ == kAloneInAPeriod) {
        over_among_others_++;
        return std::nullopt;
    }
    over_alone_++;
    const std::string limit = known.limit.empty() ? "its limit" : "limit " + known.limit;
    return model::Event{
        .kind = "limit_over",
        .pool = "",
        .backend = "",
        .service = known.service,
        .text = fmt::format(
            "{} {}: {} packets ({} bytes) were in excess in {}", known.source,
            is_limit_gone
                ? fmt::format("exceeds {} no more, which is gone", limit)
                : fmt::format("has not exceeded {} for {}", limit, duration_text(kOverAfterNs)),
            known.packets, known.bytes, duration_text(known.lasted_ns))};
}

// What there was no event for, in one a period.
std::optional<model::Event> LimitedSources::sum()
{
    uint64_t begun = 0;
    std::vector<std::pair<uint64_t, std::string>> limits;
    for (const auto &[name, sources] : begun_among_others_) {
        begun += sources;
        limits.emplace_back(sources, name);
    }
    const uint64_t over = over_among_others_;
    begun_among_others_.clear();
    over_among_others_ = 0;
    begun_alone_ = 0;
    over_alone_ = 0;
    if (begun == 0 && over == 0) {
        return std::nullopt;
    }
    constexpr size_t kShown = 4;
    std::ranges::sort(limits, std::greater<>());
    std::string by_limit;
    for (size_t i = 0; i < std::min(limits.size(), kShown); i++) {
        by_limit +=
            fmt::format("{}{} {}", i == 0 ? " (" : ", ", limits[i].second, limits[i].first);
    }
    if (limits.size() > kShown) {
        by_limit += ", and others";
    }
    return model::Event{
        .kind = "limits_exceeded",
        .text = fmt::format("{} more sources began to exceed limits in the last minute{}, and "
                            "{} more do so no longer",
                            begun, by_limit.empty() ? "" : by_limit + ")", over)};
}

}  // namespace guideway::daemon
