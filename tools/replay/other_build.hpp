// Another build's replay of the same capture.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/guideway/client.hpp"
#include "tools/replay/flows.hpp"

namespace guideway::cli {

// What the other build says of itself, and of flows beyond its bound.
struct OtherBuild {
    std::string version;
    uint64_t packets_beyond = 0;
};

// Runs `program` with `arguments`, which have it write flows to standard output, and calls `visit`
// for each. Fails when it cannot be run, does not know these arguments, or ends before its end.
[[nodiscard]] Outcome<OtherBuild> replay_with(const std::string &program,
                                              const std::vector<std::string> &arguments,
                                              const std::function<void(FlowResult)> &visit);

}  // namespace guideway::cli
