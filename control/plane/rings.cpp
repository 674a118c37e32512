#include "control/plane/rings.hpp"

#include <algorithm>
#include <atomic>
#include <set>

namespace guideway::plane {
namespace {

// The same on every host, so that they agree on rings.
constexpr uint64_t kSeed = 0;

void store(gw_slot &slot, uint32_t owner)
{
    const gw_slot wanted = gw_slot_make(owner, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
    if (slot != wanted) {
        // Released: who reads the owner must find the owner's record written.
        std::atomic_ref(slot).store(wanted, std::memory_order_release);
    }
}

void keep_only(std::span<gw_slot> slots, const std::set<uint32_t> &owners)
{
    for (gw_slot &slot : slots) {
        if (!owners.contains(gw_slot_owner(slot))) {
            store(slot, GW_OWNER_NONE);
        }
    }
}

}  // namespace

const std::vector<uint16_t> &Rings::ring(const Key &key)
{
    if (const auto known = computed_.find(key); known != computed_.end()) {
        known->second.used = true;
        return known->second.owners;
    }
    std::vector<model::MaglevMember> members;
    for (const auto &[identity, weight] : key.second) {
        members.push_back({identity, weight});
    }
    std::vector<uint16_t> ring(key.first);
    // Sizes, weights and identities were checked with the configuration.
    if (auto filled = model::maglev_fill(ring, members, kSeed); !filled) {
        ring.clear();
    }
    return computed_.emplace(key, Computed{std::move(ring), true}).first->second.owners;
}

void Rings::forget_unused()
{
    std::erase_if(computed_, [](const auto &entry) { return !entry.second.used; });
    for (auto &[key, computed] : computed_) {
        computed.used = false;
    }
}

void Rings::fill(std::span<gw_slot> slots, const std::vector<const BackendView *> &pool)
{
    std::vector<std::pair<uint64_t, const BackendView *>> members;
    std::set<uint32_t> unresolved;
    for (const auto *view : pool) {
        if (view->state == BackendState::kForwarding) {
            members.emplace_back(model::maglev_identity(view->backend.address), view);
        } else if (view->state == BackendState::kUnresolved) {
            unresolved.insert(view->index.value());
        }
    }
    if (members.empty()) {
        keep_only(slots, unresolved);
        return;
    }
    std::ranges::sort(members);
    Key key{slots.size(), {}};
    for (const auto &[identity, view] : members) {
        key.second.emplace_back(identity, view->backend.weight);
    }
    const auto &owners = ring(key);
    if (owners.size() != slots.size()) {
        keep_only(slots, {});
        return;
    }
    for (size_t i = 0; i < slots.size(); i++) {
        store(slots[i], members[owners[i]].second->index.value());
    }
}

}  // namespace guideway::plane
