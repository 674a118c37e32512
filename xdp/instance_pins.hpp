// What an instance keeps pinned, and what follows from it: which programs are its own.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "dataplane/error.hpp"
#include "xdp/attaching.hpp"

namespace guideway::xdp {

inline constexpr auto kRegionPin = "region";
inline constexpr auto kFormerRegionPin = "region-former";
inline constexpr auto kNamespaceRecord = "netns";

[[nodiscard]] std::string program_pin_name(const std::string &interface);

// The programs that are pinned there, and those that use the pinned tables, the former ones
// included.
[[nodiscard]] Ownership ownership_of(const std::filesystem::path &pin_directory);

// Drops the pins of programs, except of those on these interfaces.
void drop_program_pins_except(const std::filesystem::path &pin_directory,
                              const std::set<std::string> &kept);

// Notes that programs are attached in the calling thread's network namespace.
[[nodiscard]] Result<void> record_namespace(const std::filesystem::path &pin_directory);

// Fails when programs are attached in another one. `what` would be right there.
[[nodiscard]] Result<void> check_namespace(const std::filesystem::path &pin_directory,
                                           std::string_view what);

}  // namespace guideway::xdp
