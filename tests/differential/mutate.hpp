// Packets made from packets: valid ones bent in the ways in which real ones are broken.
#pragma once

#include <random>

#include "tests/packets/notation.hpp"

namespace guideway::differential {

using Random = std::mt19937_64;

// A number below `bound`.
[[nodiscard]] uint64_t below(Random &random, uint64_t bound);

// Changes `frame` in one place: flips a bit, writes a boundary value over a byte or a word,
// cuts, lengthens, removes, repeats.
void mutate(packets::Bytes &frame, Random &random);

// Gives a TCP segment other flags, if the frame is one.
void mutate_tcp_flags(packets::Bytes &frame, Random &random);

// Random bytes behind an Ethernet header of a kind that the core looks into.
[[nodiscard]] packets::Bytes random_frame(Random &random);

}  // namespace guideway::differential
