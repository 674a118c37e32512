// Lookups in buckets that are as full as they can be.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/directory.h"
#include "dataplane/tables/tables.hpp"

namespace guideway {
namespace {

constexpr gw_capacity kCapacity{.addresses_max = 16,
                                .services_max = 16,
                                .backends_max = 1,
                                .ring_slots_max = 1,
                                .cpus_max = 1,
                                .pins_max = 4096,
                                .sources_max = 1024,
                                .prefixes_max = 64};

class DirectoryTest : public ::testing::Test {
  protected:
    DirectoryTest() : tables_(Tables::anonymous(kCapacity, gw_hash_key{}).value())
    {
        walk_.tables = tables_.base();
        walk_.layout = &tables_.layout();
        directory_ = &tables_.directory(0);
    }

    // IPv6 addresses that share the bucket of the first.
    std::vector<gw_address> neighbours(size_t count) const
    {
        std::vector<gw_address> found;
        for (uint64_t low = 1; found.size() < count; low++) {
            if (bucket(low) == bucket(1)) {
                found.push_back({kHigh, low});
            }
        }
        return found;
    }

    uint32_t bucket(uint64_t low) const
    {
        return gw_address_hash(directory_->seed, kHigh, low) &
               tables_.layout().address_buckets_mask;
    }

    static constexpr uint64_t kHigh = 0xb80d0120;
    Tables tables_;
    gw_walk walk_{};
    gw_packet packet_{};
    const gw_directory *directory_ = nullptr;
};

TEST_F(DirectoryTest, FindsEveryWayOfAFullAddressBucketAndNoStranger)
{
    const auto keys = neighbours(GW_ADDRESS_WAYS + 1);
    auto &ways = tables_.address_buckets(0)[bucket(1)].way;
    std::copy_n(keys.begin(), GW_ADDRESS_WAYS, ways);
    for (uint32_t way = 0; way < GW_ADDRESS_WAYS; way++) {
        EXPECT_EQ(gw_address_find(&walk_, &packet_, directory_, keys[way].high, keys[way].low),
                  bucket(1) * GW_ADDRESS_WAYS + way);
    }
    EXPECT_EQ(gw_address_find(&walk_, &packet_, directory_, keys.back().high, keys.back().low),
              GW_INDEX_NONE);
}

// The halves are compared together: half an address is not that address.
TEST_F(DirectoryTest, HalfAnAddressIsNotFound)
{
    tables_.address_buckets(0)[bucket(1)].way[0] = {kHigh + 1, 1};
    EXPECT_EQ(gw_address_find(&walk_, &packet_, directory_, kHigh, 1), GW_INDEX_NONE);
    tables_.address_buckets(0)[bucket(1)].way[0] = {kHigh, 2};
    EXPECT_EQ(gw_address_find(&walk_, &packet_, directory_, kHigh, 1), GW_INDEX_NONE);
}

TEST_F(DirectoryTest, FindsEveryWayOfAFullPortBucketAndNoStranger)
{
    auto bucket_of = [this](uint64_t key) {
        return gw_port_hash(directory_->seed, key) & tables_.layout().port_buckets_mask;
    };
    std::vector<uint64_t> keys;
    for (uint32_t port = 0; keys.size() < GW_PORT_WAYS + 1; port++) {
        ASSERT_LT(port, 65536U);
        const uint64_t key = gw_port_key(3, 6, static_cast<uint16_t>(port));
        if (keys.empty() || bucket_of(key) == bucket_of(keys.front())) {
            keys.push_back(key);
        }
    }
    auto &ways = tables_.port_buckets(0)[bucket_of(keys.front())].way;
    for (size_t way = 0; way < GW_PORT_WAYS; way++) {
        ways[way] = keys[way] | (100 + way);
    }
    for (size_t way = 0; way < GW_PORT_WAYS; way++) {
        EXPECT_EQ(gw_port_find(&walk_, directory_, keys[way]), 100 + way);
    }
    EXPECT_EQ(gw_port_find(&walk_, directory_, keys.back()), GW_INDEX_NONE);
}

TEST_F(DirectoryTest, TheActiveCopyIsTheOneThatPacketsUse)
{
    EXPECT_EQ(gw_directory_current(&walk_), &tables_.directory(0));
    tables_.header().active_directory = 1;
    EXPECT_EQ(gw_directory_current(&walk_), &tables_.directory(1));
}

}  // namespace
}  // namespace guideway
