// An API server on a real socket, and a client that can behave as badly as it likes.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "control/api/server.hpp"

namespace guideway::api {

class Directory {
  public:
    Directory()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "gw-api-XXXXXX");
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot create a directory for the test");
        }
        path_ = pattern;
    }
    ~Directory() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::filesystem::path operator/(const char *name) const
    {
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

// A blocking client that speaks bytes, not HTTP.
class Client {
  public:
    explicit Client(const std::filesystem::path &path)
    {
        fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
        connected_ =
            ::connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0;
    }
    ~Client() { ::close(fd_); }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    [[nodiscard]] bool connected() const { return connected_; }

    bool send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) {
                return false;
            }
            bytes.remove_prefix(static_cast<size_t>(sent));
        }
        return true;
    }

    // Until the server closes, or five seconds have passed, or `until` was read.
    std::string receive(std::string_view until = {})
    {
        std::string text;
        char buffer[65536];
        while (until.empty() || !text.contains(until)) {
            const ssize_t got = ::recv(fd_, buffer, sizeof(buffer), 0);
            if (got <= 0) {
                closed_ = got == 0 || errno == ECONNRESET;
                break;
            }
            text.append(buffer, static_cast<size_t>(got));
        }
        return text;
    }
    [[nodiscard]] bool closed() const { return closed_; }

  private:
    int fd_ = -1;
    bool connected_ = false;
    bool closed_ = false;
};

inline Response echo(const Request &request)
{
    if (!request.path.empty() && request.path.back() == "throw") {
        throw std::runtime_error("the handler broke");
    }
    return {200,
            {{"method", request.method},
             {"path", request.path},
             {"body", request.body},
             {"text_bytes", request.text.size()}}};
}

// A server whose loop runs beside the test.
class ApiServer : public testing::Test {
  protected:
    void start(Limits limits = {}, Handler handler = echo, TakesText takes_text = {})
    {
        auto server =
            Server::start(loop_, path_, std::move(handler), limits, std::move(takes_text));
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
        thread_ = std::jthread([this] { loop_.run(); });
    }
    void TearDown() override
    {
        loop_.stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    std::string ask(std::string_view request, std::string_view until = {})
    {
        Client client(path_);
        EXPECT_TRUE(client.connected());
        client.send(request);
        return client.receive(until);
    }

    Directory directory_;
    std::filesystem::path path_ = directory_ / "run" / "edge.sock";
    boost::asio::io_context loop_;
    std::unique_ptr<Server> server_;
    std::jthread thread_;
};

inline std::string get(std::string_view target)
{
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
}

inline std::string post(std::string_view body, std::string_view extra = "Connection: close\r\n")
{
    return "POST /v1/apply HTTP/1.1\r\nHost: g\r\n" + std::string(extra) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace guideway::api
