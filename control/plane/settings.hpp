// What a configuration settles once for all tables: their sizes, their key, how long pins stay.
#pragma once

#include <cstdint>

#include "control/model/desired.hpp"
#include "dataplane/core/tables.h"

namespace guideway::plane {

[[nodiscard]] gw_hash_key table_key(const model::HashKey &key);
[[nodiscard]] gw_capacity table_capacity(const model::Capacity &capacity, uint32_t cpus_max);
[[nodiscard]] gw_pin_times pin_times(const model::Connections &connections);

}  // namespace guideway::plane
