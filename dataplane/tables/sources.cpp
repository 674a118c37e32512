#include "dataplane/tables/sources.hpp"

#include <algorithm>
#include <string>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/limits.h"

namespace guideway {
namespace {

bool is_later(uint64_t a, uint64_t b)
{
    return gw_arrival_ahead(a, b) > 0;
}

// As gw_arrival_raise(), which leaves it to the next packet when another was faster.
void raise(uint64_t &arrival, uint64_t least)
{
    for (uint64_t seen = gw_read_once64(&arrival); is_later(least, seen);) {
        const uint64_t found = gw_compare_exchange64(&arrival, seen, least);
        if (found == seen) {
            return;
        }
        seen = found;
    }
}

// The states of tables, whoever made them.
class Sources {
  public:
    explicit Sources(const TablesView &tables)
        : base_(tables.bytes().data()), limits_(tables.section(GW_SECTION_LIMITS))
    {
        const auto sources = tables.section(GW_SECTION_SOURCES);
        const auto cells = tables.section(GW_SECTION_SOURCE_CELLS);
        if (sources.records() == 0 || sources.records() != cells.records()) {
            return;
        }
        layout_.sources_offset = sources.offset();
        layout_.source_buckets_mask = sources.records() - 1;
        layout_.cells_offset = cells.offset();
        buckets_ = sources.records();
    }

    // As many as there are cells; 0: these tables know no sources.
    [[nodiscard]] uint32_t buckets() const { return buckets_; }
    [[nodiscard]] gw_source &way(uint32_t bucket, uint32_t way) const
    {
        return *gw_source_at(base_, &layout_, bucket * GW_SOURCE_WAYS + way);
    }
    [[nodiscard]] uint64_t &cell(uint32_t index) const
    {
        return *gw_cell_at(base_, &layout_, index);
    }
    [[nodiscard]] uint32_t limits() const { return limits_.records(); }
    [[nodiscard]] gw_limit &limit(uint32_t index) const
    {
        return *reinterpret_cast<gw_limit *>(limits_.at(index));
    }

    // False: it shares a cell.
    bool put(uint64_t fingerprint, uint64_t arrival)
    {
        const uint32_t found = gw_source_find(base_, &layout_, fingerprint);
        if (found != GW_INDEX_NONE) {
            raise(gw_source_at(base_, &layout_, found)->arrival, arrival);
            return true;
        }
        const uint32_t bucket =
            static_cast<uint32_t>(fingerprint) & layout_.source_buckets_mask;
        gw_source &place = least(bucket);
        const uint64_t former = gw_read_once64(&place.fingerprint);
        const uint64_t its_arrival = gw_read_once64(&place.arrival);
        if (former != 0 && !is_later(arrival, its_arrival)) {
            share(fingerprint, arrival);
            return false;
        }
        if (former != 0) {
            share(former, its_arrival);
        }
        if (gw_compare_exchange64(&place.fingerprint, former, fingerprint) != former) {
            share(fingerprint, arrival);  // a packet was faster
            return false;
        }
        raise(place.arrival, arrival);
        return former == 0;
    }

    // Cells of any limit may be ahead until then.
    void share_until(uint64_t arrival)
    {
        if (has_until_ && !is_later(arrival, until_)) {
            return;
        }
        has_until_ = true;
        until_ = arrival;
        for (uint32_t i = 0; i < limits(); i++) {
            if (limit(i).identity != 0) {
                raise(limit(i).shared_until, arrival);
            }
        }
    }

  private:
    // A free way, or the one that is least ahead.
    [[nodiscard]] gw_source &least(uint32_t bucket) const
    {
        gw_source *least = &way(bucket, 0);
        for (uint32_t i = 0; i < GW_SOURCE_WAYS; i++) {
            gw_source &source = way(bucket, i);
            if (gw_read_once64(&source.fingerprint) == 0) {
                return source;
            }
            if (is_later(gw_read_once64(&least->arrival), gw_read_once64(&source.arrival))) {
                least = &source;
            }
        }
        return *least;
    }

    // First whoever gets a way of its own is told to look at its cell.
    void share(uint64_t fingerprint, uint64_t arrival)
    {
        share_until(arrival);
        raise(cell(static_cast<uint32_t>(fingerprint >> 32)), arrival);
    }

    uint8_t *base_;
    TablesView::Section limits_;
    gw_layout layout_{};
    uint32_t buckets_ = 0;
    bool has_until_ = false;
    uint64_t until_ = 0;
};

// A cell becomes a part of one, or all that it becomes.
void merge_cell(uint32_t index, uint32_t cells, uint64_t arrival, const Sources &to)
{
    if (arrival == 0) {
        return;
    }
    uint32_t at = index;
    do {
        raise(to.cell(at), arrival);
        at += cells;
    } while (at < to.buckets());
}

}  // namespace

Result<void> check_limits(const TablesView &tables, uint32_t service, const gw_service &record)
{
    const auto limits = tables.section(GW_SECTION_LIMITS);
    for (const uint16_t word : record.limits) {
        if (word == 0) {
            continue;
        }
        const std::string what = "the tables are damaged: service " + std::to_string(service) +
                                 " names limit " + std::to_string(word - 1);
        if (word > limits.records()) {
            return fail(what + " of " + std::to_string(limits.records()));
        }
        const auto limit = limits.read<gw_limit>(word - 1U);
        if (limit.identity == 0) {
            return fail(what + ", which is none");
        }
        if (limit.kind < GW_LIMIT_NEW_CONNECTIONS || limit.kind > GW_LIMIT_BYTES ||
            limit.ipv4_bits > 32 || limit.ipv6_bits > 128) {
            return fail(what + ", which is of kind " + std::to_string(limit.kind) +
                        " and for /" + std::to_string(limit.ipv4_bits) + " and /" +
                        std::to_string(limit.ipv6_bits));
        }
        if (word > GW_LIMITS_MAX) {
            return fail("service " + std::to_string(service) + " has limit " +
                        std::to_string(word - 1) + ", beyond the " +
                        std::to_string(GW_LIMITS_MAX) +
                        " that this build has; remove some limits with the other build first");
        }
    }
    return {};
}

void copy_limits(const TablesView &from, const Tables &to)
{
    const auto records = from.section(GW_SECTION_LIMITS);
    for (uint32_t i = 0; i < std::min<size_t>(records.records(), to.limits().size()); i++) {
        if (const auto record = records.read<gw_limit>(i); record.identity != 0) {
            to.limits()[i] = record;
        }
    }
}

MergedSources merge_sources(const TablesView &from, const TablesView &to)
{
    MergedSources account;
    const Sources source(from);
    Sources target(to);
    for (uint32_t i = 0; i < std::min(source.limits(), target.limits()); i++) {
        const gw_limit &old = source.limit(i);
        gw_limit &now = target.limit(i);
        if (old.identity != 0 && old.identity == now.identity) {
            raise(now.shared_arrival, gw_read_once64(&old.shared_arrival));
            raise(now.shared_until, gw_read_once64(&old.shared_until));
        }
    }
    if (source.buckets() == 0 || target.buckets() == 0) {
        return account;
    }
    for (uint32_t i = 0; i < source.buckets(); i++) {
        merge_cell(i, source.buckets(), gw_read_once64(&source.cell(i)), target);
    }
    for (uint32_t i = 0; i < source.buckets(); i++) {
        for (uint32_t way = 0; way < GW_SOURCE_WAYS; way++) {
            const gw_source &each = source.way(i, way);
            const uint64_t fingerprint = gw_read_once64(&each.fingerprint);
            if (fingerprint != 0) {
                account.states++;
                account.shared +=
                    target.put(fingerprint, gw_read_once64(&each.arrival)) ? 0 : 1;
            }
        }
    }
    return account;
}

}  // namespace guideway
