// The one writer of the forwarding tables: puts desired state, as far as next hops allow,
// in force.
//
// Nothing that a packet may be reading is changed in place, except single words:
//  - a service's index, ring and directory entry exist before the directory names it, and
//    are given back only after every packet that could have seen them has ended;
//  - a backend's headers are written into the copy that is not in use;
//  - a ring slot is one word.
// `quiesce` is how the engine says that every packet begun before the call has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/model/desired.hpp"
#include "control/model/next_hop.hpp"
#include "control/plane/backend_view.hpp"
#include "control/plane/rings.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::plane {

// The next hop to a backend, or in an operator's words why there is none.
using NextHopLookup = std::function<Result<model::NextHop>(const model::IpAddress &)>;

struct ServiceView {
    model::Service service;
    uint32_t index = 0;
    // Slots by backend name, in the order of the pool.
    std::vector<std::pair<std::string, uint32_t>> slots;
};

class Plane {
  public:
    // Adopts what `tables` hold: indices in use by packets stay with their service or backend.
    Plane(Tables &tables, std::function<void()> quiesce);

    // Whether `desired` can be put in force: room, and nothing asked for that is fixed at a
    // service's creation. Changes nothing.
    [[nodiscard]] Result<void> fits(const model::Desired &desired) const;

    // Puts `desired` in force. A backend that was forwarding keeps its last next hop while
    // `lookup` has no answer and `trust_adopted` is set: right after a start, the answers
    // are not in yet. Fails like fits(), with nothing changed.
    [[nodiscard]] Result<void> apply(const model::Desired &desired, const NextHopLookup &lookup,
                                     bool trust_adopted);

    [[nodiscard]] const std::vector<BackendView> &backends() const { return backend_views_; }
    [[nodiscard]] const std::vector<ServiceView> &services() const { return service_views_; }
    [[nodiscard]] uint32_t ring_slots_used() const;

  private:
    struct RingSpace {
        uint32_t offset = 0;
        uint32_t size = 0;
    };
    using BackendKey = std::pair<std::string, std::string>;  // pool, name

    struct Placement;
    [[nodiscard]] Result<Placement> place(const model::Desired &desired) const;
    void retire_unreferenced();
    void reclaim();
    void write_backends(const model::Desired &desired, const Placement &placement,
                        const NextHopLookup &lookup, bool trust_adopted);
    void write_backend(uint32_t index, uint64_t identity, const model::Desired &desired,
                       BackendView &view, const NextHopLookup &lookup, bool trust_adopted);
    void write_rings(const model::Desired &desired, const Placement &placement);

    Tables &tables_;
    std::function<void()> quiesce_;
    Rings rings_;
    // Given up, but perhaps still seen by a packet until the next quiesce_().
    std::vector<uint32_t> retired_services_;
    std::vector<uint32_t> retired_backends_;
    std::vector<BackendView> backend_views_;
    std::vector<ServiceView> service_views_;
};

}  // namespace guideway::plane
