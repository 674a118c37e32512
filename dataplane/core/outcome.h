// What became of a packet.
#pragma once

#include "reasons.h"
#include "types.h"

enum gw_verdict {
    GW_PASS,      // to the host's kernel, frame unchanged
    GW_DROP,      // gone
    GW_SEND,      // out of the interface it came in on
    GW_REDIRECT,  // out of another interface
};

// Filled by gw_process. `service` and `backend` hold GW_INDEX_NONE where the walk ended
// before they were known.
#define GW_INDEX_NONE 0xffffffffu
struct gw_outcome {
    enum gw_verdict verdict;
    enum gw_reason reason;
    uint32_t egress_ifindex;
    uint32_t service;
    uint32_t backend;
};
