// Worlds with policy: limits and lists that concern the sources of a case.
#pragma once

#include <span>
#include <vector>

#include "tests/differential/mutate.hpp"
#include "tests/packets/case.hpp"

namespace guideway::differential {

// Where the case's packets come from.
[[nodiscard]] std::vector<packets::Address> sources_of(const packets::Case &packet_case);

// The world with random limits and lists in place of its own, and few places for sources. Some
// worlds have none of either, and some one limit alone, which has a way of its own in the core.
[[nodiscard]] packets::World policed_world(packets::World world,
                                           std::span<const packets::Address> sources,
                                           Random &random);

// Lets an IP packet come from a neighbour of its source, or from elsewhere; sometimes.
void mutate_source(packets::Bytes &frame, Random &random);

}  // namespace guideway::differential
