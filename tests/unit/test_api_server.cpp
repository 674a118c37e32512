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
#include "tests/unit/api_fixture.hpp"

namespace guideway::api {
namespace {

using namespace std::chrono_literals;

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

TEST_F(ApiServer, AcceptsALongTextOnlyWhereOneIsTaken)
{
    start({.text_bytes_max = size_t{20} << 20}, echo, [](const Request &request) {
        return request.method == "PUT" && request.path == std::vector<std::string>{"text"};
    });
    const auto request = [](const std::string &line, const std::string &body) {
        return line + " HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body;
    };
    const std::string most(size_t{20} << 20, 'x');
    EXPECT_TRUE(ask(request("PUT /text", most)).contains(R"("text_bytes":20971520)"));
    EXPECT_TRUE(ask(request("PUT /text", "{")).contains(R"("text_bytes":1)"))
        << "it is not read as JSON";
    const auto longer = ask(request("PUT /text", most + "x"));
    EXPECT_TRUE(longer.contains(" 413 ")) << longer.substr(0, 200);
    EXPECT_TRUE(longer.contains("larger than 20971520 bytes")) << longer;
    const auto elsewhere = ask(request("PUT /texts", most));
    EXPECT_TRUE(elsewhere.contains("larger than 8388608 bytes")) << elsewhere;
    EXPECT_TRUE(ask(request("POST /text", most)).contains(" 413 "));
    const auto chunked =
        ask("PUT /texts HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\n" +
            std::string(0x900000, 'x'));
    EXPECT_TRUE(chunked.contains(" 413 ")) << chunked.substr(0, 200);
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
