// guideway: the command line of the load balancer.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "tools/guideway/app.hpp"

namespace {

// https://no-color.org: set and not empty means none.
bool wants_colours()
{
    const char *no_color = std::getenv("NO_COLOR");
    const char *term = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
           term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

int main(int argc, char **argv)
{
    // A reader that has gone ("guideway status | head -1") is an error to report, not a
    // reason to die by a signal.
    std::signal(SIGPIPE, SIG_IGN);
    try {
        return static_cast<int>(guideway::cli::run(
            {argv + 1, argv + argc},
            {std::cin, std::cout, std::cerr, wants_colours(), ::isatty(STDERR_FILENO) == 1}));
    } catch (const std::exception &error) {
        std::cerr << "guideway: unexpected failure: " << error.what() << "\n";
        return static_cast<int>(guideway::cli::Exit::kFailed);
    }
}
