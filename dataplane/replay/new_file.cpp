#include "dataplane/replay/new_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace guideway::replay {
namespace {

// A link stays, and what it leads to is replaced.
std::filesystem::path place_of(const std::filesystem::path &file)
{
    std::error_code error;
    auto place = std::filesystem::canonical(file, error);
    return error ? file : place;
}

}  // namespace

std::filesystem::path written_for(const std::filesystem::path &file)
{
    struct stat status{};
    if (stat(file.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        return file;
    }
    auto path = place_of(file);
    path += kUnfinished;
    return path;
}

NewFile::NewFile(std::filesystem::path place, std::filesystem::path path)
    : place_(std::move(place)), path_(std::move(path)), is_pending_(place_ != path_)
{
}

NewFile::NewFile(NewFile &&other) noexcept
    : place_(std::move(other.place_)),
      path_(std::move(other.path_)),
      is_pending_(std::exchange(other.is_pending_, false))
{
}

NewFile::~NewFile()
{
    if (is_pending_) {
        unlink(path_.c_str());
    }
}

Result<NewFile> NewFile::create(const std::filesystem::path &file)
{
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) {
        return std::unexpected(Error::system("write", file.string(), EISDIR));
    }
    auto path = written_for(file);
    if (path == file) {
        return NewFile(file, file);
    }
    auto place = place_of(file);
    const int fd =
        open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        return std::unexpected(Error::system("write", path.string()));
    }
    close(fd);
    return NewFile(std::move(place), std::move(path));
}

Result<void> NewFile::finish()
{
    if (is_pending_ && rename(path_.c_str(), place_.c_str()) != 0) {
        return std::unexpected(Error::system("write", place_.string()));
    }
    is_pending_ = false;
    return {};
}

}  // namespace guideway::replay
