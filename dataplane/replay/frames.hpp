// A capture as frames for an engine, in their order, with the time at which each comes in.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/replay/capture.hpp"
#include "dataplane/replay/link.hpp"

namespace guideway::replay {

// The engine's clock from the capture's times. It begins at kClockBegins with the first packet and
// never goes back: it stands until times are where they were, or, where they went back by more
// than kBackMax, goes on with them from there. It leaps by at most kLeapMax.
inline constexpr uint64_t kClockBegins = uint64_t{1} << 47;  // 39 hours
inline constexpr uint64_t kBackMax = 1'000'000'000;
inline constexpr uint64_t kLeapMax = 30 * 86'400 * uint64_t{1'000'000'000};

class CaptureClock {
  public:
    uint64_t at(uint64_t timestamp_ns);
    [[nodiscard]] uint64_t times_back() const { return times_back_; }
    [[nodiscard]] uint64_t leaps() const { return leaps_; }

  private:
    std::optional<uint64_t> last_;  // of the capture
    uint64_t now_ns_ = kClockBegins;
    uint64_t times_back_ = 0;
    uint64_t leaps_ = 0;
};

struct Frame {
    CapturedPacket packet;
    Unusable unusable = Unusable::kNo;
    std::span<const uint8_t> bytes;  // for the engine; until the next is asked for
    uint64_t now_ns = 0;
    size_t missing_bytes = 0;  // at the end of `bytes`: not captured, zeros
};

// What was read, and how.
struct FrameCounts {
    uint64_t packets = 0;
    uint64_t bytes = 0;        // as they were on the wire
    uint64_t cut = 0;          // by the capture's snapshot length; filled with zeros
    uint64_t cut_headers = 0;  // those of which even headers are missing
    uint64_t times_clamped = 0;
    uint64_t too_short = 0;  // not replayed
    uint64_t too_long = 0;   // not replayed
    uint64_t foreign = 0;    // not replayed
    uint64_t first_ns = 0;   // the least and
    uint64_t last_ns = 0;    // the greatest time
};

class Frames {
  public:
    explicit Frames(CaptureReader reader) : reader_(std::move(reader)) {}

    // Also those that cannot be replayed, so that every packet can be told of.
    [[nodiscard]] std::optional<Frame> next();

    [[nodiscard]] const CaptureReader &reader() const { return reader_; }
    [[nodiscard]] const FrameCounts &counts() const { return counts_; }
    [[nodiscard]] const CaptureClock &clock() const { return clock_; }

  private:
    void count(const Frame &frame);

    CaptureReader reader_;
    CaptureClock clock_;
    FrameCounts counts_;
    std::vector<uint8_t> bytes_;
};

}  // namespace guideway::replay
