// The Internet checksum against published vectors and against a plain reimplementation.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "dataplane/core/checksum.h"
#include "dataplane/core/types.h"

namespace {

// RFC 1071 section 4.1, word by word, carries folded until none is left.
uint16_t plain_checksum(const std::vector<uint8_t> &bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += 2) {
        sum += static_cast<uint64_t>(bytes[i]) << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
}

uint64_t sum_of(const std::vector<uint8_t> &bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
        sum += gw_load32(&bytes[i]);
    }
    return sum;
}

TEST(Checksum, MatchesTheExampleOfRfc1071)
{
    const std::vector<uint8_t> data = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    EXPECT_EQ(gw_sum_fold64(sum_of(data)), gw_to_be16(0xddf2).raw);
    EXPECT_EQ(static_cast<uint16_t>(~gw_sum_fold64(sum_of(data))), gw_to_be16(0x220d).raw);
}

// Equation 2 of RFC 1141 gives 0xffff here; equation 3 of RFC 1624 gives zero.
TEST(Checksum, UpdateMatchesTheExampleOfRfc1624)
{
    EXPECT_EQ(gw_checksum_update(gw_to_be16(0xdd2f).raw, gw_to_be16(0x5555).raw,
                                 gw_to_be16(0x3285).raw),
              0);
}

// One fold leaves a carry in 3 % of sums; all sums of two folds' range are tried.
TEST(Checksum, FoldLeavesNoCarryForAnySum)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000000; i++) {
        const auto sum = static_cast<uint32_t>(random());
        uint64_t plain = sum;
        while (plain >> 16 != 0) {
            plain = (plain & 0xffff) + (plain >> 16);
        }
        ASSERT_EQ(gw_sum_fold(sum), plain) << sum;
    }
    EXPECT_EQ(gw_sum_fold(0xffffffffU), 0xffff);
    EXPECT_EQ(gw_sum_fold(0xffff0001U), 1);
    EXPECT_EQ(gw_sum_fold(0x0001ffffU), 1);
}

TEST(Checksum, Fold64LeavesNoCarryForAnySum)
{
    std::mt19937_64 random(2);
    for (int i = 0; i < 1000000; i++) {
        const uint64_t sum = random() >> (i % 40);
        uint64_t plain = sum;
        while (plain >> 16 != 0) {
            plain = (plain & 0xffff) + (plain >> 16);
        }
        ASSERT_EQ(gw_sum_fold64(sum), plain) << sum;
    }
    EXPECT_EQ(gw_sum_fold64(UINT64_MAX), 0xffff);
}

TEST(Checksum, SumOfWordsMatchesThePlainOneOnRandomData)
{
    std::mt19937_64 random(3);
    for (size_t size = 4; size <= 1500; size += 4) {
        std::vector<uint8_t> data(size);
        for (auto &byte : data) {
            byte = static_cast<uint8_t>(random());
        }
        ASSERT_EQ(static_cast<uint16_t>(~gw_sum_fold64(sum_of(data))),
                  gw_to_be16(plain_checksum(data)).raw);
    }
}

TEST(Checksum, UpdateMatchesRecomputationForEveryChangeOfAWord)
{
    std::mt19937_64 random(4);
    for (int i = 0; i < 300000; i++) {
        std::vector<uint8_t> data(20);
        for (auto &byte : data) {
            byte = static_cast<uint8_t>(random());
        }
        const uint16_t before_checksum = gw_to_be16(plain_checksum(data)).raw;
        const uint16_t before = gw_load16(data.data());
        data[0] = static_cast<uint8_t>(random());
        data[1] = static_cast<uint8_t>(random());
        ASSERT_EQ(gw_checksum_update(before_checksum, before, gw_load16(data.data())),
                  gw_to_be16(plain_checksum(data)).raw);
    }
}

}  // namespace
