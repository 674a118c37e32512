// The BPF map that holds the tables, and its pin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "dataplane/error.hpp"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

struct Region {
    Descriptor fd;
    uint32_t map_id = 0;
};

// The kernel's number of a map; 0 when `fd` is none.
[[nodiscard]] uint32_t map_id(int fd);

// The pinned region of `total_bytes`, or none when nothing is pinned. One of another size or
// kind is an error.
[[nodiscard]] Result<std::optional<Region>> region_of_pin(const std::filesystem::path &pin,
                                                          uint32_t total_bytes);

// A new one, not yet pinned, all zero.
[[nodiscard]] Result<Region> new_region(uint32_t total_bytes);

}  // namespace guideway::xdp
