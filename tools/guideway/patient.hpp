// Verbs that stay with the daemon for long, while it may go and come back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/guideway/app.hpp"
#include "tools/guideway/client.hpp"

namespace guideway::cli {

// Asks again while nobody answers, once somebody has, and says so on `err`.
class PatientClient {
  public:
    PatientClient(Client client, std::ostream &err) : client_(std::move(client)), err_(err) {}

    [[nodiscard]] Outcome<nlohmann::json> get(const std::string &target,
                                              const std::string &attempted);

  private:
    Client client_;
    std::ostream &err_;
    bool was_reached_ = false;
    bool is_gone_ = false;
};

// Prints events, those after number `since` or from now on, until it is interrupted or nobody
// reads on. With `as_json`, one object a line.
[[nodiscard]] Outcome<void> watch(PatientClient client, std::optional<int64_t> since,
                                  bool as_json, const Streams &streams);

// Waits until a backend, whose drain has begun, has no connection left, and tells of the
// progress on `err`. The last that was heard of the drain. `target` is the backend's path.
[[nodiscard]] Outcome<nlohmann::json> wait_for_drain(PatientClient client,
                                                     const std::string &target,
                                                     const std::string &backend,
                                                     const Streams &streams);

}  // namespace guideway::cli
