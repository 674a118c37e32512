#include "tests/differential/mutate.hpp"

#include <algorithm>
#include <array>

namespace guideway::differential {

using packets::Bytes;

namespace {

constexpr std::array<uint8_t, 16> kBytes = {0,  1,  4,  6,    8,    17,   20,   41,
                                            44, 58, 60, 0x45, 0x46, 0x60, 0x7f, 0xff};
constexpr std::array<uint16_t, 12> kWords = {0,      1,      7,      20,     28,     40,
                                             0x0800, 0x86dd, 0x8100, 0x88a8, 0x2000, 0xffff};
constexpr size_t kFrameBytesMax = 9000;

}  // namespace

uint64_t below(Random &random, uint64_t bound)
{
    return random() % bound;
}

void mutate(Bytes &frame, Random &random)
{
    if (frame.empty()) {
        frame.push_back(static_cast<uint8_t>(random()));
        return;
    }
    // Most of what is decided on lies in the first headers.
    const size_t reach =
        below(random, 4) == 0 ? frame.size() : std::min<size_t>(frame.size(), 90);
    const size_t at = below(random, reach);
    switch (below(random, 9)) {
        case 0:
        case 1:
            frame[at] ^= static_cast<uint8_t>(1U << below(random, 8));
            break;
        case 2:
            frame[at] = kBytes[below(random, kBytes.size())];
            break;
        case 3: {
            const uint16_t word = kWords[below(random, kWords.size())];
            frame[at] = static_cast<uint8_t>(word >> 8);
            if (at + 1 < frame.size()) {
                frame[at + 1] = static_cast<uint8_t>(word);
            }
            break;
        }
        case 4:
            frame[at] = static_cast<uint8_t>(frame[at] + below(random, 3) - 1);
            break;
        case 5:
            frame.resize(at);
            break;
        case 6:
            frame.resize(std::min(kFrameBytesMax, frame.size() + below(random, 2000)));
            break;
        case 7:
            frame.erase(frame.begin() + static_cast<ptrdiff_t>(at));
            break;
        default: {
            // A tag that appears, or a header that is there twice.
            const size_t count = std::min<size_t>(frame.size() - at, below(random, 2) ? 4 : 20);
            const Bytes copy(frame.begin() + static_cast<ptrdiff_t>(at),
                             frame.begin() + static_cast<ptrdiff_t>(at + count));
            frame.insert(frame.begin() + static_cast<ptrdiff_t>(at), copy.begin(), copy.end());
            break;
        }
    }
}

void mutate_tcp_flags(Bytes &frame, Random &random)
{
    // Mostly what connections consist of: SYN, ACK, FIN with ACK, RST, SYN with ACK.
    static constexpr std::array<uint8_t, 8> kFlags = {0x02, 0x02, 0x10, 0x10,
                                                      0x18, 0x11, 0x04, 0x12};
    const auto range = packets::ip_range(frame);
    if (range.begin == range.end) {
        return;
    }
    const bool is_ipv6 = frame[range.begin] >> 4 == 6;
    const size_t flags = range.begin + (is_ipv6 ? 40 : 20) + 13;
    if (flags < frame.size() && frame[range.begin + (is_ipv6 ? 6 : 9)] == 6) {
        frame[flags] = below(random, 16) == 0 ? static_cast<uint8_t>(random())
                                              : kFlags[below(random, kFlags.size())];
    }
}

Bytes random_frame(Random &random)
{
    static constexpr std::array<uint16_t, 5> kTypes = {0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806};
    Bytes frame(14 + below(random, 200));
    std::ranges::generate(frame, [&random] { return static_cast<uint8_t>(random()); });
    const uint16_t type = kTypes[below(random, kTypes.size())];
    frame[0] &= 0xfe;
    frame[12] = static_cast<uint8_t>(type >> 8);
    frame[13] = static_cast<uint8_t>(type);
    return frame;
}

}  // namespace guideway::differential
