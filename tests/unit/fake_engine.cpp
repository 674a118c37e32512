// An engine without packets: holds the page's lock and says of itself what it is told to.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string>

#include "dataplane/dpdk/engine_page.hpp"

using guideway::dpdk::EnginePage;
using guideway::dpdk::EngineState;

namespace {

template <typename Array>
void put(Array &array, const std::string &text)
{
    std::memcpy(array.data(), text.data(), std::min(text.size(), array.size() - 1));
}

// "--name=value" or "--name"; null when it is not given.
const char *option(int argc, char **argv, const std::string &name)
{
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (word == name) {
            return "";
        }
        if (word.starts_with(name + "=")) {
            return argv[i] + name.size() + 1;
        }
    }
    return nullptr;
}

void touch(const std::string &path)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1) {
        _exit(3);
    }
    close(fd);
}

}  // namespace

int main(int argc, char **argv)
{
    const std::string directory = option(argc, argv, "--run-dir");
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGUSR1}) {
        sigaddset(&signals, signal);
    }
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    touch(directory + "/starts");
    const int fd = open((directory + "/e.dpdk").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || ftruncate(fd, sizeof(EnginePage)) != 0) {
        return 2;
    }
    void *memory = mmap(nullptr, sizeof(EnginePage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return 2;
    }
    auto &page = *static_cast<EnginePage *>(memory);
    page = EnginePage{};
    page.magic = guideway::dpdk::kEnginePageMagic;
    page.version = guideway::dpdk::kEnginePageVersion;
    page.page_bytes = sizeof(page);
    std::string arguments;
    for (int i = 1; i < argc; i++) {
        arguments += (i == 1 ? "" : "\n") + std::string(argv[i]);
    }
    put(page.arguments, arguments);
    put(page.build, GUIDEWAY_VERSION);
    page.started_unix = static_cast<uint64_t>(time(nullptr));
    page.state = EngineState::kStarting;
    page.pid = static_cast<uint32_t>(getpid());
    if (const char *message = option(argc, argv, "--fail")) {
        put(page.message, message);
        page.state = EngineState::kFailed;
        return 1;
    }
    page.ports = 1;
    put(page.port[0].interface, "eth0");
    page.port[0].is_up = 1;
    page.workers = 1;
    if (option(argc, argv, "--hang") == nullptr) {
        page.state = EngineState::kRunning;
    }
    const bool is_stubborn = option(argc, argv, "--stubborn") != nullptr;
    for (int signal = 0; sigwait(&signals, &signal) == 0;) {
        if (signal == SIGUSR1) {
            page.port[0].is_up = 1 - page.port[0].is_up;
        } else if (!is_stubborn) {
            break;
        }
    }
    if (page.remove_taps != 0) {
        touch(directory + "/taps-removed");
    }
    page.state = EngineState::kEnded;
    return 0;
}
