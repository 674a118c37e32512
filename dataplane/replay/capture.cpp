#include "dataplane/replay/capture.hpp"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <vector>

namespace guideway::replay {
namespace {

constexpr unsigned kBufferBytes = 1U << 18;
constexpr uint64_t kSecondNs = 1'000'000'000;
// Any clock of a capture is before the year 2262; what is later is no time.
constexpr uint64_t kSecondsMax = INT64_MAX / kSecondNs - 1;

std::optional<Link> link_of(int type)
{
    switch (type) {
        case DLT_EN10MB:
            return Link::kEthernet;
        case DLT_RAW:
        case DLT_IPV4:
        case DLT_IPV6:
            return Link::kRawIp;
        case DLT_LINUX_SLL:
            return Link::kCooked;
        case DLT_LINUX_SLL2:
            return Link::kCooked2;
        default:
            return std::nullopt;
    }
}

std::string link_text(int type)
{
    const char *name = pcap_datalink_val_to_description_or_dlt(type);
    return name != nullptr ? name : "link type " + std::to_string(type);
}

// The nearest to what is asked for. A pcap file has seconds of 32 bits without a sign, which come
// with one.
uint64_t to_ns(const timeval &time, bool is_pcapng, bool &is_clamped)
{
    const auto clamp = [&](int64_t value, uint64_t max) {
        is_clamped = is_clamped || value < 0 || static_cast<uint64_t>(value) > max;
        return value < 0 ? 0 : std::min(static_cast<uint64_t>(value), max);
    };
    const int64_t seconds =
        is_pcapng ? int64_t{time.tv_sec} : int64_t{static_cast<uint32_t>(time.tv_sec)};
    // Nanoseconds, by the precision that was asked for.
    return clamp(seconds, kSecondsMax) * kSecondNs + clamp(time.tv_usec, kSecondNs - 1);
}

// libpcap has one link type and one snapshot length for a whole file; pcapng has them for each
// interface.
std::string words_of(const std::string &libpcap)
{
    if (libpcap.contains("different from the type of the first interface")) {
        return "an interface of another link type than the first begins here; write the "
               "packets "
               "of each interface to a file of their own";
    }
    if (libpcap.contains("different from the snapshot length of the first interface")) {
        return "an interface of another snapshot length than the first begins here; convert "
               "the "
               "capture to pcap, or write the packets of each interface to a file of their own";
    }
    return "";
}

}  // namespace

// The file as libpcap reads it: a stream that uncompresses and knows where it is. zlib's own file
// functions would throw away what they had uncompressed before an error.
struct CaptureReader::Source {
    int fd = -1;
    FILE *stream = nullptr;
    uint64_t file_bytes = 0;  // 0: not known
    uint64_t file_bytes_read = 0;
    uint64_t position = 0;  // of what the stream was given
    std::string problem;    // of reading or uncompressing
    std::array<uint8_t, 4> magic{};
    std::vector<char> stream_buffer = std::vector<char>(kBufferBytes);

    Source() = default;
    Source(const Source &) = delete;
    Source &operator=(const Source &) = delete;
    ~Source()
    {
        if (is_compressed_) {
            inflateEnd(&inflater_);
        }
        if (fd > STDIN_FILENO) {
            close(fd);
        }
    }

    // Looks whether it is compressed (RFC 1952 2.3.1). False where it cannot be read.
    [[nodiscard]] bool begin()
    {
        while (left_ < 2 && refill()) {
        }
        is_compressed_ = is_gzip();
        if (is_compressed_) {
            inflateInit2(&inflater_, kGzipWindowBits);
            is_inside_ = true;
        }
        return problem.empty();
    }

    // Where the next byte is that nobody has read from the stream.
    [[nodiscard]] uint64_t offset() const
    {
        const off_t at = stream == nullptr ? -1 : ftello(stream);
        return at < 0 ? position : static_cast<uint64_t>(at);
    }

    [[nodiscard]] bool is_pcapng() const
    {
        return magic == std::array<uint8_t, 4>{0x0a, 0x0d, 0x0d, 0x0a};
    }

    static ssize_t read(void *cookie, char *to, size_t count)
    {
        auto &self = *static_cast<Source *>(cookie);
        const size_t got =
            self.is_compressed_ ? self.uncompress(to, count) : self.take(to, count);
        if (got == 0 && !self.problem.empty()) {
            errno = EIO;
            return -1;
        }
        for (size_t i = 0; i < got && self.position + i < self.magic.size(); i++) {
            self.magic[self.position + i] = static_cast<uint8_t>(to[i]);
        }
        self.position += got;
        return static_cast<ssize_t>(got);
    }

    // Only tells where it is.
    static int seek(void *cookie, off64_t *offset, int whence)
    {
        if (whence != SEEK_CUR || *offset != 0) {
            errno = ESPIPE;
            return -1;
        }
        *offset = static_cast<off64_t>(static_cast<Source *>(cookie)->position);
        return 0;
    }

  private:
    static constexpr int kGzipWindowBits = 15 + 16;

    [[nodiscard]] bool is_gzip() const
    {
        return left_ >= 2 && input_[next_] == 0x1f && input_[next_ + 1] == 0x8b;
    }

    // Reads on, behind what is left. False at the end, and when it failed.
    bool refill()
    {
        std::copy_n(input_.begin() + static_cast<ptrdiff_t>(next_), left_, input_.begin());
        next_ = 0;
        ssize_t got = 0;
        do {
            got = ::read(fd, input_.data() + left_, input_.size() - left_);
        } while (got < 0 && errno == EINTR);
        if (got < 0) {
            problem = std::generic_category().message(errno);
        }
        if (got <= 0) {
            return false;
        }
        left_ += static_cast<size_t>(got);
        file_bytes_read += static_cast<uint64_t>(got);
        return true;
    }

    size_t take(char *to, size_t count)
    {
        if (left_ == 0 && !refill()) {
            return 0;
        }
        count = std::min(count, left_);
        std::memcpy(to, input_.data() + next_, count);
        next_ += count;
        left_ -= count;
        return count;
    }

    // Another compressed file may follow the one that has ended, or zeros to the end.
    bool begin_next()
    {
        while (left_ < 2 && refill()) {
        }
        is_inside_ = is_gzip() && inflateReset(&inflater_) == Z_OK;
        if (!is_inside_) {
            skip_padding();
        }
        return is_inside_;
    }

    void skip_padding()
    {
        while (left_ > 0 || refill()) {
            if (input_[next_] != 0) {
                problem = "what follows the compressed data, at byte " +
                          std::to_string(file_bytes_read - left_) +
                          " of the file, is not compressed by gzip";
                return;
            }
            next_++;
            left_--;
        }
    }

    size_t uncompress(char *to, size_t count)
    {
        inflater_.next_out = reinterpret_cast<Bytef *>(to);
        inflater_.avail_out = static_cast<uInt>(std::min<size_t>(count, 1U << 30));
        const uInt room = inflater_.avail_out;
        while (inflater_.avail_out == room && problem.empty()) {
            if (!is_inside_ && !begin_next()) {
                break;
            }
            if (left_ == 0 && !refill()) {
                if (problem.empty()) {
                    problem = "the compressed data end too early";
                }
                break;
            }
            inflater_.next_in = input_.data() + next_;
            inflater_.avail_in = static_cast<uInt>(left_);
            const int status = inflate(&inflater_, Z_NO_FLUSH);
            next_ += left_ - inflater_.avail_in;
            left_ = inflater_.avail_in;
            if (status == Z_STREAM_END) {
                is_inside_ = false;
            } else if (status != Z_OK && status != Z_BUF_ERROR) {
                problem = std::string("the compressed data are damaged: ") +
                          (inflater_.msg != nullptr ? inflater_.msg : zError(status));
            }
        }
        return room - inflater_.avail_out;
    }

    std::vector<Bytef> input_ = std::vector<Bytef>(kBufferBytes);
    size_t next_ = 0;  // byte of the input
    size_t left_ = 0;
    bool is_compressed_ = false;
    bool is_inside_ = false;  // a compressed file
    z_stream inflater_{};
};

void CaptureReader::ClosePcap::operator()(pcap *capture) const
{
    pcap_close(capture);
}

CaptureReader::CaptureReader(std::unique_ptr<Source> source,
                             std::unique_ptr<pcap, ClosePcap> capture, Link link)
    : source_(std::move(source)), capture_(std::move(capture)), link_(link)
{
}

CaptureReader::CaptureReader(CaptureReader &&other) noexcept = default;

// The stream is closed with the capture, and reads from the source until then.
CaptureReader::~CaptureReader()
{
    capture_.reset();
}

Result<CaptureReader> CaptureReader::open(const std::filesystem::path &file)
{
    const bool is_standard = file == "-";
    const std::string name = is_standard ? "standard input" : file.string();
    auto source = std::make_unique<Source>();
    source->fd = is_standard ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (source->fd < 0) {
        return std::unexpected(Error::system("open the capture", name));
    }
    struct stat status{};
    if (fstat(source->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        source->file_bytes = static_cast<uint64_t>(status.st_size);
    }
    if (!source->begin()) {
        return fail("cannot read the capture " + name + ": " + source->problem);
    }
    source->stream = fopencookie(
        source.get(), "rb",
        {.read = Source::read, .write = nullptr, .seek = Source::seek, .close = nullptr});
    if (source->stream == nullptr) {
        return std::unexpected(Error::system("open the capture", name));
    }
    setvbuf(source->stream, source->stream_buffer.data(), _IOFBF, source->stream_buffer.size());

    std::array<char, PCAP_ERRBUF_SIZE> why{};
    std::unique_ptr<pcap, ClosePcap> capture(pcap_fopen_offline_with_tstamp_precision(
        source->stream, PCAP_TSTAMP_PRECISION_NANO, why.data()));
    if (!capture) {
        const uint64_t read = source->position;
        fclose(source->stream);
        source->stream = nullptr;
        if (!source->problem.empty()) {
            return fail("cannot read the capture " + name + ": " + source->problem);
        }
        if (read == 0) {
            return fail("cannot read the capture " + name + ": it is empty");
        }
        return fail("cannot read " + name + " as a capture: " + why.data() +
                    "; pcap and pcapng files are read, compressed by gzip or not");
    }
    const int type = pcap_datalink(capture.get());
    const auto link = link_of(type);
    if (!link) {
        return fail("cannot use the capture " + name + ": its frames are of " +
                    link_text(type) +
                    "; those that can be replayed are Ethernet, raw IP and Linux cooked");
    }
    return CaptureReader(std::move(source), std::move(capture), *link);
}

std::optional<CapturedPacket> CaptureReader::next()
{
    if (is_over_) {
        return std::nullopt;
    }
    const uint64_t offset = source_->offset();
    pcap_pkthdr *header = nullptr;
    const u_char *data = nullptr;
    const int status = pcap_next_ex(capture_.get(), &header, &data);
    if (status != 1) {
        note_end(offset, status != PCAP_ERROR_BREAK);
        return std::nullopt;
    }
    packets_++;
    bool is_clamped = false;
    const uint64_t timestamp_ns = to_ns(header->ts, source_->is_pcapng(), is_clamped);
    return CapturedPacket{.number = packets_,
                          .timestamp_ns = timestamp_ns,
                          .is_time_clamped = is_clamped,
                          .offset = offset,
                          .original_bytes = std::max(header->len, header->caplen),
                          .bytes = {data, header->caplen}};
}

void CaptureReader::note_end(uint64_t offset, bool is_error)
{
    is_over_ = true;
    if (!is_error && source_->problem.empty()) {
        return;
    }
    damage_ = Damage{.offset = offset, .packet = packets_ + 1, .message = source_->problem};
    if (damage_->message.empty()) {
        const std::string why = pcap_geterr(capture_.get());
        const std::string words = words_of(why);
        damage_->is_corrupt = words.empty();
        damage_->message = words.empty() ? why : words;
    }
}

uint64_t CaptureReader::file_bytes_read() const
{
    return source_->file_bytes_read;
}

uint64_t CaptureReader::file_bytes() const
{
    return source_->file_bytes;
}

std::string_view name_of(Link link)
{
    switch (link) {
        case Link::kEthernet:
            return "Ethernet";
        case Link::kRawIp:
            return "raw IP";
        case Link::kCooked:
            return "Linux cooked";
        case Link::kCooked2:
            return "Linux cooked, version 2";
    }
    return "?";
}

}  // namespace guideway::replay
