// Prebuilds the outer headers of a backend, in the form that dataplane/core copies.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "control/model/address.hpp"
#include "control/model/next_hop.hpp"
#include "dataplane/core/tables.h"

namespace guideway::plane {

struct PrebuiltEncapsulation {
    gw_encapsulation encapsulation{};
    std::array<uint8_t, GW_OUTER_BYTES> outer{};

    [[nodiscard]] bool same_as(const gw_encapsulation &other, const uint8_t *outer_bytes) const;
};

// IP in IP from `source` to `backend` (of one family) over `next_hop`. The host bits of
// `source` are left to each packet's entropy; those of an IPv6 source are kept, because
// there the flow label carries it.
[[nodiscard]] PrebuiltEncapsulation prebuild_ipip(const model::IpAddress &backend,
                                                  const model::Prefix &source,
                                                  const model::NextHop &next_hop);

// Where the headers that a record holds lead, as prebuild_ipip() was told; none when it
// holds none.
struct TunnelEnds {
    model::IpAddress backend;
    model::Prefix source;
};
[[nodiscard]] std::optional<TunnelEnds> tunnel_ends(const gw_backend &record);

}  // namespace guideway::plane
