// What health probes through the tunnel and the program that encapsulates them share.
#pragma once

#include "dataplane/core/types.h"

// A probe's socket carries this mark (SO_MARK), with the backend's index in the lower half.
#define GW_PROBE_MARK 0x47570000u
#define GW_PROBE_MARK_MASK 0xffff0000u

GW_INLINE uint32_t gw_probe_mark(uint32_t backend)
{
    return GW_PROBE_MARK | (backend & ~GW_PROBE_MARK_MASK);
}

// A probe leaves its socket with this many hops, and gets GW_PROBE_HOPS inside the tunnel: one
// that slips past the program, by a route that is new, ends at the first router, and is not
// answered by whichever backend it would have reached.
#define GW_PROBE_HOPS_OUTSIDE 1
#define GW_PROBE_HOPS 64

// The largest TCP segment of a probe: with every header it fits a path of 1312 bytes.
#define GW_PROBE_SEGMENT_BYTES 1200

// Every packet with the mark ends with exactly one of these; all but the first are dropped.
// X(constant, "name", "meaning")
#define GW_PROBE_OUTCOME_LIST(X)                                                             \
    X(SENT, "sent", "encapsulated and sent to its backend")                                  \
    X(NO_SUCH_BACKEND, "no_such_backend", "the mark's index is of no backend in the tables") \
    X(UNRESOLVED, "unresolved", "the backend's next hop is not known")                       \
    X(TOO_BIG, "too_big", "does not fit the path to the backend with its outer header")      \
    X(MALFORMED, "malformed", "marked, but neither IPv4 nor IPv6 on Ethernet")               \
    X(REFUSED, "refused", "the kernel could not put the outer headers in front")

enum gw_probe_outcome {
#define GW_PROBE_OUTCOME_ENUM(constant, name, meaning) GW_PROBE_##constant,
    GW_PROBE_OUTCOME_LIST(GW_PROBE_OUTCOME_ENUM)
#undef GW_PROBE_OUTCOME_ENUM
        GW_PROBE_OUTCOMES
};

// As the kernel keeps it (15 characters), by which the program is known for ours.
#define GW_PROBE_PROGRAM_NAME "guideway_probe"

// Where the program is in an interface's egress chain.
#define GW_PROBE_PRIORITY 1
#define GW_PROBE_HANDLE 0x4757
