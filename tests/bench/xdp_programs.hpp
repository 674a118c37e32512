// The programs of xdp_bench.bpf.c over tables of their own, and the packets they measure.
#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/bench/bench_policy.hpp"

struct xdp_bench_bpf;

namespace guideway::bench {

// Packets in a sample: a fifth of a millisecond, or with many flows enough to meet every
// line of a ring.
constexpr int kRepeatOne = 2000;
constexpr int kRepeatMany = 16000;
// Where packets go to memory: still well below a time slice.
constexpr int kRepeatSlow = 4000;

// Sizes of tables: one that stays in the caches, one that does not, with room for the flows or
// sources of the largest measurement.
constexpr uint32_t kPinsFew = 1024;
constexpr uint32_t kPinsMany = 1 << 22;
constexpr uint32_t kSourcesFew = 1024;
constexpr uint32_t kSourcesMany = 1 << 23;
constexpr uint32_t kPrefixesFew = 64;
constexpr uint32_t kPrefixesMany = 1 << 20;

// One packet kind at one number of flows.
struct Variant {
    std::string name;
    std::string what;
    const bpf_program *harness;
    const bpf_program *path;
    bool is_ipv6;
    bool forwards;  // moves the head: the undoing must be taken off
    uint32_t flows;
    uint32_t first_flow = 0;
    Policy policy = Policy::kNone;
    std::string without;              // the same packets without it: a variant's name
    std::optional<gw_event> event;    // what its packets meet, nearly all
    std::optional<gw_reason> reason;  // how they end, if not forwarded
    bool is_slow = false;             // each packet goes to memory, many times
    bool time_passes = false;         // and pins give their places
    std::vector<double> harness_ns;
    std::vector<double> path_ns;
};

struct DestroySkeleton {
    void operator()(xdp_bench_bpf *skeleton) const;
};
using Skeleton = std::unique_ptr<xdp_bench_bpf, DestroySkeleton>;

class Bench {
  public:
    // What the tables hold, which decides what can be measured.
    enum class Content : uint8_t { kPinsOfFlows, kPinsOfOthers, kPolicy };

    // `name` is for the interfaces that the programs are attached to.
    static Result<Bench> open(const std::string &name, uint32_t pins_max, uint32_t sources_max,
                              Content content);

    [[nodiscard]] std::vector<Variant> variants() const;

    // Nanoseconds a repetition.
    Result<double> sample(const bpf_program *program, bool is_ipv6, uint32_t flows, int repeat);

    // Both programs of a variant once. Fails when its packets did not meet what they should.
    Result<void> sample(Variant &variant);

    [[nodiscard]] const bpf_program *empty() const;
    [[nodiscard]] const bpf_program *harness() const;
    [[nodiscard]] const bpf_program *adjust() const;

  private:
    Bench(Skeleton skeleton, Tables tables, Content content);

    Result<void> prepare();
    Result<void> prepare_policy();
    [[nodiscard]] std::vector<Variant> plain_variants() const;
    [[nodiscard]] std::vector<Variant> full_variants() const;
    [[nodiscard]] std::vector<Variant> policy_variants() const;

    Skeleton skeleton_;
    Tables tables_;
    Content content_;
};

}  // namespace guideway::bench
