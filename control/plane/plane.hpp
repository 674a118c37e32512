// The one writer of the forwarding tables: puts desired state, as far as next hops and health
// allow, in force.
//
// Nothing that a packet may be reading is changed in place, except single words:
//  - a service's index, ring and directory entry exist before the directory names it, and
//    are given back only after every packet that could have seen them has ended;
//  - a backend's headers are written into the copy that is not in use;
//  - a ring slot is one word, and selection.hpp is what changes it;
//  - limits are policing.hpp's.
// `quiesce` is how the engine says that every packet begun before the call has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/model/condition.hpp"
#include "control/model/desired.hpp"
#include "control/model/next_hop.hpp"
#include "control/plane/backend_view.hpp"
#include "control/plane/placement.hpp"
#include "control/plane/policing.hpp"
#include "control/plane/rings.hpp"
#include "control/plane/selection.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/lists.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::plane {

// The next hop to a backend, or in an operator's words why there is none.
using NextHopLookup = std::function<Result<model::NextHop>(const model::IpAddress &)>;

// What is observed of the world that desired state is reconciled with.
struct Observed {
    NextHopLookup next_hop;
    // Of a backend of a pool. Unset: all are well.
    std::function<model::Condition(const std::string &, const model::Backend &)> condition;
    // A backend that was forwarding keeps its last next hop while `next_hop` has no answer:
    // right after a start, the answers are not in yet.
    bool trust_adopted = false;
};

struct ServiceBackendView {
    std::string pool;
    std::string name;
    uint32_t index = 0;
    BackendState state = BackendState::kUnused;
    std::string reason;  // why unresolved
    uint32_t slots = 0;
    PinCounts pins;
};

struct ServiceView {
    model::Service service;
    uint32_t index = 0;
    SlotCounts slots;
    // Those of the pool in its order, then others that still have connections.
    std::vector<ServiceBackendView> backends;
};

class Plane {
  public:
    // Adopts what `tables` hold: indices in use by packets stay with their service or backend.
    Plane(Tables &tables, std::function<void()> quiesce, SelectionTiming timing, Moment now);

    // Whether `desired` can be put in force: room, and nothing asked for that is fixed at a
    // service's creation. Changes nothing.
    [[nodiscard]] Result<void> fits(const model::Desired &desired) const;

    // Puts `desired` in force. Fails like fits(), with nothing changed.
    [[nodiscard]] Result<void> apply(const model::Desired &desired, const Observed &observed,
                                     Moment now);

    void set_timing(SelectionTiming timing) { selection_.set_timing(timing); }

    // Judges sources by `lists`, which were built for ListsRoom::of() of these tables, from
    // now on.
    void put_lists(const ListsImage &lists);

    // Goes on with the sweep over pins by at most `buckets` buckets. True when apply() should
    // be called again, because what something was waiting for has come.
    [[nodiscard]] bool sweep(size_t buckets, Moment now);
    [[nodiscard]] bool has_sweeping_to_do() const { return selection_.has_work(); }

    // Gives up the connections of a backend that is leaving.
    void cut(uint32_t index, Moment now);

    // Backends that are desired, in their order, and then those that are leaving.
    [[nodiscard]] const std::vector<BackendView> &backends() const { return backend_views_; }
    [[nodiscard]] std::vector<ServiceView> services() const;
    // Of those in force, by index.
    [[nodiscard]] std::map<uint32_t, std::string> service_names() const;
    [[nodiscard]] const Selection &selection() const { return selection_; }
    [[nodiscard]] Policing &policing() { return policing_; }
    [[nodiscard]] const Policing &policing() const { return policing_; }
    [[nodiscard]] uint32_t ring_slots_used() const;

  private:
    void retire_unnamed_services(Moment now);
    void collect();
    void note_owners();
    [[nodiscard]] bool owns_slots(uint32_t index) const { return owners_[index]; }
    void write_backends(const model::Desired &desired, const Placement &placement,
                        const Observed &observed, Moment now);
    void write_backend(uint32_t index, uint64_t identity, const model::Desired &desired,
                       BackendView &view, const Observed &observed, Moment now);
    void write_leaving(const Observed &observed);
    [[nodiscard]] bool write_next_hop(uint32_t index, const model::IpAddress &address,
                                      const model::Prefix &source, BackendView &view,
                                      const Observed &observed);
    [[nodiscard]] BackendState state_of(const BackendView &view,
                                        const model::Condition &condition, bool is_resolved,
                                        Moment now);
    // Returns, for each service, how many backends take its new flows.
    [[nodiscard]] std::vector<uint32_t> write_rings(const model::Desired &desired,
                                                    const Placement &placement, Moment now);

    Tables &tables_;
    std::function<void()> quiesce_;
    Rings rings_;
    Selection selection_;
    Policing policing_;
    std::set<uint32_t> services_in_force_;
    std::set<uint32_t> backends_in_force_;
    // Names of backends by index, also of those that are leaving.
    std::map<uint32_t, BackendKey> names_;
    std::vector<BackendView> backend_views_;
    std::vector<bool> owners_;  // by index: whether it owned a slot when apply() began
    std::vector<std::pair<model::Service, uint32_t>> desired_services_;  // and their indices
};

}  // namespace guideway::plane
