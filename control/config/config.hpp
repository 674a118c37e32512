// The configuration file: strict YAML in, desired state out, and back.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/desired.hpp"
#include "control/model/host.hpp"

namespace guideway::config {

// Line and column count from 1; zero where a problem has no place in the text.
struct Position {
    int line = 0;
    int column = 0;
};

struct Problem {
    std::string file;
    Position position;
    std::string message;  // what is wrong
    std::string hint;     // what would be right

    // "FILE:LINE:COLUMN: MESSAGE; HINT", one line
    [[nodiscard]] std::string to_string() const;
};

// Desired state with the places in the text that later checks refer to.
struct Document {
    std::string file;
    model::Desired desired;
    std::map<std::string, Position> positions;  // by path, such as "services[0].listen"
};

// Parses and checks everything that can be checked without a host. Reports all problems
// that it can find, in the order of the text. Never throws, whatever the text.
[[nodiscard]] std::expected<Document, std::vector<Problem>> parse(std::string_view file,
                                                                  std::string_view text);

// Problems on this host: interfaces that do not exist, service addresses that are local.
[[nodiscard]] std::vector<Problem> check_on_host(const Document &document,
                                                 const model::HostFacts &host);

// A file that parse() turns into the same desired state, defaults written out. Disabled
// backends, which a file cannot express, are written with a comment.
[[nodiscard]] std::string emit(const model::Desired &desired);

}  // namespace guideway::config
