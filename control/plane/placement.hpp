// Finds a place in the tables for everything that is desired.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/model/desired.hpp"
#include "control/plane/directory.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::plane {

struct RingSpace {
    uint32_t offset = 0;
    uint32_t size = 0;
};

using BackendKey = std::pair<std::string, std::string>;  // pool, name

// Where everything that is desired has, or will have, its place.
struct Placement {
    std::vector<uint32_t> services;  // in the order of desired.services
    std::vector<RingSpace> rings;    // likewise
    std::map<BackendKey, uint32_t> backends;
    DirectoryImage directory;
};

// Names of objects in the tables, by which the next daemon knows them again.
[[nodiscard]] uint64_t service_identity(const model::Service &service);
[[nodiscard]] uint64_t backend_identity(const model::Desired &desired, const std::string &pool,
                                        const model::Backend &backend);

// The source of the outer headers to a backend.
[[nodiscard]] const model::Prefix &source_for(const model::Desired &desired,
                                              const model::Backend &backend);

// What has an identity keeps its place, except services that are not in force any more: their
// pins may still be there. Fails when there is no room, or when something is asked for that is
// fixed at a service's creation.
[[nodiscard]] Result<Placement> place(const Tables &tables,
                                      const std::set<uint32_t> &services_in_force,
                                      const model::Desired &desired);

}  // namespace guideway::plane
