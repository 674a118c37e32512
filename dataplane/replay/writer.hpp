// What leaves an engine, as a capture: pcap, Ethernet, in nanoseconds. The same packets and times
// make the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "dataplane/error.hpp"
#include "dataplane/replay/new_file.hpp"

struct pcap;
struct pcap_dumper;

namespace guideway::replay {

class CaptureWriter {
  public:
    // A file that is there is replaced by finish(), and stays as it is without.
    [[nodiscard]] static Result<CaptureWriter> create(const std::filesystem::path &file);

    // `missing_bytes` at the end of the frame are left out, but are part of its length.
    // Fails once something could not be written.
    [[nodiscard]] Result<void> write(uint64_t timestamp_ns, std::span<const uint8_t> frame,
                                     size_t missing_bytes);

    // Fails when something could not be written, now or before.
    [[nodiscard]] Result<void> finish();

    [[nodiscard]] uint64_t packets() const { return packets_; }

  private:
    struct ClosePcap {
        void operator()(pcap *capture) const;
    };
    struct CloseDump {
        void operator()(pcap_dumper *dump) const;
    };

    CaptureWriter(NewFile file, std::unique_ptr<pcap, ClosePcap> capture,
                  std::unique_ptr<pcap_dumper, CloseDump> dump);

    NewFile file_;
    std::unique_ptr<pcap, ClosePcap> capture_;
    std::unique_ptr<pcap_dumper, CloseDump> dump_;
    uint64_t packets_ = 0;
};

}  // namespace guideway::replay
