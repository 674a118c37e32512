// What the notation and the tests need to know of a frame that is there already.
#include <algorithm>

#include "tests/packets/notation.hpp"

namespace guideway::packets {
namespace {

uint16_t get16(const Bytes &bytes, size_t at)
{
    return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

}  // namespace

uint64_t internet_sum(const uint8_t *bytes, size_t count, uint64_t sum)
{
    for (size_t i = 0; i < count; i++) {
        sum += i % 2 == 0 ? static_cast<uint64_t>(bytes[i]) << 8 : bytes[i];
    }
    return sum;
}

uint16_t internet_checksum(uint64_t sum)
{
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
}

IpRange ip_range(const Bytes &frame)
{
    size_t at = 12;
    for (int tags = 0; at + 2 <= frame.size(); tags++) {
        const uint16_t type = get16(frame, at);
        if ((type != 0x8100 && type != 0x88a8) || tags == 2) {
            break;
        }
        at += 4;
    }
    if (at + 2 > frame.size()) {
        return {frame.size(), frame.size()};
    }
    const uint16_t type = get16(frame, at);
    at += 2;
    size_t length = 0;
    if (type == 0x0800 && at + 20 <= frame.size()) {
        length = get16(frame, at + 2);
    } else if (type == 0x86dd && at + 40 <= frame.size()) {
        length = 40UL + get16(frame, at + 4);
    }
    return {at, std::min(frame.size(), at + length)};
}

bool is_syn(const Bytes &frame)
{
    const auto range = ip_range(frame);
    if (range.begin == range.end) {
        return false;
    }
    const bool is_ipv6 = frame[range.begin] >> 4 == 6;
    const size_t flags = range.begin + (is_ipv6 ? 40 : 20) + 13;
    return flags < range.end && frame[range.begin + (is_ipv6 ? 6 : 9)] == 6 &&
           (frame[flags] & 0x16) == 0x02;
}

}  // namespace guideway::packets
