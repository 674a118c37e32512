#include "dataplane/tables/lists.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/core/seam_native.h"
// After the seam, which it is written against.
#include "dataplane/core/lists.h"

namespace guideway {
namespace {

// ---- IPv4: prefixes are painted over each other, the shorter ones first, which is the order
// they come in. What a node or leaf is made of is what was painted there before.

// `count` verdicts of two bits from number `first` on.
void paint(uint8_t *verdicts, uint32_t first, uint32_t count, uint32_t verdict)
{
    for (uint32_t i = first; i < first + count; i++) {
        const uint32_t shift = (i & 3) * 2;
        verdicts[i >> 2] =
            static_cast<uint8_t>((verdicts[i >> 2] & ~(3U << shift)) | verdict << shift);
    }
}

class Ipv4Trie {
  public:
    explicit Ipv4Trie(ListsImage &image) : image_(image)
    {
        image.roots.assign(GW_LIST_ROOTS, GW_LIST_NONE);
    }

    void add(const ListedPrefix &prefix)
    {
        const uint32_t address = static_cast<uint32_t>(prefix.address[0]) << 24 |
                                 static_cast<uint32_t>(prefix.address[1]) << 16 |
                                 static_cast<uint32_t>(prefix.address[2]) << 8 |
                                 prefix.address[3];
        const uint32_t length = prefix.length_bits;
        const uint32_t root = address >> 16;
        const uint32_t middle = address >> 8 & 0xff;
        if (length <= 16) {
            std::fill_n(image_.roots.begin() + root, 1U << (16 - length), prefix.verdict);
        } else if (length <= 24) {
            paint(node(root).verdicts, middle, 1U << (24 - length), prefix.verdict);
        } else {
            paint(leaf(root, middle), address & 0xff, 1U << (32 - length), prefix.verdict);
        }
    }

  private:
    // Nodes and leaves are found by their lines: a vector that grows moves them.
    gw_list_node &node_at(uint32_t line)
    {
        return *reinterpret_cast<gw_list_node *>(image_.lines[line].bytes.data());
    }

    uint32_t add_lines(size_t count)
    {
        const auto first = static_cast<uint32_t>(image_.lines.size());
        image_.lines.resize(image_.lines.size() + count);
        return first;
    }

    gw_list_node &node(uint32_t root)
    {
        const uint32_t word = image_.roots[root];
        if ((word & GW_LIST_IS_NODE) != 0) {
            return node_at(word & ~GW_LIST_IS_NODE);
        }
        const uint32_t line = add_lines(2);
        image_.roots[root] = GW_LIST_IS_NODE | line;
        gw_list_node &made = node_at(line);
        made.leaves_first = line + 2;
        paint(made.verdicts, 0, 256, word & 3);
        return made;
    }

    // A node's leaves come one after the other, in order, before any other node.
    uint8_t *leaf(uint32_t root, uint32_t middle)
    {
        const uint32_t word = middle >> 6;
        const uint64_t bit = 1ULL << (middle & 63);
        if ((node(root).has_leaf[word] & bit) == 0) {
            const uint32_t made = add_lines(1);
            gw_list_node &parent = node(root);
            parent.has_leaf[word] |= bit;
            for (uint32_t later = word + 1; later < 4; later++) {
                parent.leaves_before[later]++;
            }
            paint(image_.lines[made].bytes.data(), 0, 256,
                  gw_list_packed_verdict(parent.verdicts, middle));
        }
        return image_.lines.back().bytes.data();
    }

    ListsImage &image_;
};

// ---- IPv6: prefixes, and markers on the way of the search to them.

struct Ipv6Entry {
    uint64_t high = 0;  // as in packets
    uint64_t low = 0;
    uint32_t length = 0;
    uint32_t verdict = 0;

    [[nodiscard]] bool covers(uint64_t other_high, uint64_t other_low) const
    {
        return ((high ^ other_high) & high_mask(length)) == 0 &&
               ((low ^ other_low) & low_mask(length)) == 0;
    }
    [[nodiscard]] static uint64_t high_mask(uint32_t bits) { return gw_prefix_mask64(bits); }
    [[nodiscard]] static uint64_t low_mask(uint32_t bits)
    {
        return bits > 64 ? gw_prefix_mask64(bits - 64) : 0;
    }
};

// Collects what the table holds, each entry once.
class Ipv6Entries {
  public:
    explicit Ipv6Entries(const std::vector<uint8_t> &lengths)
        : lengths_(lengths), newest_(lengths.size())
    {
        entries_.reserve(lengths.size());
    }

    void add(const ListedPrefix &prefix)
    {
        Ipv6Entry entry{.length = prefix.length_bits, .verdict = prefix.verdict};
        std::memcpy(&entry.high, prefix.address.data(), sizeof(entry.high));
        std::memcpy(&entry.low, prefix.address.data() + 8, sizeof(entry.low));
        while (!covering_.empty() && !covering_.back().covers(entry.high, entry.low)) {
            covering_.pop_back();
        }
        covering_.push_back(entry);

        // The search for it, as gw_list_ipv6() makes it.
        const auto own = static_cast<size_t>(
            std::ranges::lower_bound(lengths_, prefix.length_bits) - lengths_.begin());
        size_t from = 0;
        size_t to = lengths_.size();
        while (true) {
            const size_t middle = (from + to) / 2;
            if (middle == own) {
                put(own, entry);
                return;
            }
            if (middle > own) {
                to = middle;
                continue;
            }
            put(middle, marker(entry, lengths_[middle]));
            from = middle + 1;
        }
    }

    [[nodiscard]] std::vector<Ipv6Entry> take() && { return std::move(entries_); }

  private:
    // With the verdict of the longest prefix of the lists that covers all of the marker. Whatever
    // does covers `entry` too, and so is one of covering_.
    [[nodiscard]] Ipv6Entry marker(const Ipv6Entry &entry, uint32_t length) const
    {
        Ipv6Entry made{.high = entry.high & Ipv6Entry::high_mask(length),
                       .low = entry.low & Ipv6Entry::low_mask(length),
                       .length = length,
                       .verdict = GW_LIST_NONE};
        for (const auto &candidate : covering_) {
            if (candidate.length <= length) {
                made.verdict = candidate.verdict;
            }
        }
        return made;
    }

    // Prefixes come in order, so those of one length do, shortened ones too: what is there
    // already is the newest of its length.
    void put(size_t length_index, const Ipv6Entry &entry)
    {
        auto &newest = newest_[length_index];
        if (!newest || newest->high != entry.high || newest->low != entry.low) {
            newest = entry;
            entries_.push_back(entry);
        }
    }

    const std::vector<uint8_t> &lengths_;
    std::vector<std::optional<Ipv6Entry>> newest_;  // by index of the length
    std::vector<Ipv6Entry> covering_;               // each covers the next
    std::vector<Ipv6Entry> entries_;
};

// Each entry has two buckets. Where both are full, one that is there makes room by going to its
// other one (cuckoo hashing: Pagh and Rodler, ESA 2001; with buckets of three it works to
// beyond nine tenths of the places).
class Ipv6Table {
  public:
    Ipv6Table(const gw_hash_key &key, const std::vector<Ipv6Entry> &entries, uint32_t buckets)
        : key_(key),
          entries_(entries),
          mask_(buckets - 1),
          places_(size_t{buckets} * GW_LIST_WAYS)
    {
    }

    // False when some entry found no room.
    [[nodiscard]] bool fill()
    {
        for (uint32_t i = 0; i < entries_.size(); i++) {
            if (!insert(i)) {
                return false;
            }
        }
        return true;
    }

    void write(std::span<ListLine> lines) const
    {
        const auto bucket_at = [&](uint32_t bucket) {
            return reinterpret_cast<gw_list_bucket *>(lines[bucket].bytes.data());
        };
        for (uint32_t place = 0; place < places_.size(); place++) {
            if (places_[place] == 0) {
                continue;
            }
            const uint32_t bucket = place / GW_LIST_WAYS;
            const uint32_t way = place % GW_LIST_WAYS;
            const Ipv6Entry &entry = entries_[places_[place] - 1];
            gw_list_bucket *record = bucket_at(bucket);
            record->prefix[way][0] = entry.high;
            record->prefix[way][1] = entry.low;
            record->entry[way] =
                GW_LIST_USED | entry.verdict << GW_LIST_VERDICT_SHIFT | entry.length;
            if (const uint32_t first = buckets_of(places_[place] - 1).first; first != bucket) {
                bucket_at(first)->flags |= GW_LIST_OVERFLOW;
            }
        }
    }

  private:
    [[nodiscard]] std::pair<uint32_t, uint32_t> buckets_of(uint32_t index) const
    {
        const Ipv6Entry &entry = entries_[index];
        const uint64_t hash = gw_list_hash(&key_, entry.high, entry.low, entry.length);
        return {static_cast<uint32_t>(hash & mask_), static_cast<uint32_t>(hash >> 32 & mask_)};
    }

    bool put(uint32_t bucket, uint32_t index)
    {
        for (uint32_t way = 0; way < GW_LIST_WAYS; way++) {
            auto &place = places_[bucket * GW_LIST_WAYS + way];
            if (place == 0) {
                place = index + 1;
                return true;
            }
        }
        return false;
    }

    bool insert(uint32_t index)
    {
        constexpr int kMovesMax = 500;
        auto [bucket, other] = buckets_of(index);
        if (put(bucket, index) || put(other, index)) {
            return true;
        }
        for (int move = 0; move < kMovesMax; move++) {
            // The ways in turn, so that two entries do not push each other out for ever.
            auto &place = places_[bucket * GW_LIST_WAYS + turn_++ % GW_LIST_WAYS];
            index = std::exchange(place, index + 1) - 1;
            const auto [first, second] = buckets_of(index);
            bucket = bucket == first ? second : first;
            if (put(bucket, index)) {
                return true;
            }
        }
        return false;
    }

    gw_hash_key key_;
    const std::vector<Ipv6Entry> &entries_;
    uint64_t mask_;
    std::vector<uint32_t> places_;  // index + 1 of the entry; 0: none
    uint32_t turn_ = 0;
};

// Adds the lines of IPv6.
Result<void> add_ipv6(const ListsRoom &room, std::span<const ListedPrefix> prefixes,
                      ListsImage &image)
{
    std::array<bool, GW_LIST_LENGTHS_MAX> is_used{};
    for (const auto &prefix : prefixes) {
        is_used[prefix.length_bits] = true;
    }
    std::vector<uint8_t> lengths;
    for (size_t length = 0; length < is_used.size(); length++) {
        if (is_used[length]) {
            image.head.ipv6_length[lengths.size()] = static_cast<uint8_t>(length);
            lengths.push_back(static_cast<uint8_t>(length));
        }
    }
    image.head.ipv6_lengths_used = static_cast<uint32_t>(lengths.size());
    Ipv6Entries collected(lengths);
    for (const auto &prefix : prefixes) {
        collected.add(prefix);
    }
    const std::vector<Ipv6Entry> entries = std::move(collected).take();

    // At first a table that is half full at most; where that is too much, one that is fuller.
    const size_t left = room.lines_max - std::min<size_t>(room.lines_max, image.lines.size());
    const size_t least = std::bit_ceil(entries.size() / GW_LIST_WAYS + 1);
    for (size_t buckets = std::min(std::bit_ceil(entries.size() * 2 / GW_LIST_WAYS + 1),
                                   std::bit_floor(left));
         buckets >= least; buckets /= 2) {
        Ipv6Table table(room.hash_key, entries, static_cast<uint32_t>(buckets));
        if (table.fill()) {
            const size_t first = image.lines.size();
            image.lines.resize(first + buckets);
            image.head.ipv6_buckets_first = static_cast<uint32_t>(first);
            image.head.ipv6_buckets_mask = static_cast<uint32_t>(buckets - 1);
            table.write(std::span(image.lines).subspan(first));
            return {};
        }
    }
    return fail("the lists of sources do not fit: IPv6 prefixes of so many lengths, " +
                std::to_string(prefixes.size()) + " of them and " +
                std::to_string(entries.size() - prefixes.size()) +
                " markers, take more room than capacity.prefixes: " +
                std::to_string(room.prefixes_max) + " gives; set it to twice as many");
}

}  // namespace

ListsRoom ListsRoom::of(const Tables &tables)
{
    return {.prefixes_max = tables.capacity().prefixes_max,
            .lines_max = tables.layout().list_lines_max,
            .hash_key = tables.header().hash_key};
}

bool ListsRoom::operator==(const ListsRoom &other) const
{
    return prefixes_max == other.prefixes_max && lines_max == other.lines_max &&
           std::memcmp(&hash_key, &other.hash_key, sizeof(hash_key)) == 0;
}

Result<ListsImage> build_lists(const ListsRoom &room, std::span<const ListedPrefix> prefixes)
{
    if (prefixes.size() > room.prefixes_max) {
        return fail("the lists of sources do not fit: they have " +
                    std::to_string(prefixes.size()) +
                    " prefixes, and the tables were made for capacity.prefixes: " +
                    std::to_string(room.prefixes_max) +
                    "; raise it in the configuration and apply that");
    }
    ListsImage image;
    image.prefixes = prefixes.size();
    const auto ipv6 = std::ranges::find(prefixes, true, &ListedPrefix::is_ipv6);
    Ipv4Trie trie(image);
    for (auto at = prefixes.begin(); at != ipv6; ++at) {
        trie.add(*at);
    }
    if (ipv6 != prefixes.end()) {
        if (auto added = add_ipv6(room, {ipv6, prefixes.end()}, image); !added) {
            return std::unexpected(std::move(added.error()));
        }
    }
    image.head.lines_used = static_cast<uint32_t>(image.lines.size());
    return image;
}

void write_idle_lists(const Tables &tables, const ListsImage &image)
{
    const unsigned idle = 1 - (tables.header().lists_active & 1);
    uint8_t *copy = tables.base() + tables.layout().lists_offset[idle];
    std::memcpy(copy, &image.head, sizeof(image.head));
    copy += sizeof(image.head);
    std::memcpy(copy, image.roots.data(), image.roots.size() * sizeof(image.roots[0]));
    copy += size_t{GW_LIST_ROOTS} * sizeof(uint32_t);
    if (!image.lines.empty()) {
        std::memcpy(copy, image.lines.data(), image.lines.size() * sizeof(ListLine));
    }
}

void activate_idle_lists(const Tables &tables, const ListsImage &image)
{
    std::atomic_ref active(tables.header().lists_active);
    active.store(1 - (active.load(std::memory_order_relaxed) & 1), std::memory_order_release);
    std::atomic_ref(tables.header().lists_used).store(image.prefixes != 0 ? 1 : 0);
}

void copy_lists(const TablesView &from, const Tables &to)
{
    const auto &head = from.header();
    const auto copy =
        from.section((head.lists_active & 1) == 0 ? GW_SECTION_LISTS_0 : GW_SECTION_LISTS_1);
    if (head.lists_used == 0 || copy.record_bytes() != GW_CACHE_LINE_BYTES ||
        copy.records() < GW_LIST_HEAD_LINES ||
        std::memcmp(&head.hash_key, &to.header().hash_key, sizeof(head.hash_key)) != 0) {
        return;
    }
    gw_lists lists{};
    std::memcpy(&lists, copy.at(0), sizeof(lists));
    if (lists.lines_used > copy.records() - GW_LIST_HEAD_LINES ||
        lists.lines_used > to.layout().list_lines_max) {
        return;
    }
    std::memcpy(to.base() + to.layout().lists_offset[0], copy.at(0),
                (GW_LIST_HEAD_LINES + lists.lines_used) * GW_CACHE_LINE_BYTES);
    to.header().lists_active = 0;
    to.header().lists_used = 1;
}

}  // namespace guideway
