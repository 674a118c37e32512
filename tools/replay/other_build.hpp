// Another build's replay of the same capture.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/guideway/client.hpp"
#include "tools/replay/flows.hpp"

namespace guideway::cli {

// What the other build says of itself, of flows beyond its bound, and of how it read the capture.
struct OtherBuild {
    std::string version;
    uint64_t packets_beyond = 0;
    nlohmann::json capture;  // as capture_json() has it
};

// Runs `program` with `arguments`, which have it write flows to standard output, and calls `visit`
// for each. Fails when it cannot be run, does not know these arguments, ends before its end, or
// writes anything else. `visit` may have been called before that is found.
[[nodiscard]] Outcome<OtherBuild> replay_with(const std::string &program,
                                              const std::vector<std::string> &arguments,
                                              const std::function<void(FlowResult)> &visit);

}  // namespace guideway::cli
