#include "control/health/answer.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <limits>

namespace guideway::health {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr uint32_t kHeaderBytesMax = 16 * 1024;
constexpr int kInterimAnswersMax = 8;

bool fits_in_a_line(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte > ' ' && byte != 0x7f;
    });
}

std::string host_of(const ProbeTarget &target)
{
    if (!target.host.empty()) {
        return target.host;
    }
    const auto text = target.address.to_string();
    auto host = target.address.is_ipv6() ? "[" + text + "]" : text;
    const uint16_t usual = target.kind == ProbeKind::kHttps ? 443 : 80;
    return target.port == usual ? host : host + ":" + std::to_string(target.port);
}

std::string ranges_of(const ProbeTarget &target)
{
    std::string text;
    for (const auto &[first, last] : target.statuses) {
        text += (text.empty() ? "" : ", ") + std::to_string(first);
        if (last != first) {
            text += "-" + std::to_string(last);
        }
    }
    return text.empty() ? "200-399" : text;
}

}  // namespace

std::optional<std::string> http_request(const ProbeTarget &target)
{
    const auto host = host_of(target);
    if (!target.path.starts_with('/') || !fits_in_a_line(target.path) ||
        !fits_in_a_line(host)) {
        return std::nullopt;
    }
    return "GET " + target.path + " HTTP/1.1\r\nHost: " + host +
           "\r\nUser-Agent: guideway-health\r\nAccept: */*\r\nConnection: close\r\n\r\n";
}

template <class Buffers>
size_t BoundedBody::reader::put(const Buffers &buffers, error_code &error)
{
    error = {};
    size_t taken = 0;
    for (const auto buffer : beast::buffers_range_ref(buffers)) {
        const size_t room = kBytesMax - std::min(kBytesMax, body_.size());
        body_.append(static_cast<const char *>(buffer.data()), std::min(room, buffer.size()));
        taken += buffer.size();
    }
    return taken;
}

HttpAnswer::HttpAnswer(const ProbeTarget &target) : target_(target)
{
    begin();
}

void HttpAnswer::begin()
{
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    // BoundedBody bounds what is kept. (Without a limit Beast 1.74 refuses every body that
    // says its length: it compares with what is not there.)
    parser_->body_limit(std::numeric_limits<uint64_t>::max());
    parser_->eager(true);
}

bool HttpAnswer::bad(std::string reason)
{
    reason_ = std::move(reason);
    return true;
}

bool HttpAnswer::take(std::string_view bytes)
{
    if (!unread_.empty()) {
        unread_.append(bytes);
        bytes = unread_;
    }
    while (true) {
        error_code error;
        const size_t taken =
            parser_->put(asio::const_buffer(bytes.data(), bytes.size()), error);
        bytes.remove_prefix(taken);
        if (error && error != http::error::need_more) {
            return bad(parser_->is_header_done()
                           ? "the body is not HTTP: " + error.message()
                           : "the answer is not HTTP: " + error.message());
        }
        if (parser_->is_header_done() && parser_->get().result_int() < 200 &&
            parser_->get().result_int() != 101) {
            if (++interim_answers_ > kInterimAnswersMax) {
                return bad("no end of interim answers (status " +
                           std::to_string(parser_->get().result_int()) + ")");
            }
            begin();
            continue;
        }
        if (judge()) {
            return true;
        }
        if (error == http::error::need_more || taken == 0 || bytes.empty()) {
            break;
        }
    }
    if (bytes.size() > kHeaderBytesMax) {
        return bad("a line of the answer is longer than 16 KiB");
    }
    unread_ = std::string(bytes);
    return false;
}

bool HttpAnswer::end()
{
    if (!parser_->got_some()) {
        return bad("the connection was closed without an answer");
    }
    error_code error;
    parser_->put_eof(error);
    if (error) {
        return bad("the connection was closed in the middle of the answer");
    }
    return judge() || bad("the connection was closed in the middle of the answer");
}

bool HttpAnswer::judge_status(unsigned status)
{
    const auto in_range = [&](const auto &range) {
        return status >= range.first && status <= range.second;
    };
    return target_.statuses.empty() ? status >= 200 && status <= 399
                                    : std::ranges::any_of(target_.statuses, in_range);
}

bool HttpAnswer::judge()
{
    if (!parser_->is_header_done()) {
        return false;
    }
    if (!status_is_good_) {
        const unsigned status = parser_->get().result_int();
        if (!judge_status(status)) {
            return bad("status " + std::to_string(status) + " (expected " + ranges_of(target_) +
                       ")");
        }
        status_is_good_ = true;
    }
    if (target_.body.empty()) {
        return true;
    }
    const auto &body = parser_->get().body();
    if (body.find(target_.body, searched_) != std::string::npos) {
        return true;
    }
    searched_ = body.size() - std::min(body.size(), target_.body.size() - 1);
    if (body.size() >= BoundedBody::kBytesMax) {
        return bad("the expected text is not in the first 64 KiB of the body");
    }
    return parser_->is_done() && bad("the expected text is not in the body");
}

}  // namespace guideway::health
