// Backends that give up their connections in good order: when their time is over, and what
// there is to tell of them. Pure but for what it is given.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/model/desired.hpp"
#include "control/model/event.hpp"
#include "control/plane/plane.hpp"

namespace guideway::daemon {

class Drains {
  public:
    using Key = std::pair<std::string, std::string>;  // pool, backend

    // `now` is Unix time in seconds everywhere here.
    void set_deadlines(const model::Desired &desired, int64_t now);
    // Whether a deadline has passed since set_deadlines().
    [[nodiscard]] bool is_due(int64_t now) const { return now >= next_due_; }
    [[nodiscard]] bool is_over(const Key &backend, int64_t now) const;

    // What happened to drains since the last call. The first finds what an earlier daemon
    // began.
    [[nodiscard]] std::vector<model::Event> note(const plane::Plane &plane, int64_t now);
    // After this the next note() is the first again.
    void forget();

  private:
    struct Known {
        Key backend;
        bool is_leaving = false;
        bool is_told = false;  // somebody was told that it drains, or would want to know
        bool is_cut = false;
        bool is_done = false;
    };

    void note_progress(const plane::Plane &plane, uint32_t index, Known &known, int64_t now,
                       std::vector<model::Event> &events) const;

    std::map<Key, int64_t> deadlines_;
    int64_t next_due_ = INT64_MAX;
    std::map<uint32_t, Known> known_;  // by the backend's index
    bool is_first_ = true;
};

}  // namespace guideway::daemon
