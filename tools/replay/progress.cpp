#include "tools/replay/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <utility>

#include "tools/guideway/text.hpp"

namespace guideway::cli {
namespace {

constexpr uint64_t kPacketsBetween = 1024;  // looks at the clock
constexpr auto kBetween = std::chrono::milliseconds(200);
constexpr size_t kBarColumns = 30;

}  // namespace

ReplayProgress::ReplayProgress(std::ostream &err, bool enabled) : err_(err), enabled_(enabled)
{
}

void ReplayProgress::clear()
{
    if (std::exchange(is_shown_, false)) {
        err_ << "\r\x1b[K" << std::flush;
    }
}

void ReplayProgress::show(const replay::Frames &frames)
{
    const uint64_t packets = frames.counts().packets;
    if (!enabled_ || packets % kPacketsBetween != 0) {
        return;
    }
    const auto now = Clock::now();
    if (now - shown_ < kBetween) {
        return;
    }
    shown_ = now;
    is_shown_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    std::string line;
    if (const uint64_t all = frames.reader().file_bytes(); all > 0) {
        const double part =
            std::min(1.0, static_cast<double>(frames.reader().file_bytes_read()) /
                              static_cast<double>(all));
        const auto columns = static_cast<size_t>(part * kBarColumns);
        line = fmt::format("[{}{}] {:3.0f} %, ", std::string(columns, '='),
                           std::string(kBarColumns - columns, ' '), part * 100);
        if (part > 0.01) {
            line += duration_text(seconds * (1 - part) / part + 0.5) + " left, ";
        }
    }
    line += fmt::format("{} packets, {} a second", grouped(packets),
                        grouped(static_cast<uint64_t>(static_cast<double>(packets) / seconds)));
    err_ << "\r\x1b[K" << line << std::flush;
}

}  // namespace guideway::cli
