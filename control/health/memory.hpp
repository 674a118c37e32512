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

namespace guideway::health {

using Memory = std::map<std::string, RememberedPool>;  // by pool

[[nodiscard]] Result<void> save(const std::filesystem::path &path, const Memory &memory);

// A missing file is an empty memory. One that is not whole, or not of this format, is an
// error.
[[nodiscard]] Result<Memory> load(const std::filesystem::path &path);

}  // namespace guideway::health
