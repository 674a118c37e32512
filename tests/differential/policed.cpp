#include "tests/differential/policed.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "tests/packets/notation.hpp"

namespace guideway::differential {

using packets::Address;
using packets::Bytes;
using packets::Limit;
using packets::World;

namespace {

// Where the source is in a frame; nothing where there is no whole IP header.
std::span<uint8_t> source_of(Bytes &frame)
{
    const auto range = packets::ip_range(frame);
    if (range.begin >= range.end) {
        return {};
    }
    const bool is_ipv6 = frame[range.begin] >> 4 == 6;
    if (range.begin + (is_ipv6 ? 40 : 20) > frame.size()) {
        return {};
    }
    return std::span(frame).subspan(range.begin + (is_ipv6 ? 8 : 12), is_ipv6 ? 16 : 4);
}

template <typename T, size_t N>
T any_of(const std::array<T, N> &choices, Random &random)
{
    return choices[below(random, N)];
}

Limit any_limit(const World &world, size_t number, Random &random)
{
    static constexpr std::array<uint8_t, 4> kIpv4Bits = {32, 32, 24, 0};
    static constexpr std::array<uint8_t, 5> kIpv6Bits = {64, 64, 48, 128, 0};
    Limit limit;
    limit.name = std::to_string(number);
    limit.kind = any_of<gw_limit_kind, 4>(
        {GW_LIMIT_NEW_CONNECTIONS, GW_LIMIT_PACKETS, GW_LIMIT_PACKETS, GW_LIMIT_BYTES}, random);
    // From what every packet has to what is refilled once in a long while; bytes have a burst of
    // a few packets.
    limit.interval_ns = uint64_t{1} << (20 + below(random, 14));
    limit.burst = 1 + below(random, 5);
    if (limit.kind == GW_LIMIT_BYTES) {
        limit.interval_ns >>= 6;
        limit.burst += below(random, 300);
    }
    limit.ipv4_bits = any_of(kIpv4Bits, random);
    limit.ipv6_bits = any_of(kIpv6Bits, random);
    if (below(random, 4) == 0) {
        limit.ipv4_bits = static_cast<uint8_t>(below(random, 33));
        limit.ipv6_bits = static_cast<uint8_t>(below(random, 129));
    }
    limit.all_sources = below(random, 5) == 0;
    limit.observes = below(random, 4) == 0;
    for (const auto &service : world.services) {
        if (below(random, 2) == 0) {
            limit.services.push_back(service.name);
        }
    }
    if (limit.services.empty()) {
        limit.services.push_back(world.services[below(random, world.services.size())].name);
    }
    return limit;
}

ListedPrefix any_prefix(std::span<const Address> sources, Random &random)
{
    const Address &source = sources[below(random, sources.size())];
    const uint64_t bits = source.is_ipv6 ? 128 : 32;
    ListedPrefix prefix{.address = source.bytes,
                        .length_bits = static_cast<uint8_t>(
                            below(random, 16) == 0 ? below(random, bits + 1)
                                                   : bits / 2 + below(random, bits / 2 + 1)),
                        .is_ipv6 = source.is_ipv6,
                        .verdict = below(random, 2) == 0 ? GW_LIST_DENY : GW_LIST_ALLOW};
    for (size_t bit = prefix.length_bits; bit < 128; bit++) {
        prefix.address[bit / 8] &= static_cast<uint8_t>(~(0x80U >> bit % 8));
    }
    return prefix;
}

auto key_of(const ListedPrefix &prefix)
{
    return std::tuple(prefix.is_ipv6, prefix.address, prefix.length_bits);
}

}  // namespace

std::vector<Address> sources_of(const packets::Case &packet_case)
{
    std::vector<Address> sources;
    for (const auto &step : packet_case.steps) {
        auto frame = packets::frame_from_text(packets::substitute(step.in, step.first));
        const auto found = frame ? source_of(*frame) : std::span<uint8_t>{};
        if (found.empty()) {
            continue;
        }
        Address address{.is_ipv6 = found.size() == 16};
        std::ranges::copy(found, address.bytes.begin());
        if (std::ranges::find(sources, address) == sources.end()) {
            sources.push_back(address);
        }
    }
    return sources;
}

World policed_world(World world, std::span<const Address> sources, Random &random)
{
    static constexpr std::array<size_t, 6> kLimits = {0, 1, 1, 2, 3, 6};
    world.limits.clear();
    world.listed.clear();
    world.sources_max = 16U << below(random, 3);
    const size_t limits = world.services.empty() ? 0 : any_of(kLimits, random);
    for (size_t i = 0; i < limits; i++) {
        world.limits.push_back(any_limit(world, i, random));
    }
    if (sources.empty() || below(random, 2) == 0) {
        return world;
    }
    for (uint64_t i = 1 + below(random, 20); i > 0; i--) {
        const auto prefix = any_prefix(sources, random);
        if (std::ranges::find(world.listed, key_of(prefix), key_of) == world.listed.end()) {
            world.listed.push_back(prefix);
        }
    }
    return world;
}

void mutate_source(Bytes &frame, Random &random)
{
    const auto source = source_of(frame);
    if (source.empty() || below(random, 2) == 0) {
        return;
    }
    if (below(random, 8) == 0) {
        // Any bit but those of the first byte, which make it a source that cannot be.
        source[1 + below(random, source.size() - 1)] ^= 1U << below(random, 8);
        return;
    }
    const size_t at = below(random, 4) == 0 ? source.size() / 2 - 1 : source.size() - 1;
    source[at] = static_cast<uint8_t>((source[at] & 0xf0) | below(random, 16));
}

}  // namespace guideway::differential
