#include "tests/differential/captures.hpp"

#include <pcap/pcap.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace guideway::differential {

using packets::Bytes;

namespace {

constexpr size_t kFrameBytesMax = 9000;

// The whole file, decompressed if it is compressed.
Result<Bytes> content(const std::filesystem::path &file)
{
    const gzFile input = gzopen(file.c_str(), "rb");
    if (input == nullptr) {
        return std::unexpected(Error::system("open", file.string()));
    }
    Bytes bytes;
    std::array<uint8_t, 65536> chunk;
    for (int count = 0; (count = gzread(input, chunk.data(), chunk.size())) > 0;) {
        bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + count);
    }
    gzclose(input);
    return bytes;
}

Bytes as_ethernet(const u_char *data, size_t count, int link_type)
{
    Bytes frame;
    const bool is_raw = link_type == DLT_RAW || link_type == DLT_IPV4 || link_type == DLT_IPV6;
    if (is_raw && count > 0) {
        const bool is_ipv6 = data[0] >> 4 == 6;
        frame = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xaa};
        frame.push_back(is_ipv6 ? 0x86 : 0x08);
        frame.push_back(is_ipv6 ? 0xdd : 0x00);
    }
    frame.insert(frame.end(), data, data + std::min(count, kFrameBytesMax));
    return frame;
}

struct ClosePcap {
    void operator()(pcap_t *pcap) const { pcap_close(pcap); }
};

}  // namespace

std::vector<std::filesystem::path> capture_files(const std::filesystem::path &directory)
{
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (const auto &entry : std::filesystem::recursive_directory_iterator(directory, error)) {
        const std::string name = entry.path().filename();
        if (entry.is_regular_file() && (name.find(".pcap") != std::string::npos ||
                                        name.find(".cap") != std::string::npos ||
                                        name.find(".trace") != std::string::npos)) {
            files.push_back(entry.path());
        }
    }
    std::ranges::sort(files);
    return files;
}

Result<Capture> read_capture(const std::filesystem::path &file)
{
    auto bytes = content(file);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    if (bytes->empty()) {
        return fail(file.string() + " is empty");
    }
    FILE *stream = fmemopen(bytes->data(), bytes->size(), "rb");
    std::array<char, PCAP_ERRBUF_SIZE> why{};
    // The capture owns the stream from here on, unless it cannot be opened.
    const std::unique_ptr<pcap_t, ClosePcap> pcap(pcap_fopen_offline(stream, why.data()));
    if (!pcap) {
        std::fclose(stream);
        return fail(file.string() + " is not a capture: " + why.data());
    }
    Capture capture;
    pcap_pkthdr *header = nullptr;
    const u_char *data = nullptr;
    int status = 0;
    while ((status = pcap_next_ex(pcap.get(), &header, &data)) == 1) {
        capture.frames.push_back(as_ethernet(data, header->caplen, pcap_datalink(pcap.get())));
    }
    if (status == PCAP_ERROR) {
        capture.note = "damaged after " + std::to_string(capture.frames.size()) +
                       " frames: " + pcap_geterr(pcap.get());
    }
    return capture;
}

}  // namespace guideway::differential
