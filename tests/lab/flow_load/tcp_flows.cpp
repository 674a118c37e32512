#include <algorithm>
#include <boost/asio.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "tests/lab/flow_load/connection.hpp"
#include "tests/lab/flow_load/flows.hpp"

namespace lab {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// What a flow found wrong itself; what fails in the kernel's eyes is a system_error.
struct Broken {
    std::string reason;
};

std::shared_ptr<Connection> make_connection(Run &run)
{
    return std::make_shared<Connection>(run.context(), Milliseconds(run.options().patience_ms));
}

// Carries out one flow; whatever it ends by is in the account.
template <typename Steps>
awaitable<void> account_for(Run &run, std::shared_ptr<Connection> connection, Steps steps)
{
    std::string reason;
    try {
        co_await steps(*connection);
    } catch (const Broken &broken) {
        reason = broken.reason;
    } catch (const boost::system::system_error &error) {
        reason = connection->failure(error);
    }
    connection->close();
    if (reason.empty()) {
        run.ended_well();
    } else {
        run.broke((connection->gateway.empty() ? "while opening: " : "while held: ") + reason,
                  connection->gateway);
    }
}

void expect_status(const Head &head, const char *status)
{
    if (head.status != status) {
        throw Broken{head.status.empty() ? "not an HTTP answer" : "HTTP status " + head.status};
    }
    if (head.gateway.empty()) {
        throw Broken{"no X-Gateway header"};
    }
}

void note_opened(Run &run, Connection &connection, const std::string &gateway)
{
    connection.gateway = gateway;
    run.opened(gateway);
}

class Download {
  public:
    Download(Run &run, const DownloadOptions &options, const std::string &content,
             uint32_t number)
        : run_(run),
          options_(options),
          content_(content),
          number_(number),
          // Somewhere else for each, so that the bytes of another would be noticed.
          offset_(number * 104729ULL * 64 % (content.size() - options.bytes + 1))
    {
    }

    awaitable<void> operator()(Connection &connection)
    {
        // A small window: the gateway can send only what is about to be read.
        co_await connection.connect(run_.target(number_), 0, 8192);
        co_await connection.send("GET " + options_.path +
                                 " HTTP/1.1\r\nHost: guideway.test\r\nConnection: close\r\n"
                                 "Range: bytes=" +
                                 std::to_string(offset_) + "-" +
                                 std::to_string(offset_ + options_.bytes - 1) + "\r\n\r\n");
        const Head head = co_await connection.receive_head();
        expect_status(head, "206");
        note_opened(run_, connection, head.gateway);
        run_.account().answers++;
        while (co_await read_a_part(connection)) {
        }
        if (received_ != options_.bytes) {
            throw Broken{"body ends early"};
        }
    }

  private:
    static constexpr uint32_t kPartsPerSecond = 4;

    // At the pace; false at the end of the connection.
    awaitable<bool> read_a_part(Connection &connection)
    {
        std::array<char, 16384> buffer;
        co_await run_.sleep_until(begin_ +
                                  Milliseconds(uint64_t{received_} * 1000 / options_.rate));
        const size_t most =
            run_.is_over()
                ? buffer.size()
                : std::min<size_t>(buffer.size(), options_.rate / kPartsPerSecond + 1);
        const size_t count = co_await connection.receive(buffer.data(), most);
        if (received_ + count > options_.bytes ||
            !std::equal(buffer.begin(), buffer.begin() + count,
                        content_.begin() + static_cast<ptrdiff_t>(offset_ + received_))) {
            throw Broken{"wrong bytes in the body"};
        }
        received_ += static_cast<uint32_t>(count);
        run_.account().bytes += count;
        co_return count > 0;
    }

    Run &run_;
    const DownloadOptions &options_;
    const std::string &content_;
    uint32_t number_;
    uint64_t offset_;
    uint32_t received_ = 0;
    Clock::time_point begin_ = Clock::now();
};

const char kRequest[] =
    "GET / HTTP/1.1\r\nHost: guideway.test\r\nUser-Agent: flow_load\r\n\r\n";

// The answer to kRequest, whole; who gave it.
awaitable<std::string> receive_page(Run &run, Connection &connection)
{
    const Head head = co_await connection.receive_head();
    expect_status(head, "200");
    std::array<char, 4096> buffer;
    for (uint64_t left = head.body_bytes; left > 0;) {
        const size_t count =
            co_await connection.receive(buffer.data(), std::min<size_t>(left, buffer.size()));
        if (count == 0) {
            throw Broken{"body ends early"};
        }
        left -= count;
        run.account().bytes += count;
    }
    run.account().answers++;
    co_return head.gateway;
}

awaitable<void> talk_on(Run &run, const TalkOptions &options, uint32_t number,
                        Connection &connection)
{
    const std::string request = kRequest;
    co_await connection.connect(run.target(number), 0, 0);
    co_await connection.send(request);
    const std::string gateway = co_await receive_page(run, connection);
    note_opened(run, connection, gateway);

    const auto every = Milliseconds(options.every_ms);
    // Spread over the first interval.
    auto next = Clock::now() + every * (number % 64 + 1) / 64;
    while (!run.is_over()) {
        for (uint32_t piece = 0; piece < options.pieces; piece++) {
            co_await run.sleep_until(next);
            const size_t from = request.size() * piece / options.pieces;
            const size_t to = request.size() * (piece + 1) / options.pieces;
            co_await connection.send(request.substr(from, to - from));
            next = Clock::now() + every;
        }
        const std::string answered_by = co_await receive_page(run, connection);
        next = Clock::now() + every;
        if (answered_by != gateway) {
            throw Broken{"the answer is another gateway's"};
        }
    }
}

// One connection after the other from one port; the last one ends when the run is over.
awaitable<void> reuse_port(Run &run, const ReuseOptions &options, uint32_t number)
{
    std::string first;
    std::string reason;
    for (uint32_t round = 0; reason.empty() && (round == 0 || !run.is_over()); round++) {
        auto connection = make_connection(run);
        try {
            const auto port = static_cast<uint16_t>(options.first_port + number);
            co_await connection->connect(run.target(number), port, 0);
            co_await connection->send(kRequest);
            const std::string gateway = co_await receive_page(run, *connection);
            if (first.empty()) {
                first = gateway;
                run.opened(gateway);
            }
            run.account().moved += gateway != first ? 1 : 0;
            switch ((round + number) % 3) {
                case 0:
                    connection->close();
                    break;
                case 1:
                    connection->reset();
                    break;
                default:
                    connection->vanish();
            }
        } catch (const Broken &broken) {
            reason = broken.reason;
        } catch (const boost::system::system_error &error) {
            reason = connection->failure(error);
        }
        connection->close();
        co_await run.sleep_until(Clock::now() + Milliseconds(options.every_ms));
    }
    if (reason.empty()) {
        run.ended_well();
    } else {
        run.broke((first.empty() ? "while opening: " : "port used again: ") + reason, first);
    }
}

}  // namespace

bool download(Run &run, const DownloadOptions &options)
{
    std::ifstream file(options.expect, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    if (content.size() < options.bytes) {
        std::cerr << "flow_load: '" << options.expect << "' has fewer than the "
                  << options.bytes << " bytes of a download, or cannot be read\n";
        return false;
    }
    return run.run([&](uint32_t number) {
        return account_for(run, make_connection(run), Download(run, options, content, number));
    });
}

bool talk(Run &run, const TalkOptions &options)
{
    return run.run([&](uint32_t number) {
        return account_for(run, make_connection(run), [&run, &options, number](Connection &c) {
            return talk_on(run, options, number, c);
        });
    });
}

bool reuse(Run &run, const ReuseOptions &options)
{
    return run.run([&](uint32_t number) { return reuse_port(run, options, number); });
}

}  // namespace lab
