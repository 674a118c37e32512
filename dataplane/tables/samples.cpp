#include "dataplane/tables/samples.hpp"

#include <algorithm>
#include <atomic>

namespace guideway {
namespace {

// What a poll should find: in one ring, and in all. The latter bounds the work of a poll.
constexpr uint64_t kRingFull = GW_SAMPLES / 2;
constexpr uint64_t kAllFull = uint64_t{8} * GW_SAMPLES;
constexpr uint32_t kMaskMax = (1U << 20) - 1;

uint64_t load(uint64_t &word)
{
    return std::atomic_ref(word).load(std::memory_order_acquire);
}

// Words that a packet may be overwriting; the caller finds out whether it was.
gw_sample read(const gw_sample &from)
{
    return {.high = gw_read_once64(&from.high),
            .low = gw_read_once64(&from.low),
            .service = gw_read_once32(&from.service),
            .bytes = gw_read_once32(&from.bytes),
            .is_syn = gw_read_once32(&from.is_syn),
            .reserved = 0};
}

}  // namespace

SampleReader::SampleReader(const Tables &tables) : positions_(tables.capacity().cpus_max)
{
    for (uint32_t cpu = 0; cpu < positions_.size(); cpu++) {
        auto &area = tables.counters_area(cpu);
        positions_[cpu] = {load(area.sample_candidates), load(area.samples_made)};
    }
    read_.reserve(GW_SAMPLES);
}

SampleReader::Polled SampleReader::poll(
    const Tables &tables, const std::function<void(const gw_sample &, double)> &take)
{
    Polled polled;
    for (uint32_t cpu = 0; cpu < positions_.size(); cpu++) {
        auto &area = tables.counters_area(cpu);
        Position &position = positions_[cpu];
        const uint64_t made = load(area.samples_made);
        const uint64_t candidates = load(area.sample_candidates);
        const uint64_t packets = candidates - position.candidates;
        const uint64_t samples = made - position.made;
        read_.clear();
        const uint64_t first = made - std::min<uint64_t>(samples, GW_SAMPLES);
        for (uint64_t n = first; n != made; n++) {
            read_.push_back(read(area.samples[n % GW_SAMPLES]));
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        // The next one may be half written before it is counted, in the place of the oldest.
        const uint64_t whole_from = load(area.samples_made) + 1 - GW_SAMPLES;
        const auto behind = static_cast<int64_t>(whole_from - first);
        const size_t torn =
            behind > 0 ? std::min(static_cast<size_t>(behind), read_.size()) : 0;
        const uint64_t whole = read_.size() - torn;
        polled.missed += samples - whole;
        polled.fullest = std::max(polled.fullest, samples);
        position.made = made;
        if (whole == 0) {
            continue;
        }
        for (size_t i = torn; i < read_.size(); i++) {
            take(read_[i], static_cast<double>(packets) / static_cast<double>(whole));
        }
        polled.packets += packets;
        polled.samples += whole;
        position.candidates = candidates;
    }
    return polled;
}

uint32_t next_sample_mask(uint32_t mask, const SampleReader::Polled &polled)
{
    const uint64_t made = polled.samples + polled.missed;
    uint64_t fullest = polled.fullest;
    uint64_t all = made;
    while (mask < kMaskMax && (fullest > kRingFull || all > kAllFull)) {
        mask = mask * 2 + 1;
        fullest /= 2;
        all /= 2;
    }
    // With room for twice as many, and as many again.
    if (mask > 0 && fullest < kRingFull / 4 && all < kAllFull / 4) {
        mask /= 2;
    }
    return mask;
}

}  // namespace guideway
