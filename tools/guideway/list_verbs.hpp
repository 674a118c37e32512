// The verbs deny and allow.
#pragma once

#include <string>

#include "tools/guideway/app.hpp"
#include "tools/guideway/client.hpp"
#include "tools/guideway/grammar.hpp"

namespace guideway::cli {

// `verb` begins with "deny " or "allow ". Prints its result to `streams.out`.
[[nodiscard]] Outcome<void> list_verb(const std::string &verb, const Options &options,
                                      const Streams &streams);

}  // namespace guideway::cli
