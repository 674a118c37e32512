// The lists as packets look them up, against a search through all prefixes.
#include "dataplane/tables/lists.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <random>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/lists.h"

namespace guideway {
namespace {

constexpr gw_hash_key kKey{
    {0x157c4a7fb979379e, 0x35c8ed5c60c09cf3, 0x517f2a36b278210, 0x958ec1d0116a6cf8}};

gw_capacity capacity(uint32_t prefixes)
{
    return {.addresses_max = 4,
            .services_max = 8,
            .backends_max = 16,
            .ring_slots_max = 1000,
            .cpus_max = 1,
            .pins_max = 1024,
            .sources_max = 1024,
            .prefixes_max = prefixes};
}

using Bytes = std::array<uint8_t, 16>;
using Content = std::vector<ListedPrefix>;

struct Address {
    bool is_ipv6 = false;
    Bytes bytes{};
};

// The first `bits` of an address; the others zero, or ones.
Bytes cut(Bytes bytes, int bits, int total, bool ones = false)
{
    for (int bit = bits; bit < total; bit++) {
        const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
        auto &byte = bytes[static_cast<size_t>(bit / 8)];
        byte = static_cast<uint8_t>(ones ? byte | mask : byte & ~mask);
    }
    return bytes;
}

auto order(const ListedPrefix &prefix)
{
    return std::tuple(prefix.is_ipv6, prefix.address, prefix.length_bits);
}

// In order, each once.
Content tidy(Content content)
{
    std::ranges::stable_sort(content, {}, order);
    const auto same = std::ranges::unique(content, {}, order);
    content.erase(same.begin(), same.end());
    return content;
}

ListedPrefix listed(std::initializer_list<int> bytes, int length, gw_list_verdict verdict,
                    bool is_ipv6 = false)
{
    ListedPrefix prefix{
        .length_bits = static_cast<uint8_t>(length), .is_ipv6 = is_ipv6, .verdict = verdict};
    std::ranges::copy(bytes, prefix.address.begin());
    return prefix;
}

class ListsTest : public testing::Test {
  protected:
    static Tables make(uint32_t prefixes)
    {
        auto tables = Tables::anonymous(capacity(prefixes), kKey);
        EXPECT_TRUE(tables) << tables.error().message;
        return std::move(*tables);
    }

    void put(const Content &content)
    {
        const auto image = build_lists(ListsRoom::of(tables_), content);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_LE(image->lines.size(), tables_.layout().list_lines_max);
        write_idle_lists(tables_, *image);
        activate_idle_lists(tables_, *image);
    }

    uint32_t verdict(const Address &address)
    {
        gw_packet packet{};
        packet.tables = tables_.base();
        packet.layout = &tables_.layout();
        uint64_t high = 0;
        uint64_t low = 0;
        if (address.is_ipv6) {
            high = gw_load64(address.bytes.data());
            low = gw_load64(address.bytes.data() + 8);
        } else {
            high = GW_IPV4_TAG;
            low = gw_load32(address.bytes.data());
        }
        return gw_listed(gw_to_handle(&packet), high, low);
    }

    // As if by going over all prefixes, the longest first.
    class Reference {
      public:
        explicit Reference(const Content &content)
        {
            for (const auto &prefix : content) {
                by_length_[{prefix.is_ipv6, prefix.length_bits}][prefix.address] =
                    prefix.verdict;
            }
        }
        [[nodiscard]] uint32_t verdict(const Address &address) const
        {
            for (int length = address.is_ipv6 ? 128 : 32; length >= 0; length--) {
                const auto at = by_length_.find({address.is_ipv6, length});
                if (at == by_length_.end()) {
                    continue;
                }
                const auto found =
                    at->second.find(cut(address.bytes, length, address.is_ipv6 ? 128 : 32));
                if (found != at->second.end()) {
                    return found->second;
                }
            }
            return GW_LIST_NONE;
        }

      private:
        std::map<std::pair<bool, int>, std::map<Bytes, uint32_t>> by_length_;
    };

    // At both ends of every prefix, one beyond them, and wherever `some` leads.
    void compare(const Content &content, const std::function<Address()> &some, int times)
    {
        const Reference reference(content);
        const auto same = [&](const Address &address) {
            if (address.is_ipv6 && gw_load64(address.bytes.data()) == GW_IPV4_TAG) {
                return true;  // ffff:ffff:ffff:ffff::/64, which no packet comes from
            }
            const bool agree = verdict(address) == reference.verdict(address);
            if (!agree) {
                ADD_FAILURE() << (address.is_ipv6 ? "IPv6 " : "IPv4 ")
                              << testing::PrintToString(address.bytes) << ": "
                              << verdict(address) << ", not " << reference.verdict(address);
            }
            return agree;
        };
        for (const auto &prefix : content) {
            const int total = prefix.is_ipv6 ? 128 : 32;
            Address last{prefix.is_ipv6, cut(prefix.address, prefix.length_bits, total, true)};
            Address after = last;
            for (int i = total / 8 - 1; i >= 0 && ++after.bytes[static_cast<size_t>(i)] == 0;
                 i--) {
            }
            Address before{prefix.is_ipv6, prefix.address};
            for (int i = total / 8 - 1; i >= 0 && before.bytes[static_cast<size_t>(i)]-- == 0;
                 i--) {
            }
            if (!same({prefix.is_ipv6, prefix.address}) || !same(last) || !same(after) ||
                !same(before)) {
                return;
            }
        }
        for (int i = 0; i < times; i++) {
            if (!same(some())) {
                return;
            }
        }
    }

    std::mt19937_64 random_{20261122};
    Tables tables_ = make(65536);
};

TEST_F(ListsTest, EmptyListsSayNothing)
{
    EXPECT_EQ(verdict({false, {10, 0, 0, 1}}), GW_LIST_NONE);
    EXPECT_EQ(verdict({true, {0x20, 1}}), GW_LIST_NONE);
    put({});
    EXPECT_EQ(verdict({false, {10, 0, 0, 1}}), GW_LIST_NONE);
    EXPECT_EQ(verdict({true, {0x20, 1}}), GW_LIST_NONE);
    EXPECT_EQ(tables_.header().lists_used, 0);
}

TEST_F(ListsTest, TheLongestPrefixDecides)
{
    put(tidy({listed({}, 0, GW_LIST_DENY), listed({10}, 8, GW_LIST_ALLOW),
              listed({10, 1}, 16, GW_LIST_DENY), listed({10, 1, 2}, 24, GW_LIST_ALLOW),
              listed({10, 1, 2, 3}, 32, GW_LIST_DENY)}));
    EXPECT_EQ(tables_.header().lists_used, 1);
    EXPECT_EQ(verdict({false, {11, 0, 0, 1}}), GW_LIST_DENY);
    EXPECT_EQ(verdict({false, {10, 0, 0, 1}}), GW_LIST_ALLOW);
    EXPECT_EQ(verdict({false, {10, 1, 0, 1}}), GW_LIST_DENY);
    EXPECT_EQ(verdict({false, {10, 1, 2, 1}}), GW_LIST_ALLOW);
    EXPECT_EQ(verdict({false, {10, 1, 2, 3}}), GW_LIST_DENY);
    EXPECT_EQ(verdict({true, {10, 1, 2, 3}}), GW_LIST_NONE);
}

TEST_F(ListsTest, TheIdleCopyIsSeenWhenItBecomesCurrent)
{
    put(tidy({listed({10}, 8, GW_LIST_DENY), listed({0x20, 1}, 32, GW_LIST_DENY, true)}));
    const auto none = build_lists(ListsRoom::of(tables_), {});
    ASSERT_TRUE(none);
    write_idle_lists(tables_, *none);
    EXPECT_EQ(verdict({false, {10, 0, 0, 1}}), GW_LIST_DENY);
    EXPECT_EQ(verdict({true, {0x20, 1}}), GW_LIST_DENY);
    activate_idle_lists(tables_, *none);
    EXPECT_EQ(verdict({false, {10, 0, 0, 1}}), GW_LIST_NONE);
    EXPECT_EQ(verdict({true, {0x20, 1}}), GW_LIST_NONE);
}

// Few different bytes, so that prefixes lie in each other, of every length.
TEST_F(ListsTest, AgreeWithANaiveSearchWherePrefixesNest)
{
    for (int round = 0; round < 6; round++) {
        const auto some = [&] {
            Address address{random_() % 2 == 0, {}};
            for (size_t i = 0; i < (address.is_ipv6 ? 16U : 4U); i++) {
                address.bytes[i] = static_cast<uint8_t>(random_() % 3 * 127);
            }
            return address;
        };
        Content content;
        for (int i = 0; i < 4000; i++) {
            const Address address = some();
            const int total = address.is_ipv6 ? 128 : 32;
            const int length = static_cast<int>(random_() % static_cast<unsigned>(total + 1));
            content.push_back({.address = cut(address.bytes, length, total),
                               .length_bits = static_cast<uint8_t>(length),
                               .is_ipv6 = address.is_ipv6,
                               .verdict = random_() % 2 == 0 ? GW_LIST_DENY : GW_LIST_ALLOW});
        }
        content = tidy(std::move(content));
        put(content);  // over what the rounds before have left
        compare(content, some, 20'000);
    }
}

// As published lists are: few lengths, many prefixes, spread over the address space.
TEST_F(ListsTest, AgreeWithANaiveSearchOfManyPrefixes)
{
    const auto some = [&] {
        Address address{random_() % 2 == 0, {}};
        const uint64_t high = random_();
        const uint64_t low = random_() & random_() & random_();
        std::memcpy(address.bytes.data(), &high, 8);
        if (address.is_ipv6) {
            std::memcpy(address.bytes.data() + 8, &low, 8);
            address.bytes[0] = 0x20;
            address.bytes[1] = static_cast<uint8_t>(random_() % 4);
        } else {
            std::fill(address.bytes.begin() + 4, address.bytes.end(), 0);
        }
        return address;
    };
    Content content;
    while (content.size() < 60'000) {
        const Address address = some();
        constexpr int kLengths[2][6] = {{32, 32, 24, 24, 22, 16}, {32, 48, 56, 64, 64, 128}};
        const int length = kLengths[address.is_ipv6 ? 1 : 0][random_() % 6];
        content.push_back({.address = cut(address.bytes, length, address.is_ipv6 ? 128 : 32),
                           .length_bits = static_cast<uint8_t>(length),
                           .is_ipv6 = address.is_ipv6,
                           .verdict = random_() % 8 != 0 ? GW_LIST_DENY : GW_LIST_ALLOW});
    }
    content = tidy(std::move(content));
    put(content);
    compare(content, some, 100'000);
}

TEST_F(ListsTest, HaveRoomForAsManyIpv4PrefixesAsTheCapacitySays)
{
    tables_ = make(5000);
    Content content;
    for (int i = 0; i < 5000; i++) {
        // Each in a node and a leaf of its own, which is what takes most.
        content.push_back(listed({i >> 8, i & 255, 7, 9}, 32, GW_LIST_DENY));
    }
    put(tidy(content));
    const auto one_more = [&](ListedPrefix prefix) {
        auto more = content;
        more.push_back(prefix);
        return build_lists(ListsRoom::of(tables_), tidy(more));
    };
    const auto full = one_more(listed({200, 1, 7, 9}, 32, GW_LIST_DENY));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().message,
              "the lists of sources do not fit: they have 5001 prefixes, and the tables were "
              "made for capacity.prefixes: 5000; raise it in the configuration and apply that");
}

TEST_F(ListsTest, HaveRoomForAsManyIpv6PrefixesOfUsualLengths)
{
    tables_ = make(3000);
    Content content;
    for (int i = 0; i < 3000; i++) {
        constexpr int kLengths[] = {32, 48, 64};
        content.push_back(
            listed({0x20, 1, i >> 8, i & 255}, kLengths[i % 3], GW_LIST_DENY, true));
    }
    put(tidy(content));
    compare(tidy(content), [] { return Address{true, {0x20, 1}}; }, 1);
}

TEST_F(ListsTest, SayWhenTheMarkersOfIpv6DoNotFit)
{
    tables_ = make(64);
    Content content;
    // Every length, each prefix apart from the others: as many markers as there can be.
    for (int i = 0; i < 64; i++) {
        content.push_back(listed({i + 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 128,
                                 GW_LIST_DENY, true));
        content.back().address = cut(content.back().address, 128 - i, 128);
        content.back().length_bits = static_cast<uint8_t>(128 - i);
        const auto image = build_lists(ListsRoom::of(tables_), tidy(content));
        if (image) {
            EXPECT_LE(image->lines.size(), tables_.layout().list_lines_max);
        } else {
            EXPECT_TRUE(image.error().message.contains("capacity.prefixes: 64"))
                << image.error().message;
        }
    }
    ListsRoom little = ListsRoom::of(tables_);
    little.lines_max = 32;
    const auto image = build_lists(little, tidy(content));
    ASSERT_FALSE(image);
    EXPECT_TRUE(image.error().message.contains("markers")) << image.error().message;
    little.lines_max = 0;
    EXPECT_FALSE(build_lists(little, tidy(content)));
}

// A table that is nearly full finds every entry by its buckets' flags.
TEST_F(ListsTest, FindWhatWasMovedToItsSecondBucket)
{
    Content content;
    for (int i = 0; i < 700; i++) {
        content.push_back(listed({0x20, 1, i >> 8, i & 255}, 64, GW_LIST_DENY, true));
    }
    ListsRoom room = ListsRoom::of(tables_);
    room.lines_max = 256;  // 768 places
    const auto image = build_lists(room, tidy(content));
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->lines.size(), 256);
    write_idle_lists(tables_, *image);
    activate_idle_lists(tables_, *image);
    compare(
        tidy(content),
        [&] {
            return Address{
                true,
                {0x20, 1, static_cast<uint8_t>(random_()), static_cast<uint8_t>(random_())}};
        },
        5000);
}

}  // namespace
}  // namespace guideway
