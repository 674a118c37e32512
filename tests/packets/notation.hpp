// Packets as text. A frame is a list of layers, separated by " / ", outermost first:
//
//   ethernet 02:00:00:00:00:01 -> 02:00:00:00:00:02 / vlan 100
//       / ipv4 192.0.2.1 -> 203.0.113.10 ttl 64 dscp 10 df / tcp 40000 -> 443 SYN
//       / payload 100
//
// Lengths, types and checksums are filled in; each can be overridden to make a packet
// that lies. Numbers are decimal or 0x-hexadecimal.
//
//   ethernet MAC -> MAC [type N]
//   vlan ID [priority N] [type N]          802.1Q tag; `qinq` is the same with 802.1ad's type
//   ipv4 A -> B [ttl N] [dscp N] [ecn N] [id N] [df] [mf] [offset N] [protocol N]
//        [length N] [version N] [options HEX] [checksum N]
//   ipv6 A -> B [hops N] [dscp N] [ecn N] [label N] [next N] [length N] [version N]
//   hopopts | routing | dstopts | ah | mobility | hip | shim6 [next N]
//   fragment [offset N] [more] [next N]
//   tcp PORT -> PORT [SYN|ACK|FIN|RST|PSH|URG|ECE|CWR]... [seq N] [ack N] [checksum N]
//   udp PORT -> PORT [length N] [checksum N]
//   icmp WHAT [code N] [id N] [seq N] [mtu N] [checksum N]; WHAT: echo-request, echo-reply,
//        unreachable, fragmentation-needed, time-exceeded, parameter-problem or a number
//   icmpv6 WHAT ...; WHAT: echo-request, echo-reply, unreachable, too-big, time-exceeded,
//        parameter-problem or a number
//   payload N            N bytes 00 01 02 ...
//   hex HEX...           these bytes
//   inner                the IP packet of the received frame, by its own length
//   quote N              its first N bytes
//   trailer              what the received frame holds after its IP packet (comes last)
//   pad N                zeros up to a frame of N bytes (comes last)
//   cut N                only the first N bytes of the frame (comes last)
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/error.hpp"

namespace guideway::packets {

using Bytes = std::vector<uint8_t>;

// `received` is what `inner`, `quote` and `trailer` refer to.
[[nodiscard]] Result<Bytes> frame_from_text(std::string_view text, const Bytes &received = {});

// The RFC 1071 sum over `bytes`, added to `sum`, unfolded. An odd last byte is the upper
// half of its word. Written for clarity: it checks the core's checksums.
[[nodiscard]] uint64_t internet_sum(const uint8_t *bytes, size_t count, uint64_t sum = 0);
[[nodiscard]] uint16_t internet_checksum(uint64_t sum);

// Where the IP packet of a frame begins and ends, by EtherType, tags and the packet's own
// length; clamped to the frame. begin == end when there is none.
struct IpRange {
    size_t begin = 0;
    size_t end = 0;
};
[[nodiscard]] IpRange ip_range(const Bytes &frame);
// Whether it is a TCP segment that begins a connection: SYN without ACK and RST.
[[nodiscard]] bool is_syn(const Bytes &frame);

}  // namespace guideway::packets
