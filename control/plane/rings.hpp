// Writes rings: which slots belong to which backend of a pool.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "control/model/maglev.hpp"
#include "control/plane/backend_view.hpp"
#include "dataplane/core/tables.h"

namespace guideway::plane {

// Keeps the rings it has computed, because a change of a next hop or of one pool asks for
// all of them again.
class Rings {
  public:
    // Makes `slots` the ring of those backends of `pool` that forward. Writes only slots
    // whose owner changes. When none forwards, but some are only unresolved, the slots of
    // those that are still in the pool stay: they serve again as soon as a next hop is back.
    void fill(std::span<gw_slot> slots, const std::vector<const BackendView *> &pool);

    // Drops what no fill() has asked for since the last call.
    void forget_unused();

  private:
    struct Computed {
        std::vector<uint16_t> owners;
        bool used = false;
    };
    // By ring size and members in the order of their identities.
    using Key = std::pair<size_t, std::vector<std::pair<uint64_t, uint32_t>>>;
    const std::vector<uint16_t> &ring(const Key &key);

    std::map<Key, Computed> computed_;
};

}  // namespace guideway::plane
