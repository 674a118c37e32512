#include "control/model/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace guideway::model {

namespace {

constexpr std::array<uint8_t, 12> kMappedStart = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The bits of byte `index` that belong to a network part of `length_bits`.
uint8_t network_mask(size_t index, int length_bits)
{
    const int bits = std::clamp(length_bits - static_cast<int>(index) * 8, 0, 8);
    return static_cast<uint8_t>(0xff00u >> bits);
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    // inet_pton() reads a C string; a null byte inside would hide what follows it.
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    std::ranges::copy(text, terminated.begin());
    IpAddress address;
    if (inet_pton(AF_INET, terminated.data(), address.bytes.data()) == 1) {
        return address;
    }
    address = {.family = Family::kIpv6, .bytes = {}};
    if (inet_pton(AF_INET6, terminated.data(), address.bytes.data()) == 1 &&
        !std::equal(kMappedStart.begin(), kMappedStart.end(), address.bytes.begin())) {
        return address;
    }
    return std::nullopt;
}

std::string IpAddress::to_string() const
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(is_ipv6() ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
    return text.data();
}

AddressKind IpAddress::kind() const
{
    const bool all_zero = std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
    if (all_zero) {
        return AddressKind::kUnspecified;
    }
    if (is_ipv6()) {
        if (bytes[0] == 0xff) {
            return AddressKind::kMulticast;
        }
        if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) {
            return AddressKind::kLinkLocal;
        }
        const bool only_last = std::all_of(bytes.begin(), bytes.begin() + 15,
                                           [](uint8_t byte) { return byte == 0; });
        return only_last && bytes[15] == 1 ? AddressKind::kLoopback : AddressKind::kUnicast;
    }
    const bool all_ones = std::all_of(bytes.begin(), bytes.begin() + 4,
                                      [](uint8_t byte) { return byte == 0xff; });
    if (all_ones) {
        return AddressKind::kBroadcast;
    }
    if (bytes[0] == 0) {
        return AddressKind::kUnspecified;
    }
    if (bytes[0] == 127) {
        return AddressKind::kLoopback;
    }
    return bytes[0] >= 224 && bytes[0] < 240 ? AddressKind::kMulticast : AddressKind::kUnicast;
}

std::string_view to_string(AddressKind kind)
{
    switch (kind) {
        case AddressKind::kUnicast:
            return "unicast";
        case AddressKind::kUnspecified:
            return "unspecified";
        case AddressKind::kLoopback:
            return "loopback";
        case AddressKind::kMulticast:
            return "multicast";
        case AddressKind::kBroadcast:
            return "broadcast";
        case AddressKind::kLinkLocal:
            return "link-local";
    }
    return "unknown";
}

std::optional<Prefix> Prefix::parse(std::string_view text)
{
    const size_t slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) {
        return std::nullopt;
    }
    Prefix prefix{.address = *address, .length_bits = address->bits()};
    if (slash == std::string_view::npos) {
        return prefix;
    }
    const std::string_view digits = text.substr(slash + 1);
    const bool leading_zero = digits.size() > 1 && digits.front() == '0';
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length_bits);
    if (digits.empty() || leading_zero || error != std::errc() ||
        end != digits.data() + digits.size() || prefix.length_bits < 0 ||
        digits.front() == '-' || prefix.length_bits > address->bits()) {
        return std::nullopt;
    }
    return prefix;
}

std::string Prefix::to_string() const
{
    std::string text = address.to_string();
    if (length_bits != address.bits()) {
        text += "/" + std::to_string(length_bits);
    }
    return text;
}

bool Prefix::contains(const IpAddress &other) const
{
    if (other.family != address.family) {
        return false;
    }
    for (size_t i = 0; i < address.bytes.size(); i++) {
        if (((address.bytes[i] ^ other.bytes[i]) & network_mask(i, length_bits)) != 0) {
            return false;
        }
    }
    return true;
}

bool Prefix::has_host_bits() const
{
    return *this != network();
}

Prefix Prefix::network() const
{
    Prefix prefix = *this;
    for (size_t i = 0; i < address.bytes.size(); i++) {
        prefix.address.bytes[i] &= network_mask(i, length_bits);
    }
    return prefix;
}

}  // namespace guideway::model
