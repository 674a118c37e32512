// IP addresses and prefixes as values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace guideway::model {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

// What an address can be used for. Only unicast can be a service, a backend or a source;
// link-local is told apart for IPv6 only, where it means nothing without an interface.
enum class AddressKind : uint8_t {
    kUnicast,
    kUnspecified,  // ::, and all of 0.0.0.0/8
    kLoopback,
    kMulticast,
    kBroadcast,
    kLinkLocal,
};
[[nodiscard]] std::string_view to_string(AddressKind kind);

// `bytes` in network order; an IPv4 address uses the first four, the rest are zero.
struct IpAddress {
    Family family = Family::kIpv4;
    std::array<uint8_t, 16> bytes{};

    // Accepts exactly the textual forms of inet_pton(3); nullopt otherwise. An IPv4-mapped
    // IPv6 address is refused: it would be a second name for an IPv4 address.
    [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;  // RFC 5952 for IPv6
    [[nodiscard]] AddressKind kind() const;
    [[nodiscard]] bool is_ipv6() const { return family == Family::kIpv6; }
    [[nodiscard]] int bits() const { return is_ipv6() ? 128 : 32; }

    auto operator<=>(const IpAddress &) const = default;
};

// An address with the length of its network part in bits. For a tunnel source, the host
// bits carry entropy; a plain address is a prefix of full length.
struct Prefix {
    IpAddress address;
    int length_bits = 0;

    [[nodiscard]] static std::optional<Prefix> parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;  // without "/len" at full length
    [[nodiscard]] bool contains(const IpAddress &address) const;
    [[nodiscard]] bool has_host_bits() const;  // that are not zero
    [[nodiscard]] Prefix network() const;      // the same with host bits zero

    auto operator<=>(const Prefix &) const = default;
};

}  // namespace guideway::model
