#include "tests/differential/policy_states.hpp"

#include <array>
#include <cstdio>
#include <cstring>

namespace guideway::differential {
namespace {

using packets::Engine;
using packets::World;

// An engine's clock, and whether states can be compared by it: those of the kernel's exact
// clock, which goes on between two packets, cannot.
struct Clock {
    uint64_t now_ns = 0;
    bool is_exact = false;

    Clock(const Engine &engine, const World &world)
        : now_ns(packets::limits_clock_ns(engine.now_ticks())),
          is_exact(packets::uses_exact_clock(world))
    {
    }

    // 2^-4 ns. Zero, which means nothing, stays itself.
    [[nodiscard]] uint64_t ahead(uint64_t arrival) const
    {
        return arrival == 0 || is_exact ? 0 : arrival - (now_ns << GW_ARRIVAL_SHIFT);
    }
};

void differ(std::string &text, const char *what, size_t index, uint64_t native, uint64_t other)
{
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "    %s %zu: native %#lx, the other %#lx\n", what,
                  index, native, other);
    text += line.data();
}

gw_limited without_clock(const gw_limited &record, const Clock &clock)
{
    gw_limited result = record;
    if (record.fingerprint != 0) {
        result.since_ns -= clock.now_ns;
        result.last_ns -= clock.now_ns;
    }
    return result;
}

std::string describe(const gw_limited &record)
{
    std::array<char, 240> text{};
    std::snprintf(text.data(), text.size(),
                  "%#lx of limit %u, service %u: %016lx %016lx, since %ld ns, last %ld ns, "
                  "%lu packets, %lu bytes",
                  record.fingerprint, record.limit, record.service, record.high, record.low,
                  static_cast<int64_t>(record.since_ns), static_cast<int64_t>(record.last_ns),
                  record.packets, record.bytes);
    return text.data();
}

}  // namespace

std::string compare_policy(Engine &native, Engine &other, const World &world)
{
    std::string text;
    const Clock ours(native, world);
    const Clock theirs(other, world);
    const auto compare = [&text](const char *what, size_t index, uint64_t a, uint64_t b) {
        if (a != b) {
            differ(text, what, index, a, b);
        }
    };
    const auto &a = native.tables();
    const auto &b = other.tables();
    for (uint32_t i = 0; i < world.limits.size(); i++) {
        const gw_excess excess_a = a.excess_counters(i);
        const gw_excess excess_b = b.excess_counters(i);
        compare("packets in excess of limit", i, excess_a.packets, excess_b.packets);
        compare("bytes in excess of limit", i, excess_a.bytes, excess_b.bytes);
        compare("the state of all sources of limit", i,
                ours.ahead(a.limits()[i].shared_arrival),
                theirs.ahead(b.limits()[i].shared_arrival));
        compare("until when cells are ahead, of limit", i,
                ours.ahead(a.limits()[i].shared_until),
                theirs.ahead(b.limits()[i].shared_until));
    }
    for (size_t i = 0; i < a.source_buckets().size() * GW_SOURCE_WAYS; i++) {
        const auto &way_a = a.source_buckets()[i / GW_SOURCE_WAYS].way[i % GW_SOURCE_WAYS];
        const auto &way_b = b.source_buckets()[i / GW_SOURCE_WAYS].way[i % GW_SOURCE_WAYS];
        compare("fingerprint of source", i, way_a.fingerprint, way_b.fingerprint);
        compare("arrival of source", i, ours.ahead(way_a.arrival), theirs.ahead(way_b.arrival));
    }
    for (size_t i = 0; i < a.source_cells().size(); i++) {
        compare("cell", i, ours.ahead(a.source_cells()[i]), theirs.ahead(b.source_cells()[i]));
    }
    // Without limits nothing makes a record; there are many.
    for (size_t i = 0; i < a.limited().size() && !world.limits.empty(); i++) {
        if (a.limited()[i].fingerprint == 0 && b.limited()[i].fingerprint == 0) {
            continue;
        }
        const gw_limited record_a = without_clock(a.limited()[i], ours);
        const gw_limited record_b = without_clock(b.limited()[i], theirs);
        if (std::memcmp(&record_a, &record_b, sizeof(record_a)) != 0) {
            text += "    record " + std::to_string(i) + ": native " + describe(record_a) +
                    "\n      the other " + describe(record_b) + "\n";
        }
    }
    return text;
}

}  // namespace guideway::differential
