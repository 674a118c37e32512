#include "dataplane/replay/writer.hpp"

#include <pcap/pcap.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace guideway::replay {
namespace {

constexpr int kSnapshotBytes = 262144;
constexpr uint64_t kSecondNs = 1'000'000'000;

}  // namespace

void CaptureWriter::ClosePcap::operator()(pcap *capture) const
{
    pcap_close(capture);
}

void CaptureWriter::CloseDump::operator()(pcap_dumper *dump) const
{
    pcap_dump_close(dump);
}

CaptureWriter::CaptureWriter(NewFile file, std::unique_ptr<pcap, ClosePcap> capture,
                             std::unique_ptr<pcap_dumper, CloseDump> dump)
    : file_(std::move(file)), capture_(std::move(capture)), dump_(std::move(dump))
{
}

Result<CaptureWriter> CaptureWriter::create(const std::filesystem::path &file)
{
    auto made = NewFile::create(file);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    std::unique_ptr<pcap, ClosePcap> capture(pcap_open_dead_with_tstamp_precision(
        DLT_EN10MB, kSnapshotBytes, PCAP_TSTAMP_PRECISION_NANO));
    FILE *stream = std::fopen(made->path().c_str(), "wbe");
    if (stream == nullptr) {
        return std::unexpected(Error::system("write the capture", file.string()));
    }
    std::unique_ptr<pcap_dumper, CloseDump> dump(pcap_dump_fopen(capture.get(), stream));
    if (!dump) {
        return fail("cannot write the capture " + file.string() + ": " +
                    pcap_geterr(capture.get()));
    }
    return CaptureWriter(std::move(*made), std::move(capture), std::move(dump));
}

Result<void> CaptureWriter::write(uint64_t timestamp_ns, std::span<const uint8_t> frame,
                                  size_t missing_bytes)
{
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(timestamp_ns / kSecondNs);
    header.ts.tv_usec = static_cast<suseconds_t>(timestamp_ns % kSecondNs);
    header.len = static_cast<bpf_u_int32>(frame.size());
    header.caplen =
        static_cast<bpf_u_int32>(frame.size() - std::min(missing_bytes, frame.size()));
    pcap_dump(reinterpret_cast<u_char *>(dump_.get()), &header, frame.data());
    if (std::ferror(pcap_dump_file(dump_.get())) != 0) {
        return std::unexpected(Error::system("write the capture", file_.path().string()));
    }
    packets_++;
    return {};
}

Result<void> CaptureWriter::finish()
{
    if (pcap_dump_flush(dump_.get()) != 0 || std::ferror(pcap_dump_file(dump_.get())) != 0) {
        return std::unexpected(Error::system("write the capture", file_.path().string()));
    }
    return file_.finish();
}

}  // namespace guideway::replay
