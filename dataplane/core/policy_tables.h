// The tables of policy: limits, the state of their sources, allow and deny lists, and what is
// remembered of sources for people to see. Part of the region that tables.h lays out.
#pragma once

#include "types.h"

// ---- What a service asks of policy: a word of its record, which may change at any time.
enum gw_policy_bit {
    GW_POLICY_LISTS = 1,   // the source is looked up in the lists
    GW_POLICY_LIMITS = 2,  // some of the service's `limits` are set
    GW_POLICY_SAMPLE = 4,  // somebody watches the sources
};

// ---- Limits, by GCRA (ITU-T I.371, annex A: the virtual scheduling algorithm).
//
// The state of a limit and a source is one word, the theoretical arrival time of its next unit.
// What arrives more than the tolerance ahead of it is excess; anything else moves it on by one
// interval a unit. A state that is not ahead of the clock says nothing: its source has its whole
// burst again, as one that was never seen.
//
// Times of states are in 2^-4 ns since the kernel started, good for 18 years; intervals in 2^-16
// ns.
#define GW_ARRIVAL_SHIFT 4
#define GW_INTERVAL_SHIFT 16

enum gw_limit_kind {
    GW_LIMIT_NEW_CONNECTIONS = 1,  // SYNs
    GW_LIMIT_PACKETS = 2,
    GW_LIMIT_BYTES = 3,  // of the IP packet
};

enum gw_limit_flag {
    GW_LIMIT_OBSERVE = 1,      // excess is counted, and goes on
    GW_LIMIT_EXACT_CLOCK = 2,  // its burst is shorter than a few ticks of the coarse clock
    GW_LIMIT_ALL_SOURCES = 4,  // one state for all sources
};

// Each field is a word that may change at any time: a packet that reads one old and one new is
// judged by a limit between both.
struct gw_limit {
    uint64_t identity;        // control plane's name for it; 0: the index is free
    uint64_t seed;            // goes into the keys of its sources: another seed, other states
    uint64_t interval;        // of one unit, 2^-16 ns
    uint64_t tolerance;       // 2^-4 ns
    uint64_t shared_arrival;  // the state of GW_LIMIT_ALL_SOURCES
    uint64_t shared_until;    // until when a cell that sources share may be ahead
    uint8_t kind;             // gw_limit_kind
    uint8_t flags;            // gw_limit_flag
    uint8_t ipv4_bits;        // of a source's address, the same for sources that share a state
    uint8_t ipv6_bits;
    uint32_t reserved[3];
};
GW_STATIC_ASSERT(sizeof(struct gw_limit) == GW_CACHE_LINE_BYTES, "one line");

#define GW_LIMITS_MAX 1024
#define GW_SERVICE_LIMITS_MAX 8

// The states: a set-associative table of sources. A state that is ahead of the clock is never
// given up; where all ways of a bucket hold such, further sources share a cell, which all of
// them move on: each may be limited sooner than its own packets ask for, and none later. The
// bucket is the low bits of the fingerprint, so that states can be moved to another table.
#define GW_SOURCE_WAYS 4
struct gw_source {
    uint64_t fingerprint;  // keyed hash of limit and source; 0: empty
    uint64_t arrival;
};

struct gw_source_bucket {
    struct gw_source way[GW_SOURCE_WAYS];
};
GW_STATIC_ASSERT(sizeof(struct gw_source_bucket) == GW_CACHE_LINE_BYTES, "one line");
// A cell is an arrival, uint64_t; there are as many as buckets, found by bits 32 and up.

// ---- Sources that exceed a limit, for people. Made by packets that exceed one, given up by the
// control plane; without room a source is not shown.
struct gw_limited {
    uint64_t fingerprint;  // as in gw_source; 0: free, GW_LIMITED_CLAIMED: being written
    uint64_t high;         // the source's address as struct gw_address has it, masked
    uint64_t low;
    uint64_t since_ns;  // the limits' clock
    uint64_t last_ns;
    uint64_t packets;  // in excess
    uint64_t bytes;
    uint32_t limit;
    uint32_t service;
};
GW_STATIC_ASSERT(sizeof(struct gw_limited) == GW_CACHE_LINE_BYTES, "one line");
#define GW_LIMITED_CLAIMED 1
// In `service`, by the control plane: what it has told of the source. Whoever makes a record
// writes the whole word.
#define GW_LIMITED_SERVICE 0xffffu
#define GW_LIMITED_TOLD (1u << 30)    // an event of its own
#define GW_LIMITED_SUMMED (1u << 31)  // one of many in an event
#define GW_LIMITED_MAX 4096
#define GW_LIMITED_WAYS 4

// In excess of a limit, by limit, in each area of counters.
struct gw_excess {
    uint64_t packets;
    uint64_t bytes;
};

// A packet that was sampled: one in header.sample_mask + 1, the newest GW_SAMPLES of a CPU.
struct gw_sample {
    uint64_t high;  // source
    uint64_t low;
    uint32_t service;
    uint32_t bytes;
    uint32_t is_syn;
    uint32_t reserved;
};
GW_STATIC_ASSERT(sizeof(struct gw_sample) == 32, "two a line");
#define GW_SAMPLES 512

// ---- Lists: the verdict of the longest prefix that covers a source. Two copies; the control
// plane builds the idle one and then writes header.lists_active.
enum gw_list_verdict { GW_LIST_NONE = 0, GW_LIST_DENY = 1, GW_LIST_ALLOW = 2 };

// A copy: this head, GW_LIST_ROOTS words, and lines.
#define GW_LIST_LENGTHS_MAX 129
struct gw_lists {
    uint32_t ipv6_lengths_used;
    uint32_t ipv6_buckets_first;  // line
    uint32_t ipv6_buckets_mask;
    uint32_t lines_used;
    uint8_t ipv6_length[GW_LIST_LENGTHS_MAX];  // those in use, ascending
    uint8_t reserved[47];
};
GW_STATIC_ASSERT(sizeof(struct gw_lists) == 192, "three lines");
#define GW_LIST_ROOTS 65536
#define GW_LIST_HEAD_LINES \
    ((sizeof(struct gw_lists) + GW_LIST_ROOTS * sizeof(uint32_t)) / GW_CACHE_LINE_BYTES)

// IPv4: a trie of 16, 8 and 8 bits.
//
//   root, by the upper 16 bits     31      30 ................. 0
//                                 +------+----------------------+
//                                 | node | its line, or verdict |
//                                 +------+----------------------+
//   node, by the next 8 bits: which of the 256 have a leaf, and the verdicts of those without
//   leaf, by the last 8 bits: verdicts, four a byte, the first in the lowest bits
#define GW_LIST_IS_NODE (1u << 31)
struct gw_list_node {
    uint64_t has_leaf[4];      // bit b % 64 of word b / 64
    uint32_t leaves_first;     // line of the first leaf; the others follow in order
    uint8_t leaves_before[4];  // leaves of the words before; modulo 256 of the last is never
    uint8_t reserved[24];      //   needed, for there are at most 192 before it
    uint8_t verdicts[64];      // as a leaf's
};
GW_STATIC_ASSERT(sizeof(struct gw_list_node) == 2 * GW_CACHE_LINE_BYTES, "two lines");

// IPv6: binary search over the lengths in use (Waldvogel et al., Scalable High Speed IP Routing
// Lookups, SIGCOMM 1997). A bucket holds prefixes and markers, which say that a longer prefix may
// match; each has the verdict of the longest prefix in the lists that covers it, itself included.
// An entry is in its first bucket or, where that has its flag GW_LIST_OVERFLOW, in its second.
#define GW_LIST_WAYS 3
#define GW_LIST_USED (1u << 15)
#define GW_LIST_VERDICT_SHIFT 8
#define GW_LIST_OVERFLOW 1u
struct gw_list_bucket {
    uint64_t prefix[GW_LIST_WAYS][2];  // as in packets, zero behind the length
    uint32_t entry[GW_LIST_WAYS];      // length (8 bits), verdict (2 bits), GW_LIST_USED
    uint32_t flags;
};
GW_STATIC_ASSERT(sizeof(struct gw_list_bucket) == GW_CACHE_LINE_BYTES, "one line");

// Lines of a copy for so many prefixes: a leaf for each and nodes for as many /16 as there are, or
// buckets of IPv6 with as many markers as prefixes.
GW_INLINE uint32_t gw_list_lines(uint32_t prefixes_max)
{
    uint32_t nodes = prefixes_max < GW_LIST_ROOTS ? prefixes_max : GW_LIST_ROOTS;
    return prefixes_max + 2 * nodes + 64;
}
