#include "tools/guideway/members.hpp"

#include <cmath>

namespace guideway::cli {

using nlohmann::json;

const json &member(const json &object, std::string_view key)
{
    static const json nothing;
    if (!object.is_object()) {
        return nothing;
    }
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}

const json &array(const json &object, std::string_view key)
{
    static const json none = json::array();
    const json &value = member(object, key);
    return value.is_array() ? value : none;
}

std::string text(const json &object, std::string_view key, std::string_view otherwise)
{
    const json &value = member(object, key);
    return value.is_string() ? printable(value.get<std::string>()) : std::string(otherwise);
}

uint64_t number(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_number_unsigned() || (value.is_number_integer() && value >= 0)
               ? value.get<uint64_t>()
               : 0;
}

double real(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_number() ? value.get<double>() : NAN;
}

bool truth(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_boolean() && value.get<bool>();
}

std::string count(const json &object, std::string_view key)
{
    return member(object, key).is_number() ? grouped(number(object, key)) : "?";
}

std::string joined(const json &strings)
{
    std::string all;
    for (const auto &item : strings) {
        if (item.is_string()) {
            all += (all.empty() ? "" : ", ") + printable(item.get<std::string>());
        }
    }
    return all;
}

std::string backend_name(const json &backend, std::string_view key)
{
    const std::string pool = text(backend, "pool", "");
    return (pool.empty() ? "" : pool + "/") + text(backend, key);
}

Colour colour_of_state(std::string_view state)
{
    return state == "forwarding" || state == "serving"                     ? Colour::kGood
           : state == "unresolved" || state == "idle" || state == "failed" ? Colour::kBad
                                                                           : Colour::kWarning;
}

std::string heading(std::string_view title, bool colours)
{
    return "\n" + coloured(title, Colour::kFaint, colours) + "\n";
}

}  // namespace guideway::cli
