// What names may be, and values as text for people.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include "control/model/validate.hpp"

namespace guideway::model {
namespace {

bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

}  // namespace

bool is_name(std::string_view text)
{
    return !text.empty() && text.size() <= 63 && is_alphanumeric(text.front()) &&
           std::ranges::all_of(text, [](char c) {
               return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
           });
}

bool is_instance_name(std::string_view text)
{
    return is_name(text) && !text.contains('.');
}

bool is_interface_name(std::string_view text)
{
    return !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
           std::ranges::all_of(
               text, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':'; });
}

std::string listen_text(const Service &service)
{
    const std::string address = service.address.to_string();
    return std::string(service.protocol == Protocol::kTcp ? "tcp" : "udp") + "://" +
           (service.address.is_ipv6() ? "[" + address + "]" : address) + ":" +
           std::to_string(service.port);
}

std::string utc_text(int64_t unix_seconds)
{
    using namespace std::chrono;
    const sys_seconds time{seconds(unix_seconds)};
    const year_month_day date{floor<days>(time)};
    const hh_mm_ss clock{time - floor<days>(time)};
    const auto padded = [](auto value, size_t digits) {
        const std::string text = std::to_string(value);
        return std::string(digits - std::min(digits, text.size()), '0') + text;
    };
    return padded(static_cast<int>(date.year()), 4) + "-" +
           padded(static_cast<unsigned>(date.month()), 2) + "-" +
           padded(static_cast<unsigned>(date.day()), 2) + "T" +
           padded(clock.hours().count(), 2) + ":" + padded(clock.minutes().count(), 2) + ":" +
           padded(clock.seconds().count(), 2) + "Z";
}

std::string quoted(std::string_view text)
{
    constexpr size_t kBytesMax = 80;
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out = "'";
    size_t end = std::min(text.size(), kBytesMax);
    while (end < text.size() && end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) {
        end--;  // not in the middle of a UTF-8 character
    }
    const auto is_c1 = [&](size_t lead) {
        // U+0080 to U+009F, which terminals obey too, are c2 and one more byte.
        return static_cast<uint8_t>(text[lead]) == 0xc2 && lead + 1 < end &&
               static_cast<uint8_t>(text[lead + 1]) < 0xa0;
    };
    for (size_t i = 0; i < end; i++) {
        const auto byte = static_cast<uint8_t>(text[i]);
        if (byte < ' ' || byte == 0x7f || is_c1(i) || (i > 0 && is_c1(i - 1))) {
            out += "\\x";
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        } else {
            out += text[i];
        }
    }
    return out + (end < text.size() ? "…'" : "'");
}

}  // namespace guideway::model
