// The numbers behind the names of the packet notation.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace guideway::packets {

inline const std::map<std::string, uint8_t, std::less<>> kProtocols = {
    {"tcp", 6},        {"udp", 17},    {"icmp", 1},     {"icmpv6", 58},  {"ipv4", 4},
    {"ipv6", 41},      {"hopopts", 0}, {"routing", 43}, {"dstopts", 60}, {"ah", 51},
    {"mobility", 135}, {"hip", 139},   {"shim6", 140},  {"fragment", 44}};

inline const std::map<std::string, uint16_t, std::less<>> kEtherTypes = {
    {"vlan", 0x8100}, {"qinq", 0x88a8}, {"ipv4", 0x0800}, {"ipv6", 0x86dd}};

inline const std::map<std::string, uint8_t, std::less<>> kIcmpTypes = {
    {"echo-reply", 0},   {"unreachable", 3},    {"fragmentation-needed", 3},
    {"echo-request", 8}, {"time-exceeded", 11}, {"parameter-problem", 12}};

inline const std::map<std::string, uint8_t, std::less<>> kIcmpv6Types = {
    {"unreachable", 1},       {"too-big", 2},        {"time-exceeded", 3},
    {"parameter-problem", 4}, {"echo-request", 128}, {"echo-reply", 129}};

inline constexpr std::array<std::string_view, 8> kTcpFlags = {"FIN", "SYN", "RST", "PSH",
                                                              "ACK", "URG", "ECE", "CWR"};

}  // namespace guideway::packets
