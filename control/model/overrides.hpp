// The operator's overrides applied to the last applied file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/desired.hpp"
#include "dataplane/error.hpp"

namespace guideway::model {

// The effective state. Overrides that no longer fit the file (their pool or backend is
// gone) have no effect. Fails when an added backend clashes with one of the file.
[[nodiscard]] Result<Desired> with_overrides(const Desired &file, const Overrides &overrides);

// One line each, for people: {"gateways", "gw-a", "weight 50 (file: 100)"}.
struct OverrideDescription {
    std::string pool;
    std::string backend;
    std::string what;
};
[[nodiscard]] std::vector<OverrideDescription> describe(const Desired &file,
                                                        const Overrides &overrides);

// Operator's changes. Each returns the new overrides, normalised: what equals the file is
// no override. Fails, in an operator's words, when pool or backend do not exist, or exist
// already.
struct BackendId {
    std::string pool;
    std::string name;
};
[[nodiscard]] Result<Overrides> add_backend(const Desired &file, Overrides overrides,
                                            const BackendId &id, const IpAddress &address,
                                            uint32_t weight);
[[nodiscard]] Result<Overrides> remove_backend(const Desired &file, Overrides overrides,
                                               const BackendId &id);
// Enabling ends a drain, too.
[[nodiscard]] Result<Overrides> set_enabled(const Desired &file, Overrides overrides,
                                            const BackendId &id, bool enabled);
// Drains, or changes the deadline (Unix time in seconds) of a backend that is drained.
[[nodiscard]] Result<Overrides> set_drained(const Desired &file, Overrides overrides,
                                            const BackendId &id,
                                            std::optional<int64_t> deadline);
[[nodiscard]] Result<Overrides> set_weight(const Desired &file, Overrides overrides,
                                           const BackendId &id, uint32_t weight);

}  // namespace guideway::model
