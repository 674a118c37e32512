#include "tests/lab/flow_load/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstdlib>

#include "tests/lab/http_text.hpp"

namespace lab {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

void Connection::begin(const char *step)
{
    step_ = step;
    wait_patiently();
}

void Connection::wait_patiently()
{
    timer_.expires_after(patience_);
    // Shared: the handler can run after the connection is over.
    timer_.async_wait([self = shared_from_this()](error_code error) {
        error_code ignored;
        if (error) {
            return;
        }
        // What has come and was not looked at yet is a matter of this machine's load.
        if (self->socket_.available(ignored) > 0) {
            self->wait_patiently();
            return;
        }
        self->timed_out_ = true;
        self->socket_.close(ignored);
    });
}

std::string Connection::failure(const boost::system::system_error &error) const
{
    return std::string(step_) + ": " +
           (timed_out_ ? "nothing within " + std::to_string(patience_.count()) + " ms"
                       : error.code().message());
}

awaitable<void> Connection::connect(tcp::endpoint to, uint16_t port, int receive_buffer)
{
    begin("connect");
    // A socket that the kernel is still closing holds its port for a moment.
    error_code error = asio::error::address_in_use;
    asio::steady_timer pause(socket_.get_executor());
    while (!timed_out_ && (error == asio::error::address_in_use ||
                           error == boost::system::errc::address_not_available)) {
        error_code ignored;
        socket_.close(ignored);
        socket_.open(to.protocol());
        socket_.set_option(tcp::socket::reuse_address(true));
        if (receive_buffer != 0) {
            socket_.set_option(asio::socket_base::receive_buffer_size(receive_buffer));
        }
        error.clear();
        if (port != 0) {
            socket_.bind(tcp::endpoint(to.protocol(), port), error);
        }
        if (!error) {
            co_await socket_.async_connect(to, asio::redirect_error(use_awaitable, error));
        }
        if (error) {
            pause.expires_after(Milliseconds(20));
            co_await pause.async_wait(use_awaitable);
        }
    }
    timer_.cancel();
    if (error || timed_out_) {
        throw boost::system::system_error(error);
    }
    socket_.set_option(tcp::no_delay(true));
}

awaitable<void> Connection::send(std::string bytes)
{
    begin("send");
    co_await asio::async_write(socket_, asio::buffer(bytes), use_awaitable);
    timer_.cancel();
}

awaitable<Head> Connection::receive_head()
{
    begin("answer");
    std::string head = std::move(received_);
    const size_t end = co_await asio::async_read_until(
        socket_, asio::dynamic_buffer(head, 1 << 20), std::string("\r\n\r\n"), use_awaitable);
    timer_.cancel();
    received_ = head.substr(end);
    head.resize(end - 2);
    Head parsed;
    if (head.starts_with("HTTP/1.") && head.size() > 12) {
        parsed.status = head.substr(9, 3);
        parsed.gateway = header(head, "X-Gateway").value_or("");
        parsed.body_bytes =
            std::strtoull(header(head, "Content-Length").value_or("0").c_str(), nullptr, 10);
    }
    co_return parsed;
}

awaitable<size_t> Connection::receive(char *to, size_t most)
{
    if (!received_.empty()) {
        const size_t count = std::min(most, received_.size());
        std::copy_n(received_.begin(), count, to);
        received_.erase(0, count);
        co_return count;
    }
    begin("body");
    error_code error;
    const size_t count = co_await socket_.async_read_some(
        asio::buffer(to, most), asio::redirect_error(use_awaitable, error));
    timer_.cancel();
    if (error && error != asio::error::eof) {
        throw boost::system::system_error(error);
    }
    co_return count;
}

void Connection::close()
{
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
}

void Connection::reset()
{
    error_code ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    close();
}

void Connection::vanish()
{
    // A socket under repair is closed without a packet.
    const int on = 1;
    const bool is_quiet =
        setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0;
    close();
    if (!is_quiet) {
        throw boost::system::system_error(errno, boost::system::system_category(),
                                          "TCP_REPAIR, which needs root");
    }
}

}  // namespace lab
