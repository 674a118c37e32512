#include "control/neighbour/netlink.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

namespace guideway::neighbour {
namespace {

constexpr size_t kBufferBytes = 65536;
constexpr int kReceiveBufferBytes = 4 << 20;
constexpr int kAttemptsMax = 5;
constexpr timeval kPatience{.tv_sec = 2, .tv_usec = 0};

Result<SocketHandle> open_socket(int flags)
{
    SocketHandle socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags));
    if (!socket) {
        return std::unexpected(Error::system("open", "a netlink socket"));
    }
    if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return std::unexpected(Error::system("bind", "a netlink socket"));
    }
    return socket;
}

int visit_message(const nlmsghdr *message, void *visit)
{
    (*static_cast<const Visit *>(visit))(*message);
    return MNL_CB_OK;
}

int run(const char *bytes, size_t size, uint32_t sequence, uint32_t port, const Visit &visit)
{
    return mnl_cb_run(bytes, size, sequence, port, visit_message, const_cast<Visit *>(&visit));
}

}  // namespace

Asker::Asker(SocketHandle socket) : socket_(std::move(socket)), buffer_(kBufferBytes) {}

Result<Asker> Asker::open()
{
    auto socket = open_socket(0);
    if (!socket) {
        return std::unexpected(std::move(socket.error()));
    }
    const int fd = mnl_socket_get_fd(socket->get());
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience)) != 0) {
        return std::unexpected(Error::system("set up", "a netlink socket"));
    }
    return Asker(std::move(*socket));
}

std::expected<void, Refusal> Asker::ask(Message message, const Visit &visit)
{
    int error_number = 0;
    for (int i = 0; i < kAttemptsMax; ++i) {
        error_number = attempt(message, visit);
        // EINTR says that a dump changed under its reader: take it again.
        if (error_number != EINTR) {
            break;
        }
    }
    if (error_number != 0) {
        return std::unexpected(Refusal{error_number});
    }
    return {};
}

// One request and its answer; 0 or an error number.
int Asker::attempt(Message &message, const Visit &visit)
{
    const int fd = mnl_socket_get_fd(socket_.get());
    // What an earlier request left unread would be taken for the answer to this one.
    while (::recv(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT) > 0) {
    }
    message.raw().nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), &message.raw(), message.raw().nlmsg_len) < 0) {
        return errno;
    }
    const uint32_t port = mnl_socket_get_portid(socket_.get());
    // A single answer has no end marker, unlike a dump or an acknowledgement.
    const bool single = (message.raw().nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)) == 0;
    while (true) {
        const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
        if (size < 0) {
            return errno == EAGAIN ? ETIMEDOUT : errno;
        }
        const int result =
            run(buffer_.data(), static_cast<size_t>(size), sequence_, port, visit);
        if (result < 0) {
            return errno;
        }
        if (result == MNL_CB_STOP || single) {
            return 0;
        }
    }
}

Listener::Listener(SocketHandle socket) : socket_(std::move(socket)), buffer_(kBufferBytes) {}

Result<Listener> Listener::open(std::initializer_list<int> groups)
{
    auto socket = open_socket(SOCK_NONBLOCK);
    if (!socket) {
        return std::unexpected(std::move(socket.error()));
    }
    const int fd = mnl_socket_get_fd(socket->get());
    // A larger buffer makes losses rarer; without the privilege they are only less rare.
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
                 sizeof(kReceiveBufferBytes));
    for (int group : groups) {
        if (mnl_socket_setsockopt(socket->get(), NETLINK_ADD_MEMBERSHIP, &group,
                                  sizeof(group)) < 0) {
            return std::unexpected(Error::system("subscribe to", "the kernel's changes"));
        }
    }
    return Listener(std::move(*socket));
}

bool Listener::read(const Visit &visit)
{
    bool complete = true;
    while (true) {
        const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
        if (size > 0) {
            complete =
                run(buffer_.data(), static_cast<size_t>(size), 0, 0, visit) >= 0 && complete;
        } else if (size == 0 || errno == EAGAIN) {
            return complete;
        } else if (errno != EINTR) {
            // ENOBUFS: the kernel had no room for some; ENOSPC: one was longer than the
            // buffer. Both leave the socket usable.
            complete = false;
            if (errno != ENOBUFS && errno != ENOSPC) {
                return false;
            }
        }
    }
}

}  // namespace guideway::neighbour
