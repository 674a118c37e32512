// What is known of backends' health, on disk, so that a restart does not begin with guesses.
//
// A file of its own, written anew as a whole: losing it costs a round of probes, so it never
// waits for the disk, and a full one stops nothing.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "control/health/pool_health.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

using HealthMemory = std::map<std::string, health::RememberedPool>;  // by pool

[[nodiscard]] Result<void> save_health(const std::filesystem::path &path,
                                       const HealthMemory &memory);

// A missing file is an empty memory. One that is not whole, or not of this format, is an
// error.
[[nodiscard]] Result<HealthMemory> load_health(const std::filesystem::path &path);

}  // namespace guideway::store
