// Packets from a capture file: pcap and pcapng, in micro- or nanoseconds, compressed by gzip or
// not. A capture is input from anywhere: whatever it holds, what can be read of it is given, and
// where that ends is said.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "dataplane/error.hpp"

struct pcap;

namespace guideway::replay {

// How a frame begins.
enum class Link : uint8_t {
    kEthernet,
    kRawIp,    // with the IP header
    kCooked,   // Linux cooked, version 1: a capture of all interfaces
    kCooked2,  // version 2
};

struct CapturedPacket {
    uint64_t number = 0;           // from 1, as packet analysers count
    uint64_t timestamp_ns = 0;     // since 1970
    bool is_time_clamped = false;  // the file has one before 1970, after 2262, or none at all
    uint64_t offset = 0;           // of its record, in the uncompressed capture
    uint64_t original_bytes = 0;
    std::span<const uint8_t> bytes;  // that were captured; until the next is asked for
};

// Where and why a capture could not be read on.
struct Damage {
    uint64_t offset = 0;  // in the uncompressed capture
    uint64_t packet = 0;  // that could not be read, from 1
    std::string message;
    bool is_corrupt = true;  // or else only more than this reader reads
};

class CaptureReader {
  public:
    // `file` may be "-": standard input. Fails when it is no capture, or one of frames that
    // cannot be read as Ethernet.
    [[nodiscard]] static Result<CaptureReader> open(const std::filesystem::path &file);

    // Nothing at the end, and where the capture is damaged; damage() tells which.
    [[nodiscard]] std::optional<CapturedPacket> next();

    [[nodiscard]] const std::optional<Damage> &damage() const { return damage_; }
    [[nodiscard]] Link link() const { return link_; }
    // How much of the file was read, and how much there is; 0 where that is not known.
    [[nodiscard]] uint64_t file_bytes_read() const;
    [[nodiscard]] uint64_t file_bytes() const;

    CaptureReader(CaptureReader &&other) noexcept;
    CaptureReader &operator=(CaptureReader &&) = delete;
    CaptureReader(const CaptureReader &) = delete;
    CaptureReader &operator=(const CaptureReader &) = delete;
    ~CaptureReader();

  private:
    struct Source;
    struct ClosePcap {
        void operator()(pcap *capture) const;
    };

    CaptureReader(std::unique_ptr<Source> source, std::unique_ptr<pcap, ClosePcap> capture,
                  Link link);

    void note_end(uint64_t offset, bool is_error);

    std::unique_ptr<Source> source_;
    std::unique_ptr<pcap, ClosePcap> capture_;  // reads from the source
    Link link_;
    uint64_t packets_ = 0;
    bool is_over_ = false;
    std::optional<Damage> damage_;
};

[[nodiscard]] std::string_view name_of(Link link);

}  // namespace guideway::replay
