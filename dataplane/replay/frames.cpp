#include "dataplane/replay/frames.hpp"

#include <algorithm>

#include "dataplane/core/wire.h"
#include "dataplane/replay/flow.hpp"

namespace guideway::replay {
namespace {

// Of others than IP all that decides is there.
bool is_cut_in_headers(std::span<const uint8_t> frame)
{
    const auto found = dissect(frame);
    return found.l3_offset > frame.size() || found.ether_type == GW_ETHERTYPE_IPV4 ||
           found.ether_type == GW_ETHERTYPE_IPV6;
}

}  // namespace

uint64_t CaptureClock::at(uint64_t timestamp_ns)
{
    if (!last_) {
        last_ = timestamp_ns;
    }
    if (timestamp_ns < *last_) {
        times_back_++;
        if (*last_ - timestamp_ns > kBackMax) {
            last_ = timestamp_ns;
        }
        return now_ns_;
    }
    const uint64_t passed = timestamp_ns - *last_;
    leaps_ += passed > kLeapMax ? 1 : 0;
    now_ns_ += std::min(passed, kLeapMax);
    last_ = timestamp_ns;
    return now_ns_;
}

std::optional<Frame> Frames::next()
{
    const auto packet = reader_.next();
    if (!packet) {
        return std::nullopt;
    }
    Frame frame{.packet = *packet, .now_ns = clock_.at(packet->timestamp_ns)};
    frame.unusable = to_ethernet(reader_.link(), *packet, bytes_);
    if (frame.unusable == Unusable::kNo) {
        const auto lengths = link_bytes(reader_.link());
        frame.bytes = bytes_;
        frame.missing_bytes =
            bytes_.size() - (packet->bytes.size() - lengths.captured + lengths.ethernet);
    }
    count(frame);
    return frame;
}

void Frames::count(const Frame &frame)
{
    const uint64_t time = frame.packet.timestamp_ns;
    counts_.first_ns = counts_.packets == 0 ? time : std::min(counts_.first_ns, time);
    counts_.last_ns = std::max(counts_.last_ns, time);
    counts_.packets++;
    counts_.bytes += frame.packet.original_bytes;
    counts_.times_clamped += frame.packet.is_time_clamped ? 1 : 0;
    switch (frame.unusable) {
        case Unusable::kShort:
            counts_.too_short++;
            return;
        case Unusable::kLong:
            counts_.too_long++;
            return;
        case Unusable::kForeign:
            counts_.foreign++;
            return;
        case Unusable::kNo:
            break;
    }
    if (frame.missing_bytes > 0) {
        counts_.cut++;
    } else if (frame.packet.bytes.size() < frame.packet.original_bytes &&
               is_cut_in_headers(frame.bytes)) {
        counts_.cut_headers++;
    }
}

}  // namespace guideway::replay
