#include "dataplane/tables/tables_view.hpp"

#include <set>
#include <string>

namespace guideway {
namespace {

// The least that makes sense of a kind: this ABI's first layout. 0: any.
uint32_t record_bytes_min(uint32_t kind)
{
    switch (kind) {
        case GW_SECTION_ADDRESSES_0:
        case GW_SECTION_ADDRESSES_1:
        case GW_SECTION_PORTS_0:
        case GW_SECTION_PORTS_1:
        case GW_SECTION_SERVICES:
            return GW_CACHE_LINE_BYTES;
        case GW_SECTION_BACKENDS:
            return 3 * GW_CACHE_LINE_BYTES;
        case GW_SECTION_COUNTED_REASONS:
        case GW_SECTION_COUNTED_EVENTS:
            return sizeof(uint64_t);
        case GW_SECTION_COUNTED_SERVICES:
            return sizeof(gw_traffic);
        case GW_SECTION_COUNTED_BACKENDS:
            return sizeof(gw_backend_traffic);
        case GW_SECTION_LIMITS:
            return sizeof(gw_limit);
        case GW_SECTION_COUNTED_EXCESS:
            return sizeof(gw_excess);
        default:
            return 0;
    }
}

// Those whose records the ABI fixes.
uint32_t record_bytes_exactly(uint32_t kind)
{
    switch (kind) {
        case GW_SECTION_ADDRESSES_0:
        case GW_SECTION_ADDRESSES_1:
            return sizeof(gw_address_bucket);
        case GW_SECTION_PORTS_0:
        case GW_SECTION_PORTS_1:
            return sizeof(gw_port_bucket);
        case GW_SECTION_RINGS:
            return sizeof(gw_slot);
        case GW_SECTION_PINS:
            return sizeof(gw_pin_bucket);
        case GW_SECTION_SOURCES:
            return sizeof(gw_source_bucket);
        case GW_SECTION_SOURCE_CELLS:
        case GW_SECTION_COUNTED_EPOCH:
            return sizeof(uint64_t);
        default:
            return 0;
    }
}

bool is_counted(uint32_t kind)
{
    return (kind >= GW_SECTION_COUNTED_REASONS && kind <= GW_SECTION_COUNTED_BACKENDS) ||
           kind == GW_SECTION_COUNTED_EXCESS || kind == GW_SECTION_COUNTED_EPOCH;
}

Error damaged(const gw_section &section, const std::string &what)
{
    return {"section " + std::to_string(section.kind) + " of the tables (" +
            std::to_string(section.records) + " records of " +
            std::to_string(section.record_bytes) + " bytes at " +
            std::to_string(section.offset) + ") " + what};
}

Result<void> check_section(const gw_section &section, uint64_t bytes)
{
    const uint64_t size = uint64_t{section.record_bytes} * section.records;
    if (section.offset > bytes || size > bytes - section.offset) {
        return std::unexpected(damaged(section, "reaches beyond them"));
    }
    if (section.offset % sizeof(uint64_t) != 0 ||
        section.record_bytes % sizeof(uint32_t) != 0 ||
        ((section.kind == GW_SECTION_LIMITS || section.kind == GW_SECTION_COUNTERS) &&
         section.record_bytes % sizeof(uint64_t) != 0)) {
        return std::unexpected(damaged(section, "is not aligned"));
    }
    const uint32_t exactly = record_bytes_exactly(section.kind);
    if (section.record_bytes < record_bytes_min(section.kind) ||
        (exactly != 0 && section.record_bytes != exactly)) {
        return std::unexpected(damaged(section,
                                       "has records of a size that none of this "
                                       "layout version has"));
    }
    if ((section.kind == GW_SECTION_PINS || section.kind == GW_SECTION_SOURCES ||
         section.kind == GW_SECTION_SOURCE_CELLS) &&
        (section.records == 0 || (section.records & (section.records - 1)) != 0)) {
        return std::unexpected(damaged(section, "is not of a power of two"));
    }
    return {};
}

}  // namespace

Result<TablesView> TablesView::of(std::span<uint8_t> bytes)
{
    if (bytes.size() < GW_HEADER_BYTES) {
        return fail("tables of " + std::to_string(bytes.size()) +
                    " bytes are shorter than their header");
    }
    TablesView view(bytes);
    if (auto checked = view.check(); !checked) {
        return std::unexpected(std::move(checked.error()));
    }
    return view;
}

TablesView TablesView::of(const Tables &tables)
{
    return TablesView({tables.base(), tables.layout().total_bytes});
}

Result<void> TablesView::check() const
{
    const auto &head = header();
    if (auto origin = check_origin(head); !origin) {
        return origin;
    }
    if (head.sections_used > GW_SECTIONS_MAX) {
        return fail("the tables list " + std::to_string(head.sections_used) +
                    " sections, more than there can be");
    }
    const Section areas = section(GW_SECTION_COUNTERS);
    std::set<uint32_t> kinds;
    for (uint32_t i = 0; i < head.sections_used; i++) {
        const auto &section = head.sections[i];
        if (!kinds.insert(section.kind).second) {
            return std::unexpected(damaged(section, "is listed twice"));
        }
        const uint64_t around = is_counted(section.kind) ? areas.record_bytes() : bytes_.size();
        if (auto checked = check_section(section, around); !checked) {
            return checked;
        }
    }
    return {};
}

TablesView::Section TablesView::section(gw_section_kind kind) const
{
    const auto &head = header();
    for (uint32_t i = 0; i < head.sections_used; i++) {
        if (head.sections[i].kind == static_cast<uint32_t>(kind)) {
            return {bytes_.data(), head.sections[i]};
        }
    }
    return {};
}

TablesView::Section TablesView::counted(gw_section_kind kind, uint32_t cpu) const
{
    const Section areas = section(GW_SECTION_COUNTERS);
    const Section inside = section(kind);
    if (cpu >= areas.records() || inside.records() == 0) {
        return {};
    }
    return {areas.at(cpu),
            {.kind = static_cast<uint32_t>(kind),
             .offset = inside.offset(),
             .record_bytes = inside.record_bytes(),
             .records = inside.records()}};
}

std::span<gw_pin_bucket> TablesView::pin_buckets() const
{
    const Section pins = section(GW_SECTION_PINS);
    if (pins.records() == 0) {
        return {};
    }
    return {reinterpret_cast<gw_pin_bucket *>(pins.at(0)), pins.records()};
}

}  // namespace guideway
