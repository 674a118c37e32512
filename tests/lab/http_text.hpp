// What the lab's clients read and write as text: targets, and the heads of HTTP answers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace lab {

// "203.0.113.10:80" or "[2001:db8::1]:80"
std::optional<boost::asio::ip::tcp::endpoint> parse_target(const std::string &text);

// The value of a header, or nothing. `head` is the answer up to its empty line.
std::optional<std::string> header(std::string_view head, std::string_view name);

}  // namespace lab
