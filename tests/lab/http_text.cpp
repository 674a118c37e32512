#include "tests/lab/http_text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>

namespace lab {

using boost::asio::ip::tcp;
using boost::system::error_code;

std::optional<tcp::endpoint> parse_target(const std::string &text)
{
    size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) {
        return std::nullopt;
    }
    std::string host = text.substr(0, colon);
    if (host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    error_code error;
    auto address = boost::asio::ip::make_address(host, error);
    unsigned port = 0;
    if (error || std::sscanf(text.c_str() + colon + 1, "%u", &port) != 1 || port == 0 ||
        port > 65535) {
        return std::nullopt;
    }
    return tcp::endpoint(address, static_cast<uint16_t>(port));
}

std::optional<std::string> header(std::string_view head, std::string_view name)
{
    for (size_t at = head.find("\r\n"); at != std::string_view::npos;
         at = head.find("\r\n", at + 2)) {
        std::string_view line = head.substr(at + 2);
        line = line.substr(0, line.find("\r\n"));
        if (line.size() > name.size() && line[name.size()] == ':' &&
            std::ranges::equal(
                line.substr(0, name.size()), name, {}, [](char c) { return std::tolower(c); },
                [](char c) { return std::tolower(c); })) {
            line.remove_prefix(name.size() + 1);
            line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
            return std::string(line);
        }
    }
    return std::nullopt;
}

}  // namespace lab
