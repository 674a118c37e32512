// HTTP with JSON bodies on a Unix socket; docs/api.md describes what is served.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dataplane/error.hpp"

namespace guideway::api {

struct Request {
    std::string method;                        // upper case
    std::vector<std::string> path;             // decoded segments: {"v1", "backends", "p", "a"}
    nlohmann::json body;                       // an object; empty object when there was no body
    std::string text;                          // the body of a request that takes text
    std::map<std::string, std::string> query;  // decoded: {"after", "7"}
};

struct Response {
    // Sends the answer: once, from the event loop. Nothing happens if the client has gone.
    using Reply = std::function<void(Response)>;
    // Called at once. What it returns is dropped when the answer is sent, or when it is not
    // wanted any more.
    using Later = std::function<std::shared_ptr<void>(Reply)>;

    unsigned status = 200;
    nlohmann::json body;
    Later later = nullptr;  // if set, the answer is not this one: it comes by a Reply
};

using Handler = std::function<Response(const Request &)>;
// Whether a request, of which method and path are there, takes a long text for its body.
using TakesText = std::function<bool(const Request &)>;

// What one client may cost the daemon. Tests shorten the times.
struct Limits {
    size_t body_bytes_max = size_t{8} << 20;
    size_t text_bytes_max = size_t{32} << 20;
    size_t header_bytes_max = size_t{16} << 10;
    size_t connections_max = 32;                        // more wait in the kernel's backlog
    std::chrono::milliseconds request_timeout{10'000};  // a whole request, idle time included
    std::chrono::milliseconds response_timeout{10'000};
    std::chrono::milliseconds linger{2'000};  // for a refused body that is still being sent
};

class Server {
  public:
    // Listens on `path` with mode 0660, making its directory if need be. A socket that a
    // dead daemon left is replaced; one that answers is refused. Malformed HTTP, bodies
    // that are not a JSON object and over-long requests are answered here, as docs/api.md
    // says; a client that stalls is cut off. An exception of the handler is answered with
    // 500 and logged.
    [[nodiscard]] static Result<std::unique_ptr<Server>> start(boost::asio::io_context &loop,
                                                               std::filesystem::path path,
                                                               Handler handler,
                                                               Limits limits = {},
                                                               TakesText takes_text = {});
    virtual ~Server() = default;  // closes and removes the socket; not from a handler

    // Accepts nothing more and calls `done`, from the event loop, when the responses being
    // written have been sent; those that come later are not waited for. A handler may call it: its own response is then sent first.
    virtual void drain(std::function<void()> done) = 0;
};

}  // namespace guideway::api
