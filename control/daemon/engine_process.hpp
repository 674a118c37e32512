// A process that outlives the daemon: begun by it, or found.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/error.hpp"

namespace guideway::daemon {

class EngineProcess {
  public:
    // In a session of its own, with the daemon's standard error as output and with SIGPIPE
    // ignored: neither the daemon's end nor that of whoever reads the log ends it.
    [[nodiscard]] static Result<EngineProcess> begin(const std::filesystem::path &program,
                                                     const std::vector<std::string> &arguments);
    // None when there is no such process.
    [[nodiscard]] static std::optional<EngineProcess> find(pid_t pid);

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Whether a daemon has begun it, this one or an earlier one.
    [[nodiscard]] bool is_a_daemons() const;
    [[nodiscard]] bool has_ended() const { return wait_for_end(std::chrono::milliseconds(0)); }
    [[nodiscard]] bool wait_for_end(std::chrono::milliseconds longest) const;
    // SIGTERM, and SIGKILL where that does not help. Returns when it has ended, or will not.
    void end(std::chrono::milliseconds patience) const;
    void kill() const;
    // Of one that has ended: "ended with status 1". Of one that an earlier daemon has begun no
    // more is known than that it has ended. To be called once.
    [[nodiscard]] std::string how_it_ended() const;

    EngineProcess(EngineProcess &&other) noexcept;
    EngineProcess &operator=(EngineProcess &&other) noexcept;
    ~EngineProcess();  // leaves the process alone

  private:
    EngineProcess(pid_t pid, int pidfd, bool is_child)
        : pid_(pid), pidfd_(pidfd), is_child_(is_child)
    {
    }

    pid_t pid_;
    int pidfd_;
    bool is_child_;
};

}  // namespace guideway::daemon
