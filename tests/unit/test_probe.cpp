// Probes of TCP and HTTP against servers that are well, and servers that are as bad as can be.
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <fstream>

#include "tests/unit/probe_servers.hpp"

namespace guideway::health {
namespace {

using namespace std::chrono_literals;

uint16_t port_without_listener()
{
    const Server gone([](Connection &, const std::atomic<bool> &) {});
    return gone.port();
}

void do_nothing(Connection &connection, const std::atomic<bool> &stopping)
{
    connection.hold(stopping);
}

ProbeResult probe_http(const Server::Serve &serve, ProbeTarget target = {})
{
    const Server server(serve);
    const auto usual = target_of(ProbeKind::kHttp, server.port());
    target.kind = usual.kind;
    target.address = usual.address;
    target.port = usual.port;
    return probe_once(target);
}

#define EXPECT_GOOD(result)                                                                    \
    do {                                                                                       \
        const auto &result_ = (result);                                                        \
        EXPECT_EQ(result_.outcome, ProbeOutcome::kGood) << "not good for: " << result_.reason; \
        EXPECT_EQ(result_.reason, "");                                                         \
    } while (false)
#define EXPECT_BAD(result, words)                                                   \
    do {                                                                            \
        const auto &result_ = (result);                                             \
        EXPECT_EQ(result_.outcome, ProbeOutcome::kBad);                             \
        EXPECT_NE(result_.reason.find(words), std::string::npos) << result_.reason; \
    } while (false)
#define EXPECT_NOT_PROBED(result, words)                                            \
    do {                                                                            \
        const auto &result_ = (result);                                             \
        EXPECT_EQ(result_.outcome, ProbeOutcome::kNotProbed);                       \
        EXPECT_NE(result_.reason.find(words), std::string::npos) << result_.reason; \
    } while (false)

TEST(TcpProbe, IsGoodWhenTheConnectionStands)
{
    const Server server(do_nothing);
    const auto result = probe_once(target_of(ProbeKind::kTcp, server.port()));
    EXPECT_GOOD(result);
    EXPECT_GT(result.latency, 0us);
    EXPECT_LT(result.latency, 1s);
}

TEST(TcpProbe, ResetsTheConnectionSoThatNothingLingers)
{
    std::atomic<int> error_number = -1;
    const Server server([&](Connection &connection, const std::atomic<bool> &) {
        error_number = connection.read_request().empty() ? errno : 0;
    });
    EXPECT_GOOD(probe_once(target_of(ProbeKind::kTcp, server.port())));
    for (int i = 0; i < 100 && error_number < 0; i++) {
        std::this_thread::sleep_for(10ms);
    }
    EXPECT_EQ(error_number, ECONNRESET);
}

TEST(TcpProbe, SaysThatTheConnectionWasRefused)
{
    const auto result = probe_once(target_of(ProbeKind::kTcp, port_without_listener()));
    EXPECT_BAD(result, "connection refused");
}

TEST(TcpProbe, SaysThatNobodyAnswered)
{
    // A listener whose queue is full drops what comes.
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(where);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr *>(&where), bytes), 0);
    ASSERT_EQ(listen(listener, 0), 0);
    getsockname(listener, reinterpret_cast<sockaddr *>(&where), &bytes);
    std::vector<int> fillers;
    for (int i = 0; i < 4; i++) {
        fillers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const int connected =
            connect(fillers.back(), reinterpret_cast<sockaddr *>(&where), sizeof(where));
        EXPECT_TRUE(connected == 0 || errno == EINPROGRESS) << errno;
    }
    auto target = target_of(ProbeKind::kTcp, ntohs(where.sin_port));
    target.timeout = 300ms;
    const auto result = probe_once(target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kBad);
    EXPECT_EQ(result.reason, "no answer within 300 ms");
    EXPECT_GE(result.latency, 300ms);
    for (const int fd : fillers) {
        close(fd);
    }
    close(listener);
}

TEST(TcpProbe, IsNotTheBackendsFaultWhenThereIsNoSocket)
{
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const Server server(do_nothing);
    boost::asio::io_context loop;
    Prober prober(loop);
    const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    const auto result = probe_once(loop, prober, target_of(ProbeKind::kTcp, server.port()));
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_NOT_PROBED(result, "cannot open a socket: too many open files");
}

TEST(TcpProbe, IsNotTheBackendsFaultWhenTheHostHasNoRoute)
{
    if (geteuid() != 0) {
        GTEST_SKIP() << "a network namespace without routes needs root";
    }
    std::thread([] {
        ASSERT_EQ(unshare(CLONE_NEWNET), 0);
        ASSERT_EQ(std::system("ip link set lo up"), 0);
        auto target = target_of(ProbeKind::kTcp, 80);
        for (const auto *address : {"203.0.113.10", "2001:db8::10"}) {
            target.address = *model::IpAddress::parse(address);
            target.mark = 0;
            EXPECT_NOT_PROBED(probe_once(target), "the host has no route to ");
            target.mark = 0x47570001;
            EXPECT_NOT_PROBED(
                probe_once(target),
                std::string("the host has no route to ") + address +
                    "; probes through the tunnel need one, such as a default route");
        }
    }).join();
}

TEST(HttpProbe, SendsARequestThatServersUnderstand)
{
    std::string request;
    auto target = ProbeTarget{.timeout = 2s, .path = "/healthz?full=1", .host = "api.example"};
    EXPECT_GOOD(probe_http(
        [&](Connection &connection, const std::atomic<bool> &) {
            request = connection.read_request();
            connection.write(http_answer(200));
        },
        target));
    EXPECT_TRUE(request.starts_with("GET /healthz?full=1 HTTP/1.1\r\n")) << request;
    EXPECT_NE(request.find("\r\nHost: api.example\r\n"), std::string::npos) << request;
    EXPECT_NE(request.find("\r\nConnection: close\r\n"), std::string::npos) << request;
}

TEST(HttpProbe, NamesTheAddressWhenThereIsNoHost)
{
    std::string request;
    const Server server([&](Connection &connection, const std::atomic<bool> &) {
        request = connection.read_request();
        connection.write(http_answer(204));
    });
    EXPECT_GOOD(probe_once(target_of(ProbeKind::kHttp, server.port())));
    EXPECT_NE(request.find("\r\nHost: 127.0.0.1:" + std::to_string(server.port()) + "\r\n"),
              std::string::npos)
        << request;
}

TEST(HttpProbe, LooksAtTheStatus)
{
    EXPECT_GOOD(probe_http(answering(http_answer(200))));
    EXPECT_GOOD(probe_http(answering(http_answer(399))));
    EXPECT_BAD(probe_http(answering(http_answer(500))), "status 500 (expected 200-399)");
    EXPECT_BAD(probe_http(answering(http_answer(400))), "status 400");
    ProbeTarget target{.timeout = 2s, .statuses = {{200, 200}, {401, 403}}};
    EXPECT_GOOD(probe_http(answering(http_answer(402)), target));
    EXPECT_BAD(probe_http(answering(http_answer(204)), target),
               "status 204 (expected 200, 401-403)");
}

TEST(HttpProbe, LooksForTextInTheBody)
{
    ProbeTarget target{.timeout = 2s, .body = "all is well"};
    EXPECT_GOOD(probe_http(answering(http_answer(200, "today all is well here")), target));
    EXPECT_BAD(probe_http(answering(http_answer(200, "nothing is well")), target),
               "the expected text is not in the body");
    EXPECT_GOOD(probe_http(answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     "6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n"),
                           target));
    EXPECT_GOOD(probe_http(answering("HTTP/1.0 200 OK\r\n\r\nall is well"), target));
    EXPECT_BAD(probe_http(answering("HTTP/1.0 200 OK\r\n\r\nall is wel"), target),
               "the expected text is not in the body");
}

TEST(HttpProbe, FindsTextThatComesInPieces)
{
    ProbeTarget target{.timeout = 2s, .body = "all is well"};
    EXPECT_GOOD(probe_http(
        [](Connection &connection, const std::atomic<bool> &stopping) {
            connection.read_request();
            const std::string answer = http_answer(200, "xxall is well" + std::string(99, 'x'));
            for (const char byte : answer) {
                if (!connection.write({byte})) {
                    return;
                }
                std::this_thread::sleep_for(200us);
            }
            connection.hold(stopping);
        },
        target));
}

TEST(HttpProbe, LooksNoFurtherThan64KiBIntoTheBody)
{
    ProbeTarget target{.timeout = 2s, .body = "all is well"};
    const size_t kBytes = size_t{64} * 1024;
    const std::string filler(kBytes - target.body.size(), 'x');
    EXPECT_GOOD(probe_http(answering(http_answer(200, filler + target.body)), target));
    EXPECT_BAD(probe_http(answering(http_answer(200, filler + "x" + target.body)), target),
               "not in the first 64 KiB");
    // Endless, and with a length that nobody could keep.
    EXPECT_BAD(probe_http(
                   [](Connection &connection, const std::atomic<bool> &) {
                       connection.read_request();
                       connection.write(
                           "HTTP/1.1 200 OK\r\nContent-Length: "
                           "9000000000000000000\r\n\r\n");
                       while (connection.write(std::string(10000, 'x'))) {
                       }
                   },
                   target),
               "not in the first 64 KiB");
}

TEST(HttpProbe, PassesOverInterimAnswers)
{
    const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n";
    EXPECT_GOOD(probe_http(answering(interim + interim + http_answer(200))));
    EXPECT_BAD(probe_http(answering(interim + http_answer(503))), "status 503");
    std::string many;
    for (int i = 0; i < 100; i++) {
        many += interim;
    }
    EXPECT_BAD(probe_http(answering(many)), "no end of interim answers (status 103)");
}

TEST(HttpProbe, RefusesWhatIsNotHttp)
{
    EXPECT_BAD(probe_http(answering("SSH-2.0-OpenSSH_9.2\r\n")), "the answer is not HTTP: ");
    EXPECT_BAD(probe_http(answering(std::string(5000, '\0'))), "the answer is not HTTP: ");
    EXPECT_BAD(probe_http(answering("HTTP/1.1 2xx OK\r\n\r\n")), "the answer is not HTTP: ");
    EXPECT_BAD(probe_http(answering("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")),
               "the answer is not HTTP: ");
    EXPECT_BAD(
        probe_http(answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
                   {.timeout = 2s, .body = "x"}),
        "the body is not HTTP: ");
}

TEST(HttpProbe, SaysThatTheConnectionEndedEarly)
{
    EXPECT_BAD(probe_http(answering("")), "the connection was closed without an answer");
    EXPECT_BAD(probe_http(answering("HTTP/1.1 200 OK\r\nServ")), "in the middle of the answer");
    EXPECT_BAD(probe_http(answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
                          {.timeout = 2s, .body = "x"}),
               "in the middle of the answer");
}

TEST(HttpProbe, ReadsAnAnswerThatCameBeforeTheRequest)
{
    EXPECT_BAD(probe_http([](Connection &connection, const std::atomic<bool> &) {
                   connection.write(http_answer(503));
               }),
               "status 503");
}

TEST(HttpProbe, BoundsTheHeader)
{
    EXPECT_BAD(probe_http([](Connection &connection, const std::atomic<bool> &) {
                   connection.read_request();
                   connection.write("HTTP/1.1 200 OK\r\n");
                   while (connection.write("X-Filler: " + std::string(500, 'x') + "\r\n")) {
                   }
               }),
               "the answer is not HTTP: header limit exceeded");
}

TEST(HttpProbe, BoundsTheExtensionOfAChunk)
{
    const auto endless = [](Connection &connection, const std::atomic<bool> &stopping) {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;name=");
        while (!stopping && connection.write(std::string(4096, 'x'))) {
        }
    };
    ProbeTarget target;
    target.body = "well";
    EXPECT_BAD(probe_http(endless, target), "16 KiB");
}

TEST(HttpProbe, EndsInTimeThoughTheServerNeverStopsSending)
{
    const auto endless = [](Connection &connection, const std::atomic<bool> &stopping) {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (!stopping &&
               connection.write("1;name=" + std::string(4096, 'x') + "\r\nx\r\n")) {
        }
    };
    ProbeTarget target;
    target.body = "well";
    target.timeout = 300ms;
    const auto began = std::chrono::steady_clock::now();
    const auto result = probe_http(endless, target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kBad);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 1500ms);
}

TEST(HttpProbe, IsBoundInTimeByEverythingTogether)
{
    ProbeTarget target{.timeout = 400ms};
    const auto before = std::chrono::steady_clock::now();
    EXPECT_BAD(probe_http(
                   [](Connection &connection, const std::atomic<bool> &stopping) {
                       connection.read_request();
                       connection.write("HTTP/1.1 200 OK\r\nX: ");
                       while (!stopping && connection.write("x")) {
                           std::this_thread::sleep_for(20ms);
                       }
                   },
                   target),
               "connected, but no whole HTTP answer within 400 ms");
    EXPECT_BAD(probe_http(do_nothing, target), "no whole HTTP answer within 400 ms");
    EXPECT_LT(std::chrono::steady_clock::now() - before, 3s);
}

TEST(HttpProbe, DoesNotLetTheConfigurationWriteHeaders)
{
    for (const auto *path : {"/a\r\nX: y", "/a b", "", "a", "/\x7f"}) {
        ProbeTarget target = target_of(ProbeKind::kHttp, 1);
        target.path = path;
        EXPECT_NOT_PROBED(probe_once(target), "path and host must be without spaces");
    }
    ProbeTarget target = target_of(ProbeKind::kHttp, 1);
    target.host = "a\r\nX: y";
    EXPECT_NOT_PROBED(probe_once(target), "path and host must be without spaces");
}

TEST(Prober, RunsManyAtOnceAndForgetsThem)
{
    const Server server(answering(http_answer(200)));
    boost::asio::io_context loop;
    Prober prober(loop);
    int good = 0;
    for (int i = 0; i < 50; i++) {
        prober.probe(target_of(i % 2 == 0 ? ProbeKind::kHttp : ProbeKind::kTcp, server.port()),
                     [&](const ProbeResult &result) {
                         good += result.outcome == ProbeOutcome::kGood ? 1 : 0;
                     });
    }
    EXPECT_EQ(prober.under_way(), 50U);
    while (prober.under_way() > 0) {
        loop.run_one_for(100ms);
    }
    EXPECT_EQ(good, 50);
}

TEST(Prober, TimesOutEachByItsOwnClock)
{
    const Server server(do_nothing);
    boost::asio::io_context loop;
    Prober prober(loop);
    std::vector<int> order;
    for (const int timeout_ms : {600, 200, 400}) {
        auto target = target_of(ProbeKind::kHttp, server.port());
        target.timeout = std::chrono::milliseconds(timeout_ms);
        prober.probe(target, [&order, timeout_ms](const ProbeResult &result) {
            order.push_back(timeout_ms);
            EXPECT_GE(result.latency, std::chrono::milliseconds(timeout_ms));
            EXPECT_LT(result.latency, std::chrono::milliseconds(timeout_ms + 150));
        });
    }
    loop.run_for(1s);
    EXPECT_EQ(order, (std::vector<int>{200, 400, 600}));
}

size_t open_descriptors()
{
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(open), end(open)));
}

TEST(Prober, CancelsWithoutLeaksWhenItGoes)
{
    const Server server(do_nothing);
    boost::asio::io_context loop;
    {
        const Prober opens_what_the_loop_needs(loop);
    }
    const size_t before = open_descriptors();
    bool called = false;
    {
        Prober prober(loop);
        for (const auto kind : {ProbeKind::kTcp, ProbeKind::kHttp, ProbeKind::kHttps}) {
            prober.probe(target_of(kind, server.port()),
                         [&](const ProbeResult &) { called = true; });
        }
        auto wrong = target_of(ProbeKind::kHttp, 1);
        wrong.path = "";
        prober.probe(wrong, [&](const ProbeResult &) { called = true; });
        EXPECT_EQ(prober.under_way(), 4U);
    }
    loop.run_for(200ms);
    EXPECT_FALSE(called);
    // The server has its ends of what had been accepted until it notices.
    for (int i = 0; i < 100 && open_descriptors() > before; i++) {
        std::this_thread::sleep_for(10ms);
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(Prober, MayBeDestroyedByWhatItTells)
{
    const Server server(do_nothing);
    boost::asio::io_context loop;
    auto prober = std::make_unique<Prober>(loop);
    int called = 0;
    for (int i = 0; i < 3; i++) {
        auto target = target_of(ProbeKind::kHttp, server.port());
        target.timeout = 100ms;
        prober->probe(target, [&](const ProbeResult &) {
            called++;
            prober.reset();
        });
    }
    loop.run_for(500ms);
    EXPECT_EQ(called, 1);
}

TEST(Prober, MayProbeAgainFromWhatItTells)
{
    const Server server(answering(http_answer(200)));
    boost::asio::io_context loop;
    Prober prober(loop);
    int good = 0;
    std::function<void(ProbeResult)> again = [&](const ProbeResult &result) {
        good += result.outcome == ProbeOutcome::kGood ? 1 : 0;
        if (good < 5) {
            prober.probe(target_of(ProbeKind::kHttp, server.port()), again);
        }
    };
    prober.probe(target_of(ProbeKind::kHttp, server.port()), again);
    for (int i = 0; i < 50 && good < 5; i++) {
        loop.restart();
        loop.run_for(20ms);
    }
    EXPECT_EQ(good, 5);
}

}  // namespace
}  // namespace guideway::health
