// Computes rings: which backend of a pool each slot belongs to.
#pragma once

#include <cstdint>
#include <map>
#include <set>
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
    // The owner of each slot: Maglev over those backends of `pool` that get new flows. When
    // none does, but some are only unresolved, the `slots` that are theirs stay: they serve
    // again as soon as a next hop is back. The others belong to nobody. While the first probe
    // of one has not ended, it is too early to empty a ring: every owner that is not in `dead`
    // stays.
    [[nodiscard]] std::vector<uint32_t> owners(std::span<const gw_slot> slots,
                                               const std::vector<const BackendView *> &pool,
                                               const std::set<uint32_t> &dead);

    // Drops what owners() has not asked for since the last call.
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
