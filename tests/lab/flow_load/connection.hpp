// A TCP connection on which no step may take longer than a set time, and one HTTP answer on
// it. Steps throw what Asio throws; failure() says it in words.
#pragma once

// clang-format off
#include <utility>  // which Boost 1.74 uses and does not include
#include <boost/asio.hpp>
// clang-format on
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/lab/flow_load/run.hpp"

namespace lab {

// The head of an answer.
struct Head {
    std::string status;   // "200"; empty when it is not HTTP
    std::string gateway;  // X-Gateway
    uint64_t body_bytes = 0;
};

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(boost::asio::io_context &context, Milliseconds patience)
        : socket_(context), timer_(context), patience_(patience)
    {
    }

    // From a port of the kernel's choice if `port` is 0, else from that one, which an earlier
    // connection may just be leaving. `receive_buffer` of 0: the kernel's default.
    boost::asio::awaitable<void> connect(boost::asio::ip::tcp::endpoint to, uint16_t port,
                                         int receive_buffer);
    boost::asio::awaitable<void> send(std::string bytes);
    boost::asio::awaitable<Head> receive_head();
    // Some bytes of the body; 0 when the other side has ended the connection.
    boost::asio::awaitable<size_t> receive(char *to, size_t most);

    // Ends with a FIN, with a RST, or without a word to the other side.
    void close();
    void reset();
    void vanish();

    // What went wrong in the step under way.
    [[nodiscard]] std::string failure(const boost::system::system_error &error) const;

    std::string gateway;  // whose it is, once it is open

  private:
    void begin(const char *step);
    void wait_patiently();

    boost::asio::ip::tcp::socket socket_;
    boost::asio::steady_timer timer_;
    Milliseconds patience_;
    std::string received_;  // beyond the head
    const char *step_ = "begin";
    bool timed_out_ = false;
};

}  // namespace lab
