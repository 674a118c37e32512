// Frames of every link type as the Ethernet frames that the core reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/replay/capture.hpp"

namespace guideway::replay {

// The longest frame that is replayed is the longest that an engine's buffer of 65,535 bytes holds
// beside its headroom; the shortest is what a kernel test run takes.
inline constexpr size_t kFrameBytesMax = 65535 - 216;
inline constexpr size_t kFrameBytesMin = 14;

enum class Unusable : uint8_t {
    kNo,
    kShort,    // no whole Ethernet header
    kLong,     // longer than kFrameBytesMax
    kForeign,  // of a cooked capture: no Ethernet type, such as 802.2 frames
};

// Puts the packet into `frame`. One of another link type is given an Ethernet header, from and to
// addresses that are made up where the capture has none:
//
//   Linux cooked   0      2        4              6         14         16
//   (version 1)    +------+--------+--------------+---------+----------+---------
//                  | type | ARPHRD | address size | address | protocol | packet
//                  +------+--------+--------------+---------+----------+---------
//   version 2      0          2   4           8        10     11             12        20
//                  +----------+---+-----------+--------+------+--------------+---------+-------
//                  | protocol | 0 | interface | ARPHRD | type | address size | address | packet
//                  +----------+---+-----------+--------+------+--------------+---------+-------
//
// What was cut off by the capture is filled with zeros where all headers that decide on the
// packet are there; without them it stays as it is, and is judged as what it is.
[[nodiscard]] Unusable to_ethernet(Link link, const CapturedPacket &packet,
                                   std::vector<uint8_t> &frame);

// Bytes that a link type has in front of the packet, of the capture's and of ours.
struct LinkBytes {
    size_t captured = 0;
    size_t ethernet = 0;
};
[[nodiscard]] LinkBytes link_bytes(Link link);

}  // namespace guideway::replay
