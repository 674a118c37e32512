#include "control/api/server.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "control/api/listen.hpp"
#include "control/api/request.hpp"

namespace guideway::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Socket = asio::local::stream_protocol::socket;
using Stream = beast::basic_stream<asio::local::stream_protocol>;

constexpr auto kAcceptPause = std::chrono::milliseconds(200);

Response error_response(unsigned status, std::string message)
{
    return {status, {{"error", std::move(message)}}};
}

class Session;

// What sessions need of the server. They outlive it by the callbacks still queued.
class Owner {
  public:
    Owner(const Owner &) = delete;
    Owner &operator=(const Owner &) = delete;
    virtual ~Owner() = default;
    [[nodiscard]] virtual const Limits &limits() const = 0;
    [[nodiscard]] virtual bool draining() const = 0;
    [[nodiscard]] virtual bool takes_text(const Request &request) const = 0;
    virtual Response handle(const Request &request) = 0;
    virtual void answered() = 0;  // a response has been sent, or could not be
    virtual void ended(const std::shared_ptr<Session> &session) = 0;

  protected:
    Owner() = default;
};

// One connection: read a request, answer it, and again while the client keeps it alive.
class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(Socket socket, Owner &owner) : stream_(std::move(socket)), owner_(&owner) {}

    void read();
    [[nodiscard]] bool answering() const { return answering_; }
    void close()
    {
        error_code ignored;
        stream_.socket().close(ignored);
    }
    void abandon()
    {
        owner_ = nullptr;
        ticket_.reset();
        close();
    }

  private:
    // A member as a completion handler that keeps the session alive, and does nothing
    // once the server is gone.
    template <typename Step>
    auto then(Step step)
    {
        return [self = shared_from_this(), step](error_code error, size_t) {
            if (self->owner_ != nullptr) {
                (*self.*step)(error);
            }
        };
    }

    void on_header(error_code error);
    [[nodiscard]] bool takes_text() const;
    void read_body(error_code error);
    void on_request(error_code error);
    void refuse(error_code error);
    void answer();
    void wait(const Response::Later &later);
    void listen();
    void on_heard(error_code error, size_t bytes);
    void on_reply(Response response);
    void send(Response response, bool keep_alive);
    void on_sent(error_code error);
    void discard(error_code error);
    void end();

    Stream stream_;
    Owner *owner_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> response_;
    http::response<http::empty_body> continue_;
    std::shared_ptr<void> ticket_;  // of an answer that comes later
    std::optional<Response> reply_;
    bool is_text_ = false;  // the body
    size_t body_bytes_max_ = 0;
    bool waiting_ = false;
    bool listening_ = false;  // meanwhile: whether the client hangs up
    bool answering_ = false;
    bool refused_ = false;  // the rest of the request is not read, but thrown away
};

void Session::read()
{
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(owner_->limits().header_bytes_max));
    // Which one it is, the header will tell.
    parser_->body_limit(std::numeric_limits<uint64_t>::max());
    // One deadline for the whole request: a client that sends a byte now and then is
    // stalled too.
    stream_.expires_after(owner_->limits().request_timeout);
    http::async_read_header(stream_, buffer_, *parser_, then(&Session::on_header));
}

void Session::on_header(error_code error)
{
    if (error) {
        return refuse(error);
    }
    is_text_ = takes_text();
    body_bytes_max_ =
        is_text_ ? owner_->limits().text_bytes_max : owner_->limits().body_bytes_max;
    parser_->body_limit(body_bytes_max_);
    if (const auto length = parser_->content_length(); length && *length > body_bytes_max_) {
        return refuse(http::error::body_limit);
    }
    if (!parser_->is_done() &&
        beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
        continue_ = {http::status::continue_, parser_->get().version()};
        http::async_write(stream_, continue_, then(&Session::read_body));
        return;
    }
    read_body({});
}

bool Session::takes_text() const
{
    const auto &message = parser_->get();
    auto path = parse_target({message.target().data(), message.target().size()});
    return path && owner_->takes_text({.method = std::string(message.method_string()),
                                       .path = std::move(*path),
                                       .body = {},
                                       .text = "",
                                       .query = {}});
}

void Session::read_body(error_code error)
{
    if (error) {
        return end();
    }
    http::async_read(stream_, buffer_, *parser_, then(&Session::on_request));
}

void Session::on_request(error_code error)
{
    if (error) {
        return refuse(error);
    }
    answer();
}

// A request that cannot be read to its end. Only a client that made a mistake, rather than
// went away, is told.
void Session::refuse(error_code error)
{
    if (error == http::error::end_of_stream || error == http::error::partial_message ||
        error.category() != make_error_code(http::error::bad_method).category()) {
        return end();
    }
    refused_ = true;
    if (error == http::error::body_limit) {
        send(error_response(413, "the request's body is larger than " +
                                     std::to_string(body_bytes_max_) + " bytes"),
             false);
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
        send(error_response(400, "the request's header is larger than " +
                                     std::to_string(owner_->limits().header_bytes_max) +
                                     " bytes"),
             false);
    } else {
        send(error_response(400, "the request is not HTTP/1.1: " + error.message()), false);
    }
}

void Session::answer()
{
    const auto &message = parser_->get();
    const bool keep_alive = message.keep_alive();
    const bool head = message.method() == http::verb::head;
    const std::string_view target(message.target().data(), message.target().size());
    auto path = parse_target(target);
    auto query = parse_query(target);
    auto body = path ? parse_body(is_text_ ? std::string_view() : message.body())
                     : Result<nlohmann::json>{};
    // Set before the handler runs, so that one which drains the server is answered too.
    answering_ = true;
    if (!path || !query || !body) {
        const auto &error = !path ? path.error() : !query ? query.error() : body.error();
        return send(error_response(400, error.message), keep_alive);
    }
    Request request{
        head ? "GET" : std::string(message.method_string()), std::move(*path), std::move(*body),
        is_text_ ? std::move(parser_->get().body()) : std::string(), std::move(*query)};
    auto response = owner_->handle(request);
    if (response.later) {
        return wait(response.later);
    }
    send(std::move(response), keep_alive);
}

// The answer comes when it comes; meanwhile nothing is owed to the client, and all it can do is
// to hang up or to send the next request.
void Session::wait(const Response::Later &later)
{
    answering_ = false;
    waiting_ = true;
    reply_.reset();
    stream_.expires_never();
    ticket_ = later([session = weak_from_this()](Response response) {
        if (const auto self = session.lock()) {
            self->on_reply(std::move(response));
        }
    });
    if (reply_) {
        return on_heard({}, 0);
    }
    listen();
}

void Session::listen()
{
    constexpr size_t kChunkBytes = 4096;
    listening_ = true;
    stream_.async_read_some(buffer_.prepare(kChunkBytes),
                            [self = shared_from_this()](error_code error, size_t bytes) {
                                if (self->owner_ != nullptr) {
                                    self->on_heard(error, bytes);
                                }
                            });
}

void Session::on_heard(error_code error, size_t bytes)
{
    listening_ = false;
    buffer_.commit(bytes);
    if (reply_ && (!error || error == asio::error::operation_aborted)) {
        waiting_ = false;
        ticket_.reset();
        return send(*std::exchange(reply_, std::nullopt), parser_->get().keep_alive());
    }
    if (error || buffer_.size() > owner_->limits().header_bytes_max) {
        return end();
    }
    listen();
}

void Session::on_reply(Response response)
{
    if (!waiting_ || reply_) {
        return;
    }
    reply_ = std::move(response);
    if (listening_) {
        stream_.cancel();  // and the answer is sent from there
    }
}

void Session::send(Response response, bool keep_alive)
{
    answering_ = true;
    // Names and paths come from outside and may not be UTF-8, which JSON must be.
    std::string text =
        response.body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text.push_back('\n');
    response_ = {http::int_to_status(response.status), parser_->get().version()};
    response_.result(response.status);
    response_.set(http::field::content_type, "application/json");
    response_.set(http::field::cache_control, "no-store");
    response_.keep_alive(keep_alive && !owner_->draining());
    response_.content_length(text.size());
    if (parser_->get().method() != http::verb::head || refused_) {
        response_.body() = std::move(text);
    }
    stream_.expires_after(owner_->limits().response_timeout);
    http::async_write(stream_, response_, then(&Session::on_sent));
}

void Session::on_sent(error_code error)
{
    answering_ = false;
    const auto self = shared_from_this();
    owner_->answered();  // may end this session
    if (owner_ == nullptr) {
        return;
    }
    if (error) {
        return end();
    }
    if (refused_) {
        // Closing with unread bytes would reset the connection under a client that is
        // still writing, before it reads why it was refused.
        error_code ignored;
        stream_.socket().shutdown(Socket::shutdown_send, ignored);
        stream_.expires_after(owner_->limits().linger);
        return discard({});
    }
    if (response_.need_eof() || owner_->draining()) {
        return end();
    }
    read();
}

void Session::discard(error_code error)
{
    if (error) {
        return end();
    }
    constexpr size_t kChunkBytes = 65536;
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kChunkBytes), then(&Session::discard));
}

void Session::end()
{
    waiting_ = false;
    ticket_.reset();
    close();
    owner_->ended(shared_from_this());
}

class UnixServer final : public Server, private Owner {
  public:
    UnixServer(asio::io_context &loop, ListeningSocket socket, Handler handler, Limits limits,
               TakesText takes_text)
        : loop_(loop),
          name_(std::move(socket)),
          acceptor_(loop, asio::local::stream_protocol(), name_.release_descriptor()),
          pause_(loop),
          handler_(std::move(handler)),
          limits_(limits),
          takes_text_(std::move(takes_text))
    {
        accept();
    }

    ~UnixServer() override
    {
        *alive_ = false;
        for (const auto &session : sessions_) {
            session->abandon();
        }
    }

    void drain(std::function<void()> done) override
    {
        done_ = std::move(done);
        draining_ = true;
        error_code ignored;
        acceptor_.close(ignored);
        pause_.cancel();
        check_drained();
    }

  private:
    [[nodiscard]] const Limits &limits() const override { return limits_; }
    [[nodiscard]] bool draining() const override { return draining_; }
    [[nodiscard]] bool takes_text(const Request &request) const override
    {
        return takes_text_ && takes_text_(request);
    }

    Response handle(const Request &request) override
    {
        try {
            return handler_(request);
        } catch (const std::exception &error) {
            spdlog::error("cannot answer {} on the API: unexpected failure: {}", request.method,
                          error.what());
            return error_response(
                500, std::string("unexpected failure in the daemon: ") + error.what());
        }
    }

    void accept()
    {
        if (draining_ || accepting_ || sessions_.size() >= limits_.connections_max) {
            return;
        }
        accepting_ = true;
        acceptor_.async_accept([this, alive = alive_](error_code error, Socket socket) {
            if (!*alive) {
                return;
            }
            accepting_ = false;
            on_accept(error, std::move(socket));
        });
    }

    void on_accept(error_code error, Socket socket)
    {
        if (draining_) {
            return;
        }
        if (error) {
            // Most likely no descriptors are left; they come back as clients leave.
            spdlog::warn("cannot accept a client of the API: {}", error.message());
            pause_.expires_after(kAcceptPause);
            pause_.async_wait([this, alive = alive_](error_code cancelled) {
                if (*alive && !cancelled) {
                    accept();
                }
            });
            return;
        }
        auto session =
            std::make_shared<Session>(std::move(socket), static_cast<Owner &>(*this));
        sessions_.insert(session);
        session->read();
        accept();
    }

    void answered() override { check_drained(); }

    void ended(const std::shared_ptr<Session> &session) override
    {
        sessions_.erase(session);
        accept();
        check_drained();
    }

    void check_drained()
    {
        if (!draining_ || !done_) {
            return;
        }
        for (const auto &session : sessions_) {
            if (session->answering()) {
                return;
            }
        }
        asio::post(loop_, std::exchange(done_, nullptr));
    }

    asio::io_context &loop_;
    ListeningSocket name_;
    asio::local::stream_protocol::acceptor acceptor_;
    asio::steady_timer pause_;
    Handler handler_;
    Limits limits_;
    TakesText takes_text_;
    std::set<std::shared_ptr<Session>> sessions_;
    std::function<void()> done_;
    // For callbacks that are queued when the server is destroyed.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool accepting_ = false;
    bool draining_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(asio::io_context &loop,
                                              std::filesystem::path path, Handler handler,
                                              Limits limits, TakesText takes_text)
{
    auto socket = ListeningSocket::open(std::move(path));
    if (!socket) {
        return std::unexpected(std::move(socket.error()));
    }
    return std::make_unique<UnixServer>(loop, std::move(*socket), std::move(handler), limits,
                                        std::move(takes_text));
}

}  // namespace guideway::api
