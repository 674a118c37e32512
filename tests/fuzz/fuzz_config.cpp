// libFuzzer target: any text as a configuration.
//
// Beside not crashing: what is refused has problems, each with a message of one line; what
// is accepted holds every rule, and is the same after being written out and read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "control/config/config.hpp"
#include "control/model/validate.hpp"

namespace {

void require(bool holds, const char *what)
{
    if (!holds) {
        std::fprintf(stderr, "fuzz_config: not so: %s\n", what);
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    using namespace guideway;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const auto document = config::parse("fuzz.yaml", text);
    if (!document) {
        require(!document.error().empty(), "a refusal has a problem");
        config::Position last;
        for (const config::Problem &problem : document.error()) {
            require(!problem.message.empty(), "a problem has a message");
            require(problem.to_string().find('\n') == std::string::npos,
                    "a problem is one line");
            require(problem.position.line >= last.line,
                    "problems are in the order of the text");
            last = problem.position;
        }
        return 0;
    }
    require(model::validate(document->desired).empty(), "what is accepted is valid");
    const auto again = config::parse("emitted.yaml", config::emit(document->desired));
    require(again.has_value(), "its own output is accepted");
    require(again->desired == document->desired, "its own output means the same");
    return 0;
}
