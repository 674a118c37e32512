#include "dataplane/dpdk/page_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <system_error>
#include <thread>

namespace guideway::dpdk {
namespace {

// Of the engine that holds the lock, as it says itself; 0: it has not said so yet.
uint32_t holder(int fd)
{
    uint32_t pid = 0;
    return pread(fd, &pid, sizeof(pid), offsetof(EnginePage, pid)) == sizeof(pid) ? pid : 0;
}

// The daemon, too, takes the lock for a moment, to see whether anybody holds it.
bool lock(int fd)
{
    for (int i = 0; i < 10 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return flock(fd, LOCK_EX | LOCK_NB) == 0;  // of what is locked already: changes nothing
}

}  // namespace

void put_text(std::span<char> field, std::string_view text)
{
    const size_t used = std::min(text.size(), field.size() - 1);
    std::copy_n(text.begin(), used, field.begin());
    std::ranges::fill(field.subspan(used), '\0');
}

Result<PageFile> PageFile::open(const std::filesystem::path &path, std::string_view instance)
{
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) {
        return std::unexpected(
            Error::system("make the directory", path.parent_path().native(), error.value()));
    }
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return std::unexpected(Error::system("open the engine's page", path.native()));
    }
    PageFile file(fd, nullptr);
    if (!lock(fd)) {
        if (errno != EWOULDBLOCK) {
            return std::unexpected(Error::system("lock the engine's page", path.native()));
        }
        const uint32_t pid = holder(fd);
        return fail("instance " + std::string(instance) + " has a running engine already" +
                    (pid == 0 ? "" : ", process " + std::to_string(pid)) +
                    ": end that one first (" + path.native() + " is locked)");
    }
    // Whoever may read it could hold the lock, and be taken for the engine.
    if (fchmod(fd, 0600) != 0) {
        return std::unexpected(
            Error::system("keep others from the engine's page", path.native()));
    }
    if (ftruncate(fd, sizeof(EnginePage)) != 0) {
        return std::unexpected(Error::system("size the engine's page", path.native()));
    }
    void *memory = mmap(nullptr, sizeof(EnginePage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return std::unexpected(Error::system("map the engine's page", path.native()));
    }
    file.page_ = static_cast<EnginePage *>(memory);
    // Past its sequence, which goes on from engine to engine, for who has the page mapped.
    const uint32_t sequence = file.page_->sequence | 1;
    std::atomic_ref(file.page_->sequence).store(sequence);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    EnginePage &page = *file.page_;
    std::memset(&page.pid, 0, sizeof(page) - offsetof(EnginePage, pid));
    page.magic = kEnginePageMagic;
    page.version = kEnginePageVersion;
    page.page_bytes = sizeof(page);
    page.pid = static_cast<uint32_t>(getpid());
    page.state = EngineState::kStarting;
    page.started_unix = static_cast<uint64_t>(time(nullptr));
    file.end_update();
    return file;
}

PageFile::~PageFile()
{
    if (page_ != nullptr) {
        munmap(page_, sizeof(EnginePage));
    }
    if (fd_ >= 0) {
        close(fd_);
    }
}

void PageFile::begin_update() const
{
    const std::atomic_ref sequence(page_->sequence);
    sequence.store(sequence.load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

void PageFile::end_update() const
{
    const std::atomic_ref sequence(page_->sequence);
    sequence.store(sequence.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

}  // namespace guideway::dpdk
