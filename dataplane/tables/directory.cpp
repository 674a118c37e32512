#include "dataplane/tables/directory.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <utility>

namespace guideway {
namespace {

constexpr int kSeedsMax = 1000;

unsigned idle_copy(const Tables &tables)
{
    return tables.header().active_directory == 0 ? 1 : 0;
}

uint64_t seed_number(int attempt)
{
    return (0x9e3779b97f4a7c15ULL * (2 * static_cast<uint64_t>(attempt) + 1)) | 1;
}

bool is_empty(const gw_address &address)
{
    return (address.high | address.low) == 0;
}

// The index the address was given, or GW_INDEX_NONE-like failure by returning false.
bool place_address(std::span<gw_address_bucket> buckets, uint64_t seed, const gw_address &key,
                   uint32_t &index)
{
    const uint32_t bucket =
        gw_address_hash(seed, key.high, key.low) & static_cast<uint32_t>(buckets.size() - 1);
    for (uint32_t way = 0; way < GW_ADDRESS_WAYS; way++) {
        if (is_empty(buckets[bucket].way[way])) {
            buckets[bucket].way[way] = key;
            index = bucket * GW_ADDRESS_WAYS + way;
            return true;
        }
    }
    return false;
}

bool place_port(std::span<gw_port_bucket> buckets, uint64_t seed, uint64_t key, uint32_t value)
{
    const uint32_t bucket = gw_port_hash(seed, key) & static_cast<uint32_t>(buckets.size() - 1);
    for (uint64_t &way : buckets[bucket].way) {
        if (way == 0) {
            way = key | value;
            return true;
        }
    }
    return false;
}

bool place_all(DirectoryImage &image, const std::vector<DirectoryEntry> &entries)
{
    const std::span addresses(image.addresses);
    const std::span ports(image.ports);
    const uint64_t seed = image.seed;
    std::map<std::pair<uint64_t, uint64_t>, uint32_t> placed;
    for (const auto &entry : entries) {
        const std::pair key{entry.address.high, entry.address.low};
        auto known = placed.find(key);
        if (known == placed.end()) {
            uint32_t index = 0;
            if (!place_address(addresses, seed, entry.address, index) ||
                !place_port(ports, seed, gw_port_key(index, 0, 0), entry.unmatched)) {
                return false;
            }
            known = placed.emplace(key, index).first;
        }
        const uint64_t port_key = gw_port_key(known->second, entry.protocol, entry.port_raw);
        if (!place_port(ports, seed, port_key, entry.service)) {
            return false;
        }
    }
    return true;
}

}  // namespace

Result<DirectoryImage> build_directory(const gw_layout &layout,
                                       const std::vector<DirectoryEntry> &entries)
{
    for (int attempt = 0; attempt < kSeedsMax; attempt++) {
        DirectoryImage image{
            .seed = seed_number(attempt),
            .addresses = std::vector<gw_address_bucket>(layout.address_buckets_mask + 1UL),
            .ports = std::vector<gw_port_bucket>(layout.port_buckets_mask + 1UL)};
        if (place_all(image, entries)) {
            return image;
        }
    }
    return fail("cannot place " + std::to_string(entries.size()) +
                " services in the directory with any of " + std::to_string(kSeedsMax) +
                " seeds; raise capacity.addresses or capacity.services");
}

void write_idle_directory(const Tables &tables, const DirectoryImage &image)
{
    const unsigned copy = idle_copy(tables);
    tables.directory(copy).seed = image.seed;
    std::ranges::copy(image.addresses, tables.address_buckets(copy).begin());
    std::ranges::copy(image.ports, tables.port_buckets(copy).begin());
}

void activate_idle_directory(const Tables &tables)
{
    std::atomic_ref(tables.header().active_directory)
        .store(idle_copy(tables), std::memory_order_release);
}

}  // namespace guideway
