// What went wrong, for an operator: what was attempted, on what, why it failed and, where
// that can be said, what would be right.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace guideway {

struct Error {
    std::string message;  // one line, no trailing period or newline

    // "cannot ATTEMPTED SUBJECT: the system's words for `error_number`"
    [[nodiscard]] static Error system(std::string_view attempted, std::string_view subject,
                                      int error_number = errno)
    {
        return {"cannot " + std::string(attempted) + " " + std::string(subject) + ": " +
                std::generic_category().message(error_number)};
    }

    // The same failure as seen from one step further out.
    [[nodiscard]] Error within(std::string_view context) &&
    {
        return {std::string(context) + ": " + std::move(message)};
    }
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(std::string message)
{
    return std::unexpected(Error{std::move(message)});
}

}  // namespace guideway
