// The verb replay: a capture through a configuration, offline.
#pragma once

#include "tools/guideway/app.hpp"
#include "tools/guideway/client.hpp"
#include "tools/guideway/grammar.hpp"

namespace guideway::cli {

// Prints the report, or what was asked for in its place. Of a damaged capture it fails with
// kDamaged when everything is printed.
[[nodiscard]] Outcome<void> replay_verb(const Options &options, const Streams &streams);

}  // namespace guideway::cli
