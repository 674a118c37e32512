#include "control/model/policy_list.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::model {
namespace {

// A prefix as numbers, which compare much faster than bytes one by one.
struct Key {
    uint64_t high = 0;
    uint64_t low = 0;
    uint16_t family_and_length = 0;
    uint32_t index = 0;  // among entries that are sorted

    explicit Key(const Prefix &prefix)
        : family_and_length(static_cast<uint16_t>((prefix.address.is_ipv6() ? 0x100 : 0) |
                                                  prefix.length_bits))
    {
        for (size_t i = 0; i < 8; i++) {
            high = high << 8 | prefix.address.bytes[i];
            low = low << 8 | prefix.address.bytes[i + 8];
        }
    }

    bool operator<(const Key &other) const
    {
        return std::tuple(family_and_length >> 8, high, low, family_and_length & 0xff, index) <
               std::tuple(other.family_and_length >> 8, other.high, other.low,
                          other.family_and_length & 0xff, other.index);
    }
};

// The order of Prefix's own comparison.
bool before(const Prefix &a, const Prefix &b)
{
    return Key(a) < Key(b);
}

bool entry_before(const PolicyEntry &a, const PolicyEntry &b)
{
    return before(a.prefix, b.prefix);
}

auto first_not_before(std::span<const PolicyEntry> entries, const Prefix &prefix)
{
    return std::lower_bound(entries.begin(), entries.end(), prefix,
                            [](const PolicyEntry &entry, const Prefix &sought) {
                                return before(entry.prefix, sought);
                            });
}

std::string with_reason(const PolicyEntry &entry)
{
    return entry.reason.empty() ? "" : " (" + entry.reason + ")";
}

}  // namespace

std::string_view to_string(ListKind kind)
{
    return kind == ListKind::kDeny ? "deny" : "allow";
}

std::string describe(const ListId &id)
{
    return "the " + std::string(to_string(id.kind)) + " list '" + id.name + "'";
}

std::vector<PolicyEntry> in_order(std::vector<PolicyEntry> entries)
{
    if (!std::ranges::is_sorted(entries, entry_before)) {
        std::vector<Key> keys;
        keys.reserve(entries.size());
        for (size_t i = 0; i < entries.size(); i++) {
            keys.emplace_back(entries[i].prefix);
            keys.back().index = static_cast<uint32_t>(i);
        }
        std::sort(keys.begin(), keys.end());
        std::vector<PolicyEntry> sorted;
        sorted.reserve(entries.size());
        for (const auto &key : keys) {
            sorted.push_back(std::move(entries[key.index]));
        }
        entries = std::move(sorted);
    }
    const auto same = std::ranges::unique(entries, {}, &PolicyEntry::prefix);
    entries.erase(same.begin(), same.end());
    return entries;
}

PolicyList::PolicyList(ListId id, std::vector<PolicyEntry> entries, std::string source,
                       int64_t loaded_at)
    : id_(std::move(id)),
      entries_(in_order(std::move(entries))),
      source_(std::move(source)),
      loaded_at_(loaded_at)
{
    for (const auto &entry : entries_) {
        const size_t family = entry.prefix.address.is_ipv6() ? 1 : 0;
        lengths_[family][static_cast<size_t>(entry.prefix.length_bits)] = true;
        if (entry.until != 0 && (next_end_ == 0 || entry.until < next_end_)) {
            next_end_ = entry.until;
        }
    }
}

const PolicyEntry *PolicyList::find(const Prefix &prefix) const
{
    const std::span<const PolicyEntry> all = entries_;
    const auto at = first_not_before(all, prefix);
    return at != all.end() && at->prefix == prefix ? &*at : nullptr;
}

const PolicyList *PolicyLists::find(const ListId &id) const
{
    const auto at = lists_.find(id);
    return at == lists_.end() ? nullptr : at->second.get();
}

size_t PolicyLists::size(ListKind kind) const
{
    size_t entries = 0;
    for (const auto &[id, list] : lists_) {
        entries += id.kind == kind ? list->entries().size() : 0;
    }
    return entries;
}

// The list of `kind` that has `prefix`.
const PolicyList *PolicyLists::holder(ListKind kind, const Prefix &prefix) const
{
    for (const auto &[id, list] : lists_) {
        if (id.kind == kind && list->find(prefix) != nullptr) {
            return list.get();
        }
    }
    return nullptr;
}

void PolicyLists::put(PolicyList list)
{
    const ListId id = list.id();
    if (list.entries().empty()) {
        lists_.erase(id);
    } else {
        lists_[id] = std::make_shared<const PolicyList>(std::move(list));
    }
}

void PolicyLists::restore(PolicyList list)
{
    put(std::move(list));
}

namespace {

ListKind other(ListKind kind)
{
    return kind == ListKind::kDeny ? ListKind::kAllow : ListKind::kDeny;
}

std::unexpected<Error> on_both(const Prefix &prefix, const PolicyList &holder)
{
    return fail(prefix.to_string() + " is on " + describe(holder.id()) +
                with_reason(*holder.find(prefix)) +
                "; no prefix can be on both: remove it there first, or name a longer prefix");
}

}  // namespace

Result<PolicyLists> PolicyLists::with_entry(ListKind kind, PolicyEntry entry) const
{
    if (const auto *clash = holder(other(kind), entry.prefix)) {
        return on_both(entry.prefix, *clash);
    }
    const ListId id{kind, std::string(kSingleEntries)};
    std::vector<PolicyEntry> entries;
    if (const auto *present = find(id)) {
        entries.assign(present->entries().begin(), present->entries().end());
    }
    const auto at = std::ranges::lower_bound(entries, entry, entry_before);
    if (at != entries.end() && at->prefix == entry.prefix) {
        *at = std::move(entry);
    } else {
        entries.insert(at, std::move(entry));
    }
    PolicyLists next = *this;
    next.put({id, std::move(entries)});
    return next;
}

Result<PolicyLists> PolicyLists::without_entry(ListKind kind, const Prefix &prefix) const
{
    PolicyLists next = *this;
    bool found = false;
    for (const auto &[id, list] : lists_) {
        if (id.kind != kind || list->find(prefix) == nullptr) {
            continue;
        }
        found = true;
        std::vector<PolicyEntry> entries;
        entries.reserve(list->entries().size() - 1);
        std::ranges::copy_if(list->entries(), std::back_inserter(entries),
                             [&](const PolicyEntry &entry) { return entry.prefix != prefix; });
        next.put({id, std::move(entries), list->source(), list->loaded_at()});
    }
    if (found) {
        return next;
    }
    std::string wider;
    for (const auto &match : covering(prefix)) {
        if (match.list.kind == kind) {
            wider = "; " + match.entry.prefix.to_string() + " covers it, on " +
                    describe(match.list);
            break;
        }
    }
    return fail(prefix.to_string() + " is on no " + std::string(to_string(kind)) + " list" +
                wider);
}

Result<PolicyLists> PolicyLists::with_list(PolicyList list) const
{
    for (const auto &[id, present] : lists_) {
        if (id.kind == list.id().kind) {
            continue;
        }
        // Both are in order.
        const std::span<const PolicyEntry> theirs = present->entries();
        auto at = theirs.begin();
        for (const auto &entry : list.entries()) {
            at = std::find_if(at, theirs.end(), [&](const PolicyEntry &candidate) {
                return !entry_before(candidate, entry);
            });
            if (at == theirs.end()) {
                break;
            }
            if (at->prefix == entry.prefix) {
                return on_both(entry.prefix, *present);
            }
        }
    }
    if (!lists_.contains(list.id()) && lists_.size() >= kPolicyListsMax) {
        return fail("there are " + std::to_string(lists_.size()) +
                    " lists already; clear one, or load into one that is there");
    }
    PolicyLists next = *this;
    next.put(std::move(list));
    return next;
}

Result<PolicyLists> PolicyLists::without_list(const ListId &id) const
{
    PolicyLists next = *this;
    if (next.lists_.erase(id) == 0) {
        return fail("there is no " + std::string(to_string(id.kind)) + " list '" + id.name +
                    "'; see 'guideway " + std::string(to_string(id.kind)) + " lists'");
    }
    return next;
}

PolicyLists PolicyLists::without_ended(int64_t now, Removed &removed) const
{
    PolicyLists next = *this;
    for (const auto &[id, list] : lists_) {
        if (list->next_end() == 0 || list->next_end() > now) {
            continue;
        }
        std::vector<PolicyEntry> stay;
        for (const auto &entry : list->entries()) {
            if (entry.until == 0 || entry.until > now) {
                stay.push_back(entry);
            } else if (id.name == kSingleEntries) {
                removed.entries.push_back({id, entry});
            } else {
                removed.loaded[id]++;
            }
        }
        next.put({id, std::move(stay), list->source(), list->loaded_at()});
    }
    return next;
}

int64_t PolicyLists::next_end() const
{
    int64_t next = 0;
    for (const auto &[id, list] : lists_) {
        const int64_t end = list->next_end();
        next = end != 0 && (next == 0 || end < next) ? end : next;
    }
    return next;
}

std::vector<PolicyLists::Match> PolicyLists::covering(const Prefix &prefix) const
{
    std::vector<Match> matches;
    for (int length = prefix.length_bits; length >= 0; length--) {
        const Prefix sought = Prefix{prefix.address, length}.network();
        for (const bool single : {true, false}) {
            for (const auto &[id, list] : lists_) {
                if ((id.name == kSingleEntries) != single ||
                    !list->has_length(prefix.address.family, length)) {
                    continue;
                }
                if (const auto *entry = list->find(sought)) {
                    matches.push_back({id, *entry});
                }
            }
        }
    }
    return matches;
}

std::vector<PolicyLists::Match> PolicyLists::page(ListKind kind, std::string_view list,
                                                  const std::optional<Prefix> &after,
                                                  size_t most) const
{
    struct Rest {
        const PolicyList *list;
        std::span<const PolicyEntry> entries;
    };
    std::vector<Rest> rests;
    for (const auto &[id, one] : lists_) {
        if (id.kind != kind || (!list.empty() && id.name != list)) {
            continue;
        }
        const auto all = one->entries();
        auto from = all.begin();
        if (after) {
            from = first_not_before(all, *after);
            from += from != all.end() && from->prefix == *after ? 1 : 0;
        }
        rests.push_back({one.get(), {from, all.end()}});
    }
    std::vector<Match> matches;
    while (true) {
        const PolicyEntry *next = nullptr;
        for (const auto &rest : rests) {
            if (!rest.entries.empty() &&
                (next == nullptr || entry_before(rest.entries.front(), *next))) {
                next = &rest.entries.front();
            }
        }
        if (next == nullptr || matches.size() >= most) {
            return matches;
        }
        const Prefix prefix = next->prefix;
        for (auto &rest : rests) {
            if (!rest.entries.empty() && rest.entries.front().prefix == prefix) {
                matches.push_back({rest.list->id(), rest.entries.front()});
                rest.entries = rest.entries.subspan(1);
            }
        }
    }
}

std::vector<PolicyLists::Verdict> PolicyLists::verdicts() const
{
    std::vector<Verdict> all;
    for (const auto &[id, list] : lists_) {
        std::vector<Verdict> these;
        these.reserve(list->entries().size());
        for (const auto &entry : list->entries()) {
            these.push_back({entry.prefix, id.kind});
        }
        if (all.empty()) {
            all = std::move(these);
            continue;
        }
        std::vector<Verdict> merged;
        merged.reserve(all.size() + these.size());
        std::ranges::merge(all, these, std::back_inserter(merged), before, &Verdict::prefix,
                           &Verdict::prefix);
        all = std::move(merged);
    }
    const auto same = std::ranges::unique(all, {}, &Verdict::prefix);
    all.erase(same.begin(), same.end());
    return all;
}

}  // namespace guideway::model
