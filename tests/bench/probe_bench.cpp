// What health probes cost: as many targets as a large host has, probed at their interval, and
// the CPU time of this process as a share of one core. The servers are another process.
//
// Targets are addresses of the loopback device, 127.1.0.1 and following, behind one listener.
// The kernel's part of a loopback connection, both ends of it, is mostly paid by who sends, so
// this also holds work that a network would have done elsewhere.
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "control/health/probe.hpp"

namespace guideway::health {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

struct Settings {
    unsigned targets = 1000;
    unsigned interval_ms = 2000;
    unsigned seconds = 10;
    unsigned granularity_ms = 10;  // how often the loop looks for what is due
};

// ---- The servers.

// One answer and the end, through `Stream`.
template <typename Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
  public:
    template <typename... Arguments>
    explicit Session(Arguments &&...arguments) : stream_(std::forward<Arguments>(arguments)...)
    {
    }

    void read()
    {
        stream_.async_read_some(
            asio::buffer(room_), [self = this->shared_from_this()](error_code error, size_t) {
                if (!error) {
                    asio::async_write(self->stream_, asio::buffer(kAnswer),
                                      [self](error_code, size_t) { self->wait_for_the_end(); });
                }
            });
    }
    Stream &stream() { return stream_; }

  private:
    void wait_for_the_end()
    {
        stream_.async_read_some(asio::buffer(room_),
                                [self = this->shared_from_this()](error_code, size_t) {});
    }

    Stream stream_;
    std::array<char, 2048> room_{};
};

using PlainSession = Session<tcp::socket>;
using TlsSession = Session<asio::ssl::stream<tcp::socket>>;

void certify(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(context, certificate);
    SSL_CTX_use_PrivateKey(context, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

// Never returns.
[[noreturn]] void serve(tcp::acceptor &acceptor, asio::io_context &loop, ProbeKind kind)
{
    asio::ssl::context tls(asio::ssl::context::tls_server);
    if (kind == ProbeKind::kHttps) {
        certify(tls.native_handle());
    }
    std::function<void()> accept = [&] {
        acceptor.async_accept([&](error_code error, tcp::socket socket) {
            accept();
            if (error) {
                return;
            }
            if (kind != ProbeKind::kHttps) {
                std::make_shared<PlainSession>(std::move(socket))->read();
                return;
            }
            socket.set_option(tcp::no_delay(true));
            const auto session = std::make_shared<TlsSession>(std::move(socket), tls);
            session->stream().async_handshake(asio::ssl::stream_base::server,
                                              [session](error_code failed) {
                                                  if (!failed) {
                                                      session->read();
                                                  }
                                              });
        });
    };
    accept();
    loop.run();
    std::abort();
}

// ---- The probes.

struct Measured {
    double cpu_share = 0;  // of one core
    double probes_per_s = 0;
    double median_latency_us = 0;
    uint64_t not_good = 0;
};

double cpu_seconds()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval &time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Round {
  public:
    Round(ProbeKind kind, uint16_t port, const Settings &settings)
        : prober_(loop_),
          timer_(loop_),
          step_(std::chrono::microseconds(settings.interval_ms * 1000ULL / settings.targets)),
          granularity_(settings.granularity_ms)
    {
        for (unsigned i = 0; i < settings.targets; i++) {
            ProbeTarget target{.kind = kind, .port = port};
            target.address.bytes = {127, static_cast<uint8_t>(1 + (i >> 16)),
                                    static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
            target.address.bytes[1] = 1;
            target.path = "/healthz";
            targets_.push_back(target);
        }
    }

    Measured run(std::chrono::milliseconds duration)
    {
        latencies_.clear();
        not_good_ = 0;
        const double before = cpu_seconds();
        const auto began = Clock::now();
        due_ = began;
        until_ = began + duration;
        tick();
        loop_.restart();
        loop_.run_until(until_);
        const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
        Measured measured{.cpu_share = (cpu_seconds() - before) / elapsed,
                          .probes_per_s = static_cast<double>(latencies_.size()) / elapsed,
                          .not_good = not_good_};
        if (!latencies_.empty()) {
            const auto middle = latencies_.begin() + static_cast<long>(latencies_.size() / 2);
            std::ranges::nth_element(latencies_, middle);
            measured.median_latency_us = static_cast<double>(*middle);
        }
        return measured;
    }

  private:
    // Each target at its own time, spread over the interval, give or take the granularity.
    void tick()
    {
        for (; due_ <= Clock::now(); due_ += step_) {
            prober_.probe(
                targets_[next_++ % targets_.size()], [this](const ProbeResult &result) {
                    latencies_.push_back(result.latency.count());
                    if (result.outcome != ProbeOutcome::kGood && not_good_++ == 0) {
                        std::fprintf(stderr, "probe_bench: %s\n", result.reason.c_str());
                    }
                });
        }
        timer_.expires_after(granularity_);
        timer_.async_wait([this](error_code error) {
            if (!error && due_ < until_) {
                tick();
            }
        });
    }

    asio::io_context loop_;
    Prober prober_;
    asio::steady_timer timer_;
    std::chrono::microseconds step_;
    std::chrono::milliseconds granularity_;
    std::vector<ProbeTarget> targets_;
    size_t next_ = 0;
    Clock::time_point due_;
    Clock::time_point until_;
    std::vector<int64_t> latencies_;
    uint64_t not_good_ = 0;
};

nlohmann::json measure(const std::string &name, ProbeKind kind, const Settings &settings)
{
    asio::io_context loop;
    tcp::acceptor acceptor(loop, tcp::endpoint(tcp::v4(), 0));
    const uint16_t port = acceptor.local_endpoint().port();
    loop.notify_fork(asio::io_context::fork_prepare);
    const pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        loop.notify_fork(asio::io_context::fork_child);
        serve(acceptor, loop, kind);
    }
    loop.notify_fork(asio::io_context::fork_parent);
    acceptor.close();
    Round round(kind, port, settings);
    // The first interval meets every server for the first time.
    const auto first = round.run(std::chrono::milliseconds(settings.interval_ms));
    const auto later = round.run(std::chrono::seconds(settings.seconds));
    kill(server, SIGKILL);
    waitpid(server, nullptr, 0);
    return {{"name", name},
            {"targets", settings.targets},
            {"interval_ms", settings.interval_ms},
            {"cpu_percent", later.cpu_share * 100},
            {"cpu_us_per_probe", later.cpu_share * 1e6 / later.probes_per_s},
            {"first_interval_cpu_percent", first.cpu_share * 100},
            {"probes_per_s", later.probes_per_s},
            {"median_latency_us", later.median_latency_us},
            {"not_good", first.not_good + later.not_good}};
}

}  // namespace
}  // namespace guideway::health

int main(int argc, char **argv)
{
    using namespace guideway::health;
    Settings settings;
    CLI::App app("What health probes cost, as a share of one core; JSON on standard output");
    app.add_option("--targets", settings.targets)->check(CLI::Range(1, 60000));
    app.add_option("--interval-ms", settings.interval_ms)->check(CLI::Range(10, 60000));
    app.add_option("--seconds", settings.seconds)->check(CLI::Range(1, 600));
    app.add_option("--granularity-ms", settings.granularity_ms)->check(CLI::Range(1, 1000));
    std::string only;
    app.add_option("--only", only)->check(CLI::IsMember({"tcp", "http", "https"}));
    CLI11_PARSE(app, argc, argv);
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    nlohmann::json kinds = nlohmann::json::array();
    for (const auto &[name, kind] : {std::pair{"tcp", ProbeKind::kTcp},
                                     {"http", ProbeKind::kHttp},
                                     {"https", ProbeKind::kHttps}}) {
        if (only.empty() || only == name) {
            kinds.push_back(measure(name, kind, settings));
        }
    }
    std::printf("%s\n", nlohmann::json{{"probes", kinds}}.dump(2).c_str());
}
