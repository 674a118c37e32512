// Integer types, byte-order types and the few compiler words the core needs.
//
// The core is compiled as C11 (BPF and native) and as C++23; BPF has no libc
// headers, so the fixed-width types come from the compiler there.
#pragma once

#ifdef __bpf__
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
#else
#include <stdint.h>
#include <string.h>
#endif

#ifdef __cplusplus
#define GW_STATIC_ASSERT static_assert
#else
#define GW_STATIC_ASSERT _Static_assert
#endif

#ifdef __cplusplus
#define GW_NULL nullptr
#else
#define GW_NULL ((void *)0)
#endif

#define GW_INLINE static inline __attribute__((always_inline))
// A function that the BPF verifier checks by itself, whatever its callers know: it takes numbers
// and pointers to structures, which may be null there, and returns a number. A call costs 7 ns.
#ifdef __bpf__
#define GW_SUBPROGRAM __attribute__((noinline))
#else
#define GW_SUBPROGRAM static inline
#endif
// A part of the walk that most packets do not take: natively out of the others' way, where a call
// costs next to nothing.
#ifdef __bpf__
#define GW_OUTLINE GW_INLINE
#else
#define GW_OUTLINE static __attribute__((noinline, unused))
#endif

#define GW_LIKELY(x) __builtin_expect(!!(x), 1)
#define GW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define GW_CACHE_LINE_BYTES 64

// Headers in a packet may start at any even address. Natively the compiler must be
// told (packed: alignment 1); for BPF it must not, because it would then load byte by
// byte, and every processor with a BPF JIT in use loads unaligned words.
#ifdef __bpf__
#define GW_WIRE
#else
#define GW_WIRE __attribute__((packed))
#endif

GW_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 and Arm: little endian");

// Values in network byte order. A struct, so that mixing the orders does not compile.
typedef struct gw_be16 {
    uint16_t raw;
} GW_WIRE gw_be16;

typedef struct gw_be32 {
    uint32_t raw;
} GW_WIRE gw_be32;

GW_INLINE uint16_t gw_from_be16(gw_be16 value)
{
    return __builtin_bswap16(value.raw);
}

GW_INLINE uint32_t gw_from_be32(gw_be32 value)
{
    return __builtin_bswap32(value.raw);
}

GW_INLINE gw_be16 gw_to_be16(uint16_t value)
{
    gw_be16 out;
    out.raw = __builtin_bswap16(value);
    return out;
}

GW_INLINE gw_be32 gw_to_be32(uint32_t value)
{
    gw_be32 out;
    out.raw = __builtin_bswap32(value);
    return out;
}

// The network-order image of a constant, for comparing without converting the packet.
#define GW_BE16(x) ((uint16_t)((((x) & 0xff) << 8) | (((x) >> 8) & 0xff)))

// Loads and stores that need no alignment.
GW_INLINE uint64_t gw_load64(const void *from)
{
#ifdef __bpf__
    return *(const uint64_t *)from;
#else
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
#endif
}

GW_INLINE uint32_t gw_load32(const void *from)
{
#ifdef __bpf__
    return *(const uint32_t *)from;
#else
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
#endif
}

GW_INLINE uint16_t gw_load16(const void *from)
{
#ifdef __bpf__
    return *(const uint16_t *)from;
#else
    uint16_t value;
    memcpy(&value, from, sizeof(value));
    return value;
#endif
}

GW_INLINE void gw_store64(void *to, uint64_t value)
{
#ifdef __bpf__
    *(uint64_t *)to = value;
#else
    memcpy(to, &value, sizeof(value));
#endif
}

GW_INLINE void gw_store32(void *to, uint32_t value)
{
#ifdef __bpf__
    *(uint32_t *)to = value;
#else
    memcpy(to, &value, sizeof(value));
#endif
}

GW_INLINE void gw_store16(void *to, uint16_t value)
{
#ifdef __bpf__
    *(uint16_t *)to = value;
#else
    memcpy(to, &value, sizeof(value));
#endif
}

// A single word that the control plane and the packet path share. Each is read and
// written whole (so the order of writes does not matter), which volatile gives on every
// processor the project runs on.
GW_INLINE uint32_t gw_read_once32(const uint32_t *word)
{
    return *(const volatile uint32_t *)word;
}

GW_INLINE uint64_t gw_read_once64(const uint64_t *word)
{
    return *(const volatile uint64_t *)word;
}

// Writes `desired` if the word still is `expected`; returns what it was. Orders everything
// before it before everything after it.
GW_INLINE uint64_t gw_compare_exchange64(uint64_t *word, uint64_t expected, uint64_t desired)
{
    return __sync_val_compare_and_swap(word, expected, desired);
}
