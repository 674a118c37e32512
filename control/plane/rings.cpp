#include "control/plane/rings.hpp"

#include <algorithm>

namespace guideway::plane {
namespace {

// The same on every host, so that they agree on rings.
constexpr uint64_t kSeed = 0;

std::vector<uint32_t> keep_only(std::span<const gw_slot> slots, const std::set<uint32_t> &kept)
{
    std::vector<uint32_t> owners;
    owners.reserve(slots.size());
    for (const gw_slot slot : slots) {
        const uint32_t owner = gw_slot_owner(slot);
        owners.push_back(kept.contains(owner) ? owner : GW_OWNER_NONE);
    }
    return owners;
}

std::vector<uint32_t> keep_all_but(std::span<const gw_slot> slots,
                                   const std::set<uint32_t> &dead)
{
    std::vector<uint32_t> owners;
    owners.reserve(slots.size());
    for (const gw_slot slot : slots) {
        const uint32_t owner = gw_slot_owner(slot);
        owners.push_back(dead.contains(owner) ? GW_OWNER_NONE : owner);
    }
    return owners;
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

std::vector<uint32_t> Rings::owners(std::span<const gw_slot> slots,
                                    const std::vector<const BackendView *> &pool,
                                    const std::set<uint32_t> &dead)
{
    std::vector<std::pair<uint64_t, const BackendView *>> members;
    std::set<uint32_t> unresolved;
    bool any_unchecked = false;
    for (const auto *view : pool) {
        if (view->state == BackendState::kForwarding) {
            members.emplace_back(model::maglev_identity(view->backend.address), view);
        } else if (view->state == BackendState::kUnresolved) {
            unresolved.insert(view->index.value());
        }
        any_unchecked = any_unchecked || view->state == BackendState::kUnchecked;
    }
    if (members.empty() && any_unchecked) {
        return keep_all_but(slots, dead);
    }
    if (members.empty()) {
        return keep_only(slots, unresolved);
    }
    std::ranges::sort(members);
    Key key{slots.size(), {}};
    for (const auto &[identity, view] : members) {
        key.second.emplace_back(identity, view->ring_weight);
    }
    const auto &computed = ring(key);
    if (computed.size() != slots.size()) {
        return keep_only(slots, {});
    }
    std::vector<uint32_t> owners;
    owners.reserve(slots.size());
    for (const uint16_t owner : computed) {
        owners.push_back(members[owner].second->index.value());
    }
    return owners;
}

}  // namespace guideway::plane
