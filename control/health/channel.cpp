#include "control/health/channel.hpp"

#include <sys/socket.h>

#include <cctype>
#include <cerrno>
#include <system_error>

namespace guideway::health {
namespace {

class PlainChannel : public Channel {
  public:
    explicit PlainChannel(int fd) : fd_(fd) {}

    Progress handshake() override { return {}; }

    Progress send(std::string_view bytes) override
    {
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        return sent >= 0 ? Progress{.bytes = static_cast<size_t>(sent)}
                         : waiting_or_failed(Progress::Kind::kWaitWrite);
    }

    Progress receive(std::span<char> room) override
    {
        const ssize_t received = ::recv(fd_, room.data(), room.size(), 0);
        if (received == 0) {
            return {.kind = Progress::Kind::kEnd};
        }
        return received > 0 ? Progress{.bytes = static_cast<size_t>(received)}
                            : waiting_or_failed(Progress::Kind::kWaitRead);
    }

  private:
    static Progress waiting_or_failed(Progress::Kind wait)
    {
        if (errno == EAGAIN || errno == EINTR) {
            return {.kind = wait};
        }
        return {.kind = Progress::Kind::kFailed, .reason = words_for(errno)};
    }

    int fd_;
};

}  // namespace

std::unique_ptr<Channel> plain_channel(int fd)
{
    return std::make_unique<PlainChannel>(fd);
}

std::string words_for(int error_number)
{
    auto words = std::generic_category().message(error_number);
    if (!words.empty()) {
        words[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(words[0])));
    }
    return words;
}

}  // namespace guideway::health
