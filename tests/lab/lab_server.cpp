// What a gateway of the lab runs beside nginx: it answers UDP packets with its name and what
// they hold, and holds up nginx's questions for as long as their path says.
#include <CLI/CLI.hpp>
#include <boost/asio.hpp>
#include <cstdio>
#include <iostream>

#include "tests/lab/http_text.hpp"

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::udp;
using asio::local::stream_protocol;
using boost::system::error_code;

awaitable<void> answer_datagrams(udp::socket socket, std::string name)
{
    std::array<char, 2048> buffer;
    while (true) {
        udp::endpoint from;
        error_code error;
        const size_t count = co_await socket.async_receive_from(
            asio::buffer(buffer), from, asio::redirect_error(use_awaitable, error));
        if (!error) {
            const std::string answer = name + " " + std::string(buffer.data(), count);
            socket.send_to(asio::buffer(answer), from, 0, error);
        }
    }
}

// "GET /250 HTTP/1.0": answered after 250 ms.
awaitable<void> answer_late(stream_protocol::socket socket)
{
    std::string head;
    error_code error;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(head, 65536),
                                    std::string("\r\n\r\n"),
                                    asio::redirect_error(use_awaitable, error));
    unsigned delay_ms = 0;
    if (error || std::sscanf(head.c_str(), "GET /%u ", &delay_ms) != 1) {
        co_return;
    }
    asio::steady_timer timer(socket.get_executor(), std::chrono::milliseconds(delay_ms));
    co_await timer.async_wait(use_awaitable);
    const std::string answer = "HTTP/1.0 204 No Content\r\n\r\n";
    co_await asio::async_write(socket, asio::buffer(answer),
                               asio::redirect_error(use_awaitable, error));
}

awaitable<void> accept_questions(stream_protocol::acceptor acceptor)
{
    while (true) {
        stream_protocol::socket socket = co_await acceptor.async_accept(use_awaitable);
        asio::co_spawn(acceptor.get_executor(), answer_late(std::move(socket)), asio::detached);
    }
}

}  // namespace

int main(int argc, char **argv)
{
    std::string name;
    std::string delays;
    std::vector<std::string> addresses;
    CLI::App app{"Answers UDP packets with its name, and nginx's questions late."};
    app.add_option("--name", name, "what UDP packets are answered with")->required();
    app.add_option("--delays", delays, "Unix socket where GET /250 is answered after 250 ms")
        ->required();
    app.add_option("address", addresses, "UDP ADDRESS:PORT to answer at")->required();
    CLI11_PARSE(app, argc, argv);

    asio::io_context context(1);
    try {
        for (const std::string &text : addresses) {
            const auto address = lab::parse_target(text);
            if (!address) {
                std::cerr << "lab_server: '" << text << "' is not ADDRESS:PORT\n";
                return 2;
            }
            udp::socket socket(context, udp::endpoint(address->address(), address->port()));
            socket.set_option(asio::socket_base::receive_buffer_size(1 << 22));
            asio::co_spawn(context, answer_datagrams(std::move(socket), name), asio::detached);
        }
        stream_protocol::acceptor acceptor(context, stream_protocol::endpoint(delays));
        asio::co_spawn(context, accept_questions(std::move(acceptor)), asio::detached);
        context.run();
    } catch (const boost::system::system_error &error) {
        std::cerr << "lab_server: " << error.what() << "\n";
        return 1;
    }
}
