// What can be typed, as one CLI11 tree. Help, completion scripts and the manual page are
// made from it, so that none can disagree with another.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace guideway::cli {

// What the verb replay is asked for.
struct ReplayOptions {
    std::string capture;
    std::string engine = "native";
    std::string out;
    std::optional<uint64_t> explain;
    std::string compare;       // another configuration
    std::string compare_with;  // another build's program
    std::string flows;         // a file for them
    uint32_t list = 20;        // flows of a comparison
    uint32_t flows_max = 1U << 20;
    uint32_t mtu = 1500;
};

struct Options {
    std::string socket;
    bool json = false;
    std::string file;
    bool on_host = false;
    bool reset_overrides = false;
    std::optional<int64_t> if_revision;
    std::string service;
    std::string backend;  // POOL/NAME
    std::string address;
    std::optional<uint32_t> weight;
    std::string deadline;
    std::string prefix;
    std::string list;
    std::string reason;
    std::string time;  // how long, or until when
    std::string after;
    bool wait = false;
    bool now = false;
    std::optional<int64_t> since;
    uint32_t limit = 0;      // of events
    std::string limit_name;  // of sources
    uint32_t seconds = 5;
    std::string by = "packets";
    uint32_t count = 20;
    bool all = false;
    bool nonzero = false;
    std::string shell;
    bool daemon = false;
    ReplayOptions replay;
    bool engine = false;
};

// The tree fills `options`, which must outlive it.
[[nodiscard]] std::unique_ptr<CLI::App> make_grammar(Options &options);

// "backend weight" when that was typed; empty when nothing was.
[[nodiscard]] std::string chosen_verb(const CLI::App &app);

}  // namespace guideway::cli
