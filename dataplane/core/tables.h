// The forwarding tables: one contiguous region of memory with a fixed binary layout.
//
// The same bytes serve as a memory-mapped BPF array, as a shared-memory file and as
// anonymous memory in a test. One writer (the control plane) and any number of readers
// share it without locks: whatever a reader must see as one is one aligned word, or is
// prepared aside and made current by writing one aligned word.
//
//   0         4 KiB
//   +--------+-----------+----------+----------+-------+------+--------+-------+--------------+
//   | header | directory | services | backends | rings | pins | policy | lists | counters,    |
//   |        | 2 copies  |          |          |       |      |        | 2 c.  | one area/CPU |
//   +--------+-----------+----------+----------+-------+------+--------+-------+--------------+
//
// Policy: limits, sources, the cells that sources share, and limited sources (policy_tables.h).
//
// Every size is chosen when the region is made, from a gw_capacity, and never changes in
// it. Powers of two where an index is masked.
//
// The header lists the region's sections, so that a build can read tables that another one has
// made, older or newer, and move what they hold into its own (dataplane/tables/migrate.hpp).
// That works as long as
//   - records grow at their end only, and zero in what is new means "as before";
//   - a table that is new is a section of a kind that is new: zero or absent, it changes nothing;
//   - the numbers of kinds, reasons, events and states keep their meaning;
//   - the words of slots and pins, a pin's bucket, and the header up to the end of its list of
//     sections stay as they are.
// What cannot be done so makes GW_TABLES_ABI another number, and takes a detach.
#pragma once

#include "hash.h"
#include "policy_tables.h"
#include "reasons.h"
#include "types.h"

#define GW_TABLES_MAGIC 0x7961776564697547ULL  // "Guideway"
#define GW_TABLES_ABI 2

// What the region was made for. Counts.
struct gw_capacity {
    uint32_t addresses_max;   // service addresses
    uint32_t services_max;    // power of two
    uint32_t backends_max;    // power of two, at most 8192
    uint32_t ring_slots_max;  // of all services together
    uint32_t cpus_max;        // counter areas
    uint32_t pins_max;        // power of two, at least GW_PIN_WAYS
    uint32_t sources_max;     // states of limits: power of two, at least 16
    uint32_t prefixes_max;    // of the lists
};

// Where each table begins, in bytes from the start of the region, and its bounds. An
// engine that wants them as constants (BPF) gets a copy when it is loaded. Only the build that
// made the region knows this structure; others read its sections.
struct gw_layout {
    uint32_t address_buckets_mask;
    uint32_t port_buckets_mask;
    uint32_t directory_offset[2];
    uint32_t ports_offset;  // of the port buckets inside a directory copy
    uint32_t services_offset;
    uint32_t services_mask;
    uint32_t backends_offset;
    uint32_t backends_mask;
    uint32_t rings_offset;
    uint32_t ring_slots_max;
    uint32_t counters_offset;
    uint32_t counters_area_bytes;
    uint32_t counters_backends_offset;  // of the backends' counters inside an area
    uint32_t cpus_max;
    uint32_t total_bytes;
    uint32_t pins_offset;
    uint32_t pin_buckets_mask;
    uint32_t limits_offset;
    uint32_t sources_offset;
    uint32_t source_buckets_mask;
    uint32_t cells_offset;
    uint32_t limited_offset;
    uint32_t lists_offset[2];
    uint32_t list_lines_max;
    uint32_t counters_excess_offset;  // inside an area
    uint32_t reserved[5];
};
GW_STATIC_ASSERT(sizeof(struct gw_layout) == 128, "shared with the loader");

// How long a pin without packets stays, in ticks of the pins' clock.
struct gw_pin_times {
    uint32_t idle_ticks;
    uint32_t closing_ticks;    // after a FIN or RST
    uint32_t handshake_ticks;  // unconfirmed, where its place is needed
};

// What a section holds. Numbers are never given to another kind.
enum gw_section_kind {
    GW_SECTION_ADDRESSES_0 = 1,  // struct gw_address_bucket, of the directory's copy 0
    GW_SECTION_ADDRESSES_1 = 2,
    GW_SECTION_PORTS_0 = 3,  // struct gw_port_bucket
    GW_SECTION_PORTS_1 = 4,
    GW_SECTION_SERVICES = 5,           // struct gw_service
    GW_SECTION_BACKENDS = 6,           // struct gw_backend
    GW_SECTION_RINGS = 7,              // gw_slot
    GW_SECTION_PINS = 8,               // struct gw_pin_bucket
    GW_SECTION_COUNTERS = 9,           // areas; the following are in each, from its start
    GW_SECTION_COUNTED_REASONS = 10,   // uint64_t, by gw_reason
    GW_SECTION_COUNTED_EVENTS = 11,    // uint64_t, by gw_event
    GW_SECTION_COUNTED_SERVICES = 12,  // struct gw_traffic, by service
    GW_SECTION_COUNTED_BACKENDS = 13,  // struct gw_backend_traffic, by backend
    GW_SECTION_LIMITS = 14,            // struct gw_limit
    GW_SECTION_SOURCES = 15,           // struct gw_source_bucket
    GW_SECTION_SOURCE_CELLS = 16,      // uint64_t
    GW_SECTION_LIMITED = 17,           // struct gw_limited
    GW_SECTION_LISTS_0 = 18,  // a copy of the lists in lines: its head, roots and lines
    GW_SECTION_LISTS_1 = 19,
    GW_SECTION_COUNTED_EXCESS = 20,  // struct gw_excess, by limit
    GW_SECTION_COUNTED_EPOCH = 21,   // uint64_t, one: gw_counters_area.epoch
};

struct gw_section {
    uint32_t kind;    // gw_section_kind
    uint32_t offset;  // from the start of the region, or of a counters area
    uint32_t record_bytes;
    uint32_t records;
};

#define GW_SECTIONS_MAX 64
#define GW_HEADER_BYTES 4096
struct gw_tables_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t active_directory;   // 0 or 1: the copy that packets use
    uint32_t active_generation;  // only the program of this generation acts; 0: none
    uint32_t tick_ns;            // of the coarse clock
    uint8_t boot_id[16];         // tables of another boot are empty tables
    struct gw_hash_key hash_key;
    uint32_t writer_serial;    // counts completed changes of the control plane
    uint32_t last_generation;  // highest ever given out, also to programs that never acted
    struct gw_pin_times pin_times;
    uint32_t sections_used;
    uint32_t successor;     // what has replaced these tables, in the engine's words; 0: nothing
    uint32_t lists_active;  // 0 or 1: the copy that packets use
    uint64_t clock_ahead_ns;  // of the coarse clock before the exact one
    uint32_t lists_used;      // whether the lists hold anything
    uint32_t sample_mask;     // of 2^n packets one is sampled: 2^n - 1
    uint32_t reserved[26];
    struct gw_section sections[GW_SECTIONS_MAX];
    // Of this build alone.
    struct gw_capacity capacity;
    struct gw_layout layout;
};
GW_STATIC_ASSERT(sizeof(struct gw_tables_header) <= GW_HEADER_BYTES, "one page");
GW_STATIC_ASSERT(__builtin_offsetof(struct gw_tables_header, sections) == 224,
                 "where every build of this ABI looks for them");

// While a dispatcher holds an old and a new program of ours, each packet meets both, and
// active_generation says which acts. A program that is alone on its interface needs no
// such choice: replacing it is atomic, so it acts whenever any generation is active.
#define GW_GENERATION_ALONE 0xffffffffu

GW_INLINE int gw_generation_acts(uint32_t active, uint32_t own)
{
    return own == GW_GENERATION_ALONE ? active != 0 : active == own;
}

// ---- Directory: which addresses are ours, and which service a port on one belongs to.
//
// Two copies; the control plane builds the idle one and then writes active_directory.
// Both tables are hashed into buckets of one cache line, filled from way 0, never
// overflowing: the control plane chooses a seed for which every key finds room.

// An IPv6 address is its 16 bytes; an IPv4 address is GW_IPV4_TAG and the address in the
// low 32 bits. No IPv6 packet is looked up with GW_IPV4_TAG as its upper half. All zero:
// an empty way.
#define GW_IPV4_TAG 0xffffffffffffffffULL
struct gw_address {
    uint64_t high;
    uint64_t low;
};

#define GW_ADDRESS_WAYS 4
struct gw_address_bucket {
    struct gw_address way[GW_ADDRESS_WAYS];
};
GW_STATIC_ASSERT(sizeof(struct gw_address_bucket) == GW_CACHE_LINE_BYTES, "one line");

// One way of a port bucket, one word; zero: empty.
//
//   63        62..56    55 ........ 40  39 .. 32  31 ....... 16  15 ........ 0
//   +--------+---------+---------------+---------+--------------+-------------+
//   | in use | 0       | address index | proto   | port, as in  | service     |
//   |        |         |               |         | the packet   | index       |
//   +--------+---------+---------------+---------+--------------+-------------+
//
// The address index is bucket * GW_ADDRESS_WAYS + way of the address. Protocol and port
// zero stand for everything that matches no service; its service index is a gw_unmatched.
#define GW_PORT_WAYS 8
struct gw_port_bucket {
    uint64_t way[GW_PORT_WAYS];
};
GW_STATIC_ASSERT(sizeof(struct gw_port_bucket) == GW_CACHE_LINE_BYTES, "one line");
#define GW_PORT_IN_USE (1ULL << 63)

enum gw_unmatched { GW_UNMATCHED_DROP = 0, GW_UNMATCHED_PASS = 1 };

struct gw_directory {
    uint64_t seed;  // odd
    uint64_t reserved[7];
    // struct gw_address_bucket addresses[address_buckets_mask + 1];
    // struct gw_port_bucket ports[port_buckets_mask + 1], at layout.ports_offset
};
GW_STATIC_ASSERT(sizeof(struct gw_directory) == GW_CACHE_LINE_BYTES, "one line");

// The halves are mixed with the seed one by one: keys that collide under one seed must not
// do so under every other.
GW_INLINE uint32_t gw_address_hash(uint64_t seed, uint64_t high, uint64_t low)
{
    uint64_t mixed = (high * seed) ^ (low << 32 | low >> 32);
    mixed ^= mixed >> 29;
    return (uint32_t)((mixed * seed) >> 32);
}

// The key part of a port way: the word without the service index.
GW_INLINE uint64_t gw_port_key(uint32_t address_index, uint8_t protocol, uint16_t port_raw)
{
    return GW_PORT_IN_USE | (uint64_t)address_index << 40 | (uint64_t)protocol << 32 |
           (uint64_t)port_raw << 16;
}

GW_INLINE uint32_t gw_port_hash(uint64_t seed, uint64_t port_key)
{
    return (uint32_t)((((port_key >> 16) ^ (seed >> 40)) * seed) >> 32);
}

// ---- Services and rings.

// What is kept together, and so which states its ring's slots take.
enum gw_affinity {
    GW_AFFINITY_RING = 0,        // nothing: a packet goes where the ring says (stable)
    GW_AFFINITY_CONNECTION = 1,  // TCP connections (stable, moving, pinned)
    GW_AFFINITY_FLOW = 2,        // packets of the same addresses and ports (every flow)
};

// A second build with another layout, for the tests of upgrades: records that have grown, and
// tables in another order.
#ifdef GW_TABLES_OTHER_LAYOUT
#define GW_GROWN_LINES 1
#define GW_GROWN uint64_t grown[8];
#else
#define GW_GROWN_LINES 0
#define GW_GROWN
#endif

// Set once when the index is taken, before the directory names it; not changed until
// after the directory has stopped naming it, but for `policy` and `limits`.
struct gw_service {
    uint64_t identity;     // control plane's name for it; 0: the index is free
    uint32_t ring_offset;  // first slot, counted from the start of all rings
    uint32_t ring_size;    // slots, a prime
    struct gw_address address;
    uint16_t port_raw;
    uint8_t protocol;
    uint8_t is_ipv6;
    uint32_t affinity;  // gw_affinity
    uint32_t policy;    // gw_policy_bit; this and the following may change at any time
    // Index + 1, or 0 behind the last. First those that refuse, then those over all sources that
    // refuse, then those that observe: what was charged before a refusal is taken back.
    uint16_t limits[GW_SERVICE_LIMITS_MAX];
    uint32_t reserved;
    GW_GROWN
};
GW_STATIC_ASSERT(sizeof(struct gw_service) == (1 + GW_GROWN_LINES) * GW_CACHE_LINE_BYTES,
                 "one line");

// A ring slot is one word, read and written whole.
//
//   31 ............... 16  15 .. 14  13 ............ 0
//   +---------------------+---------+-----------------+
//   | previous owner      | state   | owner           |
//   +---------------------+---------+-----------------+
typedef uint32_t gw_slot;
#define GW_OWNER_BITS 14
#define GW_OWNER_MASK 0x3fffu
#define GW_OWNER_NONE 0x3fffu
#define GW_PREVIOUS_NONE 0xffffu

// What a packet does that meets the slot (select.h), and how the control plane lets one state
// follow another: docs/design/0006-selection.md.
enum gw_slot_state {
    GW_SLOT_STABLE = 0,      // goes to the owner; nothing is looked up
    GW_SLOT_MOVING = 1,      // pin, or else: SYN to the owner, others to the previous owner
    GW_SLOT_PINNED = 2,      // pin, or else the owner
    GW_SLOT_EVERY_FLOW = 3,  // pin, or else the owner and a pin
};

GW_INLINE uint32_t gw_slot_owner(gw_slot slot)
{
    return slot & GW_OWNER_MASK;
}

GW_INLINE enum gw_slot_state gw_slot_state_of(gw_slot slot)
{
    return (enum gw_slot_state)(slot >> GW_OWNER_BITS & 3u);
}

GW_INLINE uint32_t gw_slot_previous(gw_slot slot)
{
    return slot >> 16;
}

GW_INLINE gw_slot gw_slot_make(uint32_t owner, uint32_t state, uint32_t previous)
{
    return (owner & GW_OWNER_MASK) | (state & 3u) << GW_OWNER_BITS | previous << 16;
}

// ---- Pins: flows that a slot alone does not decide. Their words are drawn in pins.h.

#define GW_PIN_WAYS 4
struct gw_pin {
    uint64_t first;
    uint64_t second;
};

struct gw_pin_bucket {
    struct gw_pin way[GW_PIN_WAYS];
};
GW_STATIC_ASSERT(sizeof(struct gw_pin_bucket) == GW_CACHE_LINE_BYTES, "one line");

#define GW_PIN_FINGERPRINT_SHIFT 17
#define GW_PIN_OVERFLOW (1ULL << 16)
#define GW_PIN_CLAIMED (1ULL << 15)
#define GW_PIN_CONFIRMED (1ULL << 14)
#define GW_PIN_SEEN_SHIFT 41
#define GW_PIN_CLOSING (1ULL << 40)
#define GW_PIN_SERVICE_SHIFT 27
#define GW_PIN_SERVICE_MASK 0x1fffu
#define GW_PIN_SLOT_MASK 0x7ffffffu

// The pins' clock: the engine's, in units of 2^27 ns (134 ms), 23 bits (13 days).
#define GW_PIN_TICK_SHIFT 27
#define GW_PIN_TICKS_MASK 0x7fffffu
// Beyond it: seen by a processor whose clock is ahead by a few ticks.
#define GW_PIN_AGE_MAX (GW_PIN_TICKS_MASK - 16)

// A pin's second word, read after its first, which was `first`: loads may otherwise pass each
// other on Arm. BPF has no ordered load, but what an address depends on is read before it.
GW_INLINE uint64_t gw_pin_read_second(const struct gw_pin *pin, uint64_t first)
{
#ifdef __bpf__
    __asm__ volatile("%0 &= 0" : "+r"(first));
    return gw_read_once64((const uint64_t *)((const uint8_t *)&pin->second + first));
#else
    (void)first;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return gw_read_once64(&pin->second);
#endif
}

GW_INLINE uint32_t gw_pin_age(uint64_t second, uint32_t now)
{
    return (now - (uint32_t)(second >> GW_PIN_SEEN_SHIFT)) & GW_PIN_TICKS_MASK;
}

// Whether the flow has been silent for so long that it is taken to have ended.
GW_INLINE int gw_pin_is_expired(const struct gw_pin_times *times, uint64_t second, uint32_t now)
{
    uint32_t age = gw_pin_age(second, now);
    return age <= GW_PIN_AGE_MAX &&
           age > ((second & GW_PIN_CLOSING) != 0 ? times->closing_ticks : times->idle_ticks);
}

// ---- Backends.

// How packets reach a backend: all that stays the same from packet to packet.
struct gw_encapsulation {
    uint32_t egress_ifindex;
    uint32_t outer_sum;        // sum of the outer IPv4 header's constant words, unfolded
    uint32_t entropy_mask;     // bits of the outer IPv4 source, as in the packet, that
                               // carry entropy; 0: a fixed source
    uint16_t inner_bytes_max;  // larger inner packets do not fit the egress MTU
    uint8_t l2_bytes;          // 14, 18 or 22
    uint8_t l3_bytes;          // 20 (IPv4) or 40 (IPv6)
};
GW_STATIC_ASSERT(sizeof(struct gw_encapsulation) == 16, "two to a backend's first line");

// The outer headers of one copy, ready to be copied in front of the inner packet. They
// end at a fixed place so that the tagged and untagged forms share their Layer 3.
//
//   0            24 - l2_bytes     24                24 + l3_bytes      64
//   +-----------+-----------------+-----------------+------------------+
//   | 0         | Ethernet, tags  | IPv4 or IPv6    | 0                |
//   +-----------+-----------------+-----------------+------------------+
//
// Zero in the prebuilt header, filled per packet: IPv4 TOS, total length, protocol,
// checksum and the entropy bits of the source; IPv6 traffic class, flow label, payload
// length and next header.
#define GW_OUTER_L3_OFFSET 24
#define GW_OUTER_BYTES 64

enum gw_backend_bit {
    GW_BACKEND_IN_USE = 1,
    GW_BACKEND_RESOLVED = 2,  // the next hop is known
    GW_BACKEND_COPY = 4,      // which copy of encapsulation and headers is current
    GW_BACKEND_DEAD = 8,      // its connections are given up: a pin to it is a miss
};

struct gw_backend {
    uint64_t identity;
    uint32_t state;  // gw_backend_bit, one word, written last
    uint32_t reserved0;
    struct gw_encapsulation encapsulation[2];
    uint32_t reserved1[4];
    uint8_t outer[2][GW_OUTER_BYTES];
    GW_GROWN
};
GW_STATIC_ASSERT(sizeof(struct gw_backend) == (3 + GW_GROWN_LINES) * GW_CACHE_LINE_BYTES,
                 "three lines");
GW_STATIC_ASSERT(__builtin_offsetof(struct gw_backend, outer) == GW_CACHE_LINE_BYTES,
                 "a packet touches two lines of a backend");

// ---- Counters: an area for each CPU or worker, which alone writes it.

struct gw_traffic {
    uint64_t packets;
    uint64_t bytes;  // of inner packets, from the IP header's length
};

struct gw_backend_traffic {
    uint64_t packets;
    uint64_t bytes;
    uint64_t syns;
    uint64_t syn_repeats;  // of them, those seen again within the time of retransmissions
};

// Refused pins, by slot: the control plane compares, and a cell shared by two slots only
// delays the end of a move.
#define GW_REFUSAL_CELLS 1024
// SYNs seen lately, by flow: as many as fit, the newer in place of the older.
//
//   31 ........... 20  19 ............. 0
//   +-----------------+------------------+
//   | pins' clock     | hash of the flow |
//   +-----------------+------------------+
#define GW_SYN_CELLS 8192
#define GW_SYN_TAG_MASK 0xfffffu
#define GW_SYN_TICKS_MASK 0xfffu

struct gw_counters_area {
    uint64_t reason[GW_REASONS_MAX];
    uint64_t event[GW_EVENTS_MAX];
    uint64_t icmp_arrival_ns;  // GCRA: theoretical arrival time of the next ICMP answer
    uint64_t sample_candidates;
    uint64_t samples_made;
    // Of a worker that is a thread: odd from before its first read of the tables in a burst until
    // after the last (dataplane/tables/workers.hpp). The kernel has its own way to tell that.
    uint64_t epoch;
    uint64_t reserved[4];
    uint32_t refused[GW_REFUSAL_CELLS];
    uint32_t syn_seen[GW_SYN_CELLS];
    struct gw_sample samples[GW_SAMPLES];  // the n-th at n % GW_SAMPLES
    // struct gw_traffic services[services_max];
    // struct gw_backend_traffic backends[backends_max], at layout.counters_backends_offset
    // struct gw_excess excess[GW_LIMITS_MAX], at layout.counters_excess_offset
};
GW_STATIC_ASSERT(sizeof(struct gw_counters_area) % GW_CACHE_LINE_BYTES == 0, "whole lines");
