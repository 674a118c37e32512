#include "control/api/request.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

namespace guideway::api {
namespace {

constexpr int kNestingMax = 32;

std::optional<unsigned> hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return std::nullopt;
}

// RFC 3986 section 2.1; a zero byte is refused because no name has one.
std::optional<std::string> percent_decode(std::string_view text)
{
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            const auto high = i + 1 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
            const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
            if (!high || !low) {
                return std::nullopt;
            }
            c = static_cast<char>(*high << 4 | *low);
            i += 2;
        }
        if (c == '\0') {
            return std::nullopt;
        }
        decoded.push_back(c);
    }
    return decoded;
}

// What the parser's callback refuses, with words for the client.
struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Watches a parse for what the JSON grammar allows and this API does not.
class Strictness {
  public:
    bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json &value)
    {
        using Event = nlohmann::json::parse_event_t;
        if (depth > kNestingMax) {
            throw Refused("nested more than " + std::to_string(kNestingMax) + " levels deep");
        }
        if (event == Event::object_start) {
            keys_.emplace_back();
        } else if (event == Event::object_end) {
            keys_.pop_back();
        } else if (event == Event::key) {
            const auto &key = value.get_ref<const std::string &>();
            if (!keys_.back().insert(key).second) {
                throw Refused("the key \"" + key + "\" is there twice");
            }
        }
        return true;
    }

  private:
    std::vector<std::set<std::string>> keys_;
};

}  // namespace

Result<std::vector<std::string>> parse_target(std::string_view target)
{
    if (const auto scheme = target.find("://"); scheme != target.npos && target[0] != '/') {
        const auto path = target.find('/', scheme + 3);
        target = path == target.npos ? "/" : target.substr(path);
    }
    target = target.substr(0, target.find_first_of("?#"));
    if (target.empty() || target[0] != '/') {
        return fail("the request's path does not begin with '/'");
    }
    std::vector<std::string> segments;
    while (!target.empty() && target != "/") {
        target.remove_prefix(1);
        const auto end = std::min(target.find('/'), target.size());
        auto segment = percent_decode(target.substr(0, end));
        if (!segment) {
            return fail(
                "the request's path has a percent sign without two hex digits, or a "
                "zero byte");
        }
        segments.push_back(std::move(*segment));
        target.remove_prefix(end);
    }
    return segments;
}

Result<std::map<std::string, std::string>> parse_query(std::string_view target)
{
    std::map<std::string, std::string> query;
    target = target.substr(0, target.find('#'));
    const auto mark = target.find('?');
    std::string_view rest = mark == target.npos ? "" : target.substr(mark + 1);
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
        const auto equals = std::min(pair.find('='), pair.size());
        auto name = percent_decode(pair.substr(0, equals));
        auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
        if (!name || !value) {
            return fail(
                "the request's query has a percent sign without two hex digits, or a zero "
                "byte");
        }
        if (!query.emplace(*name, std::move(*value)).second) {
            return fail("the request's query has '" + *name + "' twice");
        }
    }
    return query;
}

Result<nlohmann::json> parse_body(std::string_view body)
{
    if (body.empty()) {
        return nlohmann::json::object();
    }
    try {
        Strictness strictness;
        auto parsed = nlohmann::json::parse(body, std::ref(strictness));
        if (!parsed.is_object()) {
            return fail("the request's body is not a JSON object but " +
                        std::string(parsed.type_name()));
        }
        return parsed;
    } catch (const nlohmann::json::parse_error &error) {
        return fail("the request's body is not JSON: error at byte " +
                    std::to_string(error.byte));
    } catch (const Refused &refused) {
        return fail(std::string("the request's body is refused: ") + refused.what());
    }
}

}  // namespace guideway::api
