// HTTP with JSON bodies on a Unix socket; docs/api.md describes what is served.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dataplane/error.hpp"

namespace guideway::api {

struct Request {
    std::string method;             // upper case
    std::vector<std::string> path;  // decoded segments: {"v1", "backends", "p", "a"}
    nlohmann::json body;            // an object; empty object when there was no body
};

struct Response {
    unsigned status = 200;
    nlohmann::json body;
};

using Handler = std::function<Response(const Request &)>;

class Server {
  public:
    // Listens on `path` with mode 0660, making its directory if need be. A socket that a
    // dead daemon left is replaced; one that answers is refused. Malformed HTTP, bodies
    // that are not a JSON object and over-long requests are answered here, as docs/api.md
    // says; a client that stalls is cut off. An exception of the handler is answered with
    // 500 and logged.
    [[nodiscard]] static Result<std::unique_ptr<Server>> start(boost::asio::io_context &loop,
                                                               std::filesystem::path path,
                                                               Handler handler);
    virtual ~Server() = default;  // closes and removes the socket

    // Calls `done` when the responses being written have been sent.
    virtual void drain(std::function<void()> done) = 0;
};

}  // namespace guideway::api
