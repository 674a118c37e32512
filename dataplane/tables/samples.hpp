// Packets that were sampled, as a reader polls them from the CPUs' rings. That a service's are is a
// bit of its policy, and how many of them header.sample_mask.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dataplane/tables/tables.hpp"

namespace guideway {

// Reads what is new since the last time. A ring keeps the newest GW_SAMPLES: what a reader that
// comes late has missed is known by number, and so is how many packets could have been sampled
// at all. Each sample of a CPU that was read stands for the same share of these; those of before
// the first sample wait for it.
class SampleReader {
  public:
    // Begins with what is sampled from now on.
    explicit SampleReader(const Tables &tables);

    // Of one poll.
    struct Polled {
        uint64_t packets = 0;  // that the samples stand for
        uint64_t samples = 0;  // that were read
        uint64_t missed = 0;   // samples that were made and not read
        uint64_t fullest = 0;  // most samples that one CPU made
    };

    // Calls `take` for each sample, with the number of packets that it stands for.
    Polled poll(const Tables &tables,
                const std::function<void(const gw_sample &, double)> &take);

  private:
    struct Position {
        uint64_t candidates = 0;
        uint64_t made = 0;
    };
    std::vector<Position> positions_;  // by CPU
    std::vector<gw_sample> read_;      // of one CPU
};

// The mask for header.sample_mask after a poll under `mask`: fewer packets are sampled when a
// ring, or all together, were filled too much between two polls, and more when hardly.
[[nodiscard]] uint32_t next_sample_mask(uint32_t mask, const SampleReader::Polled &polled);

}  // namespace guideway
