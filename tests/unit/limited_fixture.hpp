// Tables in memory with limits in them, and packets that exceed these.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "control/model/address.hpp"
#include "dataplane/core/seam_native.h"
#include "dataplane/tables/limited.hpp"
// (the seam comes first)
#include "dataplane/core/police.h"

namespace guideway {

class LimitedTest : public ::testing::Test {
  protected:
    static constexpr gw_capacity kCapacity = {.addresses_max = 16,
                                              .services_max = 4,
                                              .backends_max = 8,
                                              .ring_slots_max = 4096,
                                              .cpus_max = 2,
                                              .pins_max = 4096,
                                              .sources_max = 1U << 16,
                                              .prefixes_max = 64};
    static constexpr gw_hash_key kKey = {
        {0x157c4a7fb979379e, 0x35c8ed5c60c09cf3, 0x51f3a2726b228227, 0x95e0c1d011cac8f8}};
    static constexpr uint64_t kSecond = 1'000'000'000;

    LimitedTest() : tables_(Tables::anonymous(kCapacity, kKey).value())
    {
        for (uint32_t service : {0U, 1U}) {
            tables_.services()[service].identity = 100 + service;
        }
    }

    // One packet a second of each source. In force for service 0.
    void set_limit(uint32_t index, uint8_t ipv4_bits = 32, uint8_t flags = GW_LIMIT_OBSERVE)
    {
        tables_.limits()[index] = {.identity = 1000 + index,
                                   .seed = 77 + index,
                                   .interval = kSecond << GW_INTERVAL_SHIFT,
                                   .tolerance = 0,
                                   .shared_arrival = 0,
                                   .shared_until = 0,
                                   .kind = GW_LIMIT_PACKETS,
                                   .flags = flags,
                                   .ipv4_bits = ipv4_bits,
                                   .ipv6_bits = 64,
                                   .reserved = {}};
        auto &service = tables_.services()[0];
        service.policy |= GW_POLICY_LIMITS;
        service.limits[limits_++] = static_cast<uint16_t>(index + 1);
    }

    // Of the services in force.
    void sample(bool is_on)
    {
        for (auto &service : tables_.services()) {
            service.policy &= ~uint32_t{GW_POLICY_SAMPLE};
            service.policy |= is_on && service.identity != 0 ? uint32_t{GW_POLICY_SAMPLE} : 0;
        }
    }

    static gw_address address(const std::string &text)
    {
        const auto address = model::IpAddress::parse(text).value();
        gw_address words{};
        if (address.is_ipv6()) {
            std::memcpy(&words, address.bytes.data(), 16);
        } else {
            words.high = GW_IPV4_TAG;
            std::memcpy(&words.low, address.bytes.data(), 4);
        }
        return words;
    }
    // The n-th of many.
    static gw_address address(uint32_t n)
    {
        return {GW_IPV4_TAG, __builtin_bswap32(0x0a000000U + n)};
    }

    gw_reason send(const gw_address &source, uint32_t bytes = 100, bool is_syn = false,
                   uint32_t service = 0, uint32_t cpu = 0)
    {
        gw_packet packet{};
        packet.tables = tables_.base();
        packet.layout = &tables_.layout();
        packet.now_ns = now_ns_;
        packet.exact_ns = now_ns_;
        packet.cpu = cpu;
        const gw_visit visit = {.high = source.high,
                                .low = source.low,
                                .service = service,
                                .bytes = bytes,
                                .is_syn = is_syn ? 1U : 0U,
                                .reserved = 0};
        return static_cast<gw_reason>(gw_police(gw_to_handle(&packet), &visit));
    }
    // The first packet conforms, all others do not.
    void exceed(const gw_address &source, int packets = 1)
    {
        for (int i = 0; i <= packets; i++) {
            send(source);
        }
    }

    Tables tables_;
    uint64_t now_ns_ = 5000 * kSecond;
    size_t limits_ = 0;
};

}  // namespace guideway
