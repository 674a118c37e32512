// The flow hash: one value whatever computes it, and evenly spread.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "dataplane/core/hash.h"

namespace {

constexpr gw_hash_key kKey{
    {0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f1}};

struct Flow {
    uint32_t source = 0xc0000201;  // host order
    uint32_t destination = 0xcb00710a;
    uint16_t source_port = 40000;
    uint16_t destination_port = 443;
    uint8_t protocol = 6;
};

uint64_t hash(const Flow &flow, const gw_hash_key &key = kKey)
{
    const uint32_t ports = gw_to_be16(flow.source_port).raw |
                           static_cast<uint32_t>(gw_to_be16(flow.destination_port).raw) << 16;
    return gw_hash_ipv4(&key, gw_to_be32(flow.source), gw_to_be32(flow.destination), ports,
                        flow.protocol);
}

uint64_t hash_ipv6(const std::array<uint64_t, 2> &source, uint32_t ports)
{
    const std::array<uint64_t, 2> destination = {0xb80d0120, 0x1000000000000000};
    return gw_hash_ipv6(&kKey, source.data(), destination.data(), ports, 6);
}

TEST(Hash, FoldedMultiplicationIsTheSameWithAndWithoutWideIntegers)
{
    __extension__ using Wide = unsigned __int128;
    auto expected = [](uint64_t a, uint64_t b) {
        const Wide product = static_cast<Wide>(a) * b;
        return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
    };
    for (const uint64_t a : {uint64_t{0}, uint64_t{1}, uint64_t{0xffffffff}, UINT64_MAX,
                             uint64_t{1} << 63, uint64_t{0x100000000}}) {
        for (const uint64_t b : {uint64_t{0}, uint64_t{1}, uint64_t{0xffffffff}, UINT64_MAX,
                                 uint64_t{1} << 63, uint64_t{0x100000000}}) {
            ASSERT_EQ(gw_fold_multiply_portable(a, b), expected(a, b)) << a << " " << b;
        }
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000000; i++) {
        const uint64_t a = random();
        const uint64_t b = random();
        ASSERT_EQ(gw_fold_multiply_portable(a, b), expected(a, b));
        ASSERT_EQ(gw_fold_multiply(a, b), expected(a, b));
    }
}

// Edge hosts that share traffic must agree, now and after an upgrade. Computed apart from
// this program, from the definition.
TEST(Hash, ValuesAreThoseThatOtherHostsCompute)
{
    EXPECT_EQ(hash(Flow{}), 0x437e483a129e1682ULL);
    EXPECT_EQ(hash_ipv6({0x0100b80d0120, 0x0100000000000000}, 0xbb01409c),
              0xecfb148bf9b4ec1bULL);
}

TEST(Hash, EveryPartOfAFlowMatters)
{
    const uint64_t base = hash(Flow{});
    EXPECT_NE(base, hash({.source = 0xc0000202}));
    EXPECT_NE(base, hash({.destination = 0xcb00710b}));
    EXPECT_NE(base, hash({.source_port = 40001}));
    EXPECT_NE(base, hash({.destination_port = 444}));
    EXPECT_NE(base, hash({.protocol = 17}));
    EXPECT_NE(base, hash({.source = Flow{}.destination, .destination = Flow{}.source}));
    EXPECT_NE(base, hash({.source_port = 443, .destination_port = 40000}));
    for (size_t word = 0; word < 4; word++) {
        gw_hash_key key = kKey;
        key.word[word] ^= 1;
        EXPECT_NE(base, hash(Flow{}, key)) << "word " << word << " of the key";
    }
}

// Flipping one input bit flips each output bit about half of the time.
TEST(Hash, OneBitOfInputChangesHalfOfTheOutput)
{
    constexpr int kFlows = 4000;
    std::mt19937_64 random(2);
    std::array<std::array<int, 64>, 96> flips{};
    for (int i = 0; i < kFlows; i++) {
        const auto source = static_cast<uint32_t>(random());
        const auto destination = static_cast<uint32_t>(random());
        const auto ports = static_cast<uint32_t>(random());
        const uint64_t base =
            gw_hash_ipv4(&kKey, gw_be32{source}, gw_be32{destination}, ports, 6);
        for (unsigned bit = 0; bit < 96; bit++) {
            const uint32_t mask = 1U << (bit % 32);
            const uint64_t changed =
                gw_hash_ipv4(&kKey, gw_be32{source ^ (bit < 32 ? mask : 0)},
                             gw_be32{destination ^ (bit >= 32 && bit < 64 ? mask : 0)},
                             ports ^ (bit >= 64 ? mask : 0), 6);
            for (unsigned out = 0; out < 64; out++) {
                flips[bit][out] += static_cast<int>((base ^ changed) >> out & 1);
            }
        }
    }
    for (size_t bit = 0; bit < flips.size(); bit++) {
        for (size_t out = 0; out < 64; out++) {
            const double share = static_cast<double>(flips[bit][out]) / kFlows;
            ASSERT_NEAR(share, 0.5, 0.05) << "input bit " << bit << ", output bit " << out;
        }
    }
}

// Chi-squared over the slots of a ring, for flows as they come: neighbouring addresses and
// counting ports. For so many degrees of freedom it is normal about their number.
void expect_even(const std::vector<uint32_t> &slots, double flows)
{
    const double mean = flows / static_cast<double>(slots.size());
    double chi_squared = 0;
    for (const uint32_t count : slots) {
        chi_squared += (count - mean) * (count - mean) / mean;
    }
    const double freedom = static_cast<double>(slots.size()) - 1;
    EXPECT_NEAR(chi_squared, freedom, 5 * std::sqrt(2 * freedom));
}

uint32_t slot_of(uint64_t flow_hash, size_t ring_size)
{
    return static_cast<uint32_t>((flow_hash >> 32) * ring_size >> 32);
}

TEST(Hash, NeighbouringClientsSpreadEvenlyOverARing)
{
    std::vector<uint32_t> slots(4093);
    constexpr int kFlows = 400000;
    for (uint32_t i = 0; i < kFlows; i++) {
        slots[slot_of(hash({.source = 0x0a000000 + i}), slots.size())]++;
    }
    expect_even(slots, kFlows);
}

TEST(Hash, CountingPortsOfFewClientsSpreadEvenlyOverARing)
{
    std::vector<uint32_t> slots(4093);
    for (uint32_t client = 0; client < 7; client++) {
        for (uint32_t port = 1024; port < 65536; port++) {
            slots[slot_of(hash({.source = 0x0a000000 + (client << 16),
                                .source_port = static_cast<uint16_t>(port)}),
                          slots.size())]++;
        }
    }
    expect_even(slots, 7.0 * (65536 - 1024));
}

TEST(Hash, Ipv6ClientsOfNeighbouringNetworksSpreadEvenlyOverARing)
{
    std::vector<uint32_t> slots(4093);
    constexpr uint64_t kFlows = 400000;
    for (uint64_t i = 0; i < kFlows; i++) {
        slots[slot_of(hash_ipv6({0xb80d0120 | i << 40, 0x0100000000000000}, 0xbb01409c),
                      slots.size())]++;
    }
    expect_even(slots, kFlows);
}

// The entropy of an outer header is taken from the low bits, the slot from the high ones:
// flows of one slot must still spread over paths.
TEST(Hash, FlowsOfOneSlotDifferInTheirEntropy)
{
    std::vector<uint32_t> paths(64);
    int flows = 0;
    for (uint32_t i = 0; i < 2000000; i++) {
        const uint64_t value = hash({.source = 0x0a000000 + i});
        if (slot_of(value, 101) == 17) {
            paths[value & 63]++;
            flows++;
        }
    }
    expect_even(paths, flows);
}

}  // namespace
