// The decapsulator, by kernel test runs: frames in, frames out, and what is counted.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "decap.skel.h"
#include "xdp/decap.h"

namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kIpip = 4;
constexpr uint8_t kIpv6 = 41;
constexpr uint8_t kUdp = 17;

void put16(Bytes &bytes, size_t at, uint16_t value)
{
    bytes[at] = static_cast<uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<uint8_t>(value);
}

uint16_t checksum(const uint8_t *bytes, size_t count)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i += 2) {
        sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
}

Bytes operator+(Bytes left, const Bytes &right)
{
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

void set_checksum(Bytes &packet)
{
    put16(packet, 10, 0);
    put16(packet, 10, checksum(packet.data(), 20));
}

Bytes ipv4(const char *destination, uint8_t protocol, const Bytes &payload, uint8_t tos = 0)
{
    Bytes header(20, 0);
    header[0] = 0x45;
    header[1] = tos;
    put16(header, 2, static_cast<uint16_t>(20 + payload.size()));
    header[6] = 0x40;
    header[8] = 64;
    header[9] = protocol;
    inet_pton(AF_INET, "10.1.1.2", &header[12]);
    inet_pton(AF_INET, destination, &header[16]);
    set_checksum(header);
    return header + payload;
}

Bytes ipv6(const char *destination, uint8_t next, const Bytes &payload,
           uint8_t traffic_class = 0)
{
    Bytes header(40, 0);
    header[0] = static_cast<uint8_t>(0x60 | traffic_class >> 4);
    header[1] = static_cast<uint8_t>(traffic_class << 4 | 0x5);  // and a flow label
    put16(header, 4, static_cast<uint16_t>(payload.size()));
    header[6] = next;
    header[7] = 64;
    inet_pton(AF_INET6, "2001:db8::2", &header[8]);
    inet_pton(AF_INET6, destination, &header[24]);
    return header + payload;
}

Bytes udp()
{
    Bytes bytes(8 + 32, 0x5a);
    put16(bytes, 0, 4000);
    put16(bytes, 2, 7);
    put16(bytes, 4, static_cast<uint16_t>(bytes.size()));
    put16(bytes, 6, 0);
    return bytes;
}

enum class Tags { kNone, kVlan, kQinq };

Bytes ethernet(Tags tags, uint16_t type, const Bytes &payload)
{
    Bytes header = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    if (tags == Tags::kQinq) {
        header = header + Bytes{0x88, 0xa8, 0x20, 200};
    }
    if (tags != Tags::kNone) {
        header = header + Bytes{0x81, 0x00, 0x01, 44};
    }
    return header + Bytes{static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)} +
           payload;
}

bool is_ipv4(const Bytes &packet)
{
    return packet[0] >> 4 == 4;
}

Bytes frame(const Bytes &packet, Tags tags = Tags::kNone)
{
    return ethernet(tags, is_ipv4(packet) ? 0x0800 : 0x86dd, packet);
}

uint8_t tunnel_protocol(const Bytes &inner)
{
    return is_ipv4(inner) ? kIpip : kIpv6;
}

struct Result {
    uint32_t verdict = 0;
    Bytes frame;
};

class Decapsulator : public testing::Test {
  protected:
    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "loading BPF programs needs root";
        }
        libbpf_set_print([](libbpf_print_level, const char *, va_list) { return 0; });
        skeleton_.reset(decap_bpf__open_and_load());
        ASSERT_TRUE(skeleton_) << "the decapsulator does not load";
        take("10.2.1.2", AF_INET);
        take("2001:db8:2:1::2", AF_INET6);
    }

    void take(const char *address, int family)
    {
        uint8_t key[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        uint32_t value = 1;
        ASSERT_EQ(inet_pton(family, address, family == AF_INET ? key + 12 : key), 1);
        ASSERT_EQ(bpf_map__update_elem(skeleton_->maps.decap_addresses, key, sizeof(key),
                                       &value, sizeof(value), BPF_ANY),
                  0);
    }

    Result run(const Bytes &in)
    {
        Result result;
        result.frame.resize(in.size() + 64);
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(),
                    .data_out = result.frame.data(),
                    .data_size_in = static_cast<uint32_t>(in.size()),
                    .data_size_out = static_cast<uint32_t>(result.frame.size()), .repeat = 1);
        int program = bpf_program__fd(skeleton_->progs.guideway_decap);
        EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0) << std::strerror(errno);
        result.verdict = options.retval;
        result.frame.resize(options.data_size_out);
        return result;
    }

    uint64_t count(uint32_t outcome)
    {
        std::vector<uint64_t> by_cpu(static_cast<size_t>(libbpf_num_possible_cpus()));
        bpf_map__lookup_elem(skeleton_->maps.decap_outcomes, &outcome, sizeof(outcome),
                             by_cpu.data(), by_cpu.size() * sizeof(uint64_t), 0);
        uint64_t sum = 0;
        for (uint64_t packets : by_cpu) {
            sum += packets;
        }
        return sum;
    }

    void expect_untouched(const Bytes &in, uint32_t verdict, uint32_t outcome)
    {
        uint64_t before = count(outcome);
        Result result = run(in);
        EXPECT_EQ(result.verdict, verdict);
        EXPECT_EQ(result.frame, in);
        EXPECT_EQ(count(outcome), before + 1);
    }

    void expect_stripped(const Bytes &in, const Bytes &out)
    {
        uint64_t before = count(DECAP_DECAPSULATED);
        Result result = run(in);
        EXPECT_EQ(result.verdict, static_cast<uint32_t>(XDP_PASS));
        EXPECT_EQ(result.frame, out);
        EXPECT_EQ(count(DECAP_DECAPSULATED), before + 1);
    }

    std::unique_ptr<decap_bpf, decltype(&decap_bpf__destroy)> skeleton_{nullptr,
                                                                        &decap_bpf__destroy};
};

const Bytes kInnerIpv4 = ipv4("203.0.113.10", kUdp, udp());
const Bytes kInnerIpv6 = ipv6("2001:db8:113::10", kUdp, udp());

Bytes outer_ipv4(const Bytes &inner, uint8_t tos = 0)
{
    return ipv4("10.2.1.2", tunnel_protocol(inner), inner, tos);
}

Bytes outer_ipv6(const Bytes &inner, uint8_t traffic_class = 0)
{
    return ipv6("2001:db8:2:1::2", tunnel_protocol(inner), inner, traffic_class);
}

TEST_F(Decapsulator, StripsAllFourCombinationsWithAnyTags)
{
    for (Tags tags : {Tags::kNone, Tags::kVlan, Tags::kQinq}) {
        for (const Bytes &inner : {kInnerIpv4, kInnerIpv6}) {
            expect_stripped(frame(outer_ipv4(inner), tags), frame(inner, tags));
            expect_stripped(frame(outer_ipv6(inner), tags), frame(inner, tags));
        }
    }
}

TEST_F(Decapsulator, KeepsWhatFollowsThePacket)
{
    Bytes padding(18, 0xee);
    expect_stripped(frame(outer_ipv4(kInnerIpv4)) + padding, frame(kInnerIpv4) + padding);
}

TEST_F(Decapsulator, PassesWhatIsNotTunnelled)
{
    expect_untouched(frame(kInnerIpv4), XDP_PASS, DECAP_NOT_TUNNELLED);
    expect_untouched(frame(kInnerIpv6, Tags::kQinq), XDP_PASS, DECAP_NOT_TUNNELLED);
    expect_untouched(frame(ipv4("10.2.1.2", kUdp, udp())), XDP_PASS, DECAP_NOT_TUNNELLED);
    expect_untouched(ethernet(Tags::kNone, 0x0806, Bytes(28, 1)), XDP_PASS,
                     DECAP_NOT_TUNNELLED);
}

TEST_F(Decapsulator, PassesWhatIsForAnotherAddress)
{
    expect_untouched(frame(ipv4("10.2.1.3", kIpip, kInnerIpv4)), XDP_PASS,
                     DECAP_OTHER_DESTINATION);
    expect_untouched(frame(ipv6("2001:db8:2:1::3", kIpip, kInnerIpv4)), XDP_PASS,
                     DECAP_OTHER_DESTINATION);
    // The IPv4 address that the last 32 bits of a taken IPv6 address would be.
    expect_untouched(frame(ipv4("0.0.0.2", kIpip, kInnerIpv4)), XDP_PASS,
                     DECAP_OTHER_DESTINATION);
}

TEST_F(Decapsulator, LeavesOptionsAndFragmentsToTheHost)
{
    Bytes fragment = outer_ipv4(kInnerIpv4);
    fragment[6] = 0x20;  // more fragments
    set_checksum(fragment);
    expect_untouched(frame(fragment), XDP_PASS, DECAP_OUTER_FRAGMENT);

    Bytes options = outer_ipv4(kInnerIpv4);
    options.insert(options.begin() + 20, {1, 1, 1, 1});
    options[0] = 0x46;
    put16(options, 2, static_cast<uint16_t>(options.size()));
    put16(options, 10, 0);
    put16(options, 10, checksum(options.data(), 24));
    expect_untouched(frame(options), XDP_PASS, DECAP_OUTER_OPTIONS);
}

TEST_F(Decapsulator, DropsWhatContradictsItself)
{
    Bytes wrong_sum = outer_ipv4(kInnerIpv4);
    wrong_sum[8] ^= 1;  // TTL
    expect_untouched(frame(wrong_sum), XDP_DROP, DECAP_MALFORMED);

    Bytes longer_than_frame = outer_ipv4(kInnerIpv4);
    put16(longer_than_frame, 2, static_cast<uint16_t>(longer_than_frame.size() + 1));
    set_checksum(longer_than_frame);
    expect_untouched(frame(longer_than_frame), XDP_DROP, DECAP_MALFORMED);

    Bytes inner_longer = kInnerIpv4;
    put16(inner_longer, 2, static_cast<uint16_t>(inner_longer.size() + 1));
    set_checksum(inner_longer);
    // Even where the frame would have the bytes.
    expect_untouched(frame(outer_ipv4(inner_longer)) + Bytes(8, 0), XDP_DROP, DECAP_MALFORMED);

    Bytes inner_ipv6_longer = kInnerIpv6;
    put16(inner_ipv6_longer, 4, static_cast<uint16_t>(udp().size() + 1));
    expect_untouched(frame(outer_ipv6(inner_ipv6_longer)) + Bytes(8, 0), XDP_DROP,
                     DECAP_MALFORMED);

    expect_untouched(frame(ipv4("10.2.1.2", kIpip, kInnerIpv6)), XDP_DROP, DECAP_MALFORMED);
    expect_untouched(frame(ipv4("10.2.1.2", kIpv6, kInnerIpv4)), XDP_DROP, DECAP_MALFORMED);
    expect_untouched(frame(ipv4("10.2.1.2", kIpip, {})), XDP_DROP, DECAP_MALFORMED);
}

// RFC 6040 figure 4. Columns: what came outside; rows: inside; -1: dropped.
TEST_F(Decapsulator, CarriesCongestionMarksInwards)
{
    constexpr int kNotCapable = 0;
    constexpr int kEct1 = 1;
    constexpr int kEct0 = 2;
    constexpr int kCongested = 3;
    struct {
        int inner, outer, out;
    } rows[] = {{kNotCapable, kNotCapable, kNotCapable},
                {kNotCapable, kEct0, kNotCapable},
                {kNotCapable, kEct1, kNotCapable},
                {kNotCapable, kCongested, -1},
                {kEct0, kNotCapable, kEct0},
                {kEct0, kEct0, kEct0},
                {kEct0, kEct1, kEct1},
                {kEct0, kCongested, kCongested},
                {kEct1, kNotCapable, kEct1},
                {kEct1, kEct0, kEct1},
                {kEct1, kEct1, kEct1},
                {kEct1, kCongested, kCongested},
                {kCongested, kNotCapable, kCongested},
                {kCongested, kEct0, kCongested},
                {kCongested, kEct1, kCongested},
                {kCongested, kCongested, kCongested}};
    constexpr int kDscp = 0xb8;  // stays what it was inside
    for (const auto &row : rows) {
        SCOPED_TRACE("inner " + std::to_string(row.inner) + ", outer " +
                     std::to_string(row.outer));
        auto outside = static_cast<uint8_t>(row.outer);
        auto inside = static_cast<uint8_t>(kDscp | row.inner);
        auto out = static_cast<uint8_t>(kDscp | (row.out & 3));
        Bytes v4 = ipv4("203.0.113.10", kUdp, udp(), inside);
        Bytes v6 = ipv6("2001:db8:113::10", kUdp, udp(), inside);
        if (row.out < 0) {
            expect_untouched(frame(outer_ipv4(v4, outside)), XDP_DROP, DECAP_ECN_INCAPABLE);
            expect_untouched(frame(outer_ipv6(v6, outside)), XDP_DROP, DECAP_ECN_INCAPABLE);
        } else {
            expect_stripped(frame(outer_ipv4(v4, outside)),
                            frame(ipv4("203.0.113.10", kUdp, udp(), out)));
            expect_stripped(frame(outer_ipv6(v6, outside)),
                            frame(ipv6("2001:db8:113::10", kUdp, udp(), out)));
        }
    }
}

TEST_F(Decapsulator, SurvivesFramesCutAnywhere)
{
    for (Tags tags : {Tags::kNone, Tags::kVlan, Tags::kQinq}) {
        for (const Bytes &inner : {kInnerIpv4, kInnerIpv6}) {
            for (const Bytes &whole :
                 {frame(outer_ipv4(inner), tags), frame(outer_ipv6(inner), tags)}) {
                for (size_t bytes = 14; bytes < whole.size(); bytes++) {
                    Result result = run(Bytes(whole.begin(), whole.begin() + bytes));
                    EXPECT_TRUE(result.verdict == XDP_PASS || result.verdict == XDP_DROP);
                    EXPECT_EQ(result.frame.size(), bytes);
                }
            }
        }
    }
    EXPECT_EQ(count(DECAP_DECAPSULATED), 0U);
}

}  // namespace
