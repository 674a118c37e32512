#include "tests/packets/dissect.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string_view>

namespace guideway::packets {
namespace {

struct Shape {
    std::string_view name;
    size_t bytes;
};

constexpr std::array<Shape, 3> kEthernet{{{"destination", 6}, {"source", 6}, {"type", 2}}};
constexpr std::array<Shape, 2> kVlan{{{"control", 2}, {"type", 2}}};
constexpr std::array<Shape, 10> kIpv4{{{"version-ihl", 1},
                                       {"tos", 1},
                                       {"length", 2},
                                       {"id", 2},
                                       {"fragment", 2},
                                       {"ttl", 1},
                                       {"protocol", 1},
                                       {"checksum", 2},
                                       {"source", 4},
                                       {"destination", 4}}};
constexpr std::array<Shape, 6> kIpv6{{{"version-class-label", 4},
                                      {"length", 2},
                                      {"next", 1},
                                      {"hops", 1},
                                      {"source", 16},
                                      {"destination", 16}}};
constexpr std::array<Shape, 8> kTcp{{{"source", 2},
                                     {"destination", 2},
                                     {"seq", 4},
                                     {"ack", 4},
                                     {"offset-flags", 2},
                                     {"window", 2},
                                     {"checksum", 2},
                                     {"urgent", 2}}};
constexpr std::array<Shape, 4> kUdp{
    {{"source", 2}, {"destination", 2}, {"length", 2}, {"checksum", 2}}};
constexpr std::array<Shape, 4> kIcmp{{{"type", 1}, {"code", 1}, {"checksum", 2}, {"rest", 4}}};

class Dissector {
  public:
    explicit Dissector(const Bytes &frame) : frame_(frame) {}

    std::vector<Field> dissect()
    {
        if (take("ethernet", kEthernet)) {
            link(get16(at_ - 2), 0);
        }
        while (at_ < frame_.size()) {
            field("data", std::min<size_t>(16, frame_.size() - at_));
        }
        return std::move(fields_);
    }

  private:
    [[nodiscard]] uint16_t get16(size_t at) const
    {
        return static_cast<uint16_t>(frame_[at] << 8 | frame_[at + 1]);
    }

    void field(const std::string &name, size_t bytes)
    {
        std::string value;
        std::array<char, INET6_ADDRSTRLEN> text{};
        const bool is_address = (bytes == 4 || bytes == 16) &&
                                (name.ends_with(".source") || name.ends_with(".destination"));
        if (is_address && inet_ntop(bytes == 16 ? AF_INET6 : AF_INET, &frame_[at_], text.data(),
                                    text.size()) != nullptr) {
            value = text.data();
        } else {
            constexpr std::string_view kDigits = "0123456789abcdef";
            for (size_t i = 0; i < bytes; i++) {
                value += kDigits[frame_[at_ + i] >> 4];
                value += kDigits[frame_[at_ + i] & 15];
            }
        }
        fields_.push_back({at_, name, value});
        at_ += bytes;
    }

    // Takes a header of this shape if the frame still holds one.
    bool take(const std::string &kind, std::span<const Shape> shape)
    {
        size_t bytes = 0;
        for (const auto &part : shape) {
            bytes += part.bytes;
        }
        if (at_ + bytes > frame_.size()) {
            return false;
        }
        const std::string name = kind + std::string(seen_[kind]++, '\'');
        for (const auto &part : shape) {
            field(name + "." + std::string(part.name), part.bytes);
        }
        return true;
    }

    void link(uint16_t type, int tags)
    {
        if ((type == 0x8100 || type == 0x88a8) && tags < 2) {
            if (take("vlan", kVlan)) {
                link(get16(at_ - 2), tags + 1);
            }
        } else if (type == 0x0800) {
            network(4);
        } else if (type == 0x86dd) {
            network(41);
        }
    }

    void network(uint8_t protocol)
    {
        const size_t begin = at_;
        if (protocol == 4 && take("ipv4", kIpv4)) {
            const size_t header_bytes = (frame_[begin] & 15) * 4UL;
            if (header_bytes > 20 && begin + header_bytes <= frame_.size()) {
                field("ipv4.options", header_bytes - 20);
            }
            network(frame_[begin + 9]);
        } else if (protocol == 41 && take("ipv6", kIpv6)) {
            network(frame_[begin + 6]);
        } else if (protocol == 6) {
            take("tcp", kTcp);
        } else if (protocol == 17) {
            take("udp", kUdp);
        } else if (protocol == 1 && take("icmp", kIcmp)) {
            const uint8_t type = frame_[begin];
            if (type == 3 || type == 11 || type == 12) {
                network(4);
            }
        } else if (protocol == 58 && take("icmpv6", kIcmp)) {
            if (frame_[begin] < 128) {
                network(41);
            }
        }
    }

    const Bytes &frame_;
    size_t at_ = 0;
    std::vector<Field> fields_;
    std::map<std::string, size_t> seen_;
};

}  // namespace

std::vector<Field> dissect(const Bytes &frame)
{
    return Dissector(frame).dissect();
}

std::string describe_difference(const Bytes &expected, const Bytes &actual)
{
    if (expected.empty() != actual.empty()) {
        return expected.empty() ? "    expected no frame, got one\n"
                                : "    expected a frame, got none\n";
    }
    std::string text;
    if (expected.size() != actual.size()) {
        text += "    frame length: expected " + std::to_string(expected.size()) + ", got " +
                std::to_string(actual.size()) + "\n";
    }
    const auto want = dissect(expected);
    const auto have = dissect(actual);
    for (size_t i = 0; i < std::max(want.size(), have.size()); i++) {
        const Field nothing{.offset = 0, .name = "nothing", .value = ""};
        const Field &w = i < want.size() ? want[i] : nothing;
        const Field &h = i < have.size() ? have[i] : nothing;
        if (w.name == h.name && w.value == h.value) {
            continue;
        }
        text += "    at byte " + std::to_string(i < want.size() ? w.offset : h.offset) +
                ": expected " + w.name + " " + w.value + ", got " +
                (h.name == w.name ? "" : h.name + " ") + h.value + "\n";
    }
    return text;
}

}  // namespace guideway::packets
