// What verbs read: a file that was named, or standard input.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>

#include "tools/guideway/client.hpp"

namespace guideway::cli {

struct Input {
    std::string file;  // "-": standard input
    std::string noun;  // "configuration"
    size_t bytes_max = 0;
    // Of standard input: refused when it ends in the middle of a line, since what writes it may
    // have been stopped.
    bool must_be_whole = false;
};

// All of it. Fails when there is more than `bytes_max`.
[[nodiscard]] Outcome<std::string> read_input(const Input &input, std::istream &standard_input);

}  // namespace guideway::cli
