// Stage: what policy says of a packet to a service, before a backend is selected for it.
//
//   lists -> limits of the source -> admission (limits over all sources)
//
// A packet that a limit refuses has moved no other limit on.
#pragma once

#include "limits.h"

GW_INLINE const struct gw_service *gw_service_at(const uint8_t *tables,
                                                 const struct gw_layout *layout,
                                                 uint32_t service)
{
    return (const struct gw_service *)(tables + layout->services_offset) +
           (service & layout->services_mask);
}

// The n-th limit of a service: its index + 1, or 0 behind the last.
GW_INLINE uint32_t gw_service_limit(const struct gw_service *service, uint32_t n)
{
    return *(const volatile uint16_t *)&service->limits[n & (GW_SERVICE_LIMITS_MAX - 1)];
}

// Keeps one packet of so many for people to see.
GW_INLINE void gw_sample_note(struct gw_counters_area *area,
                              const struct gw_tables_header *header,
                              const struct gw_visit *visit)
{
    struct gw_sample *sample;
    if ((area->sample_candidates++ & gw_read_once32(&header->sample_mask)) != 0) {
        return;
    }
    sample = &area->samples[area->samples_made & (GW_SAMPLES - 1)];
    sample->high = visit->high;
    sample->low = visit->low;
    sample->service = visit->service;
    sample->bytes = visit->bytes;
    sample->is_syn = visit->is_syn;
    area->samples_made++;
}

// The state of the visit's source for a limit, or of all sources.
GW_INLINE uint32_t gw_limit_place(struct gw_packet *packet, uint8_t *tables,
                                  const struct gw_layout *layout, const struct gw_limit *limit,
                                  uint32_t limit_index, uint64_t fingerprint, uint64_t now,
                                  struct gw_counters_area *area)
{
    uint32_t place;
    if ((limit->flags & GW_LIMIT_ALL_SOURCES) != 0) {
        return gw_place_make(GW_PLACE_LIMIT, limit_index);
    }
    place = gw_source_find(tables, layout, fingerprint);
    if (GW_LIKELY(place != GW_INDEX_NONE)) {
        return gw_place_make(GW_PLACE_WAY, place);
    }
    place = gw_source_place(gw_to_handle(packet), fingerprint, now, limit_index);
    area->event[place >> GW_PLACE_SHIFT == GW_PLACE_CELL ? GW_EVENT_SOURCE_SHARED
                                                         : GW_EVENT_SOURCE_TRACKED]++;
    return place;
}

// What one visit has of the clock, in units of arrivals. The exact one is read where it is
// needed.
struct gw_visit_clock {
    uint64_t coarse_ns;
    uint64_t exact_ns;  // 0: not read yet
};

GW_INLINE uint64_t gw_limit_now(struct gw_packet *packet, const struct gw_limit *limit,
                                struct gw_visit_clock *clock)
{
    if (GW_LIKELY((limit->flags & GW_LIMIT_EXACT_CLOCK) == 0)) {
        return clock->coarse_ns << GW_ARRIVAL_SHIFT;
    }
    if (clock->exact_ns == 0) {
        clock->exact_ns = gw_exact_ns(packet);
    }
    return clock->exact_ns << GW_ARRIVAL_SHIFT;
}

// Whether a limit lets the visit through, and charges it if so.
GW_INLINE int gw_limit_charge(struct gw_packet *packet, uint8_t *tables,
                              const struct gw_layout *layout, struct gw_counters_area *area,
                              const struct gw_visit *visit, uint32_t limit_index,
                              struct gw_visit_clock *clock)
{
    struct gw_limit *limit = gw_limit_at(tables, layout, limit_index);
    uint64_t high = visit->high, low = visit->low,
             tolerance = gw_read_once64(&limit->tolerance);
    uint32_t cost = gw_limit_cost(limit, visit);
    uint64_t increment = gw_limit_increment(limit, cost);
    uint64_t now, fingerprint;
    uint64_t *arrival;
    uint32_t place;
    struct gw_excess *excess;
    if (cost == 0) {
        return 1;
    }
    now = gw_limit_now(packet, limit, clock);
    gw_limit_mask(limit, &high, &low);
    fingerprint = gw_source_fingerprint(&((const struct gw_tables_header *)tables)->hash_key,
                                        limit, high, low);
    place = gw_limit_place(packet, tables, layout, limit, limit_index, fingerprint, now, area);
    if (GW_UNLIKELY(place >> GW_PLACE_SHIFT == GW_PLACE_CELL) &&
        (limit->flags & GW_LIMIT_OBSERVE) != 0) {
        // A cell is for refusing by; sources of other limits would have less for it.
        return 1;
    }
    arrival = gw_arrival_at(tables, layout, place);
    if (GW_LIKELY(gw_arrival_charge(arrival, now, tolerance, increment))) {
        if (GW_UNLIKELY(place >> GW_PLACE_SHIFT == GW_PLACE_CELL)) {
            gw_arrival_raise(&limit->shared_until, gw_read_once64(arrival));
        } else if (GW_UNLIKELY(
                       place >> GW_PLACE_SHIFT == GW_PLACE_WAY &&
                       gw_read_once64(&gw_source_at(tables, layout, place & GW_PLACE_INDEX)
                                           ->fingerprint) != fingerprint)) {
            // The way was given to another source in between: this one begins again.
            place = gw_source_place(gw_to_handle(packet), fingerprint, now, limit_index);
            gw_arrival_charge(gw_arrival_at(tables, layout, place), now, tolerance, increment);
        }
        return 1;
    }
    // A cell may be further ahead by sources of another limit, who must not be let off.
    if (GW_LIKELY(place >> GW_PLACE_SHIFT != GW_PLACE_CELL)) {
        gw_arrival_clamp(arrival, now, limit);
    }
    excess = (struct gw_excess *)((uint8_t *)area + layout->counters_excess_offset) +
             (limit_index & (GW_LIMITS_MAX - 1));
    excess->packets++;
    excess->bytes += visit->bytes;
    if ((limit->flags & GW_LIMIT_ALL_SOURCES) == 0 &&
        !gw_limited_note(gw_to_handle(packet), visit, limit_index, clock->coarse_ns)) {
        area->event[GW_EVENT_SOURCE_UNNAMED]++;
    }
    if ((limit->flags & GW_LIMIT_OBSERVE) != 0) {
        area->event[GW_EVENT_LIMIT_OBSERVED]++;
        return 1;
    }
    return 0;
}

// Takes back what the first `count` limits of a service were charged for a visit. A cell keeps
// it: it is of nobody.
GW_SUBPROGRAM uint32_t gw_limits_refund(gw_handle handle, const struct gw_visit *visit,
                                        uint32_t count)
{
    struct gw_packet *packet = gw_from_handle(handle);
    uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    const struct gw_service *service;
    uint32_t i;
    if (!tables || !visit) {
        return 0;
    }
    service = gw_service_at(tables, layout, visit->service);
    for (i = 0; i < GW_SERVICE_LIMITS_MAX && i < count; i++) {
        uint32_t index = gw_service_limit(service, i) - 1;
        const struct gw_limit *limit = gw_limit_at(tables, layout, index);
        uint64_t high = visit->high, low = visit->low;
        uint32_t way;
        gw_limit_mask(limit, &high, &low);
        way = gw_source_find(
            tables, layout,
            gw_source_fingerprint(&((const struct gw_tables_header *)tables)->hash_key, limit,
                                  high, low));
        if (way != GW_INDEX_NONE) {
            __sync_fetch_and_add(&gw_source_at(tables, layout, way)->arrival,
                                 0 - gw_limit_increment(limit, gw_limit_cost(limit, visit)));
        }
    }
    return 0;
}

// FORWARDED, DENIED, LIMITED or SHED.
GW_SUBPROGRAM uint32_t gw_police(gw_handle handle, const struct gw_visit *visit)
{
    struct gw_packet *packet = gw_from_handle(handle);
    uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    const struct gw_tables_header *header = (const struct gw_tables_header *)tables;
    struct gw_visit_clock clock = {0, 0};
    const struct gw_service *service;
    struct gw_counters_area *area;
    uint32_t cpu = gw_cpu(packet);
    uint32_t policy, i;
    uint32_t verdict = GW_LIST_NONE;
    if (!tables || !visit || cpu >= layout->cpus_max) {
        return GW_REASON_FORWARDED;
    }
    GW_KEEP(cpu);
    area = (struct gw_counters_area *)(tables + layout->counters_offset +
                                       gw_scale(cpu, layout->counters_area_bytes));
    service = gw_service_at(tables, layout, visit->service);
    policy = gw_read_once32(&service->policy);
    if ((policy & GW_POLICY_SAMPLE) != 0) {
        gw_sample_note(area, header, visit);
    }
    if ((policy & GW_POLICY_LISTS) != 0) {
        verdict = gw_listed(gw_to_handle(packet), visit->high, visit->low);
        if (verdict == GW_LIST_DENY) {
            return GW_REASON_DENIED;
        }
    }
    if ((policy & GW_POLICY_LIMITS) == 0) {
        return GW_REASON_FORWARDED;
    }
    clock.coarse_ns = gw_now_ns(packet) - gw_read_once64(&header->clock_ahead_ns);
    for (i = 0; i < GW_SERVICE_LIMITS_MAX; i++) {
        uint32_t index = gw_service_limit(service, i);
        uint32_t is_shared;
        if (index == 0) {
            break;
        }
        index--;
        is_shared = gw_limit_at(tables, layout, index)->flags & GW_LIMIT_ALL_SOURCES;
        if (verdict == GW_LIST_ALLOW && !is_shared) {
            continue;
        }
        if (!gw_limit_charge(packet, tables, layout, area, visit, index, &clock)) {
            if (i != 0 && verdict != GW_LIST_ALLOW) {
                gw_limits_refund(handle, visit, i);
            }
            return is_shared ? GW_REASON_SHED : GW_REASON_LIMITED;
        }
    }
    return GW_REASON_FORWARDED;
}

// Fills in the source of the walk's packet. Returns 0 when its header is not in the frame.
GW_INLINE int gw_walk_source(const struct gw_walk *walk, struct gw_packet *packet,
                             struct gw_visit *visit)
{
    const uint8_t *end = gw_data_end(packet);
    const uint8_t *l3 = gw_data(packet) + walk->l3_offset;
    if (walk->is_ipv6) {
        const struct gw_ipv6 *ip = (const struct gw_ipv6 *)l3;
        if ((const uint8_t *)(ip + 1) > end) {
            return 0;
        }
        visit->high = ip->source[0];
        visit->low = ip->source[1];
    } else {
        const struct gw_ipv4 *ip = (const struct gw_ipv4 *)l3;
        if ((const uint8_t *)(ip + 1) > end) {
            return 0;
        }
        visit->high = GW_IPV4_TAG;
        visit->low = ip->source.raw;
    }
    return 1;
}

// What gw_police() would find in the common case, without a call, which costs more than all of
// it where returns are guarded: the service has one limit and nothing else, and the source has its
// state and does not exceed. Returns whether this was so; otherwise nothing has been charged that
// was to be.
GW_INLINE int gw_is_plain_visit(struct gw_packet *packet, uint8_t *tables,
                                const struct gw_layout *layout, const struct gw_visit *visit)
{
    const struct gw_service *service = gw_service_at(tables, layout, visit->service);
    const struct gw_tables_header *header = (const struct gw_tables_header *)tables;
    uint32_t first = gw_service_limit(service, 0);
    uint64_t high = visit->high, low = visit->low;
    const struct gw_limit *limit;
    struct gw_source *source;
    uint64_t fingerprint, now, seen;
    int64_t ahead;
    uint32_t cost, way;
    if (gw_read_once32(&service->policy) != GW_POLICY_LIMITS || first == 0 ||
        gw_service_limit(service, 1) != 0) {
        return 0;
    }
    limit = gw_limit_at(tables, layout, first - 1);
    cost = gw_limit_cost(limit, visit);
    if (cost == 0) {
        return 1;
    }
    if ((limit->flags & GW_LIMIT_ALL_SOURCES) != 0) {
        return 0;
    }
    gw_limit_mask(limit, &high, &low);
    fingerprint = gw_source_fingerprint(&header->hash_key, limit, high, low);
    way = gw_source_find(tables, layout, fingerprint);
    if (way == GW_INDEX_NONE) {
        return 0;
    }
    now = ((limit->flags & GW_LIMIT_EXACT_CLOCK) != 0
               ? gw_exact_ns(packet)
               : gw_now_ns(packet) - gw_read_once64(&header->clock_ahead_ns))
          << GW_ARRIVAL_SHIFT;
    source = gw_source_at(tables, layout, way);
    seen = gw_read_once64(&source->arrival);
    ahead = gw_arrival_ahead(seen, now);
    GW_INTERLEAVE();
    return ahead <= (int64_t)gw_read_once64(&limit->tolerance) &&
           gw_compare_exchange64(&source->arrival, seen,
                                 (ahead > 0 ? seen : now) + gw_limit_increment(limit, cost)) ==
               seen &&
           gw_read_once64(&source->fingerprint) == fingerprint;
}

// FORWARDED, DENIED, LIMITED or SHED.
GW_INLINE enum gw_reason gw_policy_of(struct gw_packet *packet, uint8_t *tables,
                                      const struct gw_layout *layout,
                                      const struct gw_visit *visit)
{
    if (GW_LIKELY(gw_is_plain_visit(packet, tables, layout, visit))) {
        return GW_REASON_FORWARDED;
    }
    return (enum gw_reason)gw_police(gw_to_handle(packet), visit);
}

// The stage, behind the lookup of the service.
GW_OUTLINE enum gw_reason gw_walk_policy(struct gw_walk *walk, struct gw_packet *packet)
{
    struct gw_visit visit = {0, 0, 0, 0, 0, 0};
    if (!gw_walk_source(walk, packet, &visit)) {
        return GW_REASON_MALFORMED;
    }
    visit.service = walk->service;
    visit.bytes = walk->inner_bytes;
    visit.is_syn = (uint32_t)gw_is_syn(walk);
    return gw_policy_of(packet, walk->tables, walk->layout, &visit);
}

// For echo requests, which are to no service: only the lists speak of these.
GW_OUTLINE int gw_walk_is_denied(const struct gw_walk *walk, struct gw_packet *packet)
{
    struct gw_visit visit = {0, 0, 0, 0, 0, 0};
    return GW_UNLIKELY(gw_read_once32(&gw_walk_header(walk)->lists_used) != 0) &&
           gw_walk_source(walk, packet, &visit) &&
           gw_listed(gw_to_handle(packet), visit.high, visit.low) == GW_LIST_DENY;
}
