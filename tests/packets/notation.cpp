#include "tests/packets/notation.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <string>

#include "tests/packets/notation_names.hpp"
#include "tests/packets/words.hpp"

namespace guideway::packets {
namespace {

void put16(Bytes &bytes, uint64_t value)
{
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
}

void put32(Bytes &bytes, uint64_t value)
{
    put16(bytes, value >> 16);
    put16(bytes, value);
}

void set16(Bytes &bytes, size_t at, uint64_t value)
{
    bytes[at] = static_cast<uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<uint8_t>(value);
}

void append(Bytes &bytes, std::span<const uint8_t> more)
{
    bytes.insert(bytes.end(), more.begin(), more.end());
}

// A value that the builder fills in unless the text gives it.
using Override = std::optional<uint64_t>;

// The IP header that a Layer 4 checksum includes.
struct Parent {
    Address source;
    Address destination;
    bool known = false;
};

uint64_t pseudo_header_sum(const Parent &parent, uint8_t protocol, size_t bytes)
{
    uint64_t sum = internet_sum(parent.source.bytes.data(), parent.source.size());
    sum = internet_sum(parent.destination.bytes.data(), parent.destination.size(), sum);
    return sum + protocol + (bytes >> 16) + (bytes & 0xffff);
}

class Builder {
  public:
    Builder(std::vector<std::pair<std::string, Words>> layers, const Bytes &received)
        : layers_(std::move(layers)), received_(received)
    {
    }

    Result<Bytes> build()
    {
        Bytes frame = from(0, {});
        for (; next_ < layers_.size() && !error_; next_++) {
            tail(layers_[next_].first, layers_[next_].second, frame);
        }
        for (auto &[kind, words] : layers_) {
            if (!words.error() && !words.done()) {
                words.fail("does not know '" + std::string(words.peek()) + "'");
            }
            if (words.error() && !error_) {
                error_ = kind + ": " + *words.error();
            }
        }
        if (error_) {
            return guideway::fail(*error_);
        }
        return frame;
    }

  private:
    // The layer at `index` and all it carries.
    Bytes from(size_t index, const Parent &parent);
    Bytes ethernet(size_t index, Words &words);
    Bytes vlan(size_t index, Words &words);
    Bytes ipv4(size_t index, Words &words);
    Bytes ipv6(size_t index, Words &words);
    Bytes extension(size_t index, Words &words, const Parent &parent);
    Bytes tcp(size_t index, Words &words, const Parent &parent);
    Bytes udp(size_t index, Words &words, const Parent &parent);
    Bytes icmp(size_t index, Words &words, const Parent &parent, bool is_ipv6);
    Bytes payload(size_t index, Words &words);
    void tail(const std::string &kind, Words &words, Bytes &frame);

    // What kind of layer `index` is; what was received counts as what it is.
    [[nodiscard]] std::string kind_of(size_t index) const
    {
        if (index >= layers_.size()) {
            return "";
        }
        const auto &kind = layers_[index].first;
        if (kind == "inner" || kind == "quote") {
            const auto range = ip_range(received_);
            const bool is_ipv6 = range.begin < range.end && received_[range.begin] >> 4 == 6;
            return is_ipv6 ? "ipv6" : "ipv4";
        }
        return kind;
    }

    [[nodiscard]] uint8_t protocol_of(size_t index) const
    {
        const auto found = kProtocols.find(kind_of(index));
        return found == kProtocols.end() ? 253 : found->second;  // RFC 3692: experiments
    }

    [[nodiscard]] uint16_t ether_type_of(size_t index) const
    {
        const auto found = kEtherTypes.find(kind_of(index));
        return found == kEtherTypes.end() ? 0x88b5 : found->second;  // local experiments
    }

    std::vector<std::pair<std::string, Words>> layers_;
    const Bytes &received_;
    size_t next_ = 0;  // the first layer that is not part of the nesting
    std::optional<std::string> error_;
};

bool is_tail(std::string_view kind)
{
    return kind == "pad" || kind == "cut" || kind == "trailer";
}

Bytes Builder::from(size_t index, const Parent &parent)
{
    next_ = index;
    if (index >= layers_.size() || is_tail(layers_[index].first) || error_) {
        return {};
    }
    auto &[kind, words] = layers_[index];
    if (kind == "ethernet") {
        return ethernet(index, words);
    }
    if (kind == "vlan" || kind == "qinq") {
        return vlan(index, words);
    }
    if (kind == "ipv4") {
        return ipv4(index, words);
    }
    if (kind == "ipv6") {
        return ipv6(index, words);
    }
    if (kind == "tcp") {
        return tcp(index, words, parent);
    }
    if (kind == "udp") {
        return udp(index, words, parent);
    }
    if (kind == "icmp" || kind == "icmpv6") {
        return icmp(index, words, parent, kind == "icmpv6");
    }
    if (kProtocols.contains(kind)) {
        return extension(index, words, parent);
    }
    return payload(index, words);
}

Bytes Builder::ethernet(size_t index, Words &words)
{
    const Mac source = words.mac("the source");
    words.expect("->");
    const Mac destination = words.mac("the destination");
    uint64_t type = ether_type_of(index + 1);
    if (words.accept("type")) {
        type = words.number("the EtherType", 0xffff);
    }
    Bytes bytes;
    append(bytes, destination);
    append(bytes, source);
    put16(bytes, type);
    append(bytes, from(index + 1, {}));
    return bytes;
}

Bytes Builder::vlan(size_t index, Words &words)
{
    uint64_t control = words.number("the VLAN id", 4095);
    uint64_t type = ether_type_of(index + 1);
    while (!words.done()) {
        if (words.accept("priority")) {
            control |= words.number("the priority", 7) << 13;
        } else if (words.accept("type")) {
            type = words.number("the EtherType", 0xffff);
        } else {
            break;
        }
    }
    Bytes bytes;
    put16(bytes, control);
    put16(bytes, type);
    append(bytes, from(index + 1, {}));
    return bytes;
}

Bytes Builder::ipv4(size_t index, Words &words)
{
    Parent addresses{.source = words.address("the source"), .known = true};
    words.expect("->");
    addresses.destination = words.address("the destination");
    if (addresses.source.is_ipv6 || addresses.destination.is_ipv6) {
        words.fail("has an IPv6 address");
    }
    uint64_t ttl = 64, tos = 0, id = 0, fragment = 0, version = 4;
    uint64_t protocol = protocol_of(index + 1);
    Override length, checksum;
    Bytes options;
    while (!words.done()) {
        if (words.accept("ttl")) {
            ttl = words.number("the TTL", 255);
        } else if (words.accept("dscp")) {
            tos |= words.number("the DSCP", 63) << 2;
        } else if (words.accept("ecn")) {
            tos |= words.number("ECN", 3);
        } else if (words.accept("id")) {
            id = words.number("the identification", 0xffff);
        } else if (words.accept("df")) {
            fragment |= 0x4000;
        } else if (words.accept("mf")) {
            fragment |= 0x2000;
        } else if (words.accept("offset")) {
            fragment |= words.number("the fragment offset (in 8 bytes)", 0x1fff);
        } else if (words.accept("protocol")) {
            protocol = words.number("the protocol", 255);
        } else if (words.accept("length")) {
            length = words.number("the total length", 0xffff);
        } else if (words.accept("version")) {
            version = words.number("the version", 15);
        } else if (words.accept("options")) {
            options = words.hex_bytes();
        } else if (words.accept("checksum")) {
            checksum = words.number("the checksum", 0xffff);
        } else {
            break;
        }
    }
    if (options.size() % 4 != 0 || options.size() > 40) {
        words.fail("options are whole words, at most ten");
        options.clear();
    }
    const Bytes carried = from(index + 1, addresses);
    const size_t header_bytes = 20 + options.size();
    Bytes bytes;
    bytes.push_back(static_cast<uint8_t>(version << 4 | header_bytes / 4));
    bytes.push_back(static_cast<uint8_t>(tos));
    put16(bytes, length.value_or(header_bytes + carried.size()));
    put16(bytes, id);
    put16(bytes, fragment);
    bytes.push_back(static_cast<uint8_t>(ttl));
    bytes.push_back(static_cast<uint8_t>(protocol));
    put16(bytes, 0);
    append(bytes, {addresses.source.bytes.data(), 4});
    append(bytes, {addresses.destination.bytes.data(), 4});
    append(bytes, options);
    set16(bytes, 10,
          checksum.value_or(internet_checksum(internet_sum(bytes.data(), bytes.size()))));
    append(bytes, carried);
    return bytes;
}

Bytes Builder::ipv6(size_t index, Words &words)
{
    Parent addresses{.source = words.address("the source"), .known = true};
    words.expect("->");
    addresses.destination = words.address("the destination");
    if (!addresses.source.is_ipv6 || !addresses.destination.is_ipv6) {
        words.fail("has an IPv4 address");
    }
    uint64_t hops = 64, traffic_class = 0, label = 0, version = 6;
    uint64_t next = protocol_of(index + 1);
    Override length;
    while (!words.done()) {
        if (words.accept("hops")) {
            hops = words.number("the hop limit", 255);
        } else if (words.accept("dscp")) {
            traffic_class |= words.number("the DSCP", 63) << 2;
        } else if (words.accept("ecn")) {
            traffic_class |= words.number("ECN", 3);
        } else if (words.accept("label")) {
            label = words.number("the flow label", 0xfffff);
        } else if (words.accept("next")) {
            next = words.number("the next header", 255);
        } else if (words.accept("length")) {
            length = words.number("the payload length", 0xffff);
        } else if (words.accept("version")) {
            version = words.number("the version", 15);
        } else {
            break;
        }
    }
    const Bytes carried = from(index + 1, addresses);
    Bytes bytes;
    put32(bytes, version << 28 | traffic_class << 20 | label);
    put16(bytes, length.value_or(carried.size()));
    bytes.push_back(static_cast<uint8_t>(next));
    bytes.push_back(static_cast<uint8_t>(hops));
    append(bytes, addresses.source.bytes);
    append(bytes, addresses.destination.bytes);
    append(bytes, carried);
    return bytes;
}

// Eight bytes, the least an extension header has; their content after the next header
// says "no options" or, for a fragment, where it belongs.
Bytes Builder::extension(size_t index, Words &words, const Parent &parent)
{
    uint64_t next = protocol_of(index + 1);
    uint64_t place = 0;
    while (!words.done()) {
        if (words.accept("next")) {
            next = words.number("the next header", 255);
        } else if (words.accept("offset")) {
            place |= words.number("the fragment offset (in 8 bytes)", 0x1fff) << 3;
        } else if (words.accept("more")) {
            place |= 1;
        } else {
            break;
        }
    }
    Bytes bytes;
    bytes.push_back(static_cast<uint8_t>(next));
    bytes.push_back(0);
    put16(bytes, place);
    put32(bytes, 0);
    append(bytes, from(index + 1, parent));
    return bytes;
}

Bytes Builder::tcp(size_t index, Words &words, const Parent &parent)
{
    const uint64_t source = words.number("the source port", 0xffff);
    words.expect("->");
    const uint64_t destination = words.number("the destination port", 0xffff);
    uint64_t flags = 0, sequence = 0, acknowledged = 0;
    Override checksum;
    while (!words.done()) {
        const auto flag = std::ranges::find(kTcpFlags, words.peek());
        if (flag != kTcpFlags.end()) {
            words.accept(*flag);
            flags |= 1ULL << (flag - kTcpFlags.begin());
        } else if (words.accept("seq")) {
            sequence = words.number("the sequence number", 0xffffffff);
        } else if (words.accept("ack")) {
            acknowledged = words.number("the acknowledgement number", 0xffffffff);
        } else if (words.accept("checksum")) {
            checksum = words.number("the checksum", 0xffff);
        } else {
            break;
        }
    }
    Bytes bytes;
    put16(bytes, source);
    put16(bytes, destination);
    put32(bytes, sequence);
    put32(bytes, acknowledged);
    put16(bytes, 5 << 12 | flags);
    put16(bytes, 65535);
    put32(bytes, 0);
    append(bytes, from(index + 1, {}));
    const uint64_t sum = pseudo_header_sum(parent, 6, bytes.size());
    set16(bytes, 16,
          checksum.value_or(internet_checksum(internet_sum(bytes.data(), bytes.size(), sum))));
    return bytes;
}

Bytes Builder::udp(size_t index, Words &words, const Parent &parent)
{
    const uint64_t source = words.number("the source port", 0xffff);
    words.expect("->");
    const uint64_t destination = words.number("the destination port", 0xffff);
    Override length, checksum;
    while (!words.done()) {
        if (words.accept("length")) {
            length = words.number("the length", 0xffff);
        } else if (words.accept("checksum")) {
            checksum = words.number("the checksum", 0xffff);
        } else {
            break;
        }
    }
    const Bytes carried = from(index + 1, {});
    Bytes bytes;
    put16(bytes, source);
    put16(bytes, destination);
    put16(bytes, length.value_or(8 + carried.size()));
    put16(bytes, 0);
    append(bytes, carried);
    uint16_t computed = internet_checksum(
        internet_sum(bytes.data(), bytes.size(), pseudo_header_sum(parent, 17, bytes.size())));
    if (computed == 0) {
        computed = 0xffff;  // RFC 768: zero means none
    }
    set16(bytes, 6, checksum.value_or(computed));
    return bytes;
}

Bytes Builder::icmp(size_t index, Words &words, const Parent &parent, bool is_ipv6)
{
    const auto &names = is_ipv6 ? kIcmpv6Types : kIcmpTypes;
    const std::string what(words.peek());
    uint64_t code = what == "fragmentation-needed" ? 4 : 0;
    uint64_t type = 0, id = 0, sequence = 0;
    Override mtu, checksum;
    if (const auto found = names.find(what); found != names.end()) {
        type = found->second;
        words.accept(what);
    } else {
        type = words.number("a message type", 255);
    }
    while (!words.done()) {
        if (words.accept("code")) {
            code = words.number("the code", 255);
        } else if (words.accept("id")) {
            id = words.number("the identifier", 0xffff);
        } else if (words.accept("seq")) {
            sequence = words.number("the sequence number", 0xffff);
        } else if (words.accept("mtu")) {
            mtu = words.number("the MTU", 0xffffffff);
        } else if (words.accept("checksum")) {
            checksum = words.number("the checksum", 0xffff);
        } else {
            break;
        }
    }
    Bytes bytes;
    bytes.push_back(static_cast<uint8_t>(type));
    bytes.push_back(static_cast<uint8_t>(code));
    put16(bytes, 0);
    put32(bytes, mtu.value_or(id << 16 | sequence));
    append(bytes, from(index + 1, {}));
    const uint64_t sum = is_ipv6 ? pseudo_header_sum(parent, 58, bytes.size()) : 0;
    set16(bytes, 2,
          checksum.value_or(internet_checksum(internet_sum(bytes.data(), bytes.size(), sum))));
    return bytes;
}

Bytes Builder::payload(size_t index, Words &words)
{
    const auto &kind = layers_[index].first;
    Bytes bytes;
    if (kind == "payload") {
        bytes.resize(words.number("the number of bytes", 0xffff));
        for (size_t i = 0; i < bytes.size(); i++) {
            bytes[i] = static_cast<uint8_t>(i);
        }
    } else if (kind == "hex") {
        while (!words.done()) {
            append(bytes, words.hex_bytes());
        }
    } else if (kind == "inner" || kind == "quote") {
        const auto range = ip_range(received_);
        const size_t all = range.end - range.begin;
        const size_t count = kind == "inner" ? all : words.number("the number of bytes", all);
        append(bytes, std::span(received_).subspan(range.begin, count));
    } else {
        words.fail("no such layer");
    }
    append(bytes, from(index + 1, {}));
    return bytes;
}

void Builder::tail(const std::string &kind, Words &words, Bytes &frame)
{
    if (kind == "pad") {
        const size_t size = words.number("the frame's length", 0xffff);
        frame.resize(std::max(frame.size(), size));
    } else if (kind == "cut") {
        const size_t size = words.number("the frame's length", 0xffff);
        frame.resize(std::min(frame.size(), size));
    } else if (kind == "trailer") {
        append(frame, std::span(received_).subspan(ip_range(received_).end));
    } else {
        words.fail("only pad, cut and trailer may follow a pad, a cut or a trailer");
    }
}

}  // namespace

Result<Bytes> frame_from_text(std::string_view text, const Bytes &received)
{
    std::vector<std::pair<std::string, Words>> layers;
    Words words(text);
    while (!words.done()) {
        Words layer = words.layer();
        std::string kind = layer.next("a layer");
        layers.emplace_back(std::move(kind), std::move(layer));
    }
    return Builder(std::move(layers), received).build();
}

}  // namespace guideway::packets
