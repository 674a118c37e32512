// The BPF map that holds the tables, and its pin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "dataplane/error.hpp"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

struct Region {
    Descriptor fd;
    uint32_t map_id = 0;
    uint32_t total_bytes = 0;
};

// The kernel's number of a map; 0 when `fd` is none.
[[nodiscard]] uint32_t map_id(int fd);

// The pinned region, whatever its size, or none when nothing is pinned. A map that cannot hold
// tables is an error.
[[nodiscard]] Result<std::optional<Region>> region_of_pin(const std::filesystem::path &pin);

// A new one, not yet pinned, all zero.
[[nodiscard]] Result<Region> new_region(uint32_t total_bytes);

// Whether the tables in a map were replaced by those in another (gw_tables_header.successor), or
// by tables that were. False when the first is gone.
[[nodiscard]] bool was_replaced_by(uint32_t map_id, uint32_t other_map_id);

// Owns a region and a mapping of all of it.
class MappedRegion {
  public:
    [[nodiscard]] static Result<MappedRegion> map(Region region);

    [[nodiscard]] std::span<uint8_t> bytes() const { return bytes_; }
    [[nodiscard]] const Region &region() const { return region_; }

    MappedRegion(MappedRegion &&other) noexcept;
    MappedRegion &operator=(MappedRegion &&) = delete;
    ~MappedRegion();

  private:
    MappedRegion(Region region, std::span<uint8_t> bytes)
        : region_(std::move(region)), bytes_(bytes)
    {
    }

    Region region_;
    std::span<uint8_t> bytes_;
};

}  // namespace guideway::xdp
