#include "dataplane/tables/limited.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <unordered_map>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/limits.h"

namespace guideway {
namespace {

uint64_t load(uint64_t &word)
{
    return std::atomic_ref(word).load(std::memory_order_acquire);
}

Told told_of(uint32_t service)
{
    return (service & GW_LIMITED_TOLD) != 0     ? Told::kAlone
           : (service & GW_LIMITED_SUMMED) != 0 ? Told::kAmongOthers
                                                : Told::kNothing;
}

// Nothing when the record is free, or being written.
std::optional<LimitedSource> read(gw_limited &record, uint32_t index)
{
    const uint64_t fingerprint = load(record.fingerprint);
    if (fingerprint == 0 || fingerprint == GW_LIMITED_CLAIMED) {
        return std::nullopt;
    }
    const uint32_t service = gw_read_once32(&record.service);
    const LimitedSource source{
        .record = index,
        .fingerprint = fingerprint,
        .source = {gw_read_once64(&record.high), gw_read_once64(&record.low)},
        .since_ns = gw_read_once64(&record.since_ns),
        .last_ns = gw_read_once64(&record.last_ns),
        .packets = gw_read_once64(&record.packets),
        .bytes = gw_read_once64(&record.bytes),
        .limit = gw_read_once32(&record.limit),
        .service = service & GW_LIMITED_SERVICE,
        .told = told_of(service)};
    std::atomic_thread_fence(std::memory_order_acquire);
    return load(record.fingerprint) == fingerprint ? std::optional(source) : std::nullopt;
}

}  // namespace

std::vector<LimitedSource> limited_sources(const Tables &tables)
{
    const auto records = tables.limited();
    std::vector<LimitedSource> sources;
    std::unordered_map<uint64_t, size_t> first;  // by fingerprint
    for (uint32_t i = 0; i < records.size(); i++) {
        const auto source = read(records[i], i);
        if (!source) {
            continue;
        }
        const auto [at, is_first] = first.emplace(source->fingerprint, sources.size());
        if (is_first) {
            sources.push_back(*source);
            continue;
        }
        auto &kept = sources[at->second];
        if (give_up(tables, *source)) {
            kept.packets =
                source->packets +
                std::atomic_ref(records[kept.record].packets).fetch_add(source->packets);
            kept.bytes = source->bytes +
                         std::atomic_ref(records[kept.record].bytes).fetch_add(source->bytes);
        }
    }
    return sources;
}

bool is_of_present_limit(const Tables &tables, const LimitedSource &source)
{
    const gw_limit &limit = tables.limits()[source.limit % GW_LIMITS_MAX];
    return source.limit < GW_LIMITS_MAX && gw_read_once64(&limit.identity) != 0 &&
           gw_source_fingerprint(&tables.header().hash_key, &limit, source.source.high,
                                 source.source.low) == source.fingerprint;
}

void mark_told(const Tables &tables, const LimitedSource &source, Told told)
{
    gw_limited &record = tables.limited()[source.record];
    if (load(record.fingerprint) == source.fingerprint) {
        // Packets do not write it, but to make a record.
        std::atomic_ref(record.service)
            .store(source.service | (told == Told::kAlone         ? GW_LIMITED_TOLD
                                     : told == Told::kAmongOthers ? GW_LIMITED_SUMMED
                                                                  : 0),
                   std::memory_order_relaxed);
    }
}

bool give_up(const Tables &tables, const LimitedSource &source)
{
    return gw_compare_exchange64(&tables.limited()[source.record].fingerprint,
                                 source.fingerprint, 0) == source.fingerprint;
}

void copy_limited(const TablesView &from, const Tables &to)
{
    const auto records = from.section(GW_SECTION_LIMITED);
    for (uint32_t i = 0; i < records.records(); i++) {
        const auto record = records.read<gw_limited>(i);
        if (record.fingerprint <= GW_LIMITED_CLAIMED || record.limit >= GW_LIMITS_MAX) {
            continue;
        }
        const size_t bucket = record.fingerprint % (GW_LIMITED_MAX / GW_LIMITED_WAYS);
        const auto ways = to.limited().subspan(bucket * GW_LIMITED_WAYS, GW_LIMITED_WAYS);
        const auto free = std::ranges::find(ways, uint64_t{0}, &gw_limited::fingerprint);
        if (free != ways.end()) {
            *free = record;
        }
    }
}

gw_list_verdict verdict_on(const Tables &tables, const gw_address &source)
{
    if (gw_read_once32(&tables.header().lists_used) == 0) {
        return GW_LIST_NONE;
    }
    gw_packet packet{};
    packet.tables = tables.base();
    packet.layout = &tables.layout();
    return static_cast<gw_list_verdict>(
        gw_listed(gw_to_handle(&packet), source.high, source.low));
}

}  // namespace guideway
