// A history: what a seed's world is made of, and the events that happen in it one after the
// other. Every list of events is a history: an event that makes no sense where it stands does
// nothing, so that a history can be shortened.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace guideway::sim {

inline constexpr uint32_t kBackends = 4;
inline constexpr uint32_t kServicesMax = 2;
inline constexpr uint32_t kRingMax = 3;
inline constexpr uint32_t kCpus = 4;

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next()
    {
        uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    uint32_t below(uint32_t bound)
    {
        return static_cast<uint32_t>((next() >> 32) * uint64_t{bound} >> 32);
    }
    int64_t between(int64_t low, int64_t high)  // both included
    {
        return low + static_cast<int64_t>(below(static_cast<uint32_t>(high - low + 1)));
    }
    bool one_in(uint32_t n) { return below(n) == 0; }
    template <typename T>
    const T &of(const std::vector<T> &values)
    {
        return values[below(static_cast<uint32_t>(values.size()))];
    }

  private:
    uint64_t state_;
};

enum class Role : uint8_t {
    client,       // opens connections, or sends datagrams
    spoofed_syn,  // sends SYNs and nothing else
    stray_ack,    // sends ACKs of connections that never were
};

struct FlowConfig {
    uint64_t hash = 0;
    uint32_t service = 0;
    Role role = Role::client;
};

struct ServiceConfig {
    uint32_t ring_size = 1;
    uint32_t affinity = 0;  // gw_affinity
};

// How often what happens, in parts of their sum.
struct Weights {
    uint32_t client = 0;
    uint32_t flood = 0;
    uint32_t step = 0;
    uint32_t clock = 0;
    uint32_t sweep = 0;
    uint32_t control_step = 0;
    uint32_t retarget = 0;
    uint32_t kill = 0;
    uint32_t retire = 0;
    uint32_t come_back = 0;
    uint32_t service = 0;
    uint32_t restart = 0;
    uint32_t audit = 0;
};

struct Config {
    uint64_t seed = 0;
    uint32_t buckets = 1;
    std::vector<ServiceConfig> services;
    std::vector<FlowConfig> flows;
    int64_t learning_ms = 0;
    int64_t idle_ms = 0;
    int64_t closing_ms = 0;
    int64_t handshake_ms = 0;
    int64_t grace_ms = 0;
    uint64_t clock_base_ns = 0;  // of the engine, when the history begins
    std::array<uint64_t, kCpus> clock_lag_ns{};
    bool is_interleaved_everywhere = false;
    // Of a hundred, those that are not interrupted.
    uint32_t whole_packets_percent = 50;
    uint32_t whole_operations_percent = 50;
    uint32_t retransmission_percent = 5;
    uint32_t same_flow_percent = 0;  // of clients' packets that follow one of the same flow
    bool has_bursts = false;         // floods come in bursts, with quiet between
    bool is_time_fast = false;
    Weights weights;
};

// What a seed stands for.
[[nodiscard]] Config config_of(uint64_t seed);

enum class Send : uint8_t { syn, data, fin, rst, icmp_error, nothing_more };
enum class Operation : uint8_t {
    sweep,
    retarget,
    kill,
    revive,
    retire,
    reuse,
    remove_service,
    add_service,
};

enum class Act : uint8_t {
    packet,        // `at` flow, `what` Send: begins, and stops at the first place
    whole_packet,  // the same, up to its end
    step,          // `at` CPU: its packet goes on to the next place
    finish,        // `at` CPU: its packet goes on to its end
    clock,         // `value` ms pass
    control,       // `what` Operation, `at` service or backend, `value` as it needs
    whole_control,
    control_step,
    restart,  // of the control plane, in the middle of what it does; `value`: its clock
    audit,
};

struct Event {
    Act act{};
    uint8_t at = 0;
    uint8_t what = 0;
    uint16_t value = 0;
};

// The owners of a service's slots in a retarget's value: three bits a slot.
inline constexpr uint32_t kOwnerUnchanged = 7;
inline constexpr uint32_t kOwnerNone = 6;

}  // namespace guideway::sim
