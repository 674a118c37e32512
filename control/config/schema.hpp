// The keys of a configuration and what each may hold.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/config/tree.hpp"

namespace guideway::config {

// Desired state as far as it could be read: what could not be is left empty, and its path
// is in `unread`.
struct Reading {
    model::Desired desired;
    std::map<std::string, Position> positions;  // of every value
    std::set<std::string> unread;
    std::vector<Problem> problems;  // without their file
};

[[nodiscard]] Reading read_schema(const Node &root);

}  // namespace guideway::config
