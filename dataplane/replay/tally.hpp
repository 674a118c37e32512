// What engines decide on the packets of a capture, added up.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "dataplane/replay/engine.hpp"
#include "dataplane/replay/flow_table.hpp"
#include "dataplane/replay/frames.hpp"

namespace guideway::replay {

struct Traffic {
    uint64_t packets = 0;
    uint64_t bytes = 0;  // of IP packets as they came in, as the core counts them
};

// Of one engine.
struct Decisions {
    uint64_t packets = 0;
    std::array<uint64_t, 4> verdicts{};                                 // by Verdict
    std::array<uint64_t, GW_REASONS_MAX> reasons{};                     // by gw_reason
    std::map<uint32_t, std::array<uint64_t, GW_REASONS_MAX>> services;  // by service and reason
    std::map<std::pair<uint32_t, uint32_t>, Traffic>
        backends;  // forwarded, by service and backend
};

class Tally {
  public:
    // Of `lanes` engines beside each other.
    Tally(uint32_t lanes, uint32_t flows_max) : lanes_(lanes), flows_(lanes, flows_max) {}

    // What each engine did with one frame. The frame is a flow's where one of them found that it
    // is for a service address.
    void add(const Frame &frame, std::span<const Ran> ran);

    [[nodiscard]] const Decisions &decisions(uint32_t lane) const { return lanes_[lane]; }
    [[nodiscard]] const FlowTable &flows() const { return flows_; }
    // Packets that not all engines decided alike, or sent as the same bytes.
    [[nodiscard]] uint64_t packets_apart() const { return packets_apart_; }

  private:
    std::vector<Decisions> lanes_;
    FlowTable flows_;
    uint64_t packets_apart_ = 0;
};

}  // namespace guideway::replay
