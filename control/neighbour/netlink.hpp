// Netlink sockets: one kind that asks, one kind that listens.
#pragma once

#include <libmnl/libmnl.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "control/neighbour/messages.hpp"
#include "dataplane/error.hpp"

namespace guideway::neighbour {

struct CloseSocket {
    void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
};
using SocketHandle = std::unique_ptr<mnl_socket, CloseSocket>;

using Visit = std::function<void(const nlmsghdr &)>;

// What the kernel answered a request with, when it was not what was asked for.
struct Refusal {
    int error_number = 0;
};

// Asks and waits. The kernel answers rtnetlink requests before send() returns, so the wait
// costs the event loop nothing.
class Asker {
  public:
    [[nodiscard]] static Result<Asker> open();

    // Calls `visit` for each message of the answer.
    [[nodiscard]] std::expected<void, Refusal> ask(Message message, const Visit &visit);

  private:
    explicit Asker(SocketHandle socket);
    [[nodiscard]] int attempt(Message &message, const Visit &visit);

    SocketHandle socket_;
    std::vector<char> buffer_;
    uint32_t sequence_ = 0;
};

// Hears of changes. Its descriptor is for an event loop to wait on.
class Listener {
  public:
    // `groups` are RTNLGRP_* numbers.
    [[nodiscard]] static Result<Listener> open(std::initializer_list<int> groups);

    [[nodiscard]] int descriptor() const { return mnl_socket_get_fd(socket_.get()); }

    // Visits all messages that are there. False when some were lost.
    [[nodiscard]] bool read(const Visit &visit);

  private:
    explicit Listener(SocketHandle socket);

    SocketHandle socket_;
    std::vector<char> buffer_;
};

}  // namespace guideway::neighbour
