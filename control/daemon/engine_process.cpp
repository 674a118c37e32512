#include "control/daemon/engine_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

namespace guideway::daemon {
namespace {

// In its environment: how a daemon's engine is told from a service manager's.
constexpr const char *kMark = "GUIDEWAYD_ENGINE=1";
constexpr auto kAfterKill = std::chrono::milliseconds(3'000);

int open_pidfd(pid_t pid)
{
    return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

void send(int pidfd, int signal)
{
    syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);  // gone already: as well
}

std::vector<char *> pointers(std::vector<std::string> &texts)
{
    std::vector<char *> all;
    all.reserve(texts.size() + 1);
    for (auto &text : texts) {
        all.push_back(text.data());
    }
    all.push_back(nullptr);
    return all;
}

std::vector<std::string> marked_environment()
{
    std::vector<std::string> all;
    for (char **entry = environ; *entry != nullptr; entry++) {
        if (std::string_view(*entry) != kMark) {
            all.emplace_back(*entry);
        }
    }
    all.emplace_back(kMark);
    return all;
}

// What posix_spawn(3) does in the child, and its attributes.
class Recipe {
  public:
    Recipe()
    {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions_, STDERR_FILENO, STDOUT_FILENO);
        posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
        posix_spawnattr_init(&attributes_);
        sigset_t none;
        sigset_t defaults;
        sigemptyset(&none);
        sigfillset(&defaults);
        sigdelset(&defaults, SIGPIPE);
        posix_spawnattr_setsigmask(&attributes_, &none);
        posix_spawnattr_setsigdefault(&attributes_, &defaults);
        posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    Recipe(const Recipe &) = delete;
    Recipe &operator=(const Recipe &) = delete;
    ~Recipe()
    {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }

    // An error number.
    [[nodiscard]] int spawn(pid_t &pid, const std::string &program, char *const *arguments,
                            char *const *environment) const
    {
        // What is ignored stays so; there is no attribute for it.
        struct sigaction ignored{};
        struct sigaction before{};
        ignored.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &ignored, &before);
        const int error =
            posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments, environment);
        sigaction(SIGPIPE, &before, nullptr);
        return error;
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

}  // namespace

Result<EngineProcess> EngineProcess::begin(const std::filesystem::path &program,
                                           const std::vector<std::string> &arguments)
{
    std::vector<std::string> words{program.native()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto environment = marked_environment();
    pid_t pid = 0;
    const int error = Recipe().spawn(pid, program.native(), pointers(words).data(),
                                     pointers(environment).data());
    if (error != 0) {
        return std::unexpected(Error::system("start", program.native(), error));
    }
    const int pidfd = open_pidfd(pid);  // it is there until it is waited for
    if (pidfd < 0) {
        const int number = errno;
        ::kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        return std::unexpected(Error::system("watch over", program.native(), number));
    }
    return EngineProcess(pid, pidfd, true);
}

std::optional<EngineProcess> EngineProcess::find(pid_t pid)
{
    if (pid <= 1 || pid == getpid()) {
        return std::nullopt;
    }
    const int pidfd = open_pidfd(pid);
    return pidfd < 0 ? std::nullopt : std::optional(EngineProcess(pid, pidfd, false));
}

bool EngineProcess::is_a_daemons() const
{
    std::ifstream file("/proc/" + std::to_string(pid_) + "/environ", std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(file), {}};
    const std::string mark = std::string(kMark) + '\0';
    return all.starts_with(mark) || all.contains('\0' + mark);
}

bool EngineProcess::wait_for_end(std::chrono::milliseconds longest) const
{
    const auto until = std::chrono::steady_clock::now() + longest;
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        pollfd asked{.fd = pidfd_, .events = POLLIN, .revents = 0};
        const int ready = poll(&asked, 1, static_cast<int>(std::max(left.count(), 0L)));
        if (ready >= 0 || errno != EINTR) {
            return ready > 0;
        }
    }
}

void EngineProcess::end(std::chrono::milliseconds patience) const
{
    send(pidfd_, SIGTERM);
    if (!wait_for_end(patience)) {
        kill();
    }
}

void EngineProcess::kill() const
{
    send(pidfd_, SIGKILL);
    std::ignore = wait_for_end(kAfterKill);
}

std::string EngineProcess::how_it_ended() const
{
    siginfo_t information{};
    if (!is_child_ ||
        waitid(P_PIDFD, static_cast<id_t>(pidfd_), &information, WEXITED | WNOHANG) != 0 ||
        information.si_pid == 0) {
        return "it has ended";
    }
    if (information.si_code == CLD_EXITED) {
        return "it has ended with status " + std::to_string(information.si_status);
    }
    return "it was ended by signal " + std::to_string(information.si_status) + " (" +
           strsignal(information.si_status) + ")";
}

EngineProcess::EngineProcess(EngineProcess &&other) noexcept
    : pid_(other.pid_), pidfd_(std::exchange(other.pidfd_, -1)), is_child_(other.is_child_)
{
}

EngineProcess &EngineProcess::operator=(EngineProcess &&other) noexcept
{
    std::swap(pid_, other.pid_);
    std::swap(pidfd_, other.pidfd_);
    std::swap(is_child_, other.is_child_);
    return *this;
}

EngineProcess::~EngineProcess()
{
    if (pidfd_ >= 0) {
        std::ignore = how_it_ended();  // a child that nobody waits for stays a zombie
        close(pidfd_);
    }
}

}  // namespace guideway::daemon
