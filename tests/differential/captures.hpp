// Frames from capture files: pcap and pcapng, gzip-compressed or not.
#pragma once

#include <filesystem>
#include <vector>

#include "dataplane/error.hpp"
#include "tests/packets/notation.hpp"

namespace guideway::differential {

struct Capture {
    std::vector<packets::Bytes> frames;
    std::string note;  // what could not be read, and where; empty when all could be
};

// All files below `directory`, sorted, so that a failure can be found again.
[[nodiscard]] std::vector<std::filesystem::path> capture_files(
    const std::filesystem::path &directory);

// Frames of link types other than Ethernet are given an Ethernet header if they are IP,
// and are taken as they are otherwise: any bytes may arrive. A damaged file gives what
// could be read of it, and a note. Fails when the file is no capture at all.
[[nodiscard]] Result<Capture> read_capture(const std::filesystem::path &file);

}  // namespace guideway::differential
