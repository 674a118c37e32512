// What a server answers to a probe's request, read piece by piece and judged. Pure.
#pragma once

#include <boost/beast/http/parser.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/health/probe.hpp"

namespace guideway::health {

// The request of a probe; fails when path or host have characters that would end a line of it.
[[nodiscard]] std::optional<std::string> http_request(const ProbeTarget &target);

// A body that is kept up to 64 KiB, whatever the header says its length is; the rest is read
// over.
struct BoundedBody {
    using value_type = std::string;
    static constexpr size_t kBytesMax = size_t{64} * 1024;

    class reader {
      public:
        template <bool IsRequest, class Fields>
        reader(boost::beast::http::header<IsRequest, Fields> & /*header*/, value_type &body)
            : body_(body)
        {
        }
        void init(const boost::optional<uint64_t> & /*bytes*/, boost::system::error_code &error)
        {
            error = {};
        }
        template <class Buffers>
        size_t put(const Buffers &buffers, boost::system::error_code &error);
        void finish(boost::system::error_code &error) { error = {}; }

      private:
        value_type &body_;
    };
};

class HttpAnswer {
  public:
    explicit HttpAnswer(const ProbeTarget &target);

    // Takes the next bytes, or the end of the connection. True when the outcome is known:
    // nothing more need be read.
    [[nodiscard]] bool take(std::string_view bytes);
    [[nodiscard]] bool end();

    [[nodiscard]] bool good() const { return reason_.empty(); }
    [[nodiscard]] const std::string &reason() const { return reason_; }

  private:
    [[nodiscard]] bool judge();
    [[nodiscard]] bool judge_status(unsigned status);
    [[nodiscard]] bool bad(std::string reason);
    void begin();

    const ProbeTarget &target_;
    std::optional<boost::beast::http::response_parser<BoundedBody>> parser_;
    std::string unread_;       // the beginning of a header that is not all there
    size_t searched_ = 0;      // bytes of the body in which the text does not begin
    int interim_answers_ = 0;  // of status 1xx, which announce the one that counts
    bool status_is_good_ = false;
    std::string reason_;
};

}  // namespace guideway::health
