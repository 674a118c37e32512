// What leaves an engine, as a capture.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "dataplane/replay/capture.hpp"
#include "dataplane/replay/writer.hpp"
#include "tests/unit/capture_fixture.hpp"

namespace guideway::replay {
namespace {

class ReplayWriter : public testing::Test {
  protected:
    Files files_;
};

TEST_F(ReplayWriter, WritesAsItWasRead)
{
    const auto write = [&](const std::string &name) {
        auto writer = CaptureWriter::create(files_.path(name)).value();
        EXPECT_TRUE(writer.write(1'700'000'000'123'456'789, Bytes(54, 0x61), 0));
        EXPECT_TRUE(writer.write(1'700'000'001'000'000'000, Bytes(154, 0x62), 60));
        EXPECT_FALSE(std::filesystem::exists(files_.path(name))) << "before it is whole";
        EXPECT_TRUE(writer.finish());
        EXPECT_FALSE(std::filesystem::exists(files_.path(name + kUnfinished)));
        EXPECT_EQ(writer.packets(), 2U);
    };
    write("a.pcap");
    write("b.pcap");
    auto reader = CaptureReader::open(files_.path("a.pcap")).value();
    auto packet = reader.next();
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->timestamp_ns, 1'700'000'000'123'456'789U);
    EXPECT_TRUE(std::ranges::equal(packet->bytes, Bytes(54, 0x61)));
    packet = reader.next();
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->bytes.size(), 94U) << "what was not captured is not written";
    EXPECT_EQ(packet->original_bytes, 154U);
    EXPECT_FALSE(reader.next());

    const auto bytes_of = [&](const std::string &name) {
        std::ifstream file(files_.path(name), std::ios::binary);
        return std::string{std::istreambuf_iterator<char>(file), {}};
    };
    EXPECT_EQ(bytes_of("a.pcap"), bytes_of("b.pcap"));
}

TEST_F(ReplayWriter, NotFinishedLeavesWhatWasThere)
{
    const Bytes before = {1, 2, 3};
    const auto path = files_.write("out", before);
    const auto link = files_.path("link");
    std::filesystem::create_symlink(path, link);
    {
        auto writer = CaptureWriter::create(path).value();
        EXPECT_TRUE(writer.write(0, Bytes(54, 0x61), 0));
    }
    EXPECT_EQ(std::filesystem::file_size(path), before.size());
    EXPECT_FALSE(std::filesystem::exists(path.string() + kUnfinished));
    auto writer = CaptureWriter::create(link).value();
    EXPECT_TRUE(writer.finish());
    EXPECT_EQ(std::filesystem::file_size(path), 24U);
    EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST_F(ReplayWriter, SaysWhenThereIsNoRoom)
{
    auto writer = CaptureWriter::create("/dev/full").value();
    Result<void> done;
    for (int i = 0; i < 100 && done; i++) {
        done = writer.write(0, Bytes(1054, 0x61), 0);
    }
    ASSERT_FALSE(done);
    EXPECT_TRUE(done.error().message.contains("No space left")) << done.error().message;
    EXPECT_FALSE(CaptureWriter::create("/nowhere/at/all.pcap"));
}

}  // namespace
}  // namespace guideway::replay
