// The command line of guideway: its grammar, and what each verb does.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "tools/guideway/client.hpp"

namespace CLI {
class App;
}

namespace guideway::cli {

struct Streams {
    std::istream &in;
    std::ostream &out;
    std::ostream &err;
    bool colours = false;   // of `out`
    bool progress = false;  // on `err`, a terminal
};

// `arguments` without the program's name.
[[nodiscard]] Exit run(const std::vector<std::string> &arguments, const Streams &streams);

// The exit codes as lines for help and manual: {"0", "done"}.
struct ExitMeaning {
    int code;
    const char *meaning;
};
[[nodiscard]] const std::vector<ExitMeaning> &exit_meanings();

}  // namespace guideway::cli
