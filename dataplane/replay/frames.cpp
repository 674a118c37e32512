#include "dataplane/replay/frames.hpp"

#include <algorithm>

namespace guideway::replay {

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
    } else if (frame.packet.bytes.size() < frame.packet.original_bytes) {
        counts_.cut_headers++;
    }
}

}  // namespace guideway::replay
