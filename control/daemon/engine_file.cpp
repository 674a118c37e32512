#include "control/daemon/engine_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <thread>
#include <type_traits>

#include "dataplane/descriptor.hpp"

namespace guideway::daemon {
namespace {

using dpdk::EnginePage;

static_assert(std::is_trivially_copyable_v<EnginePage>);

// How often a page is read that is being written just then. An engine that was killed while it
// wrote leaves it so for ever.
constexpr int kAttempts = 20;
constexpr auto kBetweenAttempts = std::chrono::microseconds(200);

Descriptor opened(const std::filesystem::path &path, int flags)
{
    return Descriptor(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
}

// Both see the same memory: read(2) is as good as a mapping, and bears a file that is cut short.
bool read_at(int fd, void *into, size_t bytes, size_t offset)
{
    return pread(fd, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

}  // namespace

std::optional<EnginePage> EngineFile::read() const
{
    const Descriptor file = opened(path_, O_RDONLY);
    EnginePage page{};
    for (int i = 0; i < kAttempts; i++) {
        uint32_t after = 0;
        if (!file.valid() || !read_at(file.get(), &page, sizeof(page), 0) ||
            !read_at(file.get(), &after, sizeof(after), offsetof(EnginePage, sequence))) {
            return std::nullopt;
        }
        if (page.sequence % 2 == 0 && page.sequence == after) {
            break;
        }
        if (i + 1 == kAttempts) {
            return std::nullopt;
        }
        std::this_thread::sleep_for(kBetweenAttempts);
    }
    if (page.magic != dpdk::kEnginePageMagic || page.version != dpdk::kEnginePageVersion ||
        page.page_bytes != sizeof(page)) {
        return std::nullopt;
    }
    page.workers = std::min(page.workers, dpdk::kWorkersMax);
    page.ports = std::min(page.ports, dpdk::kPortsMax);
    return page;
}

uint32_t EngineFile::pid() const
{
    const Descriptor file = opened(path_, O_RDONLY);
    uint64_t magic = 0;
    uint32_t pid = 0;
    return file.valid() && read_at(file.get(), &magic, sizeof(magic), 0) &&
                   magic == dpdk::kEnginePageMagic &&
                   read_at(file.get(), &pid, sizeof(pid), offsetof(EnginePage, pid))
               ? pid
               : 0;
}

bool EngineFile::is_held() const
{
    const Descriptor file = opened(path_, O_RDONLY);
    if (!file.valid()) {
        return false;
    }
    return flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

Result<void> EngineFile::say_remove_taps(bool remove) const
{
    const Descriptor file = opened(path_, O_WRONLY);
    const uint32_t word = remove ? 1 : 0;
    if (!file.valid() || pwrite(file.get(), &word, sizeof(word),
                                offsetof(EnginePage, remove_taps)) != sizeof(word)) {
        return std::unexpected(Error::system("write to the engine page", path_.native()));
    }
    return {};
}

}  // namespace guideway::daemon
