// Bytes to and from a server over a non-blocking socket, in the clear or through TLS.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace guideway::health {

// How far an operation got without waiting.
struct Progress {
    enum class Kind : unsigned char {
        kDone,       // `bytes` were sent or received; a handshake is over
        kWaitRead,   // call again when the socket can be read
        kWaitWrite,  // or written
        kEnd,        // the other side has closed
        kFailed,     // for `reason`
    };
    Kind kind = Kind::kDone;
    size_t bytes = 0;
    std::string reason;
};

class Channel {
  public:
    Channel() = default;
    Channel(const Channel &) = delete;
    Channel &operator=(const Channel &) = delete;
    virtual ~Channel() = default;

    [[nodiscard]] virtual Progress handshake() = 0;
    [[nodiscard]] virtual Progress send(std::string_view bytes) = 0;
    [[nodiscard]] virtual Progress receive(std::span<char> room) = 0;
};

[[nodiscard]] std::unique_ptr<Channel> plain_channel(int fd);

// The system's words, in an operator's manner: "connection refused".
[[nodiscard]] std::string words_for(int error_number);

}  // namespace guideway::health
