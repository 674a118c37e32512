#include "dataplane/tables/tables.hpp"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <string>

#include "dataplane/core/layout.h"

namespace guideway {
namespace {

std::string boot_id_text()
{
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string text;
    std::getline(file, text);
    return text;
}

// The kernel's boot id as 16 bytes; zero where there is none to read.
std::array<uint8_t, 16> boot_id()
{
    std::array<uint8_t, 16> id{};
    size_t nibble = 0;
    for (char c : boot_id_text()) {
        const char *digits = "0123456789abcdef";
        const char *at = c == '\0' ? nullptr : std::strchr(digits, c);
        if (at != nullptr && nibble < 32) {
            id[nibble / 2] = static_cast<uint8_t>(id[nibble / 2] << 4 | (at - digits));
            nibble++;
        }
    }
    return id;
}

uint32_t coarse_tick_ns()
{
    timespec resolution{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    return static_cast<uint32_t>(resolution.tv_nsec);
}

template <typename T>
T *at(uint8_t *base, uint64_t offset)
{
    return reinterpret_cast<T *>(base + offset);
}

}  // namespace

Result<gw_layout> tables_layout(const gw_capacity &capacity)
{
    gw_layout layout{};
    if (gw_layout_init(&layout, &capacity) == 0) {
        return fail("tables for " + std::to_string(capacity.addresses_max) + " addresses, " +
                    std::to_string(capacity.services_max) + " services, " +
                    std::to_string(capacity.backends_max) + " backends, " +
                    std::to_string(capacity.ring_slots_max) + " ring slots, " +
                    std::to_string(capacity.pins_max) + " pins, " +
                    std::to_string(capacity.sources_max) + " sources, " +
                    std::to_string(capacity.prefixes_max) + " prefixes and " +
                    std::to_string(capacity.cpus_max) +
                    " CPUs cannot be laid out: at most 4096 addresses, 4096 services and 8192 "
                    "backends (powers of two), "
                    "pins and sources powers of two, and 512 MiB in all");
    }
    return layout;
}

Result<Tables> Tables::anonymous(const gw_capacity &capacity, const gw_hash_key &hash_key)
{
    auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(std::move(layout.error()));
    }
    void *base = mmap(nullptr, layout->total_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return std::unexpected(Error::system("allocate", "memory for the tables"));
    }
    Tables tables(static_cast<uint8_t *>(base), capacity, *layout);
    tables.initialise(hash_key);
    return tables;
}

Result<Tables> Tables::map(int fd, const gw_capacity &capacity, std::string_view name)
{
    auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(std::move(layout.error()));
    }
    void *base = mmap(nullptr, layout->total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return std::unexpected(Error::system("map the tables", name));
    }
    return Tables(static_cast<uint8_t *>(base), capacity, *layout);
}

void Tables::initialise(const gw_hash_key &hash_key)
{
    std::memset(base_, 0, layout_.total_bytes);
    auto &head = header();
    head.abi = GW_TABLES_ABI;
    head.tick_ns = coarse_tick_ns();
    const auto boot = boot_id();
    std::copy(boot.begin(), boot.end(), head.boot_id);
    head.hash_key = hash_key;
    head.capacity = capacity_;
    head.layout = layout_;
    gw_sections_init(&head);
    for (unsigned copy : {0U, 1U}) {
        directory(copy).seed = 0x9e3779b97f4a7c15ULL;
    }
    std::ranges::fill(ring_slots(),
                      gw_slot_make(GW_OWNER_NONE, GW_SLOT_STABLE, GW_PREVIOUS_NONE));
    head.magic = GW_TABLES_MAGIC;  // last: what has it is complete
}

Result<void> check_origin(const gw_tables_header &head)
{
    if (head.magic != GW_TABLES_MAGIC) {
        return fail("the tables were never completely initialised");
    }
    if (head.abi != GW_TABLES_ABI) {
        return fail("the tables have layout version " + std::to_string(head.abi) +
                    ", this build has " + std::to_string(GW_TABLES_ABI));
    }
    if (const auto boot = boot_id();
        !std::equal(boot.begin(), boot.end(), std::begin(head.boot_id))) {
        return fail("the tables were written before the last boot");
    }
    return {};
}

Result<void> Tables::check(const gw_hash_key &hash_key) const
{
    const auto &head = header();
    if (auto origin = check_origin(head); !origin) {
        return origin;
    }
    if (std::memcmp(&head.hash_key, &hash_key, sizeof(hash_key)) != 0) {
        return fail("the tables were made with another hash key");
    }
    if (!has_this_layout()) {
        return fail("the tables were made for another capacity");
    }
    return {};
}

bool Tables::has_this_layout() const
{
    const auto &head = header();
    gw_tables_header own{};
    own.layout = layout_;
    gw_sections_init(&own);
    // The sections first: what follows them in the header is another's in another's tables.
    return head.sections_used == own.sections_used &&
           std::memcmp(head.sections, own.sections, sizeof(own.sections)) == 0 &&
           std::memcmp(&head.capacity, &capacity_, sizeof(capacity_)) == 0 &&
           std::memcmp(&head.layout, &layout_, sizeof(layout_)) == 0;
}

Tables::Tables(Tables &&other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      capacity_(other.capacity_),
      layout_(other.layout_)
{
}

Tables &Tables::operator=(Tables &&other) noexcept
{
    std::swap(base_, other.base_);
    std::swap(capacity_, other.capacity_);
    std::swap(layout_, other.layout_);
    return *this;
}

Tables::~Tables()
{
    if (base_ != nullptr) {
        munmap(base_, layout_.total_bytes);
    }
}

gw_tables_header &Tables::header() const
{
    return *at<gw_tables_header>(base_, 0);
}

gw_directory &Tables::directory(unsigned copy) const
{
    return *at<gw_directory>(base_, layout_.directory_offset[copy & 1]);
}

std::span<gw_address_bucket> Tables::address_buckets(unsigned copy) const
{
    return {
        at<gw_address_bucket>(base_, layout_.directory_offset[copy & 1] + sizeof(gw_directory)),
        layout_.address_buckets_mask + 1UL};
}

std::span<gw_port_bucket> Tables::port_buckets(unsigned copy) const
{
    return {
        at<gw_port_bucket>(base_, layout_.directory_offset[copy & 1] + layout_.ports_offset),
        layout_.port_buckets_mask + 1UL};
}

std::span<gw_service> Tables::services() const
{
    return {at<gw_service>(base_, layout_.services_offset), layout_.services_mask + 1UL};
}

std::span<gw_backend> Tables::backends() const
{
    return {at<gw_backend>(base_, layout_.backends_offset), layout_.backends_mask + 1UL};
}

std::span<gw_slot> Tables::ring_slots() const
{
    return {at<gw_slot>(base_, layout_.rings_offset), layout_.ring_slots_max};
}

std::span<gw_pin_bucket> Tables::pin_buckets() const
{
    return {at<gw_pin_bucket>(base_, layout_.pins_offset), layout_.pin_buckets_mask + 1UL};
}

std::span<gw_limit> Tables::limits() const
{
    return {at<gw_limit>(base_, layout_.limits_offset), GW_LIMITS_MAX};
}

std::span<gw_source_bucket> Tables::source_buckets() const
{
    return {at<gw_source_bucket>(base_, layout_.sources_offset),
            layout_.source_buckets_mask + 1UL};
}

std::span<uint64_t> Tables::source_cells() const
{
    return {at<uint64_t>(base_, layout_.cells_offset), layout_.source_buckets_mask + 1UL};
}

std::span<gw_limited> Tables::limited() const
{
    return {at<gw_limited>(base_, layout_.limited_offset), GW_LIMITED_MAX};
}

gw_counters_area &Tables::counters_area(uint32_t cpu) const
{
    return *at<gw_counters_area>(
        base_, layout_.counters_offset + uint64_t{layout_.counters_area_bytes} * cpu);
}

namespace {

gw_traffic *service_traffic(gw_counters_area &area)
{
    return reinterpret_cast<gw_traffic *>(&area + 1);
}

gw_backend_traffic *backend_traffic(gw_counters_area &area, const gw_layout &layout)
{
    return at<gw_backend_traffic>(reinterpret_cast<uint8_t *>(&area),
                                  layout.counters_backends_offset);
}

gw_excess &excess_of(gw_counters_area &area, const gw_layout &layout, uint32_t limit)
{
    return at<gw_excess>(reinterpret_cast<uint8_t *>(&area),
                         layout.counters_excess_offset)[limit];
}

void add(gw_traffic &sum, const gw_traffic &part)
{
    sum.packets += gw_read_once64(&part.packets);
    sum.bytes += gw_read_once64(&part.bytes);
}

void add(gw_backend_traffic &sum, const gw_backend_traffic &part)
{
    sum.packets += gw_read_once64(&part.packets);
    sum.bytes += gw_read_once64(&part.bytes);
    sum.syns += gw_read_once64(&part.syns);
    sum.syn_repeats += gw_read_once64(&part.syn_repeats);
}

}  // namespace

CounterTotals Tables::counters() const
{
    CounterTotals totals{.reasons = std::vector<uint64_t>(GW_REASON_COUNT),
                         .events = std::vector<uint64_t>(GW_EVENT_COUNT),
                         .services = std::vector<gw_traffic>(capacity_.services_max),
                         .backends = std::vector<gw_backend_traffic>(capacity_.backends_max)};
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        auto &area = counters_area(cpu);
        for (size_t i = 0; i < GW_REASON_COUNT; i++) {
            totals.reasons[i] += gw_read_once64(&area.reason[i]);
        }
        for (size_t i = 0; i < GW_EVENT_COUNT; i++) {
            totals.events[i] += gw_read_once64(&area.event[i]);
        }
        for (size_t i = 0; i < totals.services.size(); i++) {
            add(totals.services[i], service_traffic(area)[i]);
        }
        for (size_t i = 0; i < totals.backends.size(); i++) {
            add(totals.backends[i], backend_traffic(area, layout_)[i]);
        }
    }
    for (const auto &service : totals.services) {
        totals.reasons[GW_REASON_FORWARDED] += service.packets;
    }
    return totals;
}

gw_backend_traffic Tables::backend_counters(uint32_t backend) const
{
    gw_backend_traffic sum{};
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        add(sum, backend_traffic(counters_area(cpu), layout_)[backend]);
    }
    return sum;
}

gw_excess Tables::excess_counters(uint32_t limit) const
{
    gw_excess sum{};
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        const auto &excess = excess_of(counters_area(cpu), layout_, limit);
        sum.packets += gw_read_once64(&excess.packets);
        sum.bytes += gw_read_once64(&excess.bytes);
    }
    return sum;
}

void Tables::clear_excess_counters(uint32_t limit) const
{
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        excess_of(counters_area(cpu), layout_, limit) = {};
    }
}

void Tables::clear_service_counters(uint32_t service) const
{
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        auto &area = counters_area(cpu);
        auto &traffic = service_traffic(area)[service];
        area.reason[GW_REASON_FORWARDED] += traffic.packets;
        traffic = {};
    }
}

void Tables::clear_backend_counters(uint32_t backend) const
{
    for (uint32_t cpu = 0; cpu < capacity_.cpus_max; cpu++) {
        backend_traffic(counters_area(cpu), layout_)[backend] = {};
    }
}

}  // namespace guideway
