// Builds the directory: addresses and ports hashed into buckets that never overflow.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway {

struct DirectoryEntry {
    gw_address address{};
    uint8_t protocol = 0;
    uint16_t port_raw = 0;                       // as in the packet
    uint32_t service = 0;                        // index
    gw_unmatched unmatched = GW_UNMATCHED_DROP;  // equal for one address
};

// A directory's content, placed but not yet anywhere that packets look.
struct DirectoryImage {
    uint64_t seed = 0;
    std::vector<gw_address_bucket> addresses;
    std::vector<gw_port_bucket> ports;
};

// Fails when no seed was found for which every entry has room, which within the capacity
// does not happen by chance.
[[nodiscard]] Result<DirectoryImage> build_directory(
    const gw_layout &layout, const std::vector<DirectoryEntry> &entries);

// Writes `image` into the copy of the directory that is not in use. Packets do not see it
// until activate_idle_directory().
void write_idle_directory(const Tables &tables, const DirectoryImage &image);

// Makes the idle copy the current one, by one word. The copy it replaces may be read by
// packets that began before; it must not be written until those have ended.
void activate_idle_directory(const Tables &tables);

}  // namespace guideway
