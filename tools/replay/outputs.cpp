#include "tools/replay/outputs.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace guideway::cli {
namespace {

// What names have in common that are of the same file: its inode, or of one that is still to be
// made its path.
struct Identity {
    std::optional<std::pair<dev_t, ino_t>> inode;
    std::filesystem::path path;

    bool operator==(const Identity &) const = default;
};

// Nothing where there is nothing to write over.
std::optional<Identity> identity_of(const std::string &path)
{
    struct stat status{};
    const int found = path == "-" ? fstat(STDIN_FILENO, &status) : stat(path.c_str(), &status);
    if (found == 0) {
        return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)
                   ? std::optional(
                         Identity{.inode = {{status.st_dev, status.st_ino}}, .path = {}})
                   : std::nullopt;
    }
    std::error_code error;
    auto whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
    return Identity{.inode = {},
                    .path = error ? std::filesystem::path(path) : std::move(whole)};
}

}  // namespace

Outcome<void> check_outputs(std::span<const NamedFile> inputs,
                            std::span<const NamedFile> outputs)
{
    struct Taken {
        Identity identity;
        std::string noun;
    };
    std::vector<Taken> taken;
    const auto take = [&](const NamedFile &file) {
        if (auto identity = identity_of(file.path)) {
            taken.push_back({.identity = std::move(*identity), .noun = file.noun});
        }
    };
    for (const auto &input : inputs) {
        if (!input.path.empty()) {
            take(input);
        }
    }
    for (const auto &output : outputs) {
        if (output.path.empty()) {
            continue;
        }
        const auto identity = identity_of(output.path);
        for (const auto &other : taken) {
            if (identity == other.identity) {
                return std::unexpected(Failure{
                    .exit = Exit::kFailed,
                    .message =
                        fmt::format("cannot write to {}: it is {}", output.path, other.noun),
                    .body = {}});
            }
        }
        take(output);
    }
    return {};
}

}  // namespace guideway::cli
