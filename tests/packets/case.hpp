// A packet case: one text file with a configuration, packets in, and what is to become of
// each. See README.md beside this file for the format.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {

// One packet, or with `first` < `last` one for each value of $n.
struct Step {
    int line = 0;
    std::string name;
    uint64_t first = 0;
    uint64_t last = 0;
    std::string in;
    std::optional<std::string> out;
    Verdict verdict = Verdict::kPass;
    uint32_t egress_ifindex = 0;
    std::string reason;
    std::string service;  // of forwarded packets
    std::string backend;
    std::vector<std::string> excesses;  // of limits
    std::vector<std::string> events;
    std::vector<Change> changes;           // before the (first) packet
    std::optional<std::vector<Pin>> pins;  // after it; as before when not said
    uint32_t headroom_bytes = kHeadroomBytes;
    bool icmp_exhausted = false;  // the limit on ICMP answers has been reached
};

// A counter's name and its value after all packets of the case.
struct ExpectedCounter {
    // A reason, an event, "service NAME", "backend NAME" or "limit NAME excess".
    std::string name;
    uint64_t packets = 0;
    std::optional<uint64_t> bytes;  // of services, backends and limits
};

struct Case {
    std::string file;
    World world;
    std::vector<Step> steps;
    std::vector<ExpectedCounter> counters;
};

// Errors name the file and the line.
[[nodiscard]] Result<Case> read_case(const std::filesystem::path &file);

// The step's text with $n replaced.
[[nodiscard]] std::string substitute(const std::string &text, uint64_t n);

struct CaseReport {
    uint64_t packets = 0;
    uint64_t failures = 0;
    std::string text;  // of the failures
};

// Runs the case on `engine` and compares verdict, bytes and every counter.
[[nodiscard]] CaseReport run_case(const Case &packet_case, Engine &engine);

}  // namespace guideway::packets
