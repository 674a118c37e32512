// An engine that packets of a capture go through: the same packet logic, compiled and run another
// way. Each has tables of its own, which the control plane writes as any others.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/core/outcome.h"
#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::replay {

enum class Verdict : uint8_t { kPass, kDrop, kSend, kRedirect };
[[nodiscard]] std::string_view name_of(Verdict verdict);
// The frame goes on to the wire.
[[nodiscard]] constexpr bool leaves(Verdict verdict)
{
    return verdict == Verdict::kSend || verdict == Verdict::kRedirect;
}

inline constexpr uint32_t kNone = UINT32_MAX;

// Of gw_process().
struct Decision {
    Verdict verdict = Verdict::kPass;
    gw_reason reason = GW_REASON_INACTIVE;
    uint32_t service = kNone;
    uint32_t backend = kNone;

    auto operator<=>(const Decision &) const = default;
};
[[nodiscard]] Decision decision_of(const gw_outcome &outcome);

struct Ran {
    Decision decision;
    std::span<const uint8_t> frame;  // as it leaves; after a drop anything. Until the next run
};

// Frames come in on this interface, and next hops are behind it.
inline constexpr uint32_t kInterface = 1;
// Room in front of a frame: what a kernel test run gives.
inline constexpr uint32_t kHeadroomBytes = 256 - 40;
// The only counters that are used.
inline constexpr uint32_t kCounterAreas = 1;

class Engine {
  public:
    Engine() = default;
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    virtual ~Engine() = default;

    [[nodiscard]] virtual std::string_view name() const = 0;
    [[nodiscard]] virtual Tables &tables() = 0;
    // Both clocks of the packet logic show `now_ns`. `frame` is of kFrameBytesMin to
    // kFrameBytesMax bytes (link.hpp).
    [[nodiscard]] virtual Result<Ran> run(std::span<const uint8_t> frame, uint64_t now_ns) = 0;
};

// The core compiled for the host. A frame ends where its memory ends, so that a sanitizer sees a
// read past it. `capacity.cpus_max` is kCounterAreas.
[[nodiscard]] Result<std::unique_ptr<Engine>> native_engine(const gw_capacity &capacity,
                                                            const gw_hash_key &hash_key);

}  // namespace guideway::replay
