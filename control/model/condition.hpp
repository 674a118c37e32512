// What health checking has found, as the tables need it.
#pragma once

#include <cstdint>

namespace guideway::model {

struct Condition {
    bool failed = false;           // out of the ring
    bool waiting = false;          // failed only in that its first probe has not ended
    bool cut = false;              // its connections are given up too; only if failed
    uint32_t share_percent = 100;  // of its weight; less while it starts slowly

    auto operator<=>(const Condition &) const = default;
};

}  // namespace guideway::model
