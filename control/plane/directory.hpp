// What is desired, in the words of the directory (dataplane/tables/directory.hpp).
#pragma once

#include "control/model/desired.hpp"
#include "dataplane/tables/directory.hpp"

namespace guideway::plane {

[[nodiscard]] gw_address directory_address(const model::IpAddress &address);

[[nodiscard]] DirectoryEntry directory_entry(const model::Service &service, uint32_t index);

}  // namespace guideway::plane
