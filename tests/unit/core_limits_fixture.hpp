// A service with limits, and visits to it whose time is chosen. Include it first, as the seam.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "tests/unit/interleaving.hpp"
// (it comes before the core)
#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"
#include "dataplane/tables/tables.hpp"

namespace guideway {

inline constexpr uint64_t kSecond = 1'000'000'000;
inline constexpr uint64_t kStart = 1000 * kSecond;

// A rate and a burst, of which a limit's words are made as docs/design/0009 says.
struct Rate {
    uint64_t interval_ns = kSecond;
    uint64_t burst = 1;
    gw_limit_kind kind = GW_LIMIT_PACKETS;
    uint8_t flags = 0;
    uint8_t ipv4_bits = 32;
    uint8_t ipv6_bits = 64;
};

// A packet of an IPv4 source, or of an IPv6 source where `high` is set.
struct Visit {
    uint64_t at_ns = kStart;
    uint32_t source = 0x0a000001;  // in host order
    uint64_t high = GW_IPV4_TAG;
    uint32_t bytes = 100;
    bool is_syn = false;
    uint32_t cpu = 0;
};

class CoreLimits : public testing::Test {
  protected:
    static constexpr uint32_t kService = 3;

    void SetUp() override { make(1024); }

    void make(uint32_t sources)
    {
        auto tables = Tables::anonymous({.addresses_max = 1,
                                         .services_max = 8,
                                         .backends_max = 8,
                                         .ring_slots_max = 16,
                                         .cpus_max = 4,
                                         .pins_max = 64,
                                         .sources_max = sources,
                                         .prefixes_max = 64},
                                        gw_hash_key{{1, 2, 3, 4}});
        ASSERT_TRUE(tables);
        tables_ = std::move(*tables);
    }

    gw_limit &limit(uint32_t index)
    {
        return *gw_limit_at(tables_->base(), &tables_->layout(), index);
    }

    gw_source &way(uint32_t index)
    {
        return *gw_source_at(tables_->base(), &tables_->layout(), index);
    }

    // Puts the limit `index` in force as the service's n-th.
    void set(uint32_t index, const Rate &rate, uint32_t n = 0)
    {
        gw_limit &record = limit(index);
        record.identity = index + 1;
        record.seed = 0x1234567 * (index + 1ULL);
        record.interval = rate.interval_ns << GW_INTERVAL_SHIFT;
        record.tolerance = (rate.burst - 1) * rate.interval_ns << GW_ARRIVAL_SHIFT;
        record.kind = static_cast<uint8_t>(rate.kind);
        record.flags = rate.flags;
        record.ipv4_bits = rate.ipv4_bits;
        record.ipv6_bits = rate.ipv6_bits;
        auto &service = tables_->services()[kService];
        service.limits[n] = static_cast<uint16_t>(index + 1);
        service.policy = GW_POLICY_LIMITS;
    }

    gw_reason visit(const Visit &visit)
    {
        gw_packet packet{};
        packet.tables = tables_->base();
        packet.layout = &tables_->layout();
        packet.now_ns = visit.at_ns;
        packet.exact_ns = visit.at_ns;
        packet.cpu = visit.cpu;
        const gw_visit seen{
            .high = visit.high,
            .low = visit.high == GW_IPV4_TAG ? __builtin_bswap32(visit.source) : visit.source,
            .service = kService,
            .bytes = visit.bytes,
            .is_syn = visit.is_syn ? 1U : 0U,
            .reserved = 0};
        return gw_policy_of(&packet, packet.tables, packet.layout, &seen);
    }

    // How many of `count` visits, `apart_ns` from each other, are let through.
    uint64_t admitted(Visit each, uint64_t count, uint64_t apart_ns)
    {
        uint64_t passed = 0;
        for (uint64_t i = 0; i < count; i++) {
            passed += visit(each) == GW_REASON_FORWARDED ? 1 : 0;
            each.at_ns += apart_ns;
        }
        return passed;
    }

    [[nodiscard]] uint64_t event(gw_event which)
    {
        uint64_t sum = 0;
        for (uint32_t cpu = 0; cpu < tables_->capacity().cpus_max; cpu++) {
            sum += tables_->counters_area(cpu).event[which];
        }
        return sum;
    }

    std::optional<Tables> tables_;
};

}  // namespace guideway
