// A client for labs: many connections, one HTTP request each, over IPv4 and IPv6, and an
// account of who answered, how fast, and what failed why. Bounded in time whatever happens.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/lab/http_text.hpp"

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using lab::header;
using Clock = std::chrono::steady_clock;

struct Options {
    std::vector<std::string> targets;
    uint64_t connections = 1000;  // 0: as many as the duration allows
    uint32_t concurrency = 64;
    uint32_t timeout_ms = 5000;  // a request's, from connect to the last byte
    double duration_s = 60;      // no request starts after it
    uint32_t pause_ms = 0;       // between two requests of one lane
    uint32_t seed = 1;
    std::string path = "/";
    bool progress = false;
};

struct Target {
    std::string text;
    tcp::endpoint endpoint;
    uint64_t requests = 0;
    uint64_t failures = 0;
    std::map<std::string, uint64_t> backends;
};

// What one request came to; `failure` is empty when it went well.
struct Answer {
    std::string backend;
    std::string failure;
    double latency_ms = 0;
};

// Walks through all ports above the reserved ones in an order that looks random.
class PortSequence {
  public:
    explicit PortSequence(uint32_t seed) : next_(seed * 7919U) {}

    uint16_t next()
    {
        next_ += kStride;
        return static_cast<uint16_t>(kFirst + next_ % kCount);
    }

  private:
    static constexpr uint32_t kFirst = 1024;
    static constexpr uint32_t kCount = 65536 - kFirst;
    static constexpr uint32_t kStride = 25717;  // shares no factor with kCount
    uint32_t next_;
};

Answer judge(const std::string &bytes)
{
    Answer answer;
    size_t end = bytes.find("\r\n\r\n");
    if (bytes.empty()) {
        answer.failure = "closed without an answer";
    } else if (end == std::string::npos || !bytes.starts_with("HTTP/1.")) {
        answer.failure = "not an HTTP answer, or one cut short";
    }
    if (!answer.failure.empty()) {
        return answer;
    }
    std::string_view head = std::string_view(bytes).substr(0, end + 2);
    answer.backend = header(head, "X-Gateway").value_or("");
    std::string_view status = head.substr(9, 3);
    std::string length = header(head, "Content-Length").value_or("");
    if (status != "200") {
        answer.failure = "HTTP status " + std::string(status);
    } else if (answer.backend.empty()) {
        answer.failure = "no X-Gateway header";
    } else if (!length.empty() && length != std::to_string(bytes.size() - end - 4)) {
        answer.failure =
            "body of " + std::to_string(bytes.size() - end - 4) + " bytes, not " + length;
    }
    return answer;
}

class Load {
  public:
    Load(asio::io_context &context, const Options &options, std::vector<Target> targets)
        : context_(context),
          options_(options),
          targets_(std::move(targets)),
          ports_(options.seed),
          begin_(Clock::now()),
          deadline_(begin_ + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(options.duration_s)))
    {
    }

    void run()
    {
        for (uint32_t i = 0; i < options_.concurrency; i++) {
            asio::co_spawn(context_, lane(), asio::detached);
        }
        context_.run();
        elapsed_s_ = std::chrono::duration<double>(Clock::now() - begin_).count();
        if (options_.progress) {
            show_progress(true);
        }
    }

    [[nodiscard]] nlohmann::json report();
    [[nodiscard]] uint64_t failures() const { return failures_; }

  private:
    struct Exchange {
        tcp::socket socket;
        asio::steady_timer timer;
        bool timed_out = false;
    };

    awaitable<void> lane();
    awaitable<Answer> request(const tcp::endpoint &endpoint);
    awaitable<std::string> converse(Exchange &exchange, tcp::endpoint endpoint,
                                    std::string &received);
    awaitable<error_code> connect(Exchange &exchange, tcp::endpoint endpoint);
    void note(Target &target, const Answer &answer);
    void show_progress(bool is_last);

    asio::io_context &context_;
    const Options &options_;
    std::vector<Target> targets_;
    PortSequence ports_;
    Clock::time_point begin_;
    Clock::time_point deadline_;
    Clock::time_point progress_shown_;
    uint64_t started_ = 0;
    uint64_t finished_ = 0;
    uint64_t failures_ = 0;
    double elapsed_s_ = 0;
    std::vector<double> latencies_ms_;
    std::map<std::string, uint64_t> reasons_;
    std::map<std::string, uint64_t> backends_;
};

awaitable<void> Load::lane()
{
    asio::steady_timer pause(context_);
    while ((options_.connections == 0 || started_ < options_.connections) &&
           Clock::now() < deadline_) {
        Target &target = targets_[started_++ % targets_.size()];
        note(target, co_await request(target.endpoint));
        if (options_.pause_ms > 0) {
            pause.expires_after(std::chrono::milliseconds(options_.pause_ms));
            co_await pause.async_wait(use_awaitable);
        }
    }
}

// A port of our own choice: the kernel's would follow one another.
awaitable<error_code> Load::connect(Exchange &exchange, tcp::endpoint endpoint)
{
    constexpr int kPortsTried = 16;
    error_code error;
    for (int i = 0; i < kPortsTried && !exchange.timed_out; i++) {
        exchange.socket = tcp::socket(context_, endpoint.protocol());
        exchange.socket.set_option(tcp::socket::reuse_address(true));
        exchange.socket.bind(tcp::endpoint(endpoint.protocol(), ports_.next()), error);
        if (error) {
            continue;
        }
        co_await exchange.socket.async_connect(endpoint,
                                               asio::redirect_error(use_awaitable, error));
        if (error != asio::error::address_in_use &&
            error != boost::system::errc::address_not_available) {
            break;
        }
    }
    co_return error;
}

// Returns what failed, or nothing.
awaitable<std::string> Load::converse(Exchange &exchange, tcp::endpoint endpoint,
                                      std::string &received)
{
    error_code error = co_await connect(exchange, endpoint);
    if (error) {
        co_return "connect: " + error.message();
    }
    std::string question = "GET " + options_.path +
                           " HTTP/1.1\r\nHost: guideway.test\r\nConnection: close\r\n\r\n";
    co_await asio::async_write(exchange.socket, asio::buffer(question),
                               asio::redirect_error(use_awaitable, error));
    if (error) {
        co_return "send: " + error.message();
    }
    co_await asio::async_read(exchange.socket, asio::dynamic_buffer(received),
                              asio::redirect_error(use_awaitable, error));
    if (error != asio::error::eof) {
        co_return "receive: " + error.message();
    }
    co_return "";
}

awaitable<Answer> Load::request(const tcp::endpoint &endpoint)
{
    // Shared with the timer's handler, which can run after the request is over.
    auto exchange = std::make_shared<Exchange>(
        Exchange{tcp::socket(context_), asio::steady_timer(context_)});
    exchange->timer.expires_after(std::chrono::milliseconds(options_.timeout_ms));
    exchange->timer.async_wait([exchange](error_code error) {
        if (!error) {
            exchange->timed_out = true;
            error_code ignored;
            exchange->socket.close(ignored);
        }
    });
    auto begin = Clock::now();
    std::string received;
    std::string failure = co_await converse(*exchange, endpoint, received);
    exchange->timer.cancel();
    error_code ignored;
    exchange->socket.close(ignored);
    if (exchange->timed_out) {
        failure = (received.empty() ? "no answer within " : "no whole answer within ") +
                  std::to_string(options_.timeout_ms) + " ms";
    }
    Answer answer = failure.empty() ? judge(received) : Answer{.failure = failure};
    answer.latency_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    co_return answer;
}

void Load::note(Target &target, const Answer &answer)
{
    finished_++;
    target.requests++;
    if (answer.failure.empty()) {
        target.backends[answer.backend]++;
        backends_[answer.backend]++;
        latencies_ms_.push_back(answer.latency_ms);
    } else {
        target.failures++;
        failures_++;
        reasons_[answer.failure]++;
    }
    if (options_.progress && Clock::now() - progress_shown_ > std::chrono::milliseconds(200)) {
        show_progress(false);
    }
}

void Load::show_progress(bool is_last)
{
    progress_shown_ = Clock::now();
    bool is_terminal = isatty(STDERR_FILENO) != 0;
    if (!is_terminal && !is_last) {
        return;
    }
    uint64_t all = options_.connections == 0 ? finished_ : options_.connections;
    std::string bar;
    for (uint64_t i = 0; i < 30; i++) {
        bar += i * all < finished_ * 30 ? "█" : "░";
    }
    std::fprintf(stderr, "%s  %s %llu of %llu requests, %llu failed%s", is_terminal ? "\r" : "",
                 bar.c_str(), static_cast<unsigned long long>(finished_),
                 static_cast<unsigned long long>(all),
                 static_cast<unsigned long long>(failures_), is_last ? "\n" : "");
}

nlohmann::json Load::report()
{
    // What the time did not suffice for was asked for and not done.
    if (options_.connections > finished_) {
        uint64_t missing = options_.connections - finished_;
        failures_ += missing;
        reasons_["not started: the time was up"] += missing;
    }
    std::ranges::sort(latencies_ms_);
    auto percentile = [&](double share) {
        if (latencies_ms_.empty()) {
            return 0.0;
        }
        auto rank =
            static_cast<size_t>(std::ceil(share * static_cast<double>(latencies_ms_.size())));
        double value = latencies_ms_[std::max<size_t>(rank, 1) - 1];
        return std::round(value * 1000) / 1000;
    };
    nlohmann::json targets = nlohmann::json::array();
    for (const Target &target : targets_) {
        targets.push_back({{"target", target.text},
                           {"requests", target.requests},
                           {"failures", target.failures},
                           {"backends", target.backends}});
    }
    return {{"requests", std::max(options_.connections, finished_)},
            {"failures", failures_},
            {"reasons", reasons_},
            {"backends", backends_},
            {"targets", targets},
            {"elapsed_s", std::round(elapsed_s_ * 1000) / 1000},
            {"requests_per_s", std::round(static_cast<double>(finished_) / elapsed_s_)},
            {"latency_ms",
             {{"min", percentile(0)},
              {"p50", percentile(0.50)},
              {"p90", percentile(0.90)},
              {"p99", percentile(0.99)},
              {"max", percentile(1)}}}};
}

}  // namespace

int main(int argc, char **argv)
{
    Options options;
    CLI::App app{
        "Sends HTTP requests, one a connection, and prints as JSON who answered them.\n"
        "Exit status: 0 all went well, 1 some failed, 2 and above: bad arguments."};
    app.add_option("target", options.targets, "ADDRESS:PORT, such as [2001:db8::1]:80")
        ->required();
    app.add_option("--connections", options.connections,
                   "how many in all, spread over the targets; 0: until the duration is over")
        ->capture_default_str();
    app.add_option("--concurrency", options.concurrency, "how many at once")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    app.add_option("--timeout-ms", options.timeout_ms, "time for one request")
        ->capture_default_str()
        ->check(CLI::Range(1, 600000));
    app.add_option("--duration", options.duration_s, "seconds after which none is started")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 3600.0));
    app.add_option("--pause-ms", options.pause_ms,
                   "wait after each request, per concurrent one")
        ->capture_default_str();
    app.add_option("--seed", options.seed, "which source ports come first")
        ->capture_default_str();
    app.add_option("--path", options.path, "what to ask for")->capture_default_str();
    app.add_flag("--progress", options.progress, "show progress on standard error");
    CLI11_PARSE(app, argc, argv);

    std::vector<Target> targets;
    for (const std::string &text : options.targets) {
        auto endpoint = lab::parse_target(text);
        if (!endpoint) {
            std::cerr << "http_load: '" << text
                      << "' is not ADDRESS:PORT, such as 203.0.113.10:80 or [2001:db8::1]:80\n";
            return 2;
        }
        targets.push_back({.text = text, .endpoint = *endpoint});
    }
    asio::io_context context(1);
    Load load(context, options, std::move(targets));
    load.run();
    std::cout << load.report().dump(2) << "\n";
    return load.failures() == 0 ? 0 : 1;
}
