#include "tests/packets/policy.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

constexpr uint64_t kIntervalMaxNs = std::numeric_limits<uint64_t>::max() >> GW_INTERVAL_SHIFT;
// A state may be so far ahead of the clock, and a packet of bytes further, with room to spare.
constexpr uint64_t kAheadMaxNs = (uint64_t{1} << 62) >> GW_ARRIVAL_SHIFT;

gw_limit_kind parse_kind(Words &words)
{
    if (words.accept("new_connections")) {
        return GW_LIMIT_NEW_CONNECTIONS;
    }
    if (words.accept("packets")) {
        return GW_LIMIT_PACKETS;
    }
    words.expect("bytes");
    return GW_LIMIT_BYTES;
}

// First those that refuse, then those over all sources that refuse, then those that observe.
int rank(const Limit &limit)
{
    return limit.observes ? 2 : limit.all_sources ? 1 : 0;
}

bool applies(const Limit &limit, const Service &service)
{
    return std::ranges::find(limit.services, service.name) != limit.services.end();
}

void write_limit(gw_limit &record, const Limit &limit, uint64_t index)
{
    record.identity = index + 1;
    record.seed = (index + 1) * 0x9e3779b97f4a7c15ULL;
    record.interval = limit.interval_ns << GW_INTERVAL_SHIFT;
    record.tolerance = (limit.burst - 1) * limit.interval_ns << GW_ARRIVAL_SHIFT;
    record.kind = static_cast<uint8_t>(limit.kind);
    record.flags = static_cast<uint8_t>((limit.observes ? GW_LIMIT_OBSERVE : 0) |
                                        (limit.exact_clock ? GW_LIMIT_EXACT_CLOCK : 0) |
                                        (limit.all_sources ? GW_LIMIT_ALL_SOURCES : 0));
    record.ipv4_bits = limit.ipv4_bits;
    record.ipv6_bits = limit.ipv6_bits;
}

Result<void> write_limits(const Tables &tables, const World &world)
{
    if (world.limits.size() > tables.limits().size()) {
        return fail("more limits than a case's tables hold");
    }
    for (size_t i = 0; i < world.limits.size(); i++) {
        const auto &limit = world.limits[i];
        write_limit(tables.limits()[i], limit, i);
        for (const auto &service : limit.services) {
            if (!world.service_index(service)) {
                return fail("limit " + limit.name + ": no service '" + service + "'");
            }
        }
    }
    for (size_t s = 0; s < world.services.size(); s++) {
        std::vector<uint16_t> own;
        for (size_t i = 0; i < world.limits.size(); i++) {
            if (applies(world.limits[i], world.services[s])) {
                own.push_back(static_cast<uint16_t>(i));
            }
        }
        if (own.size() > GW_SERVICE_LIMITS_MAX) {
            return fail("service " + world.services[s].name + " has more than " +
                        std::to_string(GW_SERVICE_LIMITS_MAX) + " limits");
        }
        std::ranges::sort(own, {}, [&world](uint16_t index) {
            return std::pair(rank(world.limits[index]), index);
        });
        auto &entry = tables.services()[s];
        for (size_t i = 0; i < own.size(); i++) {
            entry.limits[i] = static_cast<uint16_t>(own[i] + 1);
        }
        if (!own.empty()) {
            entry.policy |= GW_POLICY_LIMITS;
        }
    }
    return {};
}

Result<void> write_lists(const Tables &tables, const World &world)
{
    if (world.listed.empty()) {
        return {};
    }
    auto prefixes = world.listed;
    const auto key = [](const ListedPrefix &prefix) {
        return std::tuple(prefix.is_ipv6, prefix.address, prefix.length_bits);
    };
    std::ranges::sort(prefixes, {}, key);
    if (std::ranges::adjacent_find(prefixes, {}, key) != prefixes.end()) {
        return fail("a prefix is on the lists twice");
    }
    const auto image = build_lists(ListsRoom::of(tables), prefixes);
    if (!image) {
        return std::unexpected(image.error());
    }
    write_idle_lists(tables, *image);
    activate_idle_lists(tables, *image);
    for (size_t s = 0; s < world.services.size(); s++) {
        tables.services()[s].policy |= GW_POLICY_LISTS;
    }
    return {};
}

bool has_host_bits(const ListedPrefix &prefix)
{
    for (size_t bit = prefix.length_bits; bit < 8 * prefix.address.size(); bit++) {
        if ((prefix.address[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return true;
        }
    }
    return false;
}

}  // namespace

Limit parse_limit(Words &words)
{
    Limit limit;
    limit.name = words.next("the limit's name");
    words.expect("of");
    limit.kind = parse_kind(words);
    words.expect("every");
    limit.interval_ns = words.number("the interval in ns", kIntervalMaxNs);
    words.expect("burst");
    limit.burst = words.number("the burst", UINT32_MAX);
    const auto tolerance = static_cast<unsigned __int128>(limit.burst) * limit.interval_ns;
    if (limit.burst == 0 || limit.interval_ns == 0 || tolerance > kAheadMaxNs) {
        words.fail("a burst and an interval of at least 1, and together at most " +
                   std::to_string(kAheadMaxNs) + " ns");
    }
    while (!words.done() && !words.accept("services")) {
        if (words.accept("per")) {
            limit.ipv4_bits = static_cast<uint8_t>(words.number("bits of IPv4", 32));
            limit.ipv6_bits = static_cast<uint8_t>(words.number("bits of IPv6", 128));
        } else if (words.accept("all")) {
            limit.all_sources = true;
        } else if (words.accept("observe")) {
            limit.observes = true;
        } else if (words.accept("exact")) {
            limit.exact_clock = true;
        } else {
            words.fail("does not know '" + std::string(words.peek()) + "' of a limit");
        }
    }
    do {
        limit.services.push_back(words.next("a service's name"));
    } while (!words.done());
    return limit;
}

void parse_prefixes(Words &words, gw_list_verdict verdict, std::vector<ListedPrefix> &prefixes)
{
    do {
        const std::string word = words.next("a prefix");
        const size_t slash = word.find('/');
        if (slash == std::string::npos) {
            words.fail("'" + word + "' is no prefix: ADDRESS/BITS");
            return;
        }
        Words parts(word.substr(0, slash) + " " + word.substr(slash + 1));
        const Address address = parts.address("a prefix's address");
        const auto bits = parts.number("its bits", address.is_ipv6 ? 128 : 32);
        if (parts.error()) {
            words.fail(*parts.error());
            return;
        }
        prefixes.push_back({.address = address.bytes,
                            .length_bits = static_cast<uint8_t>(bits),
                            .is_ipv6 = address.is_ipv6,
                            .verdict = verdict});
        if (has_host_bits(prefixes.back())) {
            words.fail("'" + word + "' has bits behind its length");
        }
    } while (!words.done());
}

Result<void> write_policy(const Tables &tables, const World &world)
{
    if (auto written = write_limits(tables, world); !written) {
        return written;
    }
    return write_lists(tables, world);
}

bool uses_exact_clock(const World &world)
{
    return std::ranges::any_of(world.limits, &Limit::exact_clock);
}

void shift_states(const Tables &tables, int64_t ticks)
{
    const uint64_t by = static_cast<uint64_t>(ticks) << (GW_PIN_TICK_SHIFT + GW_ARRIVAL_SHIFT);
    const auto shift = [by](uint64_t &arrival) { arrival += arrival == 0 ? 0 : by; };
    for (auto &limit : tables.limits()) {
        shift(limit.shared_arrival);
        shift(limit.shared_until);
    }
    for (auto &bucket : tables.source_buckets()) {
        for (auto &way : bucket.way) {
            shift(way.arrival);
        }
    }
    for (auto &cell : tables.source_cells()) {
        shift(cell);
    }
}

void shift_limited(const Tables &tables, int64_t ticks)
{
    const uint64_t by_ns = static_cast<uint64_t>(ticks) << GW_PIN_TICK_SHIFT;
    for (auto &record : tables.limited()) {
        if (record.fingerprint != 0) {
            record.since_ns += by_ns;
            record.last_ns += by_ns;
        }
    }
}

}  // namespace guideway::packets
