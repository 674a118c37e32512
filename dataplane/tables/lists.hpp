// Builds the allow and deny lists as packets look them up (dataplane/core/policy_tables.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"
#include "dataplane/tables/tables_view.hpp"

namespace guideway {

// A prefix of sources and what becomes of them. `address` in network order, an IPv4 address in
// the first four bytes; zero behind the length.
struct ListedPrefix {
    std::array<uint8_t, 16> address{};
    uint8_t length_bits = 0;
    bool is_ipv6 = false;
    gw_list_verdict verdict = GW_LIST_DENY;
};

struct alignas(GW_CACHE_LINE_BYTES) ListLine {
    std::array<uint8_t, GW_CACHE_LINE_BYTES> bytes{};
};

// One copy of the lists, not yet anywhere that packets look.
struct ListsImage {
    size_t prefixes = 0;
    gw_lists head{};
    std::vector<uint32_t> roots;
    std::vector<ListLine> lines;
};

// What an image is built for. Tables of the same have room for the same.
struct ListsRoom {
    uint32_t prefixes_max = 0;
    uint32_t lines_max = 0;
    gw_hash_key hash_key{};

    [[nodiscard]] static ListsRoom of(const Tables &tables);
    [[nodiscard]] bool operator==(const ListsRoom &other) const;
};

// `prefixes` in the order of family (IPv4 first), address and length, each once; the longest
// one that covers a source decides. Touches no tables, and so may be called on any thread.
// Fails when there is no room for them, and says which capacity that is.
[[nodiscard]] Result<ListsImage> build_lists(const ListsRoom &room,
                                             std::span<const ListedPrefix> prefixes);

// Writes `image`, which was built for ListsRoom::of(tables), into the copy that is not in use.
// Packets do not see it until activate_idle_lists().
void write_idle_lists(const Tables &tables, const ListsImage &image);

// Makes the idle copy, which holds `image`, the current one, by one word. The copy it replaces may be read by packets
// that began before; it must not be written until those have ended.
void activate_idle_lists(const Tables &tables, const ListsImage &image);

// Copies the lists that packets use by `from` into new tables, for packets to use by these. Without
// lists there, or room here, these have none.
void copy_lists(const TablesView &from, const Tables &to);

}  // namespace guideway
