#include "control/plane/plane.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "control/plane/directory.hpp"
#include "control/plane/encapsulation.hpp"

namespace guideway::plane {
namespace {

gw_affinity to_table_affinity(model::Affinity affinity)
{
    switch (affinity) {
        case model::Affinity::kConnection:
            return GW_AFFINITY_CONNECTION;
        case model::Affinity::kFlow:
            return GW_AFFINITY_FLOW;
        case model::Affinity::kNone:
            break;
    }
    return GW_AFFINITY_RING;
}

uint32_t ring_weight(uint32_t weight, const model::Condition &condition)
{
    return std::max<uint32_t>(
        1, static_cast<uint32_t>(uint64_t{weight} * condition.share_percent / 100));
}

uint32_t count_distinct(const std::vector<uint32_t> &owners)
{
    std::vector<bool> owns(GW_OWNER_MASK + 1UL);
    for (const uint32_t owner : owners) {
        owns[owner & GW_OWNER_MASK] = true;
    }
    owns[GW_OWNER_NONE] = false;
    return static_cast<uint32_t>(std::ranges::count(owns, true));
}

}  // namespace

Plane::Plane(Tables &tables, std::function<void()> quiesce, SelectionTiming timing, Moment now)
    : tables_(tables),
      quiesce_(std::move(quiesce)),
      selection_(tables, timing, now),
      policing_(tables)
{
    retire_unnamed_services(now);
}

// What an earlier daemon had given up, or had begun to write when it was killed: services
// that the directory does not name.
void Plane::retire_unnamed_services(Moment now)
{
    for (const auto &bucket : tables_.port_buckets(tables_.header().active_directory)) {
        for (const uint64_t way : bucket.way) {
            const auto address_index = static_cast<uint32_t>(way >> 40) & 0xffff;
            const bool is_unmatched = (way & ~0xffffULL) == gw_port_key(address_index, 0, 0);
            if (way != 0 && !is_unmatched) {
                services_in_force_.insert(static_cast<uint32_t>(way & 0xffff));
            }
        }
    }
    for (uint32_t i = 0; i < tables_.services().size(); i++) {
        if (tables_.services()[i].identity != 0 && !services_in_force_.contains(i)) {
            selection_.remove_service(i, now);
        }
    }
}

Result<void> Plane::fits(const model::Desired &desired) const
{
    if (auto placement = place(tables_, services_in_force_, desired); !placement) {
        return std::unexpected(std::move(placement.error()));
    }
    if (auto limits = policing_.place(services_in_force_, desired); !limits) {
        return std::unexpected(std::move(limits.error()));
    }
    return {};
}

Result<void> Plane::apply(const model::Desired &desired, const Observed &observed, Moment now)
{
    collect();
    auto placement = place(tables_, services_in_force_, desired);
    if (!placement) {
        return std::unexpected(std::move(placement.error()));
    }
    auto limits = policing_.place(services_in_force_, desired);
    if (!limits) {
        return std::unexpected(std::move(limits.error()));
    }
    quiesce_();  // makes every idle copy safe to write

    policing_.collect(services_in_force_, *limits);
    write_idle_directory(tables_, placement->directory);
    note_owners();
    write_backends(desired, *placement, observed, now);
    const auto backends = write_rings(desired, *placement, now);
    policing_.write(desired, *limits, placement->services, backends);
    activate_idle_directory(tables_);

    const std::set<uint32_t> before = std::exchange(
        services_in_force_, {placement->services.begin(), placement->services.end()});
    for (const uint32_t index : before) {
        if (!services_in_force_.contains(index)) {
            selection_.remove_service(index, now);
        }
    }
    std::atomic_ref(tables_.header().writer_serial).fetch_add(1, std::memory_order_release);
    return {};
}

// Frees what nothing names any more.
void Plane::collect()
{
    const auto services = tables_.services();
    for (uint32_t i = 0; i < services.size(); i++) {
        if (services[i].identity != 0 && !services_in_force_.contains(i) &&
            selection_.service_is_free(i)) {
            tables_.clear_service_counters(i);
            services[i] = {};
        }
    }
    const auto backends = tables_.backends();
    for (uint32_t i = 0; i < backends.size(); i++) {
        if (backends[i].identity != 0 && !backends_in_force_.contains(i) &&
            selection_.backend_is_free(i)) {
            tables_.clear_backend_counters(i);
            backends[i] = {};
            names_.erase(i);
        }
    }
}

void Plane::put_lists(const ListsImage &lists)
{
    quiesce_();
    write_idle_lists(tables_, lists);
    activate_idle_lists(tables_, lists);
    policing_.lists_changed();
    std::atomic_ref(tables_.header().writer_serial).fetch_add(1, std::memory_order_release);
}

bool Plane::sweep(size_t buckets, Moment now)
{
    if (!selection_.sweep(buckets, now)) {
        return false;
    }
    const size_t leaving =
        std::ranges::count(backend_views_, BackendState::kLeaving, &BackendView::state);
    collect();
    const auto is_ready = [this](const BackendView &view) {
        return view.state == BackendState::kReturning &&
               selection_.backend_may_return(view.index.value());
    };
    const auto has_left = [this](const BackendView &view) {
        return view.state == BackendState::kLeaving &&
               tables_.backends()[view.index.value()].identity == 0;
    };
    return std::ranges::any_of(backend_views_, is_ready) ||
           (leaving > 0 && std::ranges::any_of(backend_views_, has_left));
}

void Plane::cut(uint32_t index, Moment now)
{
    if (index < tables_.backends().size() && !backends_in_force_.contains(index)) {
        selection_.kill_backend(index, now);
    }
}

// Who owns slots before anything is written.
void Plane::note_owners()
{
    owners_.assign(tables_.backends().size(), false);
    for (const auto &service : tables_.services()) {
        if (service.identity == 0) {
            continue;
        }
        for (const gw_slot slot :
             tables_.ring_slots().subspan(service.ring_offset, service.ring_size)) {
            if (const uint32_t owner = gw_slot_owner(slot); owner < owners_.size()) {
                owners_[owner] = true;
            }
        }
    }
}

void Plane::write_backends(const model::Desired &desired, const Placement &placement,
                           const Observed &observed, Moment now)
{
    backend_views_.clear();
    backends_in_force_.clear();
    for (const auto &pool : desired.pools) {
        for (const auto &backend : pool.backends) {
            BackendView view{.pool = pool.name,
                             .backend = backend,
                             .reason = "",
                             .next_hop = {},
                             .index = {}};
            const auto placed = placement.backends.find({pool.name, backend.name});
            if (placed != placement.backends.end()) {
                view.index = placed->second;
                backends_in_force_.insert(placed->second);
                names_[placed->second] = {pool.name, backend.name};
                write_backend(placed->second, backend_identity(desired, pool.name, backend),
                              desired, view, observed, now);
            }
            backend_views_.push_back(std::move(view));
        }
    }
    write_leaving(observed);
}

// Writes the headers that lead to a backend, as far as the next hop is known. Whether it is.
bool Plane::write_next_hop(uint32_t index, const model::IpAddress &address,
                           const model::Prefix &source, BackendView &view,
                           const Observed &observed)
{
    gw_backend &record = tables_.backends()[index];
    const std::atomic_ref state(record.state);
    // Selection sets the dead bit, in this thread.
    uint32_t bits = state.load(std::memory_order_relaxed);
    auto next_hop = observed.next_hop(address);
    if (next_hop) {
        view.next_hop = *next_hop;
        const auto built = prebuild_ipip(address, source, *next_hop);
        const unsigned current = (bits & GW_BACKEND_COPY) != 0 ? 1 : 0;
        const bool is_written = (bits & GW_BACKEND_RESOLVED) != 0;
        if (!is_written ||
            !built.same_as(record.encapsulation[current], record.outer[current])) {
            const unsigned idle = 1 - current;
            record.encapsulation[idle] = built.encapsulation;
            std::memcpy(record.outer[idle], built.outer.data(), built.outer.size());
            bits = (bits & ~uint32_t{GW_BACKEND_COPY}) |
                   (idle == 1 ? uint32_t{GW_BACKEND_COPY} : 0U);
        }
        bits |= GW_BACKEND_RESOLVED;
    } else if (!observed.trust_adopted) {
        view.reason = next_hop.error().message;
        bits &= ~uint32_t{GW_BACKEND_RESOLVED};
    }
    state.store(bits | GW_BACKEND_IN_USE, std::memory_order_release);
    return (bits & GW_BACKEND_RESOLVED) != 0;
}

void Plane::write_backend(uint32_t index, uint64_t identity, const model::Desired &desired,
                          BackendView &view, const Observed &observed, Moment now)
{
    const bool is_resolved = write_next_hop(index, view.backend.address,
                                            source_for(desired, view.backend), view, observed);
    tables_.backends()[index].identity = identity;
    const model::Condition condition =
        observed.condition ? observed.condition(view.pool, view.backend) : model::Condition{};
    view.ring_weight = ring_weight(view.backend.weight, condition);
    view.state = state_of(view, condition, is_resolved, now);
}

// Also tells selection whose connections are given up.
BackendState Plane::state_of(const BackendView &view, const model::Condition &condition,
                             bool is_resolved, Moment now)
{
    const uint32_t index = view.index.value();
    bool may_return = true;
    if (!view.backend.enabled || condition.cut) {
        if (!selection_.backend_is_dead(index)) {
            selection_.kill_backend(index, now);
        }
        if (!view.backend.enabled) {
            return BackendState::kDisabled;
        }
    } else {
        may_return = selection_.revive_backend(index);
    }
    if (view.backend.drained || view.backend.weight == 0) {
        return BackendState::kDraining;
    }
    if (!may_return) {
        return condition.failed ? BackendState::kFailed : BackendState::kReturning;
    }
    // One that serves already, by adopted tables or without checks so far, goes on until its
    // first probe says otherwise.
    const bool goes_on = condition.waiting && owns_slots(index);
    if (condition.failed && !goes_on) {
        return condition.waiting ? BackendState::kUnchecked : BackendState::kFailed;
    }
    return is_resolved ? BackendState::kForwarding : BackendState::kUnresolved;
}

// Backends that are not desired any more and still have connections: their next hops may
// change, too.
void Plane::write_leaving(const Observed &observed)
{
    for (uint32_t i = 0; i < tables_.backends().size(); i++) {
        const gw_backend &record = tables_.backends()[i];
        if (record.identity == 0 || backends_in_force_.contains(i)) {
            continue;
        }
        BackendView view{.pool = "",
                         .backend = {},
                         .state = BackendState::kLeaving,
                         .reason = "",
                         .next_hop = {},
                         .index = i};
        if (const auto ends = tunnel_ends(record)) {
            view.backend.address = ends->backend;
            view.backend.name = ends->backend.to_string();
            (void)write_next_hop(i, ends->backend, ends->source, view, observed);
        }
        if (const auto known = names_.find(i); known != names_.end()) {
            view.pool = known->second.first;
            view.backend.name = known->second.second;
        }
        backend_views_.push_back(std::move(view));
    }
}

std::vector<uint32_t> Plane::write_rings(const model::Desired &desired,
                                         const Placement &placement, Moment now)
{
    std::vector<uint32_t> backends;
    desired_services_.clear();
    std::set<uint32_t> dead;
    for (uint32_t i = 0; i < tables_.backends().size(); i++) {
        if (selection_.backend_is_dead(i)) {
            dead.insert(i);
        }
    }
    for (size_t i = 0; i < desired.services.size(); i++) {
        const auto &service = desired.services[i];
        const auto &space = placement.rings[i];
        const uint32_t index = placement.services[i];
        gw_service &record = tables_.services()[index];
        const auto slots = tables_.ring_slots().subspan(space.offset, space.size);
        record.affinity = to_table_affinity(service.affinity);
        if (record.identity == 0) {
            std::ranges::fill(slots,
                              gw_slot_make(GW_OWNER_NONE, GW_SLOT_STABLE, GW_PREVIOUS_NONE));
            record.ring_offset = space.offset;
            record.ring_size = space.size;
            record.address = directory_address(service.address);
            record.port_raw = gw_to_be16(service.port).raw;
            record.protocol = static_cast<uint8_t>(service.protocol);
            record.is_ipv6 = service.address.is_ipv6() ? 1 : 0;
            record.identity = service_identity(service);
            selection_.add_service(index, now);
        }
        std::vector<const BackendView *> pool;
        for (const auto &view : backend_views_) {
            if (view.pool == service.pool && view.state != BackendState::kLeaving) {
                pool.push_back(&view);
            }
        }
        const auto owners = rings_.owners(slots, pool, dead);
        backends.push_back(count_distinct(owners));
        selection_.retarget(index, owners, now);
        desired_services_.emplace_back(service, index);
    }
    rings_.forget_unused();
    return backends;
}

std::map<uint32_t, std::string> Plane::service_names() const
{
    std::map<uint32_t, std::string> names;
    for (const auto &[service, index] : desired_services_) {
        names.emplace(index, service.name);
    }
    return names;
}

std::vector<ServiceView> Plane::services() const
{
    std::vector<ServiceView> views;
    for (const auto &[service, index] : desired_services_) {
        const auto &record = tables_.services()[index];
        std::vector<uint32_t> owned(tables_.backends().size());
        for (const gw_slot slot :
             tables_.ring_slots().subspan(record.ring_offset, record.ring_size)) {
            if (const uint32_t owner = gw_slot_owner(slot); owner < owned.size()) {
                owned[owner]++;
            }
        }
        ServiceView view{.service = service,
                         .index = index,
                         .slots = selection_.slots(index),
                         .backends = {}};
        for (const auto &backend : backend_views_) {
            if (!backend.index) {
                continue;
            }
            const PinCounts pins = selection_.pins(index, *backend.index);
            if (backend.pool == service.pool || pins.pins > 0) {
                view.backends.push_back({.pool = backend.pool,
                                         .name = backend.backend.name,
                                         .index = *backend.index,
                                         .state = backend.state,
                                         .reason = backend.reason,
                                         .slots = owned[*backend.index],
                                         .pins = pins});
            }
        }
        views.push_back(std::move(view));
    }
    return views;
}

uint32_t Plane::ring_slots_used() const
{
    uint32_t used = 0;
    for (const auto &service : tables_.services()) {
        used += service.identity != 0 ? service.ring_size : 0;
    }
    return used;
}

}  // namespace guideway::plane
