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

std::optional<int64_t> parse_utc(std::string_view text)
{
    using namespace std::chrono;
    constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:ddZ";
    if (text.size() != kShape.size()) {
        return std::nullopt;
    }
    for (size_t i = 0; i < text.size(); i++) {
        const bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (kShape[i] == 'd' ? !is_digit : text[i] != kShape[i]) {
            return std::nullopt;
        }
    }
    const auto part = [&](size_t at, size_t digits) {
        int value = 0;
        for (const char c : text.substr(at, digits)) {
            value = value * 10 + (c - '0');
        }
        return value;
    };
    const year_month_day date{year(part(0, 4)), month(static_cast<unsigned>(part(5, 2))),
                              day(static_cast<unsigned>(part(8, 2)))};
    if (!date.ok() || part(11, 2) > 23 || part(14, 2) > 59 || part(17, 2) > 59) {
        return std::nullopt;
    }
    const seconds time = sys_days(date).time_since_epoch() + hours(part(11, 2)) +
                         minutes(part(14, 2)) + seconds(part(17, 2));
    return time.count() < 0 ? std::nullopt : std::optional(int64_t{time.count()});
}

Result<int64_t> parse_deadline(std::string_view text, int64_t now)
{
    if (const auto after = parse_duration(text)) {
        if (*after < std::chrono::seconds(1)) {
            return fail("the deadline " + quoted(text) +
                        " is now; give at least 1s, or disable the backend");
        }
        return now + std::chrono::ceil<std::chrono::seconds>(*after).count();
    }
    const auto at = parse_utc(text);
    if (!at) {
        return fail("the deadline " + quoted(text) +
                    " is neither a duration, such as 10m, nor a time, such as "
                    "2026-01-31T12:00:00Z");
    }
    if (*at <= now) {
        return fail("the deadline " + quoted(text) + " is over already");
    }
    return *at;
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
