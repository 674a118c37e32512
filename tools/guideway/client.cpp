#include "tools/guideway/client.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

namespace guideway::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

// More than the largest answer, a status or export of full tables.
constexpr size_t kAnswerBytesMax = size_t{256} << 20;

Failure unreachable(std::string message)
{
    return {.exit = Exit::kUnreachable, .message = std::move(message), .body = {}};
}

std::string owning_group(const std::string &socket)
{
    struct stat status{};
    if (::stat(socket.c_str(), &status) != 0) {
        return {};
    }
    const group *owner = ::getgrgid(status.st_gid);
    return owner == nullptr ? std::to_string(status.st_gid) : owner->gr_name;
}

// Why connecting failed, and what to do about it.
Failure explain(const std::string &socket, const error_code &error)
{
    const std::string attempted = "cannot reach guidewayd at " + socket + ": ";
    if (error == beast::error::timeout) {
        return unreachable(attempted +
                           "it does not answer in time; see its log, and whether "
                           "the host is overloaded");
    }
    if (error.category() == boost::system::system_category()) {
        switch (error.value()) {
            case ENOENT:
            case ENOTDIR:
                return unreachable(attempted +
                                   "there is no such socket; is guidewayd running, "
                                   "and is this its instance's name?");
            case ECONNREFUSED:
                return unreachable(attempted +
                                   "nobody listens; guidewayd has ended, start it again");
            case EACCES:
            case EPERM: {
                const auto group = owning_group(socket);
                return unreachable(attempted + "permission denied; run this as root" +
                                   (group.empty() || group == "root"
                                        ? ""
                                        : " or as a member of the group " + group));
            }
            case ENAMETOOLONG:
                return unreachable(attempted + "the path of a socket has at most 107 bytes");
            default:
                break;
        }
    }
    return unreachable(attempted + error.message());
}

// One request and its answer, with a deadline over each step.
class Exchange {
  public:
    explicit Exchange(std::chrono::milliseconds timeout) : timeout_(timeout) {}

    error_code run(const std::string &socket, http::request<http::string_body> request,
                   Client::Progress progress)
    {
        request_ = std::move(request);
        progress_ = std::move(progress);
        serializer_.emplace(request_);
        parser_.body_limit(kAnswerBytesMax);
        try {
            stream_.expires_after(timeout_);
            stream_.async_connect(asio::local::stream_protocol::endpoint(socket),
                                  [this](error_code error) {
                                      if (error) {
                                          error_ = error;
                                          return;
                                      }
                                      write();
                                  });
        } catch (const boost::system::system_error &error) {
            return error.code();  // the path is too long
        }
        loop_.run();
        return error_;
    }
    [[nodiscard]] const http::response<http::string_body> &answer() { return parser_.get(); }

  private:
    void write()
    {
        stream_.expires_after(timeout_);
        http::async_write_some(stream_, *serializer_, [this](error_code error, size_t bytes) {
            sent_ += bytes;
            if (progress_) {
                progress_(std::min(sent_, request_.body().size()));
            }
            if (!error && !serializer_->is_done()) {
                return write();
            }
            // A server that refuses a long body answers before it has read all of it:
            // what counts is whether an answer can be read.
            stream_.expires_after(timeout_);
            http::async_read(stream_, buffer_, parser_,
                             [this](error_code failed, size_t) { error_ = failed; });
        });
    }

    std::chrono::milliseconds timeout_;
    asio::io_context loop_;
    beast::basic_stream<asio::local::stream_protocol> stream_{loop_};
    http::request<http::string_body> request_;
    std::optional<http::request_serializer<http::string_body>> serializer_;
    Client::Progress progress_;
    size_t sent_ = 0;
    beast::flat_buffer buffer_;
    http::response_parser<http::string_body> parser_;
    error_code error_;
};

}  // namespace

Outcome<std::filesystem::path> find_socket(const std::string &named,
                                           const std::filesystem::path &directory)
{
    if (!named.empty()) {
        return named;
    }
    std::vector<std::string> sockets;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().extension() == ".sock") {
            sockets.push_back(entry.path().string());
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return std::unexpected(unreachable(
            fmt::format("cannot look for guidewayd in {}: {}; name its socket with --socket",
                        directory.string(), error.message())));
    }
    if (sockets.size() == 1) {
        return sockets.front();
    }
    if (sockets.empty()) {
        return std::unexpected(unreachable(
            fmt::format("cannot reach guidewayd: no socket in {}; start guidewayd, or name its "
                        "socket with --socket",
                        directory.string())));
    }
    std::ranges::sort(sockets);
    return std::unexpected(unreachable(fmt::format(
        "cannot tell which guidewayd is meant; choose with --socket or GUIDEWAY_SOCKET one of: "
        "{}",
        fmt::join(sockets, ", "))));
}

Outcome<Client::Answer> Client::exchange(const std::string &method, const std::string &target,
                                         const Body &body) const
{
    http::request<http::string_body> request;
    request.version(11);
    request.method_string(method);
    request.target(target);
    request.set(http::field::host, "guideway");
    request.keep_alive(false);
    if (!body.text.empty()) {
        request.set(http::field::content_type, body.type);
        request.body() = std::string(body.text);
    }
    request.prepare_payload();
    Exchange exchange(timeout_);
    const error_code error = exchange.run(socket_.string(), std::move(request), body.progress);
    if (!error) {
        return Answer{exchange.answer().result_int(), exchange.answer().body()};
    }
    const auto &http_category = make_error_code(http::error::bad_version).category();
    if (error.category() == http_category && error != http::error::end_of_stream &&
        error != http::error::partial_message) {
        return std::unexpected(
            Failure{.exit = Exit::kNotUnderstood,
                    .message = "what answers at " + socket_.string() +
                               " is not guidewayd; name its socket with --socket",
                    .body = {}});
    }
    if (error.category() == http_category) {
        return std::unexpected(unreachable("cannot reach guidewayd at " + socket_.string() +
                                           ": it hung up without an answer; see its log"));
    }
    return std::unexpected(explain(socket_.string(), error));
}

// The daemon does not know what was asked for, or answers in another shape.
Failure Client::not_understood(const std::string &attempted) const
{
    Failure failure{
        .exit = Exit::kNotUnderstood, .message = "cannot " + attempted + ": ", .body = {}};
    const auto answer = exchange("GET", "/v1/version", {.text = ""});
    const auto version =
        answer ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json();
    if (version.is_object() && version.contains("version") && version["version"].is_string()) {
        failure.message += fmt::format(
            "guidewayd at {} is version {} and does not know this, guideway is {}; upgrade or "
            "restart the older one",
            socket_.string(), version["version"].get<std::string>(), GUIDEWAY_VERSION);
    } else {
        failure.message += "what answers at " + socket_.string() +
                           " is not guidewayd; name its socket with --socket";
    }
    return failure;
}

Outcome<nlohmann::json> Client::ask(const std::string &method, const std::string &target,
                                    const nlohmann::json &body,
                                    const std::string &attempted) const
{
    // Names typed in may not be UTF-8; the daemon refuses what they become.
    const std::string text =
        body.is_null() ? ""
                       : body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return understand(exchange(method, target, {.text = text}), attempted);
}

Outcome<nlohmann::json> Client::send_text(const std::string &method, const std::string &target,
                                          const std::string &text, const std::string &attempted,
                                          Progress progress) const
{
    return understand(exchange(method, target,
                               {.text = text,
                                .type = "text/plain; charset=utf-8",
                                .progress = std::move(progress)}),
                      attempted);
}

Outcome<nlohmann::json> Client::understand(const Outcome<Answer> &answer,
                                           const std::string &attempted) const
{
    if (!answer) {
        return std::unexpected(answer.error());
    }
    auto parsed = nlohmann::json::parse(answer->body, nullptr, false);
    if (!parsed.is_object()) {
        return std::unexpected(not_understood(attempted));
    }
    if (answer->status / 100 == 2) {
        return parsed;
    }
    const auto error = parsed.find("error");
    if (error == parsed.end() || !error->is_string()) {
        return std::unexpected(not_understood(attempted));
    }
    const auto message = error->get<std::string>();
    // A path that is there for every daemon of this API; only an older one lacks it.
    if (answer->status == 405 || (answer->status == 404 && message.contains("docs/api.md"))) {
        return std::unexpected(not_understood(attempted));
    }
    // Many of the daemon's errors say already what was attempted.
    return std::unexpected(Failure{.exit = Exit::kFailed,
                                   .message = message.starts_with("cannot ")
                                                  ? message
                                                  : "cannot " + attempted + ": " + message,
                                   .body = std::move(parsed)});
}

std::string path_segment(std::string_view name)
{
    std::string segment;
    for (const char c : name) {
        const auto byte = static_cast<uint8_t>(c);
        // The unreserved characters of RFC 3986.
        if (byte < 0x80 && (std::isalnum(byte) != 0 || std::string_view("-._~").contains(c))) {
            segment += c;
        } else {
            segment += fmt::format("%{:02X}", byte);
        }
    }
    return segment;
}

std::string path_segments(std::string_view name)
{
    const auto slash = name.find('/');
    return slash == name.npos ? path_segment(name)
                              : path_segment(name.substr(0, slash)) + "/" +
                                    path_segment(name.substr(slash + 1));
}

}  // namespace guideway::cli
