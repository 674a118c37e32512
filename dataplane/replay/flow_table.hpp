// What became of each flow of a capture, in one engine or in several beside each other. Bounded:
// what is beyond the bound is counted, and not told apart.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "dataplane/core/hash.h"
#include "dataplane/replay/engine.hpp"
#include "dataplane/replay/flow.hpp"

namespace guideway::replay {

// What one engine did with a flow.
struct Fate {
    uint32_t service = kNone;
    uint32_t backend = kNone;  // of the first packet that was forwarded
    uint32_t last_backend = kNone;
    uint32_t forwarded = 0;              // packets
    uint32_t refused = 0;                // by lists and limits
    uint32_t others = 0;                 // passed, answered or dropped for another reason
    uint32_t moves = 0;                  // packets to another backend than the one before
    gw_reason reason = GW_REASON_COUNT;  // of the first packet that was not forwarded
    uint64_t digest = 0;  // of all decisions and all bytes that left, in their order
};

struct Flow {
    FlowKey key;
    uint64_t first_packet = 0;  // its number
    uint64_t packets = 0;
};

class FlowTable {
  public:
    // Of `lanes` engines.
    FlowTable(uint32_t lanes, uint32_t flows_max);

    // The flow's index, or kNone where the table is full and the flow is not in it.
    [[nodiscard]] uint32_t note(const FlowKey &key, uint64_t packet);
    void decide(uint32_t flow, uint32_t lane, const Ran &ran);

    [[nodiscard]] const std::deque<Flow> &flows() const { return flows_; }
    [[nodiscard]] const Fate &fate(uint32_t flow, uint32_t lane) const
    {
        return fates_[size_t{flow} * lanes_ + lane];
    }
    [[nodiscard]] uint32_t flows_max() const { return flows_max_; }
    // Packets of flows that found no room.
    [[nodiscard]] uint64_t packets_beyond() const { return packets_beyond_; }

  private:
    [[nodiscard]] uint64_t hash_of(const FlowKey &key) const;
    [[nodiscard]] size_t place_of(const FlowKey &key) const;
    void grow();

    uint32_t lanes_;
    uint32_t flows_max_;
    gw_hash_key secret_;  // a capture must not choose where its flows collide
    std::deque<Flow> flows_;
    std::deque<Fate> fates_;        // lanes_ a flow
    std::vector<uint32_t> places_;  // open addressing: index + 1, 0: free
    uint64_t packets_beyond_ = 0;
};

}  // namespace guideway::replay
