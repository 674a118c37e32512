// That a replay writes over nothing it reads.
#pragma once

#include <span>
#include <string>

#include "tools/guideway/client.hpp"

namespace guideway::cli {

struct NamedFile {
    std::string path;  // "-": standard input
    std::string noun;  // "the capture that is read"
};

// Fails when an output is the same file as an input or as an output before it, by whatever name.
// Devices and pipes are none that could be written over. An empty path is no file.
[[nodiscard]] Outcome<void> check_outputs(std::span<const NamedFile> inputs,
                                          std::span<const NamedFile> outputs);

}  // namespace guideway::cli
