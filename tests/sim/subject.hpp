// What is simulated, behind an interface that does not change with it: the same simulator
// drives the true code and every mutation of it. subject.cpp alone is compiled anew for each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/core/seam_native.h"
#include "dataplane/tables/tables.hpp"
// (the seam comes first)
#include "dataplane/core/walk.h"

namespace guideway::sim {

struct Timing {
    int64_t learning_ms = 0;
    int64_t grace_ms = 0;
};

struct ControlMoment {
    int64_t time_ms = 0;
    uint32_t pin_ticks = 0;
};

struct Pins {
    uint64_t pins = 0;
    uint64_t confirmed = 0;
    uint64_t elsewhere = 0;
};

// plane::Selection.
class Control {
  public:
    Control() = default;
    Control(const Control &) = delete;
    Control &operator=(const Control &) = delete;
    virtual ~Control() = default;
    virtual void add_service(uint32_t service, ControlMoment now) = 0;
    virtual void remove_service(uint32_t service, ControlMoment now) = 0;
    [[nodiscard]] virtual bool service_is_free(uint32_t service) const = 0;
    virtual void retarget(uint32_t service, std::span<const uint32_t> owners,
                          ControlMoment now) = 0;
    virtual void kill_backend(uint32_t backend, ControlMoment now) = 0;
    [[nodiscard]] virtual bool revive_backend(uint32_t backend) = 0;
    [[nodiscard]] virtual bool backend_is_free(uint32_t backend) const = 0;
    virtual bool sweep(size_t buckets, ControlMoment now) = 0;
    [[nodiscard]] virtual bool has_work() const = 0;
    // stable, moving, pinned, every flow
    [[nodiscard]] virtual std::array<uint32_t, 4> slots(uint32_t service) const = 0;
    [[nodiscard]] virtual Pins pins(uint32_t service, uint32_t backend) const = 0;
};

[[nodiscard]] std::unique_ptr<Control> make_control(const Tables &tables, Timing timing,
                                                    ControlMoment now);

// One packet of a known flow, from selection on.
struct PacketRun {
    gw_walk walk{};
    gw_packet packet{};
    gw_reason reason = GW_REASON_FORWARDED;
    gw_slot slot = 0;  // as it was read
};

// Selects and counts, in the fiber that runs.
void run_packet(PacketRun &run);

// Where else than at the core's GW_INTERLEAVE() another processor may come between.
struct Interleaving {
    // At every access to a word that is shared.
    bool is_everywhere = false;
    // The control plane reads as many counters as there are cells; only this one is a place
    // to stop.
    const uint32_t *first_refusal_cell = nullptr;
    // What the fiber that runs is about, if it is a packet.
    PacketRun *packet = nullptr;
};
extern thread_local Interleaving interleaving;

}  // namespace guideway::sim
