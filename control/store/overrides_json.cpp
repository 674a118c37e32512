#include "control/store/overrides_json.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace guideway::store {
namespace {

using nlohmann::json;

json to_json(const std::pair<std::string, std::string> &key,
             const model::BackendOverride &override)
{
    json entry{{"pool", key.first}, {"backend", key.second}};
    if (override.added_address) {
        entry["added"] = override.added_address->to_string();
    }
    if (override.removed) {
        entry["removed"] = true;
    }
    if (override.enabled) {
        entry["enabled"] = *override.enabled;
    }
    if (override.weight) {
        entry["weight"] = *override.weight;
    }
    if (override.drain) {
        entry["drained"] = json::object();
        if (override.drain->deadline) {
            entry["drained"]["deadline"] = *override.drain->deadline;
        }
    }
    return entry;
}

// {} or {"deadline": SECONDS}; false when it is anything else.
bool read_drain(const json &value, std::optional<model::Drain> &drain)
{
    if (!value.is_object() || value.size() > 1) {
        return false;
    }
    drain.emplace();
    if (value.empty()) {
        return true;
    }
    const auto deadline = value.find("deadline");
    if (deadline == value.end() || !deadline->is_number_unsigned() ||
        deadline->get<uint64_t>() == 0 || deadline->get<uint64_t>() > model::kUnixTimeMax) {
        return false;
    }
    drain->deadline = deadline->get<int64_t>();
    return true;
}

// One member of an entry into `override`; false when it is unknown or of another type.
bool read_member(const std::string &key, const json &value, model::BackendOverride &override)
{
    if (key == "added" && value.is_string()) {
        override.added_address = model::IpAddress::parse(value.get<std::string>());
        return override.added_address.has_value();
    }
    if (key == "removed" && value.is_boolean()) {
        override.removed = value.get<bool>();
        return true;
    }
    if (key == "enabled" && value.is_boolean()) {
        override.enabled = value.get<bool>();
        return true;
    }
    if (key == "weight" && value.is_number_unsigned() &&
        value.get<uint64_t>() <= model::kWeightMax) {
        override.weight = value.get<uint32_t>();
        return true;
    }
    if (key == "drained") {
        return read_drain(value, override.drain);
    }
    return (key == "pool" || key == "backend") && value.is_string();
}

}  // namespace

std::string overrides_to_json(const model::Overrides &overrides)
{
    json entries = json::array();
    for (const auto &[key, override] : overrides) {
        entries.push_back(to_json(key, override));
    }
    return entries.dump();
}

Result<model::Overrides> overrides_from_json(std::string_view text)
{
    const json entries = json::parse(text, nullptr, false);
    if (!entries.is_array()) {
        return fail("the overrides are not a JSON array");
    }
    model::Overrides overrides;
    for (const auto &entry : entries) {
        if (!entry.is_object() || !entry.contains("pool") || !entry.contains("backend")) {
            return fail("an override does not name its pool and backend: " + entry.dump());
        }
        model::BackendOverride override;
        for (const auto &[key, value] : entry.items()) {
            if (!read_member(key, value, override)) {
                return fail("cannot understand \"" + key + "\" of the override " +
                            entry.dump());
            }
        }
        const std::pair key{entry["pool"].get<std::string>(),
                            entry["backend"].get<std::string>()};
        if (!overrides.emplace(key, override).second) {
            return fail("two overrides of " + key.first + "/" + key.second);
        }
    }
    return overrides;
}

}  // namespace guideway::store
