// Servers for probes: real sockets on the loopback device, in threads of the test process,
// doing with each connection what the test says.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/health/probe.hpp"

namespace guideway::health {

// Bytes of one connection, in the clear or through TLS. Reads give up after two seconds.
class Connection {
  public:
    Connection(int fd, SSL *tls) : fd_(fd), tls_(tls) {}

    // Up to the end of the request's header.
    std::string read_request()
    {
        std::string text;
        std::array<char, 4096> bytes{};
        while (text.find("\r\n\r\n") == std::string::npos) {
            const auto count = tls_ != nullptr
                                   ? SSL_read(tls_, bytes.data(), bytes.size())
                                   : static_cast<int>(recv(fd_, bytes.data(), bytes.size(), 0));
            if (count <= 0) {
                return text;
            }
            text.append(bytes.data(), static_cast<size_t>(count));
        }
        return text;
    }

    // False when the other side is gone.
    bool write(const std::string &text)
    {
        if (text.empty()) {
            return true;
        }
        const auto count =
            tls_ != nullptr
                ? SSL_write(tls_, text.data(), static_cast<int>(text.size()))
                : static_cast<int>(send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
        return count == static_cast<int>(text.size());
    }

    // Until the client closes, or `stopping`.
    void hold(const std::atomic<bool> &stopping) const
    {
        while (!stopping) {
            pollfd waiting{.fd = fd_, .events = POLLRDHUP, .revents = 0};
            if (poll(&waiting, 1, 20) != 0) {
                return;
            }
        }
    }

  private:
    int fd_;
    SSL *tls_;
};

class Server {
  public:
    using Serve = std::function<void(Connection &, const std::atomic<bool> &stopping)>;

    explicit Server(Serve serve, SSL_CTX *tls = nullptr,
                    const std::string &address = "127.0.0.1")
        : serve_(std::move(serve)), tls_(tls)
    {
        sockaddr_in where{};
        where.sin_family = AF_INET;
        inet_pton(AF_INET, address.c_str(), &where.sin_addr);
        socklen_t bytes = sizeof(where);
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr *>(&where), bytes), 0);
        EXPECT_EQ(listen(fd_, 64), 0);
        getsockname(fd_, reinterpret_cast<sockaddr *>(&where), &bytes);
        port_ = ntohs(where.sin_port);
        thread_ = std::thread([this] { accept_all(); });
    }
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;
    ~Server()
    {
        stopping_ = true;
        thread_.join();
        close(fd_);
    }

    [[nodiscard]] uint16_t port() const { return port_; }
    [[nodiscard]] int connections() const { return connections_; }
    [[nodiscard]] int resumed() const { return resumed_; }

  private:
    void accept_all()
    {
        signal(SIGPIPE, SIG_IGN);  // OpenSSL's server side writes without MSG_NOSIGNAL
        std::vector<std::thread> serving;
        while (!stopping_) {
            pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
            if (poll(&waiting, 1, 20) == 1) {
                const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
                connections_++;
                serving.emplace_back([this, client] { serve_one(client); });
            }
        }
        for (auto &thread : serving) {
            thread.join();
        }
    }

    void serve_one(int client)
    {
        const timeval patience{.tv_sec = 2, .tv_usec = 0};
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        const std::unique_ptr<SSL, void (*)(SSL *)> tls(
            tls_ != nullptr ? SSL_new(tls_) : nullptr, SSL_free);
        if (tls) {
            SSL_set_fd(tls.get(), client);
        }
        if (!tls || SSL_accept(tls.get()) == 1) {
            if (tls && SSL_session_reused(tls.get()) == 1) {
                resumed_++;
            }
            Connection connection(client, tls.get());
            serve_(connection, stopping_);
        }
        ERR_clear_error();
        close(client);
    }

    Serve serve_;
    SSL_CTX *tls_;
    int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint16_t port_ = 0;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> connections_ = 0;
    std::atomic<int> resumed_ = 0;
    std::thread thread_;
};

// Answers every request with these bytes, and closes.
inline Server::Serve answering(const std::string &bytes)
{
    return [bytes](Connection &connection, const std::atomic<bool> &) {
        connection.read_request();
        connection.write(bytes);
    };
}

inline std::string http_answer(int status, const std::string &body = "")
{
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline ProbeTarget target_of(ProbeKind kind, uint16_t port)
{
    return {.kind = kind,
            .address = *model::IpAddress::parse("127.0.0.1"),
            .port = port,
            .timeout = std::chrono::milliseconds(2000)};
}

// Runs one probe to its end.
inline ProbeResult probe_once(boost::asio::io_context &loop, Prober &prober,
                              const ProbeTarget &target)
{
    std::optional<ProbeResult> result;
    prober.probe(target, [&](ProbeResult got) { result = std::move(got); });
    EXPECT_FALSE(result.has_value()) << "not from within probe()";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(8);
    while (!result && std::chrono::steady_clock::now() < deadline) {
        loop.restart();
        loop.run_one_for(std::chrono::milliseconds(100));
    }
    EXPECT_TRUE(result.has_value());
    return result.value_or(ProbeResult{});
}

inline ProbeResult probe_once(const ProbeTarget &target)
{
    boost::asio::io_context loop;
    Prober prober(loop);
    return probe_once(loop, prober, target);
}

}  // namespace guideway::health
