#include "control/api/listen.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace guideway::api {
namespace {

constexpr mode_t kSocketMode = 0660;
constexpr int kBacklog = 128;

std::optional<sockaddr_un> address_of(const std::string &path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path) || path.contains('\0')) {
        return std::nullopt;
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

int new_socket()
{
    return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

// Makes way for a new socket at `path`. Only a socket that refuses connections is removed:
// its listener is gone. A full backlog (EAGAIN) is an answer too.
Result<void> clear_stale(const std::string &path, const sockaddr_un &address)
{
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return std::unexpected(Error::system("look at", path));
    }
    if (!S_ISSOCK(status.st_mode)) {
        return fail("cannot listen on " + path +
                    ": a file that is not a socket is there; move it away");
    }
    const int probe = new_socket();
    if (probe < 0) {
        return std::unexpected(Error::system("create a socket to test", path));
    }
    const int answer =
        ::connect(probe, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0
            ? 0
            : errno;
    ::close(probe);
    if (answer == 0 || answer == EAGAIN) {
        return fail("cannot listen on " + path +
                    ": another daemon answers there; stop it or name another instance");
    }
    if (answer != ECONNREFUSED && answer != ENOENT) {
        return std::unexpected(Error::system("test who listens on", path, answer));
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return std::unexpected(Error::system("remove the stale socket", path));
    }
    return {};
}

}  // namespace

Result<ListeningSocket> ListeningSocket::open(std::filesystem::path path)
{
    const std::string name = path.string();
    const auto address = address_of(name);
    if (!address || name.empty()) {
        return fail("cannot listen on '" + name + "': a socket's path has between 1 and " +
                    std::to_string(sizeof(address->sun_path) - 1) + " bytes");
    }
    if (path.has_parent_path()) {
        std::error_code error;
        std::filesystem::create_directories(path.parent_path(), error);
        if (error) {
            return std::unexpected(Error::system("create the directory",
                                                 path.parent_path().string(), error.value()));
        }
    }
    if (auto cleared = clear_stale(name, *address); !cleared) {
        return std::unexpected(std::move(cleared.error()));
    }

    const int descriptor = new_socket();
    if (descriptor < 0) {
        return std::unexpected(Error::system("create a socket for", name));
    }
    ListeningSocket socket(std::move(path), descriptor);
    // The mode is set before there is a name, so that it is never wider than meant, and
    // after it because the umask has narrowed it meanwhile.
    if (::fchmod(descriptor, kSocketMode) != 0 ||
        ::bind(descriptor, reinterpret_cast<const sockaddr *>(&*address), sizeof(*address)) !=
            0) {
        return std::unexpected(Error::system("listen on", name));
    }
    struct stat status{};
    if (::lstat(name.c_str(), &status) != 0) {
        return std::unexpected(Error::system("look at", name));
    }
    socket.device_ = status.st_dev;
    socket.inode_ = status.st_ino;
    if (::chmod(name.c_str(), kSocketMode) != 0 || ::listen(descriptor, kBacklog) != 0) {
        return std::unexpected(Error::system("listen on", name));
    }
    return socket;
}

ListeningSocket::ListeningSocket(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor)
{
}

ListeningSocket::ListeningSocket(ListeningSocket &&other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      device_(other.device_),
      inode_(std::exchange(other.inode_, 0))
{
}

ListeningSocket::~ListeningSocket()
{
    struct stat status{};
    if (inode_ != 0 && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_) {
        ::unlink(path_.c_str());
    }
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

int ListeningSocket::release_descriptor()
{
    return std::exchange(descriptor_, -1);
}

}  // namespace guideway::api
