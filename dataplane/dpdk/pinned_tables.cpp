#include "dataplane/dpdk/pinned_tables.hpp"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "dataplane/descriptor.hpp"
#include "dataplane/tables/tables_view.hpp"
#include "dataplane/tables/workers.hpp"

namespace guideway::dpdk {
namespace {

constexpr auto kRegionPin = "region";
constexpr auto kFormerRegionPin = "region-former";

struct Region {
    Descriptor fd;
    uint32_t map_id = 0;
    uint32_t bytes = 0;
};

// None when nothing is pinned there.
Result<std::optional<Region>> region_of_pin(const std::filesystem::path &pin)
{
    Region region;
    region.fd = Descriptor(bpf_obj_get(pin.c_str()));
    if (!region.fd.valid()) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return std::unexpected(Error::system("open the pinned tables", pin.native()));
    }
    bpf_map_info info{};
    uint32_t info_bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(region.fd.get(), &info, &info_bytes) != 0) {
        return std::unexpected(Error::system("read about the pinned tables", pin.native()));
    }
    if (info.type != BPF_MAP_TYPE_ARRAY || (info.map_flags & BPF_F_MMAPABLE) == 0 ||
        info.max_entries != 1 || info.value_size < GW_HEADER_BYTES) {
        return fail(pin.native() +
                    " holds no tables but another kind of BPF map: remove it with 'guidewayd "
                    "--instance NAME --detach' (services stop being forwarded)");
    }
    region.map_id = info.id;
    region.bytes = info.value_size;
    return std::optional<Region>(std::move(region));
}

// What tables say they were made for, if they are of this ABI and boot.
Result<gw_capacity> capacity_of(int fd)
{
    void *page = mmap(nullptr, GW_HEADER_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        return std::unexpected(Error::system("map", "the header of the pinned tables"));
    }
    const auto &header = *static_cast<const gw_tables_header *>(page);
    auto origin = check_origin(header);
    const gw_capacity capacity = header.capacity;
    munmap(page, GW_HEADER_BYTES);
    if (!origin) {
        return std::unexpected(std::move(origin.error()));
    }
    return capacity;
}

// Tables of this build, or why they are not.
Result<Tables> tables_of(int fd, uint32_t bytes, const std::string &name)
{
    const auto not_ours = [&] {
        return fail(name +
                    ": the tables were made by another build of Guideway: start guidewayd and "
                    "guideway-dpdk of the same build");
    };
    auto capacity = capacity_of(fd);
    if (!capacity) {
        return std::unexpected(std::move(capacity.error()).within(name));
    }
    const auto layout = tables_layout(*capacity);
    if (!layout || layout->total_bytes != bytes) {
        return not_ours();
    }
    auto tables = Tables::map(fd, *capacity, name);
    if (tables && !tables->has_this_layout()) {
        return not_ours();
    }
    return tables;
}

}  // namespace

Result<FormerTables> FormerTables::map(int fd, uint32_t bytes)
{
    void *base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return std::unexpected(Error::system("map", "the former tables"));
    }
    FormerTables former(std::span(static_cast<uint8_t *>(base), bytes));
    auto view = TablesView::of(former.bytes_);
    if (!view) {
        return std::unexpected(std::move(view.error()).within("the former tables"));
    }
    const auto pins = view->section(GW_SECTION_PINS);
    if (pins.records() == 0) {
        return fail("the former tables: they have no pins");
    }
    former.layout_.pins_offset = pins.offset();
    former.layout_.pin_buckets_mask = pins.records() - 1;
    former.layout_.total_bytes = bytes;
    return former;
}

FormerTables::FormerTables(FormerTables &&other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), layout_(other.layout_)
{
}

FormerTables::~FormerTables()
{
    if (!bytes_.empty()) {
        munmap(bytes_.data(), bytes_.size());
    }
}

bool TablesInUse::are_active() const
{
    return std::atomic_ref(tables->header().active_generation).load() != 0;
}

Result<void> PinnedTables::refresh()
{
    const TablesInUse *now = current();
    if (now != nullptr && now->former != nullptr &&
        access((pin_directory_ / kFormerRegionPin).c_str(), F_OK) != 0) {
        publish({.map_id = now->map_id, .tables = now->tables, .former = nullptr});
        now = current();
    }
    // While ours are active the daemon is still at it, if there are others.
    if (now != nullptr && now->are_active()) {
        return {};
    }
    auto region = region_of_pin(pin_directory_ / kRegionPin);
    if (!region) {
        return std::unexpected(std::move(region.error()));
    }
    if (!*region || (now != nullptr && now->map_id == (*region)->map_id)) {
        return {};
    }
    return take_new((*region)->fd.get(), (*region)->map_id, (*region)->bytes);
}

Result<void> PinnedTables::take_new(int fd, uint32_t map_id, uint32_t bytes)
{
    const std::string name = (pin_directory_ / kRegionPin).native();
    auto tables = tables_of(fd, bytes, name);
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    // The last area is the daemon's own.
    const uint32_t areas = tables->capacity().cpus_max;
    if (workers_ + 1 > areas) {
        return fail("--workers " + std::to_string(workers_) + ": the tables in " + name +
                    " have counters for " + std::to_string(areas - 1) +
                    ": as many workers as this machine has CPUs can run");
    }
    TablesInUse next{.map_id = map_id,
                     .tables = std::make_shared<const Tables>(std::move(*tables)),
                     .former = nullptr};
    auto former = region_of_pin(pin_directory_ / kFormerRegionPin);
    if (!former) {
        return std::unexpected(std::move(former.error()));
    }
    if (*former && (*former)->map_id != map_id) {
        auto mapped = FormerTables::map((*former)->fd.get(), (*former)->bytes);
        if (!mapped) {
            return std::unexpected(std::move(mapped.error()));
        }
        next.former = std::make_shared<const FormerTables>(std::move(*mapped));
    }
    // Nobody has used them before us; an engine that was killed may have died in a burst.
    forget_workers(*next.tables);
    publish(std::move(next));
    return {};
}

void PinnedTables::publish(TablesInUse next)
{
    next.serial = ++last_serial_;
    kept_.push_back(std::make_unique<const TablesInUse>(std::move(next)));
    current_.store(kept_.back().get(), std::memory_order_release);
}

void PinnedTables::forget_before(uint64_t serial)
{
    std::erase_if(kept_, [&](const auto &kept) {
        return kept->serial < serial && kept->serial != last_serial_;
    });
}

}  // namespace guideway::dpdk
