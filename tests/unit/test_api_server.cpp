// The API server on a real socket, with clients that behave as badly as they can.
#include "control/api/server.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "control/api/request.hpp"

namespace guideway::api {
namespace {

using namespace std::chrono_literals;

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

Response echo(const Request &request)
{
    if (!request.path.empty() && request.path.back() == "throw") {
        throw std::runtime_error("the handler broke");
    }
    return {200, {{"method", request.method}, {"path", request.path}, {"body", request.body}}};
}

// A server whose loop runs beside the test.
class ApiServer : public testing::Test {
  protected:
    void start(Limits limits = {}, Handler handler = echo)
    {
        auto server = Server::start(loop_, path_, std::move(handler), limits);
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

std::string get(std::string_view target)
{
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
}

std::string post(std::string_view body, std::string_view extra = "Connection: close\r\n")
{
    return "POST /v1/apply HTTP/1.1\r\nHost: g\r\n" + std::string(extra) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

TEST_F(ApiServer, AnswersWithJsonAndDecodesThePath)
{
    start();
    const auto answer = ask(get("/v1/backends/pool%20one/gw%2Fa?x=y"));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.contains("Content-Type: application/json\r\n")) << answer;
    EXPECT_TRUE(answer.contains(R"("path":["v1","backends","pool one","gw/a"])")) << answer;
    EXPECT_TRUE(answer.contains(R"("body":{})")) << answer;
}

TEST_F(ApiServer, KeepsAConnectionForTheNextRequest)
{
    start();
    Client client(path_);
    for (int i = 0; i < 3; ++i) {
        client.send(post(R"({"a":1})", ""));
        EXPECT_TRUE(client.receive("}\n").contains(R"("body":{"a":1})"));
    }
    client.send(post("{}", "") + post(R"({"second":2})"));  // pipelined
    EXPECT_TRUE(client.receive().contains("second"));
}

TEST_F(ApiServer, RefusesWhatIsNotHttp)
{
    start();
    for (const std::string_view garbage :
         {std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15),
          std::string_view("GET\r\n\r\n"), std::string_view("GET / HTTP/9.9\r\n\r\n"),
          std::string_view("GET / HTTP/1.1\r\nbad header\r\n\r\n"),
          std::string_view("POST / HTTP/1.1\r\nContent-Length: -4\r\n\r\n"),
          std::string_view("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
          std::string_view("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")}) {
        const auto answer = ask(garbage);
        EXPECT_TRUE(answer.contains(" 400 Bad Request\r\n")) << garbage << " -> " << answer;
        EXPECT_TRUE(answer.contains(R"({"error":")")) << answer;
    }
    EXPECT_TRUE(ask(get("/after")).contains(" 200 OK"));
}

TEST_F(ApiServer, RefusesBodiesThatAreNotAJsonObject)
{
    start();
    for (const std::string_view body :
         {"[]", "1", "null", "{", "{\"a\":}", "\xff\xfe", "{\"a\":\"\xff\"}", "{} {}"}) {
        EXPECT_TRUE(ask(post(body)).contains(" 400 Bad Request\r\n")) << body;
    }
    EXPECT_TRUE(ask(post(R"({"a":1,"a":2})")).contains("\\\"a\\\" is there twice"));
    EXPECT_TRUE(ask(post(R"({"a":1,"b":{"a":2}})")).contains(" 200 OK"));
    EXPECT_TRUE(ask(post("{\"a\":" + std::string(100'000, '['))).contains("levels deep"));
}

TEST_F(ApiServer, RefusesBadPercentEncoding)
{
    start();
    for (const std::string_view target : {"/v1/%", "/v1/%4", "/v1/%zz", "/v1/%00", "v1"}) {
        EXPECT_TRUE(ask(get(target)).contains(" 400 Bad Request\r\n")) << target;
    }
}

TEST_F(ApiServer, AnswersAnOverlongBodyThatIsStillBeingSent)
{
    start();
    constexpr size_t kBytes = (size_t{8} << 20) + 1;
    Client client(path_);
    EXPECT_TRUE(client.send(post(std::string(kBytes, ' '))));
    const auto answer = client.receive();
    EXPECT_TRUE(answer.contains(" 413 ")) << answer.substr(0, 200);
    const auto chunked = ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\n" +
                             std::string(0x900000, 'x'));
    EXPECT_TRUE(chunked.contains(" 413 ")) << chunked.substr(0, 200);
    const auto header = ask("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
    EXPECT_TRUE(header.contains(" 400 ")) << header.substr(0, 200);
    EXPECT_TRUE(header.contains("header is larger than 16384 bytes")) << header;
}

TEST_F(ApiServer, AcceptsABodyOfTheFullSize)
{
    start({}, [](const Request &request) {
        return Response{200, {{"size", request.body["text"].get<std::string>().size()}}};
    });
    constexpr size_t kBytes = (size_t{8} << 20) - 11;
    const std::string text = R"({"text":")" + std::string(kBytes, 'x') + "\"}";
    EXPECT_TRUE(ask(post(text)).contains("\"size\":" + std::to_string(kBytes)));
}

TEST_F(ApiServer, ContinuesAClientThatWaitsToBeTold)
{
    start();
    Client client(path_);
    client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    EXPECT_TRUE(client.receive("\r\n\r\n").starts_with("HTTP/1.1 100 Continue\r\n"));
    client.send(R"({"b":2})");
    EXPECT_TRUE(client.receive("}\n").contains(R"("body":{"b":2})"));
}

TEST_F(ApiServer, CutsOffClientsThatStall)
{
    start({.request_timeout = 200ms, .response_timeout = 200ms});
    Client silent(path_);
    Client halfway(path_);
    halfway.send("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
    Client trickling(path_);
    const auto begin = std::chrono::steady_clock::now();
    while (trickling.send("G") && std::chrono::steady_clock::now() - begin < 4s) {
        std::this_thread::sleep_for(20ms);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
    EXPECT_EQ(silent.receive(), "");
    EXPECT_TRUE(silent.closed());
    halfway.receive();
    EXPECT_TRUE(halfway.closed());
}

TEST_F(ApiServer, CutsOffAClientThatDoesNotReadItsAnswer)
{
    start({.request_timeout = 5s, .response_timeout = 200ms}, [](const Request &) {
        return Response{200, {{"text", std::string(size_t{4} << 20, 'x')}}};
    });
    Client client(path_);
    client.send(get("/"));
    std::this_thread::sleep_for(600ms);
    EXPECT_LT(client.receive().size(), size_t{4} << 20);
    EXPECT_TRUE(client.closed());
}

TEST_F(ApiServer, ServesOthersAfterAFloodOfIdleConnections)
{
    start({.connections_max = 4, .request_timeout = 300ms});
    std::vector<std::unique_ptr<Client>> idle;
    for (int i = 0; i < 40; ++i) {
        idle.push_back(std::make_unique<Client>(path_));
    }
    EXPECT_TRUE(ask(get("/")).contains(" 200 OK"));
}

TEST_F(ApiServer, AnswersAHandlersExceptionWith500)
{
    start();
    const auto answer = ask(get("/throw"));
    EXPECT_TRUE(answer.contains(" 500 ")) << answer;
    EXPECT_TRUE(answer.contains("the handler broke")) << answer;
    EXPECT_TRUE(ask(get("/")).contains(" 200 OK"));
}

TEST_F(ApiServer, AnswersHeadWithoutABody)
{
    start();
    const auto answer = ask("HEAD /x HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.contains("Content-Length: ")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(ApiServer, AnswersWithValidUtf8WhateverTheHandlerHas)
{
    start({}, [](const Request &) { return Response{200, {{"text", "\xff"}}}; });
    EXPECT_TRUE(ask(get("/")).contains("\xef\xbf\xbd"));
}

TEST_F(ApiServer, SendsTheAnswerOfAHandlerThatDrains)
{
    bool drained = false;
    start({}, [&](const Request &) {
        server_->drain([&] {
            drained = true;
            loop_.stop();
        });
        return Response{200, {{"text", std::string(size_t{1} << 20, 'x')}}};
    });
    Client client(path_);
    client.send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_GT(client.receive("}\n").size(), size_t{1} << 20);
    thread_.join();
    EXPECT_TRUE(drained);
    EXPECT_FALSE(Client(path_).connected());
}

TEST_F(ApiServer, DrainsAtOnceWhenNobodyAsks)
{
    start();
    Client idle(path_);
    boost::asio::post(loop_, [this] { server_->drain([this] { loop_.stop(); }); });
    thread_.join();
    SUCCEED();
}

TEST_F(ApiServer, CreatesTheSocketForOwnerAndGroupOnly)
{
    const mode_t before = ::umask(0);
    start();
    ::umask(before);
    struct stat status{};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0660U);
}

TEST_F(ApiServer, RemovesItsSocketButNotAnothers)
{
    {
        auto server = Server::start(loop_, path_, echo);
        ASSERT_TRUE(server);
        EXPECT_TRUE(std::filesystem::exists(path_));
    }
    EXPECT_FALSE(std::filesystem::exists(path_));
    auto first = Server::start(loop_, path_, echo);
    ASSERT_TRUE(first);
    std::filesystem::remove(path_);
    auto second = Server::start(loop_, path_, echo);
    ASSERT_TRUE(second);
    first->reset();
    EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ApiServer, ReplacesAStaleSocketAndRefusesALiveOne)
{
    start();
    const auto refused = Server::start(loop_, path_, echo);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains("another daemon answers"))
        << refused.error().message;

    const auto stale = directory_ / "stale.sock";
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    stale.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
    ::close(fd);
    EXPECT_TRUE(std::filesystem::exists(stale));
    EXPECT_TRUE(Server::start(loop_, stale, echo));
}

TEST_F(ApiServer, NeverRemovesAFileThatIsNotASocket)
{
    const auto file = directory_ / "file.sock";
    std::ofstream(file) << "precious";
    const auto refused = Server::start(loop_, file, echo);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains("not a socket"));
    EXPECT_TRUE(std::filesystem::exists(file));
    EXPECT_FALSE(Server::start(loop_, directory_ / std::string(200, 'x').c_str(), echo));
    EXPECT_FALSE(Server::start(loop_, file / "below" / "a.sock", echo));
}

TEST(ApiTarget, TakesOriginAndAbsoluteForm)
{
    using Segments = std::vector<std::string>;
    EXPECT_EQ(parse_target("/v1/status").value(), (Segments{"v1", "status"}));
    EXPECT_EQ(parse_target("http://guideway/v1/status?x#y").value(),
              (Segments{"v1", "status"}));
    EXPECT_EQ(parse_target("http://guideway").value(), Segments{});
    EXPECT_EQ(parse_target("/").value(), Segments{});
    EXPECT_EQ(parse_target("/a//b").value(), (Segments{"a", "", "b"}));
    EXPECT_FALSE(parse_target("*"));
}

}  // namespace
}  // namespace guideway::api
