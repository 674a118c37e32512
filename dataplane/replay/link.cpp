#include "dataplane/replay/link.hpp"

#include <algorithm>
#include <array>

#include "dataplane/core/wire.h"
#include "dataplane/replay/be16.hpp"
#include "dataplane/replay/flow.hpp"

namespace guideway::replay {
namespace {

using Mac = std::array<uint8_t, 6>;

// Locally administered, and unicast or not as the packet was.
constexpr Mac kOurs = {2, 0, 0, 0, 0, 1};
constexpr Mac kTheirs = {2, 0, 0, 0, 0, 2};
constexpr Mac kEverybody = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr Mac kGroup = {1, 0, 0x5e, 0, 0, 1};

// Of cooked captures: linux/if_packet.h, PACKET_*.
enum CookedType : uint16_t { kToUs = 0, kBroadcast = 1, kMulticast = 2 };
constexpr size_t kCookedBytes = 16;
constexpr size_t kCooked2Bytes = 20;
constexpr uint16_t kEtherTypeMin = 0x600;  // below it: a length (IEEE 802.3)

void put_ethernet(std::vector<uint8_t> &frame, const Mac &to, const Mac &from, uint16_t type)
{
    frame.insert(frame.end(), to.begin(), to.end());
    frame.insert(frame.end(), from.begin(), from.end());
    frame.push_back(static_cast<uint8_t>(type >> 8));
    frame.push_back(static_cast<uint8_t>(type));
}

// The fields that both versions have, wherever they are.
struct Cooked {
    uint16_t type = 0;
    uint16_t protocol = 0;
    uint16_t address_bytes = 0;
    std::span<const uint8_t> address;
};

Unusable put_cooked(const Cooked &cooked, std::vector<uint8_t> &frame)
{
    if (cooked.protocol < kEtherTypeMin) {
        return Unusable::kForeign;
    }
    Mac from = kTheirs;
    if (cooked.address_bytes == from.size()) {
        std::ranges::copy(cooked.address.first(from.size()), from.begin());
    }
    const Mac &to = cooked.type == kBroadcast   ? kEverybody
                    : cooked.type == kMulticast ? kGroup
                                                : kOurs;
    put_ethernet(frame, to, from, cooked.protocol);
    return Unusable::kNo;
}

Unusable put_header(Link link, std::span<const uint8_t> bytes, std::vector<uint8_t> &frame)
{
    if (bytes.size() < link_bytes(link).captured) {
        return Unusable::kShort;
    }
    switch (link) {
        case Link::kEthernet:
            return Unusable::kNo;
        case Link::kRawIp:
            if (bytes.empty()) {
                return Unusable::kShort;
            }
            put_ethernet(frame, kOurs, kTheirs,
                         bytes[0] >> 4 == 6 ? GW_ETHERTYPE_IPV6 : GW_ETHERTYPE_IPV4);
            return Unusable::kNo;
        case Link::kCooked:
            return put_cooked({.type = be16_at(bytes, 0),
                               .protocol = be16_at(bytes, 14),
                               .address_bytes = be16_at(bytes, 4),
                               .address = bytes.subspan(6, 8)},
                              frame);
        case Link::kCooked2:
            return put_cooked({.type = bytes[10],
                               .protocol = be16_at(bytes, 0),
                               .address_bytes = bytes[11],
                               .address = bytes.subspan(12, 8)},
                              frame);
    }
    return Unusable::kForeign;
}

}  // namespace

LinkBytes link_bytes(Link link)
{
    switch (link) {
        case Link::kEthernet:
            return {};
        case Link::kRawIp:
            return {.captured = 0, .ethernet = GW_ETHERNET_BYTES};
        case Link::kCooked:
            return {.captured = kCookedBytes, .ethernet = GW_ETHERNET_BYTES};
        case Link::kCooked2:
            return {.captured = kCooked2Bytes, .ethernet = GW_ETHERNET_BYTES};
    }
    return {};
}

Unusable to_ethernet(Link link, const CapturedPacket &packet, std::vector<uint8_t> &frame)
{
    frame.clear();
    if (const auto unusable = put_header(link, packet.bytes, frame);
        unusable != Unusable::kNo) {
        return unusable;
    }
    const auto lengths = link_bytes(link);
    const uint64_t whole_bytes = packet.original_bytes -
                                 std::min<uint64_t>(lengths.captured, packet.original_bytes) +
                                 lengths.ethernet;
    const auto rest = packet.bytes.subspan(lengths.captured);
    if (frame.size() + rest.size() > kFrameBytesMax) {
        return Unusable::kLong;
    }
    frame.insert(frame.end(), rest.begin(), rest.end());
    if (frame.size() < kFrameBytesMin) {
        return Unusable::kShort;
    }
    if (frame.size() < whole_bytes) {
        const auto found = dissect(frame);
        if (found.is_ip && found.deciding_bytes <= frame.size()) {
            if (whole_bytes > kFrameBytesMax) {
                return Unusable::kLong;
            }
            frame.resize(whole_bytes);
        }
    }
    return Unusable::kNo;
}

}  // namespace guideway::replay
