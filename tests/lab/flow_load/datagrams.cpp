#include <boost/asio.hpp>
#include <cstdio>
#include <set>

#include "tests/lab/flow_load/flows.hpp"

namespace lab {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::udp;
using boost::system::error_code;

// One flow: a socket of its own, "NUMBER" out, "GATEWAY NUMBER" back.
class Stream {
  public:
    Stream(Run &run, uint32_t rate, uint32_t number)
        : run_(run), number_(number), rate_(rate), socket_(run.context())
    {
    }

    void open()
    {
        const auto &target = run_.target(number_);
        const udp::endpoint to(target.address(), target.port());
        socket_.open(to.protocol());
        // What waits in the kernel while this process is not on a processor is not lost.
        socket_.set_option(asio::socket_base::receive_buffer_size(1 << 20));
        socket_.connect(to);
    }

    awaitable<void> send();
    awaitable<void> receive();

    uint64_t sent = 0;
    uint64_t refused = 0;  // that the kernel did not take
    std::set<uint64_t> unanswered;
    uint64_t twice = 0;
    std::map<std::string, uint64_t> gateways;

  private:
    Run &run_;
    uint32_t number_;
    uint32_t rate_;
    udp::socket socket_;
};

awaitable<void> Stream::send()
{
    const auto begin = Clock::now();
    while (!run_.is_over()) {
        const std::string text = std::to_string(sent);
        unanswered.insert(sent);
        error_code error;
        socket_.send(asio::buffer(text), 0, error);
        refused += error ? 1 : 0;
        sent++;
        co_await run_.sleep_until(begin + std::chrono::microseconds(sent * 1000000 / rate_));
    }
    // The last answers may be on their way.
    asio::steady_timer rest(run_.context());
    for (int i = 0; i < 30 && !unanswered.empty(); i++) {
        rest.expires_after(Milliseconds(100));
        co_await rest.async_wait(use_awaitable);
    }
    socket_.close();
}

awaitable<void> Stream::receive()
{
    std::array<char, 512> buffer;
    while (socket_.is_open()) {
        error_code error;
        const size_t count = co_await socket_.async_receive(
            asio::buffer(buffer), asio::redirect_error(use_awaitable, error));
        const std::string text(buffer.data(), count);
        const size_t blank = text.find(' ');
        if (error || blank == std::string::npos) {
            continue;
        }
        gateways[text.substr(0, blank)]++;
        twice += 1 - unanswered.erase(std::strtoull(text.c_str() + blank, nullptr, 10));
    }
}

}  // namespace

bool send_datagrams(Run &run, const DatagramOptions &options, nlohmann::json &report)
{
    std::vector<std::unique_ptr<Stream>> streams;
    const uint32_t rate = std::max(1U, options.rate / run.options().flows);
    const auto flow = [&](uint32_t number) -> awaitable<void> {
        Stream &stream = *streams.emplace_back(std::make_unique<Stream>(run, rate, number));
        stream.open();
        asio::co_spawn(run.context(), stream.receive(), asio::detached);
        run.opened("any");
        co_await stream.send();
        if (stream.unanswered.empty()) {
            run.ended_well();
        } else {
            run.broke("packets without an answer", "any");
        }
    };
    if (!run.run(flow)) {
        return false;
    }
    uint64_t sent = 0;
    uint64_t lost = 0;
    uint64_t twice = 0;
    uint64_t moved = 0;
    std::map<std::string, uint64_t> gateways;
    for (const auto &stream : streams) {
        sent += stream->sent;
        lost += stream->unanswered.size();
        twice += stream->twice;
        moved += stream->gateways.size() > 1 ? 1 : 0;
        for (const auto &[gateway, count] : stream->gateways) {
            gateways[gateway] += count;
        }
    }
    report = {{"sent", sent},
              {"lost", lost},
              {"twice", twice},
              {"moved", moved},
              {"backends", gateways}};
    return true;
}

}  // namespace lab
