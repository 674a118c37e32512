// Which flow a frame is of, for people and reports: read leniently, whatever the core makes of it.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace guideway::replay {

// Addresses in network order; of IPv4 the first four bytes are used, the rest is zero. Ports of
// TCP and UDP only, and of the first fragment.
struct FlowKey {
    std::array<uint8_t, 16> source{};
    std::array<uint8_t, 16> destination{};
    uint16_t source_port = 0;
    uint16_t destination_port = 0;
    uint8_t protocol = 0;
    bool is_ipv6 = false;

    auto operator<=>(const FlowKey &) const = default;
};

// "tcp 192.0.2.1:51234 -> 203.0.113.10:443"
[[nodiscard]] std::string to_string(const FlowKey &key);
[[nodiscard]] std::string address_text(const std::array<uint8_t, 16> &address, bool is_ipv6);
[[nodiscard]] std::string protocol_text(uint8_t protocol, bool is_ipv6);

// What the headers of a frame say.
struct Dissection {
    std::vector<uint16_t> vlans;  // tags, the outermost first
    uint16_t ether_type = 0;
    bool is_ip = false;  // and what follows is filled in
    FlowKey flow;
    size_t l3_offset = 0;
    uint32_t packet_bytes = 0;  // by the IP header
    uint8_t hops = 0;
    bool is_fragment = false;  // also a first one
    bool has_ports = false;
    std::optional<uint8_t> tcp_flags;
    std::optional<uint8_t> icmp_type;
    // Of the frame, to the end of the last header that decides on it, as far as it is known; for
    // TCP the fixed header, for ICMP errors what they quote.
    size_t deciding_bytes = 0;
};
[[nodiscard]] Dissection dissect(std::span<const uint8_t> frame);

}  // namespace guideway::replay
