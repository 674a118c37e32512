// Header formats on the wire. All multi-byte fields are in network byte order.
#pragma once

#include "types.h"

#define GW_ETHERTYPE_IPV4 0x0800
#define GW_ETHERTYPE_IPV6 0x86dd
#define GW_ETHERTYPE_VLAN 0x8100  // IEEE 802.1Q customer tag
#define GW_ETHERTYPE_QINQ 0x88a8  // IEEE 802.1ad service tag
#define GW_ETHERNET_BYTES 14
#define GW_VLAN_BYTES 4
#define GW_VLAN_TAGS_MAX 2
#define GW_L2_BYTES_MAX (GW_ETHERNET_BYTES + GW_VLAN_TAGS_MAX * GW_VLAN_BYTES)

#define GW_IPV4_BYTES 20
#define GW_IPV6_BYTES 40

// IANA protocol numbers.
#define GW_PROTO_HOPOPT 0
#define GW_PROTO_ICMP 1
#define GW_PROTO_IPIP 4
#define GW_PROTO_TCP 6
#define GW_PROTO_UDP 17
#define GW_PROTO_IPV6 41
#define GW_PROTO_ROUTING 43
#define GW_PROTO_FRAGMENT 44
#define GW_PROTO_AH 51
#define GW_PROTO_ICMPV6 58
#define GW_PROTO_DSTOPTS 60
#define GW_PROTO_MOBILITY 135
#define GW_PROTO_HIP 139
#define GW_PROTO_SHIM6 140

#define GW_TCP_BYTES_MIN 20
#define GW_TCP_FLAGS_OFFSET 13  // RFC 9293 section 3.1
#define GW_TCP_FIN 0x01
#define GW_TCP_SYN 0x02
#define GW_TCP_RST 0x04
#define GW_TCP_ACK 0x10
#define GW_UDP_BYTES 8
#define GW_ICMP_BYTES 8

struct gw_ethernet {
    uint8_t destination[6];
    uint8_t source[6];
    gw_be16 type;
} GW_WIRE;
GW_STATIC_ASSERT(sizeof(struct gw_ethernet) == GW_ETHERNET_BYTES, "Ethernet II");

// What follows a tag's EtherType: the tag control information and the next EtherType.
struct gw_vlan {
    gw_be16 control;
    gw_be16 type;
} GW_WIRE;
GW_STATIC_ASSERT(sizeof(struct gw_vlan) == GW_VLAN_BYTES, "IEEE 802.1Q");

// RFC 791 section 3.1
struct gw_ipv4 {
    uint8_t version_ihl;
    uint8_t tos;  // DSCP (6 bits) and ECN (2 bits)
    gw_be16 total_bytes;
    gw_be16 id;
    gw_be16 fragment;  // flags (3 bits) and offset (13 bits)
    uint8_t ttl;
    uint8_t protocol;
    gw_be16 checksum;
    gw_be32 source;
    gw_be32 destination;
} GW_WIRE;
GW_STATIC_ASSERT(sizeof(struct gw_ipv4) == GW_IPV4_BYTES, "RFC 791");

#define GW_IPV4_VERSION_IHL 0x45  // version 4, no options
#define GW_IPV4_DONT_FRAGMENT 0x4000
#define GW_IPV4_MORE_FRAGMENTS 0x2000
#define GW_IPV4_FRAGMENT_OFFSET 0x1fff

// RFC 8200 section 3. Addresses are kept as two words, in memory order.
struct gw_ipv6 {
    gw_be32 version_class_label;  // version (4), traffic class (8), flow label (20)
    gw_be16 payload_bytes;
    uint8_t next_header;
    uint8_t hop_limit;
    uint64_t source[2];
    uint64_t destination[2];
} GW_WIRE;
GW_STATIC_ASSERT(sizeof(struct gw_ipv6) == GW_IPV6_BYTES, "RFC 8200");

// RFC 792 and RFC 4443 share this shape; `rest` depends on the type.
struct gw_icmp {
    uint8_t type;
    uint8_t code;
    gw_be16 checksum;
    gw_be32 rest;
} GW_WIRE;
GW_STATIC_ASSERT(sizeof(struct gw_icmp) == GW_ICMP_BYTES, "RFC 792");

#define GW_ICMP_ECHO_REPLY 0
#define GW_ICMP_UNREACHABLE 3
#define GW_ICMP_FRAGMENTATION_NEEDED 4  // code of UNREACHABLE
#define GW_ICMP_ECHO_REQUEST 8
#define GW_ICMP_TIME_EXCEEDED 11
#define GW_ICMP_PARAMETER_PROBLEM 12

// Quotes a packet (RFC 792).
GW_INLINE int gw_icmp_is_error(uint8_t type)
{
    return type == GW_ICMP_UNREACHABLE || type == GW_ICMP_TIME_EXCEEDED ||
           type == GW_ICMP_PARAMETER_PROBLEM;
}

#define GW_ICMPV6_UNREACHABLE 1
#define GW_ICMPV6_PACKET_TOO_BIG 2
#define GW_ICMPV6_TIME_EXCEEDED 3
#define GW_ICMPV6_PARAMETER_PROBLEM 4
#define GW_ICMPV6_ECHO_REQUEST 128
#define GW_ICMPV6_ECHO_REPLY 129

// RFC 4443 section 2.1
GW_INLINE int gw_icmpv6_is_error(uint8_t type)
{
    return type >= GW_ICMPV6_UNREACHABLE && type <= GW_ICMPV6_PARAMETER_PROBLEM;
}
