// The daemon's API as a client sees it; docs/api.md.
#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace guideway::cli {

// What the CLI ends with. Documented in its help, docs/cli.md and the man page.
enum class Exit : int {
    kOk = 0,
    kFailed = 1,         // refused or failed; nothing was changed unless the error says so
    kUsage = 2,          // the command line is wrong
    kUnreachable = 3,    // no daemon answers
    kNotUnderstood = 4,  // what answers speaks another API
    kDamaged = 5,        // a capture was replayed as far as it could be read
};

struct Failure {
    Exit exit = Exit::kFailed;
    std::string message;
    nlohmann::json body;  // the API's answer, when there was one
};
template <typename T>
using Outcome = std::expected<T, Failure>;

// The socket to use: `named` if it is not empty, else the only *.sock in `directory`.
[[nodiscard]] Outcome<std::filesystem::path> find_socket(
    const std::string &named, const std::filesystem::path &directory = "/run/guideway");

class Client {
  public:
    explicit Client(std::filesystem::path socket,
                    std::chrono::milliseconds timeout = std::chrono::seconds(30))
        : socket_(std::move(socket)), timeout_(timeout)
    {
    }

    // The body of a 2xx answer. `attempted` completes "cannot …" when there is none.
    [[nodiscard]] Outcome<nlohmann::json> get(const std::string &target,
                                              const std::string &attempted) const
    {
        return ask("GET", target, nullptr, attempted);
    }
    // A null `body` sends none.
    [[nodiscard]] Outcome<nlohmann::json> ask(const std::string &method,
                                              const std::string &target,
                                              const nlohmann::json &body,
                                              const std::string &attempted) const;
    // Bytes of the body that were sent so far.
    using Progress = std::function<void(size_t)>;
    // The same with a body that is text.
    [[nodiscard]] Outcome<nlohmann::json> send_text(const std::string &method,
                                                    const std::string &target,
                                                    const std::string &text,
                                                    const std::string &attempted,
                                                    Progress progress) const;

  private:
    struct Answer {
        unsigned status = 0;
        std::string body;
    };
    struct Body {
        std::string_view text;
        const char *type = "application/json";
        Progress progress = nullptr;
    };
    [[nodiscard]] Outcome<Answer> exchange(const std::string &method, const std::string &target,
                                           const Body &body) const;
    [[nodiscard]] Outcome<nlohmann::json> understand(const Outcome<Answer> &answer,
                                                     const std::string &attempted) const;
    [[nodiscard]] Failure not_understood(const std::string &attempted) const;

    std::filesystem::path socket_;
    std::chrono::milliseconds timeout_;
};

// A name as one segment of a path.
[[nodiscard]] std::string path_segment(std::string_view name);
// The same of SERVICE/NAME, as two where there is a slash.
[[nodiscard]] std::string path_segments(std::string_view name);

}  // namespace guideway::cli
