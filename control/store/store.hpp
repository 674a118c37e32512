// Desired state on disk: revisions in one SQLite database an instance; and what happened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/model/desired.hpp"
#include "control/model/event.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

// The whole desired state after one change: file and overrides, so that any revision can
// be restored by itself.
struct Revision {
    int64_t number = 0;      // 1, 2, …; given by append()
    std::string created_at;  // RFC 3339, UTC; given by append()
    std::string cause;       // "apply", "backend weight", …
    std::string file_name;   // as the operator named it
    std::string file_text;   // the YAML as it was applied
    model::Overrides overrides;
    std::string summary;  // one line
};

class Store {
  public:
    // Creates the database and its directory if need be. Refuses one that a newer version
    // wrote and one that is damaged, saying what to do; never deletes anything.
    [[nodiscard]] static Result<Store> open(const std::filesystem::path &path);

    [[nodiscard]] Result<std::optional<Revision>> latest() const;
    [[nodiscard]] Result<std::vector<Revision>> history(size_t most) const;  // newest first

    // One transaction, on disk when it returns. The number it was given.
    [[nodiscard]] Result<int64_t> append(const Revision &revision);

    // Events, of which the newest 10,000 are kept. All or none of `events`, on disk when it
    // returns. They are no part of desired state: a failure here is no reason to refuse a change.
    [[nodiscard]] Result<void> append_events(std::span<const model::Event> events);
    // The newest `most`, oldest first.
    [[nodiscard]] Result<std::vector<model::Event>> events(size_t most) const;

    Store(Store &&) noexcept;
    Store &operator=(Store &&) noexcept;
    ~Store();

  private:
    struct State;
    explicit Store(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace guideway::store
