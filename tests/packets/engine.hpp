// An engine under test: takes one frame, gives back what became of it. Each engine has
// tables of its own, so that counters can be compared.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/packets/notation.hpp"

namespace guideway::packets {

enum class Verdict : uint8_t { kPass, kDrop, kSend, kRedirect };

// Frames come in on this interface: the loopback's index, which the kernel's test runs use.
inline constexpr uint32_t kIngressIfindex = 1;
// Room in front of a frame, unless a case says otherwise: what a kernel test run gives.
inline constexpr uint32_t kHeadroomBytes = 256 - 40;

struct World;

struct Ran {
    Verdict verdict = Verdict::kPass;
    uint32_t egress_ifindex = 0;  // of a redirect, where the engine tells; else 0
    Bytes frame;                  // empty after a drop
};

class Engine {
  public:
    Engine() = default;
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    virtual ~Engine() = default;

    [[nodiscard]] virtual std::string name() const = 0;
    [[nodiscard]] virtual Tables &tables() = 0;
    // Makes the tables anew where the world wants them of another size, and writes it.
    [[nodiscard]] virtual Result<void> load(const World &world) = 0;
    // The pins' clock; the limits' coarse clock is limits_clock_ns() of it. It stands still:
    // between two packets no time passes but that by which shift_times() ages the tables.
    [[nodiscard]] virtual uint32_t now_ticks() const = 0;
    // Frames shorter than this cannot be given to the engine.
    [[nodiscard]] virtual size_t frame_bytes_min() const = 0;
    [[nodiscard]] virtual Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) = 0;
};

// An engine that takes many frames at a time.
class BurstEngine : public Engine {
  public:
    // Up to 32 frames. What became of each.
    [[nodiscard]] virtual std::vector<Ran> run_burst(std::span<const Bytes> frames,
                                                     uint32_t headroom_bytes) = 0;
};

// The core compiled for the host. A frame ends where its memory ends, so that a sanitizer
// sees a read past it.
[[nodiscard]] Result<std::unique_ptr<Engine>> native_engine();

// The real XDP program, by BPF_PROG_TEST_RUN. Moves the process into a network namespace
// of its own, where the program sits on the loopback: the kernel runs an attached program
// ten thousand times faster. Needs root.
[[nodiscard]] Result<std::unique_ptr<Engine>> xdp_engine();

// What the DPDK engine's workers do with a burst.
[[nodiscard]] Result<std::unique_ptr<BurstEngine>> dpdk_engine();

[[nodiscard]] std::string_view verdict_name(Verdict verdict);

}  // namespace guideway::packets
