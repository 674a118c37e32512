// A plane over tables in memory, next hops that are made up, and packets to judge it by.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "control/plane/directory.hpp"
#include "control/plane/plane.hpp"
#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"

namespace guideway::plane {

inline model::IpAddress ip(const char *text)
{
    return model::IpAddress::parse(text).value();
}

inline model::NextHop hop(uint8_t last)
{
    return {.egress_ifindex = 7,
            .interface = "eth0",
            .source = {2, 0, 0, 0, 0, 1},
            .destination = {2, 0, 0, 0, 0, last},
            .tags = {},
            .mtu_bytes = 1500,
            .via = ip("10.1.0.1")};
}

inline model::Desired fleet(const std::vector<std::string> &backends)
{
    model::Desired desired;
    desired.instance = "test";
    desired.tunnel_source_ipv4 = model::Prefix::parse("10.1.0.2");
    desired.services = {{.name = "api",
                         .address = ip("203.0.113.10"),
                         .port = 443,
                         .pool = "gateways",
                         .ring_size = 1009}};
    model::Pool pool{.name = "gateways", .backends = {}};
    for (const auto &address : backends) {
        pool.backends.push_back({.name = "gw-" + address, .address = ip(address.c_str())});
    }
    desired.pools = {pool};
    return desired;
}

class PlaneTest : public ::testing::Test {
  protected:
    static constexpr gw_capacity kCapacity = {.addresses_max = 16,
                                              .services_max = 4,
                                              .backends_max = 8,
                                              .ring_slots_max = 4096,
                                              .cpus_max = 1,
                                              .pins_max = 4096,
                                              .sources_max = 1024,
                                              .prefixes_max = 64};

    static constexpr SelectionTiming kTiming = {.learning = std::chrono::seconds(10),
                                                .grace = std::chrono::seconds(1)};

    PlaneTest()
        : tables_(Tables::anonymous(kCapacity, gw_hash_key{{1, 2, 3, 5}}).value()),
          plane_(tables_, [this] { quiesced_++; }, kTiming, {})
    {
        tables_.header().active_generation = 1;
        tables_.header().pin_times = {
            .idle_ticks = 75, .closing_ticks = 10, .handshake_ticks = 20};
    }

    NextHopLookup lookup()
    {
        return [this](const model::IpAddress &address) -> Result<model::NextHop> {
            if (unresolved_.contains(address)) {
                return fail("no answer");
            }
            return hop(address.bytes[3]);
        };
    }

    Observed observed()
    {
        return {.next_hop = lookup(), .condition = [this](const auto &, const auto &backend) {
                    return conditions_[backend.name];
                }};
    }

    [[nodiscard]] Moment now() const
    {
        return {time_, static_cast<uint32_t>(nanoseconds() >> GW_PIN_TICK_SHIFT)};
    }
    [[nodiscard]] uint64_t nanoseconds() const
    {
        return static_cast<uint64_t>(time_.count()) * 1'000'000;
    }

    void apply(const model::Desired &desired)
    {
        const auto applied = plane_.apply(desired, observed(), now());
        ASSERT_TRUE(applied) << applied.error().message;
    }

    // Time goes by, with a sweep every half second. Whether one asked for apply().
    bool pass(std::chrono::seconds time)
    {
        bool asked = false;
        for (const auto end = time_ + time; time_ < end;) {
            time_ += Milliseconds(500);
            asked = plane_.sweep(SIZE_MAX, now()) || asked;
        }
        return asked;
    }

    // The slots of the first service by state.
    SlotCounts slots() { return plane_.services().at(0).slots; }

    struct Sent {
        gw_outcome outcome{};
        std::vector<uint8_t> frame;
        [[nodiscard]] uint8_t outer_destination_last() const { return frame.at(33); }
        [[nodiscard]] uint8_t mac_last() const { return frame.at(5); }
    };

    // A segment from 192.0.2.1 (or another last byte) and `source_port` to the service.
    Sent send(uint16_t source_port, uint16_t port = 443, uint8_t flags = GW_TCP_SYN,
              uint8_t source_last = 1)
    {
        std::array<uint8_t, 256> buffer{};
        const std::vector<uint8_t> frame = {
            // clang-format off
            2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0,
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, source_last, 203, 0, 113, 10,
            static_cast<uint8_t>(source_port >> 8), static_cast<uint8_t>(source_port),
            static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port), 0, 0, 0, 1, 0, 0,
            0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
            // clang-format on
        };
        std::copy(frame.begin(), frame.end(), buffer.begin() + 128);
        buffer[128 + 14 + 20 + GW_TCP_FLAGS_OFFSET] = flags;
        gw_packet packet{.head = buffer.data(),
                         .data = buffer.data() + 128,
                         .end = buffer.data() + 128 + frame.size(),
                         .tables = tables_.base(),
                         .layout = &tables_.layout(),
                         .now_ns = nanoseconds(),
                         .exact_ns = nanoseconds(),
                         .ingress_ifindex = 7,
                         .cpu = 0,
                         .generation = 1};
        Sent sent;
        gw_process(&packet, &sent.outcome);
        sent.frame.assign(packet.data, packet.end);
        return sent;
    }

    // How many of a thousand flows go to each backend, by the last byte of its address.
    std::map<int, int> spread()
    {
        std::map<int, int> counts;
        for (uint16_t port = 1000; port < 2000; port++) {
            const auto sent = send(port);
            counts[sent.outcome.reason == GW_REASON_FORWARDED ? sent.outer_destination_last()
                                                              : -1]++;
        }
        return counts;
    }

    std::vector<uint8_t> bytes() const
    {
        return {tables_.base(), tables_.base() + tables_.layout().total_bytes};
    }

    std::set<model::IpAddress> unresolved_;
    std::map<std::string, model::Condition> conditions_;
    Milliseconds time_{};
    int quiesced_ = 0;
    Tables tables_;
    Plane plane_;
};

}  // namespace guideway::plane
