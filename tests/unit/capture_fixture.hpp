// Captures made byte by byte, so that a test knows what is in them.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

namespace guideway::replay {

using Bytes = std::vector<uint8_t>;

inline void put32(Bytes &to, uint32_t value)
{
    for (int shift = 0; shift < 32; shift += 8) {
        to.push_back(static_cast<uint8_t>(value >> shift));
    }
}

inline void put16(Bytes &to, uint16_t value)
{
    to.push_back(static_cast<uint8_t>(value));
    to.push_back(static_cast<uint8_t>(value >> 8));
}

inline void put(Bytes &to, const Bytes &bytes)
{
    to.insert(to.end(), bytes.begin(), bytes.end());
}

inline constexpr uint32_t kMicroseconds = 0xa1b2c3d4;
inline constexpr uint32_t kNanoseconds = 0xa1b23c4d;
inline constexpr uint32_t kEthernetType = 1;
inline constexpr uint32_t kRawType = 101;
inline constexpr uint32_t kIpv4Type = 228;
inline constexpr uint32_t kIpv6Type = 229;
inline constexpr uint32_t kCookedType = 113;
inline constexpr uint32_t kCooked2Type = 276;

// The header of a pcap file.
inline Bytes pcap_file(uint32_t link_type = kEthernetType, uint32_t magic = kMicroseconds)
{
    Bytes file;
    put32(file, magic);
    put16(file, 2);
    put16(file, 4);
    put32(file, 0);
    put32(file, 0);
    put32(file, 262144);
    put32(file, link_type);
    return file;
}

// A packet behind it; `rest` in the file's units. `original_bytes` 0: all were captured.
inline void add_packet(Bytes &file, uint32_t seconds, uint32_t rest, const Bytes &bytes,
                       uint32_t original_bytes = 0)
{
    put32(file, seconds);
    put32(file, rest);
    put32(file, static_cast<uint32_t>(bytes.size()));
    put32(file, original_bytes != 0 ? original_bytes : static_cast<uint32_t>(bytes.size()));
    put(file, bytes);
}

inline void add_block(Bytes &file, uint32_t type, Bytes body)
{
    body.resize((body.size() + 3) / 4 * 4);
    const auto length = static_cast<uint32_t>(body.size() + 12);
    put32(file, type);
    put32(file, length);
    put(file, body);
    put32(file, length);
}

// A pcapng file of one Ethernet interface whose times are in nanoseconds.
inline Bytes pcapng_file()
{
    Bytes file;
    Bytes section;
    put32(section, 0x1a2b3c4d);
    put16(section, 1);
    put16(section, 0);
    put32(section, 0xffffffff);
    put32(section, 0xffffffff);
    add_block(file, 0x0a0d0d0a, section);
    Bytes interface;
    put16(interface, kEthernetType);
    put16(interface, 0);
    put32(interface, 262144);
    put16(interface, 9);  // if_tsresol
    put16(interface, 1);
    put(interface, {9, 0, 0, 0});
    put32(interface, 0);
    add_block(file, 1, interface);
    return file;
}

inline void add_enhanced_packet(Bytes &file, uint64_t timestamp_ns, const Bytes &bytes)
{
    Bytes block;
    put32(block, 0);
    put32(block, static_cast<uint32_t>(timestamp_ns >> 32));
    put32(block, static_cast<uint32_t>(timestamp_ns));
    put32(block, static_cast<uint32_t>(bytes.size()));
    put32(block, static_cast<uint32_t>(bytes.size()));
    put(block, bytes);
    add_block(file, 6, block);
}

// An IPv4 segment from 198.51.100.`client`:`port` to 203.0.113.10:443.
inline Bytes segment(uint8_t client, uint16_t port, uint8_t flags = 2, size_t payload = 0)
{
    const auto total = static_cast<uint16_t>(40 + payload);
    Bytes packet = {0x45,
                    0,
                    static_cast<uint8_t>(total >> 8),
                    static_cast<uint8_t>(total),
                    0,
                    1,
                    0x40,
                    0,
                    64,
                    6,
                    0,
                    0,
                    198,
                    51,
                    100,
                    client,
                    203,
                    0,
                    113,
                    10,
                    static_cast<uint8_t>(port >> 8),
                    static_cast<uint8_t>(port),
                    1,
                    0xbb,
                    0,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0x50,
                    flags,
                    0xff,
                    0xff,
                    0,
                    0,
                    0,
                    0};
    packet.resize(total, 0x61);
    return packet;
}

inline Bytes ethernet(const Bytes &packet, uint16_t type = 0x0800)
{
    Bytes frame = {2,
                   0,
                   0,
                   0,
                   0,
                   1,
                   2,
                   0,
                   0,
                   0,
                   0,
                   9,
                   static_cast<uint8_t>(type >> 8),
                   static_cast<uint8_t>(type)};
    put(frame, packet);
    return frame;
}

inline Bytes frame_of(uint8_t client, uint16_t port, uint8_t flags = 2, size_t payload = 0)
{
    return ethernet(segment(client, port, flags, payload));
}

inline Bytes gzip(const Bytes &bytes)
{
    z_stream stream{};
    deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    Bytes out(deflateBound(&stream, bytes.size()) + 64);
    stream.next_in = const_cast<uint8_t *>(bytes.data());
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

// A directory that goes with the test.
class Files {
  public:
    Files()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "gw-replay-XXXXXX";
        directory_ = ::mkdtemp(pattern.data());
    }
    Files(const Files &) = delete;
    Files &operator=(const Files &) = delete;
    ~Files() { std::filesystem::remove_all(directory_); }

    [[nodiscard]] std::filesystem::path path(const std::string &name) const
    {
        return directory_ / name;
    }
    std::filesystem::path write(const std::string &name, const Bytes &bytes) const
    {
        std::ofstream(path(name), std::ios::binary)
            .write(reinterpret_cast<const char *>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
        return path(name);
    }

  private:
    std::filesystem::path directory_;
};

}  // namespace guideway::replay
