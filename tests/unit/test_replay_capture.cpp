// Captures as they come: read, made Ethernet, and given a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "dataplane/replay/flow_table.hpp"
#include "dataplane/replay/frames.hpp"
#include "tests/unit/capture_fixture.hpp"

namespace guideway::replay {
namespace {

struct Packet {
    uint64_t timestamp_ns = 0;
    uint64_t offset = 0;
    uint64_t original_bytes = 0;
    Bytes bytes;
};

struct Content {
    std::vector<Packet> packets;
    std::optional<Damage> damage;
};

class Capture : public testing::Test {
  protected:
    Content read(const Bytes &file)
    {
        auto reader = CaptureReader::open(files_.write("capture", file));
        EXPECT_TRUE(reader) << reader.error().message;
        Content content;
        if (!reader) {
            return content;
        }
        while (const auto packet = reader->next()) {
            EXPECT_EQ(packet->number, content.packets.size() + 1);
            content.packets.push_back({packet->timestamp_ns,
                                       packet->offset,
                                       packet->original_bytes,
                                       {packet->bytes.begin(), packet->bytes.end()}});
        }
        EXPECT_FALSE(reader->next());
        content.damage = reader->damage();
        return content;
    }

    std::string refusal(const Bytes &file)
    {
        const auto reader = CaptureReader::open(files_.write("capture", file));
        return reader ? "was opened" : reader.error().message;
    }

    // All frames of a capture; also what cannot be replayed.
    std::vector<std::pair<Frame, Bytes>> frames(const Bytes &file, FrameCounts &counts)
    {
        Frames all(CaptureReader::open(files_.write("capture", file)).value());
        std::vector<std::pair<Frame, Bytes>> found;
        while (const auto frame = all.next()) {
            found.emplace_back(*frame, Bytes(frame->bytes.begin(), frame->bytes.end()));
        }
        counts = all.counts();
        return found;
    }

    Bytes only_frame(const Bytes &file)
    {
        FrameCounts counts;
        const auto found = frames(file, counts);
        EXPECT_EQ(found.size(), 1U);
        EXPECT_EQ(found.at(0).first.unusable, Unusable::kNo);
        return found.at(0).second;
    }

    Files files_;
};

TEST_F(Capture, HasTimesInMicroAndNanoseconds)
{
    for (const auto &[magic, rest_ns] :
         {std::pair{kMicroseconds, 250'000U}, std::pair{kNanoseconds, 250U}}) {
        Bytes file = pcap_file(kEthernetType, magic);
        add_packet(file, 1'700'000'000, 250, frame_of(1, 1000));
        const auto content = read(file);
        ASSERT_EQ(content.packets.size(), 1U);
        EXPECT_EQ(content.packets[0].timestamp_ns, 1'700'000'000'000'000'000 + rest_ns);
        EXPECT_EQ(content.packets[0].bytes, frame_of(1, 1000));
        EXPECT_EQ(content.packets[0].offset, 24U);
        EXPECT_FALSE(content.damage);
    }
}

TEST_F(Capture, IsPcapngToo)
{
    Bytes file = pcapng_file();
    const size_t first = file.size();
    add_enhanced_packet(file, 1'700'000'000'123'456'789, frame_of(1, 1000));
    add_enhanced_packet(file, 1'700'000'000'123'456'999, frame_of(2, 1000));
    const auto content = read(file);
    ASSERT_EQ(content.packets.size(), 2U);
    EXPECT_EQ(content.packets[0].timestamp_ns, 1'700'000'000'123'456'789U);
    EXPECT_EQ(content.packets[0].offset, first);
    EXPECT_EQ(content.packets[1].bytes, frame_of(2, 1000));
    EXPECT_FALSE(content.damage);
}

TEST_F(Capture, MayBeCompressed)
{
    Bytes file = pcap_file();
    for (uint16_t port = 0; port < 3000; port++) {
        add_packet(file, 1'700'000'000 + port, 0, frame_of(1, port, 2, port % 700));
    }
    const auto plain = read(file);
    const auto compressed = read(gzip(file));
    ASSERT_EQ(compressed.packets.size(), 3000U);
    EXPECT_FALSE(compressed.damage);
    for (size_t i = 0; i < 3000; i++) {
        ASSERT_EQ(compressed.packets[i].bytes, plain.packets[i].bytes);
        ASSERT_EQ(compressed.packets[i].offset, plain.packets[i].offset);
    }
}

TEST_F(Capture, CutAnywhereGivesWhatIsBeforeAndTheOffset)
{
    Bytes file = pcap_file();
    std::vector<size_t> ends = {file.size()};
    for (uint16_t i = 0; i < 4; i++) {
        add_packet(file, i, 0, frame_of(1, i, 2, i));
        ends.push_back(file.size());
    }
    for (size_t bytes = ends[0]; bytes <= file.size(); bytes++) {
        const auto content = read({file.begin(), file.begin() + static_cast<ptrdiff_t>(bytes)});
        const auto whole = static_cast<size_t>(
            std::ranges::count_if(ends, [&](size_t end) { return end <= bytes; }) - 1);
        ASSERT_EQ(content.packets.size(), whole) << bytes;
        ASSERT_EQ(content.damage.has_value(), ends[whole] != bytes) << bytes;
        if (content.damage) {
            EXPECT_EQ(content.damage->offset, ends[whole]);
            EXPECT_EQ(content.damage->packet, whole + 1);
            EXPECT_NE(content.damage->message, "");
        }
    }
}

TEST_F(Capture, WhoseCompressedDataEndTooEarlyIsDamaged)
{
    Bytes file = pcap_file();
    std::mt19937 random(5);
    for (uint16_t port = 0; port < 500; port++) {
        Bytes frame = frame_of(1, port, 2, 400);
        std::ranges::generate(frame.begin() + 60, frame.end(),
                              [&] { return static_cast<uint8_t>(random()); });
        add_packet(file, port, 0, frame);
    }
    Bytes compressed = gzip(file);
    compressed.resize(compressed.size() / 2);
    const auto content = read(compressed);
    EXPECT_GT(content.packets.size(), 100U);
    ASSERT_TRUE(content.damage);
    EXPECT_EQ(content.damage->message, "the compressed data end too early");
    EXPECT_EQ(content.damage->packet, content.packets.size() + 1);

    // Only its checksum is wrong: everything before it is there.
    compressed = gzip(file);
    compressed[compressed.size() - 6] ^= 0x55;
    const auto wrong = read(compressed);
    EXPECT_EQ(wrong.packets.size(), 500U);
    ASSERT_TRUE(wrong.damage);
    EXPECT_TRUE(wrong.damage->message.starts_with("the compressed data are damaged"))
        << wrong.damage->message;
}

TEST_F(Capture, MayBeSeveralCompressedFilesBehindEachOther)
{
    Bytes first = pcap_file();
    add_packet(first, 0, 0, frame_of(1, 1));
    Bytes second;
    add_packet(second, 1, 0, frame_of(1, 2));
    Bytes both = gzip(first);
    put(both, gzip(second));
    put(both, Bytes(100));  // padding, as tapes have it
    const auto content = read(both);
    EXPECT_EQ(content.packets.size(), 2U);
    EXPECT_FALSE(content.damage);
}

TEST_F(Capture, ThatOtherDataFollowIsDamaged)
{
    Bytes file = pcap_file();
    add_packet(file, 0, 0, frame_of(1, 1));
    for (const size_t padding : {0, 1, 300'000}) {
        Bytes whole = gzip(file);
        whole.resize(whole.size() + padding);
        const std::string at = "at byte " + std::to_string(whole.size()) + " of the file";
        put(whole, {'x'});
        const auto content = read(whole);
        EXPECT_EQ(content.packets.size(), 1U);
        ASSERT_TRUE(content.damage) << padding;
        EXPECT_TRUE(content.damage->message.contains(at)) << content.damage->message;
        EXPECT_TRUE(content.damage->is_corrupt);
    }
}

TEST_F(Capture, HasTimesUpTo2106AndSaysWhichAreNone)
{
    Bytes file = pcap_file(kEthernetType, kNanoseconds);
    add_packet(file, 0x7fffffff, 0, frame_of(1, 1));
    add_packet(file, 0x80000000, 0, frame_of(1, 1));
    add_packet(file, 0xffffffff, 999'999'999, frame_of(1, 1));
    add_packet(file, 5, 1'000'000'000, frame_of(1, 1));
    FrameCounts counts;
    const auto found = frames(file, counts);
    ASSERT_EQ(found.size(), 4U);
    EXPECT_EQ(found[1].first.packet.timestamp_ns, 0x80000000 * uint64_t{1'000'000'000});
    EXPECT_EQ(found[2].first.packet.timestamp_ns,
              0xffffffff * uint64_t{1'000'000'000} + 999'999'999);
    EXPECT_EQ(found[3].first.packet.timestamp_ns, 5'999'999'999U);
    EXPECT_EQ(counts.times_clamped, 1U);

    Bytes late = pcapng_file();
    add_enhanced_packet(late, UINT64_MAX, frame_of(1, 1));
    EXPECT_EQ(frames(late, counts).size(), 1U);
    EXPECT_EQ(counts.times_clamped, 1U);
}

TEST_F(Capture, OfUnlikeInterfacesIsNotCorrupt)
{
    const auto with_interface = [](uint16_t link, uint32_t snapshot) {
        Bytes file = pcapng_file();
        add_enhanced_packet(file, 1, frame_of(1, 1));
        Bytes interface;
        put16(interface, link);
        put16(interface, 0);
        put32(interface, snapshot);
        add_block(file, 1, interface);
        add_enhanced_packet(file, 2, frame_of(1, 2));
        return file;
    };
    EXPECT_FALSE(read(with_interface(kEthernetType, 262144)).damage);
    for (const auto &[file, why] :
         {std::pair{with_interface(kEthernetType, 96), "another snapshot length"},
          {with_interface(kRawType, 262144), "another link type"}}) {
        const auto content = read(file);
        EXPECT_EQ(content.packets.size(), 1U);
        ASSERT_TRUE(content.damage);
        EXPECT_FALSE(content.damage->is_corrupt);
        EXPECT_TRUE(content.damage->message.contains(why)) << content.damage->message;
    }
}

TEST_F(Capture, ThatClaimsAHugePacketIsDamagedThere)
{
    Bytes file = pcap_file();
    add_packet(file, 0, 0, frame_of(1, 1));
    const size_t at = file.size();
    add_packet(file, 0, 0, frame_of(1, 2));
    std::fill_n(file.begin() + static_cast<ptrdiff_t>(at) + 8, 4, 0xff);
    const auto content = read(file);
    EXPECT_EQ(content.packets.size(), 1U);
    ASSERT_TRUE(content.damage);
    EXPECT_EQ(content.damage->offset, at);
}

TEST_F(Capture, IsRefusedInWordsThatHelp)
{
    EXPECT_TRUE(refusal({}).ends_with(": it is empty"));
    EXPECT_TRUE(refusal(Bytes(100, 'x')).contains("pcap and pcapng files are read"));
    EXPECT_TRUE(refusal(pcap_file(105)).contains("802.11"));
    EXPECT_TRUE(refusal(pcap_file(105)).contains("Ethernet, raw IP and Linux cooked"));
    const auto missing = CaptureReader::open(files_.path("missing"));
    ASSERT_FALSE(missing);
    EXPECT_TRUE(missing.error().message.contains("No such file"));
    const auto directory = CaptureReader::open(files_.path("."));
    ASSERT_FALSE(directory);
    EXPECT_TRUE(directory.error().message.contains("directory")) << directory.error().message;
}

// Whatever bytes: no crash, no endless loop, and an end.
TEST_F(Capture, OfAnyBytesIsReadToItsEnd)
{
    std::mt19937 random(20261122);
    Bytes pcap = pcap_file();
    Bytes pcapng = pcapng_file();
    for (uint16_t i = 0; i < 6; i++) {
        add_packet(pcap, i, 0, frame_of(1, i));
        add_enhanced_packet(pcapng, i, frame_of(1, i));
    }
    uint64_t opened = 0;
    for (int round = 0; round < 1500; round++) {
        Bytes file = round % 2 == 0 ? pcap : pcapng;
        for (int change = 0; change < 1 + round % 4; change++) {
            file[random() % file.size()] = static_cast<uint8_t>(random());
        }
        auto reader = CaptureReader::open(files_.write("capture", file));
        if (!reader) {
            continue;
        }
        opened++;
        Frames frames(std::move(*reader));
        uint64_t packets = 0;
        while (const auto frame = frames.next()) {
            ASSERT_LE(frame->bytes.size(), kFrameBytesMax);
            ASSERT_LT(++packets, 1000U);
        }
    }
    EXPECT_GT(opened, 500U);
}

TEST_F(Capture, OfRawIpIsGivenAnEthernetHeader)
{
    for (const uint32_t type : {kRawType, kIpv4Type}) {
        Bytes file = pcap_file(type);
        add_packet(file, 0, 0, segment(1, 1000));
        const Bytes frame = only_frame(file);
        EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 14), (Bytes{0x08, 0x00}));
        EXPECT_EQ(Bytes(frame.begin() + 14, frame.end()), segment(1, 1000));
        EXPECT_EQ(frame[0] & 1, 0) << "a group address is for no service";
    }
    Bytes file = pcap_file(kIpv6Type);
    Bytes packet(60);
    packet[0] = 0x60;
    add_packet(file, 0, 0, packet);
    const Bytes frame = only_frame(file);
    EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 14), (Bytes{0x86, 0xdd}));
}

TEST_F(Capture, OfAllInterfacesIsGivenAnEthernetHeader)
{
    const auto cooked = [](uint16_t type, uint16_t protocol) {
        Bytes packet = {0,
                        static_cast<uint8_t>(type),
                        0,
                        1,
                        0,
                        6,
                        2,
                        3,
                        4,
                        5,
                        6,
                        7,
                        0,
                        0,
                        static_cast<uint8_t>(protocol >> 8),
                        static_cast<uint8_t>(protocol)};
        put(packet, segment(1, 1000));
        return packet;
    };
    const auto cooked2 = [](uint16_t type, uint16_t protocol) {
        Bytes packet = {static_cast<uint8_t>(protocol >> 8),
                        static_cast<uint8_t>(protocol),
                        0,
                        0,
                        0,
                        0,
                        0,
                        2,
                        0,
                        1,
                        static_cast<uint8_t>(type),
                        6,
                        2,
                        3,
                        4,
                        5,
                        6,
                        7,
                        0,
                        0};
        put(packet, segment(1, 1000));
        return packet;
    };
    const auto frames_of = [&](uint32_t link, const Bytes &packet, FrameCounts &counts) {
        Bytes file = pcap_file(link);
        add_packet(file, 0, 0, packet);
        return frames(file, counts);
    };
    Bytes expected = {2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0};
    put(expected, segment(1, 1000));
    FrameCounts counts;
    for (const auto &[link, packet] : {std::pair{kCookedType, cooked(0, 0x0800)},
                                       std::pair{kCooked2Type, cooked2(0, 0x0800)}}) {
        const auto found = frames_of(link, packet, counts);
        ASSERT_EQ(found.size(), 1U);
        EXPECT_EQ(found[0].second, expected);
    }
    // To a group: no service's.
    EXPECT_EQ(frames_of(kCookedType, cooked(1, 0x0800), counts)[0].second[0], 0xff);
    EXPECT_EQ(frames_of(kCooked2Type, cooked2(2, 0x0800), counts)[0].second[0] & 1, 1);
    // 802.2 has no Ethernet type.
    EXPECT_EQ(frames_of(kCookedType, cooked(0, 4), counts)[0].first.unusable,
              Unusable::kForeign);
    EXPECT_EQ(counts.foreign, 1U);
    EXPECT_EQ(frames_of(kCooked2Type, Bytes(19), counts)[0].first.unusable, Unusable::kShort);
    EXPECT_EQ(counts.too_short, 1U);
}

TEST_F(Capture, CutByItsSnapshotLengthIsFilledWithZeros)
{
    const Bytes whole = frame_of(1, 1000, 0x10, 1000);
    Bytes file = pcap_file();
    add_packet(file, 0, 0, Bytes(whole.begin(), whole.begin() + 96),
               static_cast<uint32_t>(whole.size()));
    add_packet(file, 0, 0, Bytes(whole.begin(), whole.begin() + 40),
               static_cast<uint32_t>(whole.size()));
    add_packet(file, 0, 0, Bytes(whole.begin(), whole.begin() + 96), 0x7fffffff);
    add_packet(file, 0, 0, ethernet(Bytes(4), 0x0806), 60);  // of ARP nothing decides
    FrameCounts counts;
    const auto found = frames(file, counts);
    ASSERT_EQ(found.size(), 4U);
    EXPECT_EQ(found[0].second.size(), whole.size());
    EXPECT_EQ(found[0].first.missing_bytes, whole.size() - 96);
    EXPECT_TRUE(std::equal(whole.begin(), whole.begin() + 96, found[0].second.begin()));
    EXPECT_EQ(std::ranges::count(found[0].second, 0x61), 96 - 54);
    // Without its ports nobody can say where it would go.
    EXPECT_EQ(found[1].second.size(), 40U);
    EXPECT_EQ(found[1].first.missing_bytes, 0U);
    EXPECT_EQ(found[2].first.unusable, Unusable::kLong);
    EXPECT_EQ(counts.cut, 1U);
    EXPECT_EQ(counts.cut_headers, 1U);
    EXPECT_EQ(counts.too_long, 1U);
}

TEST_F(Capture, LeavesOutFramesThatNoEngineTakes)
{
    Bytes file = pcap_file();
    add_packet(file, 0, 0, {});
    add_packet(file, 0, 0, Bytes(13));
    add_packet(file, 0, 0, Bytes(14));
    add_packet(file, 0, 0, Bytes(kFrameBytesMax));
    add_packet(file, 0, 0, Bytes(kFrameBytesMax + 1));
    FrameCounts counts;
    const auto found = frames(file, counts);
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[2].first.unusable, Unusable::kNo);
    EXPECT_EQ(found[3].first.unusable, Unusable::kNo);
    EXPECT_EQ(counts.too_short, 2U);
    EXPECT_EQ(counts.too_long, 1U);
    EXPECT_EQ(counts.packets, 5U);
}

TEST(ReplayClock, GoesWithTheCapture)
{
    CaptureClock clock;
    EXPECT_EQ(clock.at(5'000), kClockBegins);
    EXPECT_EQ(clock.at(5'250), kClockBegins + 250);
    EXPECT_EQ(clock.at(5'100), kClockBegins + 250) << "it never goes back";
    EXPECT_EQ(clock.at(5'300), kClockBegins + 300);
    EXPECT_EQ(clock.times_back(), 1U);
}

TEST(ReplayClock, SurvivesWrongTimes)
{
    CaptureClock clock;
    constexpr uint64_t kBegin = 1'700'000'000'000'000'000;
    (void)clock.at(kBegin);
    EXPECT_EQ(clock.at(UINT64_MAX), kClockBegins + kLeapMax);
    EXPECT_EQ(clock.leaps(), 1U);
    EXPECT_EQ(clock.at(kBegin + 1'000), kClockBegins + kLeapMax);
    EXPECT_EQ(clock.at(kBegin + 3'000), kClockBegins + kLeapMax + 2'000) << "it goes on";
}

TEST(ReplayFlows, AreToldApartUpToTheirBound)
{
    FlowTable flows(1, 2000);
    const auto key = [](uint16_t port) { return dissect(frame_of(1, port)).flow; };
    for (uint16_t port = 0; port < 3000; port++) {
        EXPECT_EQ(flows.note(key(port), port + 1U), port < 2000 ? port : kNone);
    }
    EXPECT_EQ(flows.note(key(1999), 3001), 1999U) << "one that has room keeps it";
    EXPECT_EQ(flows.flows().size(), 2000U);
    EXPECT_EQ(flows.packets_beyond(), 1000U);
    EXPECT_EQ(flows.flows()[1999].packets, 2U);
    EXPECT_EQ(flows.flows()[1999].first_packet, 2000U);
    EXPECT_EQ(to_string(flows.flows()[7].key), "tcp 198.51.100.1:7 -> 203.0.113.10:443");
}

TEST(ReplayFlows, AreReadFromWhateverHeadersAreThere)
{
    const Bytes whole = frame_of(9, 0x1234, 0x12);
    for (size_t bytes = 0; bytes <= whole.size(); bytes++) {
        const auto read = dissect(std::span(whole).first(bytes));
        EXPECT_EQ(read.is_ip, bytes >= 34) << bytes;
        EXPECT_EQ(read.has_ports, bytes >= 38) << bytes;
        EXPECT_EQ(read.tcp_flags.has_value(), bytes >= 48) << bytes;
    }
    Bytes tagged = {2, 0,    0,    0, 0, 1,    2, 0,    0, 0, 0,
                    9, 0x88, 0xa8, 0, 7, 0x81, 0, 0xf0, 8, 8, 0};
    put(tagged, segment(9, 0x1234));
    const auto read = dissect(tagged);
    EXPECT_EQ(read.vlans, (std::vector<uint16_t>{7, 8}));
    EXPECT_EQ(read.flow.source_port, 0x1234);
    Bytes fragment = frame_of(9, 0x1234);
    fragment[14 + 7] = 1;
    EXPECT_TRUE(dissect(fragment).is_fragment);
    EXPECT_FALSE(dissect(fragment).has_ports);
}

}  // namespace
}  // namespace guideway::replay
