#include "xdp/region.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "dataplane/core/tables.h"

namespace guideway::xdp {
namespace {

Result<bpf_map_info> map_info(int fd)
{
    bpf_map_info info{};
    uint32_t info_bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &info_bytes) != 0) {
        return std::unexpected(Error::system("read about", "the tables' BPF map"));
    }
    return info;
}

}  // namespace

uint32_t map_id(int fd)
{
    auto info = map_info(fd);
    return info ? info->id : 0;
}

Result<std::optional<Region>> region_of_pin(const std::filesystem::path &pin)
{
    Descriptor fd(bpf_obj_get(pin.c_str()));
    if (!fd.valid()) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return std::unexpected(Error::system("open the pinned tables", pin.native()));
    }
    auto info = map_info(fd.get());
    if (!info) {
        return std::unexpected(std::move(info.error()).within(pin.native()));
    }
    if (info->type != BPF_MAP_TYPE_ARRAY || (info->map_flags & BPF_F_MMAPABLE) == 0 ||
        info->max_entries != 1) {
        return fail(pin.native() +
                    " holds no tables but another kind of BPF map: remove it with 'guidewayd "
                    "--instance NAME --detach' (services stop being forwarded)");
    }
    return Region{std::move(fd), info->id, info->value_size};
}

Result<Region> new_region(uint32_t total_bytes)
{
    const Transcript transcript;
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    Descriptor fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "gw_region", sizeof(uint32_t), total_bytes,
                                 1, &options));
    if (!fd.valid()) {
        return std::unexpected(Error::system(
            "make the tables,", "a BPF array of " + std::to_string(total_bytes) + " bytes"));
    }
    auto info = map_info(fd.get());
    if (!info) {
        return std::unexpected(std::move(info.error()));
    }
    return Region{std::move(fd), info->id, total_bytes};
}

namespace {

// The successor of the tables in a map; 0 when it has none, holds none, or is gone.
uint32_t successor_of(uint32_t map_id)
{
    const Descriptor fd(bpf_map_get_fd_by_id(map_id));
    if (!fd.valid()) {
        return 0;
    }
    const auto info = map_info(fd.get());
    if (!info || info->type != BPF_MAP_TYPE_ARRAY || (info->map_flags & BPF_F_MMAPABLE) == 0 ||
        info->value_size < GW_HEADER_BYTES) {
        return 0;
    }
    void *page = mmap(nullptr, GW_HEADER_BYTES, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (page == MAP_FAILED) {
        return 0;
    }
    const auto &header = *static_cast<const gw_tables_header *>(page);
    const uint32_t successor =
        header.magic == GW_TABLES_MAGIC && header.abi == GW_TABLES_ABI ? header.successor : 0;
    munmap(page, GW_HEADER_BYTES);
    return successor;
}

}  // namespace

bool was_replaced_by(uint32_t map_id, uint32_t other_map_id)
{
    constexpr int kSuccessionsMax = 8;  // damaged tables may go round in circles
    for (int i = 0; i < kSuccessionsMax && map_id != 0; i++) {
        map_id = successor_of(map_id);
        if (map_id == other_map_id && map_id != 0) {
            return true;
        }
    }
    return false;
}

Result<MappedRegion> MappedRegion::map(Region region)
{
    void *base = mmap(nullptr, region.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                      region.fd.get(), 0);
    if (base == MAP_FAILED) {
        return std::unexpected(Error::system("map", "the pinned tables"));
    }
    const std::span bytes(static_cast<uint8_t *>(base), region.total_bytes);
    return MappedRegion(std::move(region), bytes);
}

MappedRegion::MappedRegion(MappedRegion &&other) noexcept
    : region_(std::move(other.region_)), bytes_(std::exchange(other.bytes_, {}))
{
}

MappedRegion::~MappedRegion()
{
    if (!bytes_.empty()) {
        munmap(bytes_.data(), bytes_.size());
    }
}

}  // namespace guideway::xdp
