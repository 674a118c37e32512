// Where each table of a region begins: arithmetic, done once by whoever makes or adopts one.
#pragma once

#include "tables.h"

GW_INLINE uint64_t gw_align_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

GW_INLINE uint32_t gw_power_of_two_at_least(uint64_t value)
{
    uint64_t power = 1;
    while (power < value && power < (1ULL << 31)) {
        power <<= 1;
    }
    return (uint32_t)power;
}

// The largest region that kernels load with certainty as one BPF array value.
#define GW_TABLES_BYTES_MAX (512u << 20)

// Lays out the tables of policy from `at` on; returns where they end.
GW_INLINE uint64_t gw_layout_policy(struct gw_layout *layout,
                                    const struct gw_capacity *capacity, uint64_t at)
{
    int i;
    layout->limits_offset = (uint32_t)at;
    at += GW_LIMITS_MAX * sizeof(struct gw_limit);
    layout->source_buckets_mask = capacity->sources_max / GW_SOURCE_WAYS - 1;
    layout->sources_offset = (uint32_t)at;
    at += (uint64_t)capacity->sources_max * sizeof(struct gw_source);
    layout->cells_offset = (uint32_t)at;
    at = gw_align_up(at + (layout->source_buckets_mask + 1ULL) * sizeof(uint64_t),
                     GW_CACHE_LINE_BYTES);
    layout->limited_offset = (uint32_t)at;
    at += GW_LIMITED_MAX * sizeof(struct gw_limited);
    layout->list_lines_max = gw_list_lines(capacity->prefixes_max);
    for (i = 0; i < 2; i++) {
        layout->lists_offset[i] = (uint32_t)at;
        at += sizeof(struct gw_lists) + GW_LIST_ROOTS * sizeof(uint32_t) +
              (uint64_t)layout->list_lines_max * GW_CACHE_LINE_BYTES;
    }
    return at;
}

// Returns 1 and fills `layout`, or 0 when `capacity` is out of bounds or the region would
// exceed GW_TABLES_BYTES_MAX.
GW_INLINE int gw_layout_init(struct gw_layout *layout, const struct gw_capacity *capacity)
{
    uint64_t at = GW_HEADER_BYTES;
    uint64_t directory_bytes;
    int i;
    if (capacity->addresses_max == 0 || capacity->addresses_max > 4096 ||
        capacity->services_max == 0 || capacity->services_max > 4096 ||
        (capacity->services_max & (capacity->services_max - 1)) != 0 ||
        capacity->backends_max == 0 || capacity->backends_max > 8192 ||
        (capacity->backends_max & (capacity->backends_max - 1)) != 0 ||
        capacity->ring_slots_max == 0 || capacity->ring_slots_max > (1u << 27) ||
        capacity->cpus_max == 0 || capacity->cpus_max > 8192 ||
        capacity->pins_max < GW_PIN_WAYS || capacity->pins_max > (1u << 25) ||
        (capacity->pins_max & (capacity->pins_max - 1)) != 0 || capacity->sources_max < 16 ||
        capacity->sources_max > (1u << 25) ||
        (capacity->sources_max & (capacity->sources_max - 1)) != 0 ||
        capacity->prefixes_max == 0 || capacity->prefixes_max > (1u << 21)) {
        return 0;
    }
    // Addresses fill at most an eighth of their ways and ports an eighth of theirs, so
    // that a seed without overflow is found within a few tries.
    layout->address_buckets_mask =
        gw_power_of_two_at_least((uint64_t)capacity->addresses_max * 8 / GW_ADDRESS_WAYS) - 1;
    layout->port_buckets_mask =
        gw_power_of_two_at_least((uint64_t)capacity->services_max + capacity->addresses_max) -
        1;
    layout->ports_offset =
        (uint32_t)(sizeof(struct gw_directory) +
                   (layout->address_buckets_mask + 1ULL) * sizeof(struct gw_address_bucket));
    directory_bytes = layout->ports_offset +
                      (layout->port_buckets_mask + 1ULL) * sizeof(struct gw_port_bucket);
    for (i = 0; i < 2; i++) {
        layout->directory_offset[i] = (uint32_t)at;
        at += directory_bytes;
    }
    layout->services_mask = capacity->services_max - 1;
    layout->backends_mask = capacity->backends_max - 1;
#ifdef GW_TABLES_OTHER_LAYOUT
    layout->backends_offset = (uint32_t)at;
    at += (uint64_t)capacity->backends_max * sizeof(struct gw_backend);
    layout->services_offset = (uint32_t)at;
    at += (uint64_t)capacity->services_max * sizeof(struct gw_service);
#else
    layout->services_offset = (uint32_t)at;
    at += (uint64_t)capacity->services_max * sizeof(struct gw_service);
    layout->backends_offset = (uint32_t)at;
    at += (uint64_t)capacity->backends_max * sizeof(struct gw_backend);
#endif
    layout->rings_offset = (uint32_t)at;
    layout->ring_slots_max = capacity->ring_slots_max;
    at = gw_align_up(at + (uint64_t)capacity->ring_slots_max * sizeof(gw_slot),
                     GW_CACHE_LINE_BYTES);
    layout->pins_offset = (uint32_t)at;
    layout->pin_buckets_mask = capacity->pins_max / GW_PIN_WAYS - 1;
    at += (uint64_t)capacity->pins_max * sizeof(struct gw_pin);
    at = gw_layout_policy(layout, capacity, at);
    layout->counters_offset = (uint32_t)at;
    layout->counters_backends_offset =
        (uint32_t)(sizeof(struct gw_counters_area) +
                   (uint64_t)capacity->services_max * sizeof(struct gw_traffic));
    layout->counters_excess_offset =
        (uint32_t)(layout->counters_backends_offset +
                   (uint64_t)capacity->backends_max * sizeof(struct gw_backend_traffic));
    layout->counters_area_bytes = (uint32_t)gw_align_up(
        layout->counters_excess_offset + GW_LIMITS_MAX * sizeof(struct gw_excess),
        GW_CACHE_LINE_BYTES);
    layout->cpus_max = capacity->cpus_max;
    at += (uint64_t)layout->counters_area_bytes * capacity->cpus_max;
    at = gw_align_up(at, 4096);
    if (at > GW_TABLES_BYTES_MAX) {
        return 0;
    }
    layout->total_bytes = (uint32_t)at;
    for (i = 0; i < 5; i++) {
        layout->reserved[i] = 0;
    }
    return 1;
}

GW_INLINE void gw_section_add(struct gw_tables_header *header, enum gw_section_kind kind,
                              uint32_t offset, uint64_t record_bytes, uint32_t records)
{
    struct gw_section *section = &header->sections[header->sections_used++];
    section->kind = (uint32_t)kind;
    section->offset = offset;
    section->record_bytes = (uint32_t)record_bytes;
    section->records = records;
}

// Lists the sections of header->layout.
GW_INLINE void gw_sections_init(struct gw_tables_header *header)
{
    const struct gw_layout *layout = &header->layout;
    uint32_t counted_services = (uint32_t)sizeof(struct gw_counters_area);
    uint32_t i;
    header->sections_used = 0;
    for (i = 0; i < 2; i++) {
        uint32_t directory = layout->directory_offset[i];
        gw_section_add(header, i == 0 ? GW_SECTION_ADDRESSES_0 : GW_SECTION_ADDRESSES_1,
                       directory + (uint32_t)sizeof(struct gw_directory),
                       sizeof(struct gw_address_bucket), layout->address_buckets_mask + 1);
        gw_section_add(header, i == 0 ? GW_SECTION_PORTS_0 : GW_SECTION_PORTS_1,
                       directory + layout->ports_offset, sizeof(struct gw_port_bucket),
                       layout->port_buckets_mask + 1);
    }
    gw_section_add(header, GW_SECTION_SERVICES, layout->services_offset,
                   sizeof(struct gw_service), layout->services_mask + 1);
    gw_section_add(header, GW_SECTION_BACKENDS, layout->backends_offset,
                   sizeof(struct gw_backend), layout->backends_mask + 1);
    gw_section_add(header, GW_SECTION_RINGS, layout->rings_offset, sizeof(gw_slot),
                   layout->ring_slots_max);
    gw_section_add(header, GW_SECTION_PINS, layout->pins_offset, sizeof(struct gw_pin_bucket),
                   layout->pin_buckets_mask + 1);
    gw_section_add(header, GW_SECTION_LIMITS, layout->limits_offset, sizeof(struct gw_limit),
                   GW_LIMITS_MAX);
    gw_section_add(header, GW_SECTION_SOURCES, layout->sources_offset,
                   sizeof(struct gw_source_bucket), layout->source_buckets_mask + 1);
    gw_section_add(header, GW_SECTION_SOURCE_CELLS, layout->cells_offset, sizeof(uint64_t),
                   layout->source_buckets_mask + 1);
    gw_section_add(header, GW_SECTION_LIMITED, layout->limited_offset,
                   sizeof(struct gw_limited), GW_LIMITED_MAX);
    for (i = 0; i < 2; i++) {
        gw_section_add(header, i == 0 ? GW_SECTION_LISTS_0 : GW_SECTION_LISTS_1,
                       layout->lists_offset[i], GW_CACHE_LINE_BYTES,
                       GW_LIST_HEAD_LINES + layout->list_lines_max);
    }
    gw_section_add(header, GW_SECTION_COUNTERS, layout->counters_offset,
                   layout->counters_area_bytes, layout->cpus_max);
    gw_section_add(header, GW_SECTION_COUNTED_REASONS,
                   (uint32_t)__builtin_offsetof(struct gw_counters_area, reason),
                   sizeof(uint64_t), GW_REASONS_MAX);
    gw_section_add(header, GW_SECTION_COUNTED_EVENTS,
                   (uint32_t)__builtin_offsetof(struct gw_counters_area, event),
                   sizeof(uint64_t), GW_EVENTS_MAX);
    gw_section_add(header, GW_SECTION_COUNTED_EPOCH,
                   (uint32_t)__builtin_offsetof(struct gw_counters_area, epoch),
                   sizeof(uint64_t), 1);
    gw_section_add(header, GW_SECTION_COUNTED_SERVICES, counted_services,
                   sizeof(struct gw_traffic), layout->services_mask + 1);
    gw_section_add(header, GW_SECTION_COUNTED_BACKENDS, layout->counters_backends_offset,
                   sizeof(struct gw_backend_traffic), layout->backends_mask + 1);
    gw_section_add(header, GW_SECTION_COUNTED_EXCESS, layout->counters_excess_offset,
                   sizeof(struct gw_excess), GW_LIMITS_MAX);
}
