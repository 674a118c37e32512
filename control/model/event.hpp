// Something that happened to an instance, as operators are told and as it is remembered.
#pragma once

#include <cstdint>
#include <string>

namespace guideway::model {

struct Event {
    int64_t sequence = 0;  // grows from event to event, also across restarts; with gaps
    int64_t time_ms = 0;   // Unix time
    std::string kind;      // "backend_state"; docs/api.md lists them
    std::string pool;      // what it is about, as far as it is about one
    std::string backend;
    std::string service;
    std::string text;  // one line, for people

    auto operator<=>(const Event &) const = default;
};

}  // namespace guideway::model
