// Completion scripts and manual pages, made from the grammar. Pure.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace guideway::cli {

// `shell` is bash, zsh or fish.
[[nodiscard]] std::string completion_script(const CLI::App &app, std::string_view shell);

// Of guideway itself, in the language of man(7).
[[nodiscard]] std::string manual_page(const CLI::App &app);

// Of the daemon and of the DPDK engine, from what their --help prints.
[[nodiscard]] std::string daemon_manual_page(std::string_view help);
[[nodiscard]] std::string engine_manual_page(std::string_view help);

}  // namespace guideway::cli
