#include "tools/replay/other_build.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "tools/guideway/members.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

struct CloseFile {
    void operator()(FILE *file) const { fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;

Failure failed(std::string message)
{
    return {.exit = Exit::kFailed, .message = std::move(message), .body = {}};
}

// The last line that was written to `fd`, for an error.
std::string last_line(int fd)
{
    std::array<char, 4096> text{};
    const off_t end = lseek(fd, 0, SEEK_END);
    const off_t from =
        end > static_cast<off_t>(text.size()) ? end - static_cast<off_t>(text.size()) : 0;
    const ssize_t got = pread(fd, text.data(), text.size(), from);
    std::string all(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
    while (!all.empty() && all.back() == '\n') {
        all.pop_back();
    }
    const auto begin = all.rfind('\n');
    return begin == all.npos ? all : all.substr(begin + 1);
}

struct Child {
    pid_t pid = -1;
    File out;
    File err;  // a file without a name
};

Outcome<Child> start(const std::string &program, const std::vector<std::string> &arguments)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return std::unexpected(failed(Error::system("make", "a pipe").message));
    }
    Child child{.out = File(fdopen(ends[0], "r")),
                .err = File(fdopen(memfd_create("other-build", MFD_CLOEXEC), "w+"))};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (child.err) {
        posix_spawn_file_actions_adddup2(&actions, fileno(child.err.get()), STDERR_FILENO);
    }
    std::vector<char *> words;
    words.push_back(const_cast<char *>(program.c_str()));
    for (const auto &argument : arguments) {
        words.push_back(const_cast<char *>(argument.c_str()));
    }
    words.push_back(nullptr);
    const int error =
        posix_spawnp(&child.pid, program.c_str(), &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        return std::unexpected(failed(Error::system("run", program, error).message));
    }
    return child;
}

// Lines of `out`: flows are visited, the first and the last are kept.
struct Read {
    json first;
    json last;
    bool is_understood = true;
    uint64_t flows = 0;
    std::string problem;  // of a line that is none of these
};

void read_line(json line, uint64_t number_of_it, Read &read,
               const std::function<void(FlowResult)> &visit)
{
    if (number_of_it == 1) {
        read.first = std::move(line);
        read.is_understood = text(read.first, "format") == kFlowsFormat &&
                             number(read.first, "version") == kFlowsVersion;
    } else if (auto flow = read.last.is_null() ? flow_from_json(line) : std::nullopt) {
        read.flows++;
        visit(std::move(*flow));
    } else if (read.last.is_null() && truth(line, "end")) {
        read.last = std::move(line);
    } else {
        read.problem = fmt::format("line {} is neither a flow nor the end", number_of_it);
    }
}

// To the end, also behind what is not understood: what the program itself says of it is better.
Read read_lines(FILE *out, const std::function<void(FlowResult)> &visit)
{
    Read read;
    char *line = nullptr;
    size_t room = 0;
    for (uint64_t lines = 1; getline(&line, &room, out) > 0; lines++) {
        if (read.is_understood && read.problem.empty()) {
            read_line(json::parse(line, nullptr, false), lines, read, visit);
        }
    }
    free(line);
    if (read.problem.empty() && std::ferror(out) != 0) {
        read.problem = std::generic_category().message(errno);
    }
    if (read.problem.empty() && !read.last.is_null() &&
        number(read.last, "flows") != read.flows) {
        read.problem =
            fmt::format("there are {} of {} flows", read.flows, number(read.last, "flows"));
    }
    return read;
}

}  // namespace

Outcome<OtherBuild> replay_with(const std::string &program,
                                const std::vector<std::string> &arguments,
                                const std::function<void(FlowResult)> &visit)
{
    auto child = start(program, arguments);
    if (!child) {
        return std::unexpected(child.error());
    }
    const Read read = read_lines(child->out.get(), visit);
    int status = 0;
    waitpid(child->pid, &status, 0);
    const int exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (exit != 0 && exit != static_cast<int>(Exit::kDamaged)) {
        const std::string said = child->err ? last_line(fileno(child->err.get())) : "";
        return std::unexpected(failed(fmt::format(
            "{} cannot replay the capture{}; it must be a guideway that has the verb replay",
            program, said.empty() ? "" : ": " + said)));
    }
    if (!read.is_understood || read.first.is_null()) {
        return std::unexpected(failed(fmt::format(
            "{} writes its flows in another form than this build reads (version {})", program,
            kFlowsVersion)));
    }
    if (!read.problem.empty()) {
        return std::unexpected(failed(
            fmt::format("cannot read the flows that {} writes: {}", program, read.problem)));
    }
    if (read.last.is_null()) {
        return std::unexpected(failed(program + " ended before it had written all flows"));
    }
    return OtherBuild{.version = text(read.first, "build"),
                      .packets_beyond = number(read.last, "packets_beyond"),
                      .capture = member(read.last, "capture")};
}

}  // namespace guideway::cli
