// Runs histories of the selection of backends, and looks for one in which a promise is broken:
//
//   sim [--seeds N] [--from S] [--events N]   N seeds from S on; ends at the first failure
//   sim --seed S [--story]                    one seed, with all that happens in it
//
// A failure prints its seed, and a shortened history that fails in the same way. The exit
// status is 0 when all is well, 1 when not.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

#include "tests/sim/generator.hpp"
#include "tests/sim/world.hpp"

namespace {

using namespace guideway::sim;

struct Options {
    uint64_t from = 1;
    uint64_t seeds = 1000;
    uint64_t events = 10000;
    bool is_story = false;
    bool is_shrinking = true;
    bool has_progress = false;
};

struct Failure {
    std::string invariant;
    std::string how;
    size_t events = 0;  // that led to it
};

// Plays `history` up to its end, or to its failure.
std::optional<Failure> play(const Config &config, const std::vector<Event> &history,
                            std::ostream *story)
{
    World world(config, story);
    size_t at = 0;
    try {
        for (const Event &event : history) {
            at++;
            world.apply(event);
        }
        world.come_to_rest();
    } catch (const Violation &violation) {
        return Failure{violation.invariant, violation.what(), at};
    }
    return std::nullopt;
}

// A seed's history, written down as it is made.
std::optional<Failure> generate(const Config &config, uint64_t events,
                                std::vector<Event> &history, std::ostream *story)
{
    World world(config, story);
    Generator generator(config);
    history.clear();
    try {
        for (uint64_t i = 0; i < events; i++) {
            history.push_back(generator.next(world));
            world.apply(history.back());
        }
        world.come_to_rest();
    } catch (const Violation &violation) {
        return Failure{violation.invariant, violation.what(), history.size()};
    }
    return std::nullopt;
}

// Leaves out whatever is not needed for the same invariant to be broken: first halves, then
// ever smaller parts (after Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input", TSE 2002).
std::vector<Event> shrink(const Config &config, std::vector<Event> history, Failure &failure)
{
    const auto fails = [&](const std::vector<Event> &shorter) {
        const auto found = play(config, shorter, nullptr);
        if (!found || found->invariant != failure.invariant) {
            return false;
        }
        failure = *found;
        return true;
    };
    for (size_t part = history.size() / 2; part > 0;) {
        bool is_shorter = false;
        for (size_t at = 0; at < history.size();) {
            std::vector<Event> shorter(history.begin(),
                                       history.begin() + static_cast<ptrdiff_t>(at));
            shorter.insert(
                shorter.end(),
                history.begin() + static_cast<ptrdiff_t>(std::min(at + part, history.size())),
                history.end());
            if (fails(shorter)) {
                history = std::move(shorter);
                is_shorter = true;
            } else {
                at += part;
            }
        }
        if (part > 1 || !is_shorter) {
            part /= 2;
        }
    }
    return history;
}

// Of the flows those that `history` is about.
std::string describe(const Config &config, const std::vector<Event> &history)
{
    std::string text =
        fmt::format("{} buckets of pins, learning {} s, idle {} s, closing {} s, {}\n",
                    config.buckets, static_cast<double>(config.learning_ms) / 1000,
                    static_cast<double>(config.idle_ms) / 1000,
                    static_cast<double>(config.closing_ms) / 1000,
                    config.is_interleaved_everywhere ? "interrupted at every access"
                                                     : "interrupted where the core says");
    constexpr std::array<const char *, 3> kAffinities{"ring", "connection", "flow"};
    for (size_t i = 0; i < config.services.size(); i++) {
        text +=
            fmt::format("service {}: {} slots, affinity {}\n", i, config.services[i].ring_size,
                        kAffinities.at(config.services[i].affinity));
    }
    constexpr std::array<const char *, 3> kRoles{"client", "spoofed SYNs", "stray ACKs"};
    std::set<size_t> used;
    for (const auto &event : history) {
        if (event.act == Act::packet || event.act == Act::whole_packet) {
            used.insert(event.at);
        }
    }
    for (const size_t i : used) {
        text += fmt::format("flow {}: {}, service {}\n", i,
                            kRoles.at(static_cast<size_t>(config.flows[i].role)),
                            config.flows[i].service);
    }
    return text;
}

void report(const Config &config, const std::vector<Event> &history, Failure failure,
            bool is_shrinking)
{
    std::cout << fmt::format("seed {}: {} broken after {} events: {}\n", config.seed,
                             failure.invariant, failure.events, failure.how);
    if (!is_shrinking) {
        return;
    }
    std::vector<Event> shorter(history.begin(),
                               history.begin() + static_cast<ptrdiff_t>(failure.events));
    shorter = shrink(config, std::move(shorter), failure);
    std::cout << fmt::format("shortened to {} events:\n", shorter.size())
              << describe(config, shorter);
    play(config, shorter, &std::cout);
    std::cout << fmt::format("{} broken: {}\n", failure.invariant, failure.how);
}

int run(const Options &options)
{
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    std::vector<Event> history;
    uint64_t events = 0;
    double told = 0;
    for (uint64_t i = 0; i < options.seeds; i++) {
        const Config config = config_of(options.from + i);
        if (options.is_story) {
            std::cout << describe(config, {});
        }
        const auto failure =
            generate(config, options.events, history, options.is_story ? &std::cout : nullptr);
        events += history.size();
        if (failure) {
            report(config, history, *failure, options.is_shrinking);
            std::cout << fmt::format("failed: seed {} after {} seeds, {}\n", config.seed, i + 1,
                                     failure->invariant);
            return 1;
        }
        if (options.has_progress && seconds() > told + 10) {
            told = seconds();
            std::cout << fmt::format("seed {}: {} of {} seeds, {:.1f} million events/s\n",
                                     config.seed, i + 1, options.seeds,
                                     static_cast<double>(events) / told / 1e6)
                      << std::flush;
        }
    }
    std::cout << fmt::format("held: {} seeds, {} events, {:.1f} s\n", options.seeds, events,
                             seconds());
    return 0;
}

std::optional<uint64_t> number(std::string_view text)
{
    uint64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    return result.ec == std::errc{} && result.ptr == text.data() + text.size()
               ? std::optional(value)
               : std::nullopt;
}

std::optional<Options> parse(int count, char **values)
{
    Options options;
    for (int i = 1; i < count; i++) {
        const std::string_view name = values[i];
        if (name == "--no-shrink") {
            options.is_shrinking = false;
        } else if (name == "--progress") {
            options.has_progress = true;
        } else {
            const auto value = i + 1 < count ? number(values[++i]) : std::nullopt;
            if (!value) {
                return std::nullopt;
            }
            if (name == "--seed") {
                options.from = *value;
                options.seeds = 1;
                options.is_story = true;
            } else if (name == "--seeds") {
                options.seeds = *value;
            } else if (name == "--from") {
                options.from = *value;
            } else if (name == "--events") {
                options.events = *value;
            } else {
                return std::nullopt;
            }
        }
    }
    return options;
}

}  // namespace

int main(int argc, char **argv)
{
    const auto options = parse(argc, argv);
    if (!options) {
        std::cerr << "usage: sim [--seeds N] [--from S] [--events N] [--no-shrink] "
                     "[--progress]\n       sim --seed S\n";
        return 2;
    }
    return run(*options);
}
