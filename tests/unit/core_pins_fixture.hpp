// A table of pins, one slot that leads to it, and packets whose pins' places are chosen.
//
// Include it first: it tells the core where other processors may come between.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/interleaving.hpp"
// (it comes before the core)
#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"
#include "dataplane/tables/tables.hpp"

namespace guideway {

inline constexpr uint64_t kTickNs = uint64_t{1} << 27;
inline constexpr uint32_t kNow = 1000;  // in ticks
inline constexpr gw_pin_times kTimes{
    .idle_ticks = 100, .closing_ticks = 10, .handshake_ticks = 3};
inline constexpr uint32_t kPrevious = 1;
inline constexpr uint32_t kOwner = 2;
inline constexpr uint32_t kForeign = 5;  // where the pins of other flows lead

// A flow is its pin's fingerprint, whose lowest bits are its first bucket.
using Flow = uint64_t;

// Service 3 has one slot, number 6 of all rings, that moves from kPrevious to kOwner.
class CorePins : public testing::Test {
  protected:
    static constexpr uint32_t kService = 3;
    static constexpr uint32_t kSlot = 6;

    void make(uint32_t buckets)
    {
        tables_ = Tables::anonymous({.addresses_max = 1,
                                     .services_max = 8,
                                     .backends_max = 8,
                                     .ring_slots_max = 16,
                                     .cpus_max = 1,
                                     .pins_max = buckets * GW_PIN_WAYS,
                                     .sources_max = 1024,
                                     .prefixes_max = 64},
                                    gw_hash_key{});
        ASSERT_TRUE(tables_);
        tables_->header().pin_times = kTimes;
        auto &service = tables_->services()[kService];
        service.ring_offset = kSlot;
        service.ring_size = 1;
        set_slot(GW_SLOT_MOVING);
    }

    void set_slot(gw_slot_state state, uint32_t previous = kPrevious)
    {
        tables_->ring_slots()[kSlot] = gw_slot_make(kOwner, state, previous);
    }

    [[nodiscard]] gw_walk walk(Flow flow, uint8_t flags, uint32_t service = kService)
    {
        gw_walk walk{};
        walk.tables = tables_->base();
        walk.layout = &tables_->layout();
        walk.counters = reinterpret_cast<uint8_t *>(&tables_->counters_area(0));
        walk.service = service;
        walk.tcp_flags = flags;
        // The inverse of what a flow's pin makes of the flow's hash.
        walk.hash = (flow << 17) ^ (kService + 1) * 0x9e3779b97f4a7c15ULL;
        return walk;
    }

    // One packet; the backend it goes to.
    uint32_t send(Flow flow, uint8_t flags, uint32_t now = kNow)
    {
        gw_walk packet_walk = walk(flow, flags);
        gw_packet packet{};
        packet.tables = tables_->base();
        packet.layout = &tables_->layout();
        packet.now_ns = now * kTickNs;
        EXPECT_EQ(gw_select(&packet_walk, &packet), GW_REASON_FORWARDED);
        return packet_walk.backend;
    }

    [[nodiscard]] gw_pin &way(uint32_t bucket, uint32_t index)
    {
        return tables_->pin_buckets()[bucket].way[index];
    }

    // Fills the ways from `first` on with pins of other flows.
    void fill(uint32_t bucket, uint32_t first = 0, uint32_t age = 0,
              uint64_t confirmed = GW_PIN_CONFIRMED)
    {
        for (uint32_t i = first; i < GW_PIN_WAYS; i++) {
            const uint64_t fingerprint = 0x700000 + bucket * GW_PIN_WAYS + i;
            way(bucket, i) = {.first = fingerprint << 17 | confirmed | kForeign,
                              .second = uint64_t{kNow - age} << 41};
        }
    }

    // Where the flow has pins; not in which order lookups find them.
    [[nodiscard]] std::vector<gw_pin> pins_of(Flow flow)
    {
        std::vector<gw_pin> found;
        for (const auto &bucket : tables_->pin_buckets()) {
            for (const auto &pin : bucket.way) {
                if (pin.first >> 17 == flow) {
                    found.push_back(pin);
                }
            }
        }
        return found;
    }

    [[nodiscard]] uint64_t events(gw_event event)
    {
        return tables_->counters_area(0).event[event];
    }

    Result<Tables> tables_ = fail("not made");
};

inline constexpr uint8_t kSyn = GW_TCP_SYN;
inline constexpr uint8_t kAck = GW_TCP_ACK;
inline constexpr uint8_t kFin = GW_TCP_FIN | GW_TCP_ACK;

}  // namespace guideway
