// The verdict of the lists on a source: that of the longest prefix that covers it. The layout
// is drawn in policy_tables.h.
#pragma once

#include "walk.h"

GW_INLINE const uint8_t *gw_list_line(const struct gw_layout *layout,
                                      const struct gw_lists *lists, uint64_t line)
{
    const uint8_t *lines = (const uint8_t *)(lists + 1) + GW_LIST_ROOTS * sizeof(uint32_t);
    if (GW_UNLIKELY(line >= layout->list_lines_max)) {
        line = 0;
    }
    GW_BELOW(line, layout->list_lines_max);
    return lines + line * GW_CACHE_LINE_BYTES;
}

GW_INLINE uint32_t gw_list_packed_verdict(const uint8_t *verdicts, uint32_t index)
{
    return verdicts[index >> 2 & 63] >> (index & 3) * 2 & 3;
}

// Ones in a word; BPF has no instruction for it.
GW_INLINE uint32_t gw_ones(uint64_t word)
{
    word = word - (word >> 1 & 0x5555555555555555ULL);
    word = (word & 0x3333333333333333ULL) + (word >> 2 & 0x3333333333333333ULL);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (uint32_t)((word * 0x0101010101010101ULL) >> 56);
}

// `address` in host order.
GW_INLINE uint32_t gw_list_ipv4(const struct gw_layout *layout, const struct gw_lists *lists,
                                uint32_t address)
{
    const uint32_t *roots = (const uint32_t *)(lists + 1);
    const struct gw_list_node *node;
    uint32_t root = roots[address >> 16];
    uint32_t middle = address >> 8 & 0xff;
    uint32_t line, word;
    uint64_t leaves;
    if (GW_LIKELY((root & GW_LIST_IS_NODE) == 0)) {
        return root & 3;
    }
    line = root & ~GW_LIST_IS_NODE;
    node = (const struct gw_list_node *)gw_list_line(layout, lists, line);
    word = middle >> 6;
    leaves = node->has_leaf[word & 3];
    if ((leaves >> (middle & 63) & 1) == 0) {
        // The second line of the node, as a line of its own.
        return gw_list_packed_verdict(gw_list_line(layout, lists, line + 1ULL), middle);
    }
    line = node->leaves_first + node->leaves_before[word & 3] +
           gw_ones(leaves & ((1ULL << (middle & 63)) - 1));
    return gw_list_packed_verdict(gw_list_line(layout, lists, line), address & 0xff);
}

// The first `bits` of a word, as in memory.
GW_INLINE uint64_t gw_prefix_mask64(uint32_t bits)
{
    return bits == 0 ? 0 : bits >= 64 ? ~0ULL : __builtin_bswap64(~0ULL << (64 - bits));
}

GW_INLINE uint64_t gw_list_hash(const struct gw_hash_key *key, uint64_t high, uint64_t low,
                                uint32_t length)
{
    return gw_fold_multiply(high ^ key->word[0] ^ length, low ^ key->word[1]);
}

// The entry of a prefix in a bucket; 0: none.
GW_INLINE uint32_t gw_list_entry(const struct gw_list_bucket *bucket, uint64_t high,
                                 uint64_t low, uint32_t length)
{
    uint32_t way;
    for (way = 0; way < GW_LIST_WAYS; way++) {
        if (bucket->prefix[way][0] == high && bucket->prefix[way][1] == low &&
            (bucket->entry[way] & (GW_LIST_USED | 0xff)) == (GW_LIST_USED | length)) {
            return bucket->entry[way];
        }
    }
    return 0;
}

// A copy of the lists, 0 or 1.
GW_INLINE const struct gw_lists *gw_lists_at(const uint8_t *tables,
                                             const struct gw_layout *layout, uint32_t copy)
{
    return (const struct gw_lists *)(tables + (copy != 0 ? layout->lists_offset[1]
                                                         : layout->lists_offset[0]));
}

// The entry of the first `length` bits of an address; 0: none.
GW_SUBPROGRAM uint32_t gw_list_ipv6_find(gw_handle handle, uint32_t copy, uint64_t high,
                                         uint64_t low, uint32_t length)
{
    struct gw_packet *packet = gw_from_handle(handle);
    const uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    const struct gw_list_bucket *bucket;
    const struct gw_lists *lists;
    uint64_t hash;
    uint32_t entry;
    if (!tables) {
        return 0;
    }
    lists = gw_lists_at(tables, layout, copy);
    high &= gw_prefix_mask64(length);
    low &= length > 64 ? gw_prefix_mask64(length - 64) : 0;
    hash =
        gw_list_hash(&((const struct gw_tables_header *)tables)->hash_key, high, low, length);
    bucket = (const struct gw_list_bucket *)gw_list_line(
        layout, lists, lists->ipv6_buckets_first + (hash & lists->ipv6_buckets_mask));
    entry = gw_list_entry(bucket, high, low, length);
    if (entry != 0 || (bucket->flags & GW_LIST_OVERFLOW) == 0) {
        return entry;
    }
    bucket = (const struct gw_list_bucket *)gw_list_line(
        layout, lists, lists->ipv6_buckets_first + (hash >> 32 & lists->ipv6_buckets_mask));
    return gw_list_entry(bucket, high, low, length);
}

// `high` and `low` as in the packet.
GW_INLINE uint32_t gw_list_ipv6(gw_handle handle, const struct gw_lists *lists, uint32_t copy,
                                uint64_t high, uint64_t low)
{
    uint32_t verdict = GW_LIST_NONE;
    uint32_t from = 0, to = lists->ipv6_lengths_used;
    int i;
    // At most 129 lengths.
    for (i = 0; i < 8; i++) {
        uint32_t middle, length, entry;
        if (from >= to) {
            break;
        }
        middle = (from + to) / 2;
        if (middle >= GW_LIST_LENGTHS_MAX) {
            break;
        }
        GW_KEEP(middle);
        length = lists->ipv6_length[middle];
        entry = gw_list_ipv6_find(handle, copy, high, low, length);
        if (entry != 0) {
            verdict = entry >> GW_LIST_VERDICT_SHIFT & 3;
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return verdict;
}

// A gw_list_verdict on an address as struct gw_address has it.
GW_SUBPROGRAM uint32_t gw_listed(gw_handle handle, uint64_t high, uint64_t low)
{
    struct gw_packet *packet = gw_from_handle(handle);
    const uint8_t *tables = gw_tables(packet);
    const struct gw_layout *layout = gw_tables_layout(packet);
    const struct gw_lists *lists;
    uint32_t copy;
    if (!tables) {
        return GW_LIST_NONE;
    }
    copy = gw_read_once32(&((const struct gw_tables_header *)tables)->lists_active);
    lists = gw_lists_at(tables, layout, copy);
    return high == GW_IPV4_TAG ? gw_list_ipv4(layout, lists, __builtin_bswap32((uint32_t)low))
                               : gw_list_ipv6(handle, lists, copy, high, low);
}
