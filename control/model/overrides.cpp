#include "control/model/overrides.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::model {

namespace {

const Pool *find_pool(const Desired &desired, std::string_view name)
{
    const auto pool = std::ranges::find(desired.pools, name, &Pool::name);
    return pool == desired.pools.end() ? nullptr : &*pool;
}

const Backend *find_backend(const Pool &pool, std::string_view name)
{
    const auto backend = std::ranges::find(pool.backends, name, &Backend::name);
    return backend == pool.backends.end() ? nullptr : &*backend;
}

std::string text(const BackendId &id)
{
    return "backend " + quoted(id.name) + " of pool " + quoted(id.pool);
}

void apply(const BackendOverride &change, Backend &backend)
{
    backend.weight = change.weight.value_or(backend.weight);
    backend.enabled = change.enabled.value_or(backend.enabled);
    backend.drained = change.drain.has_value();
    backend.drain_deadline = change.drain ? change.drain->deadline.value_or(0) : 0;
}

// The backend as the operator sees it now, or an error that says what is not there.
Result<Backend> current_backend(const Desired &file, const Overrides &overrides,
                                const BackendId &id)
{
    const Pool *pool = find_pool(file, id.pool);
    if (pool == nullptr) {
        return fail("there is no pool " + quoted(id.pool));
    }
    const Backend *in_file = find_backend(*pool, id.name);
    const auto changed = overrides.find({id.pool, id.name});
    const BackendOverride change =
        changed == overrides.end() ? BackendOverride{} : changed->second;
    if (change.removed || (in_file == nullptr && !change.added_address)) {
        return fail("there is no backend " + quoted(id.name) + " in pool " + quoted(id.pool));
    }
    Backend backend = in_file != nullptr
                          ? *in_file
                          : Backend{.name = id.name, .address = *change.added_address};
    apply(change, backend);
    return backend;
}

// Drops what equals the file, and the entry itself when nothing is left of it.
void normalise(const Desired &file, Overrides &overrides, const BackendId &id)
{
    const auto entry = overrides.find({id.pool, id.name});
    const Pool *pool = find_pool(file, id.pool);
    if (entry == overrides.end() || pool == nullptr) {
        return;
    }
    BackendOverride &change = entry->second;
    const Backend *in_file = find_backend(*pool, id.name);
    const Backend base = in_file != nullptr ? *in_file : Backend{};
    if (change.weight == base.weight) {
        change.weight.reset();
    }
    if (change.enabled == base.enabled) {
        change.enabled.reset();
    }
    if (in_file != nullptr && change.added_address == in_file->address) {
        change.added_address.reset();
    }
    if (change == BackendOverride{}) {
        overrides.erase(entry);
    }
}

// The first thing that is wrong with `effective` and was not with `file`.
Result<void> check_effective(const Desired &file, const Desired &effective)
{
    const std::vector<Violation> violations = validate(effective);
    if (violations.empty()) {
        return {};
    }
    std::set<std::string> known;
    for (const Violation &violation : validate(file)) {
        known.insert(violation.message);
    }
    for (const Violation &violation : violations) {
        if (!known.contains(violation.message)) {
            return fail(violation.message + "; " + violation.hint);
        }
    }
    return {};
}

// `overrides` if the state that they lead to is a valid one.
Result<Overrides> checked(const Desired &file, Overrides overrides, std::string_view attempted)
{
    if (auto effective = with_overrides(file, overrides); !effective) {
        return std::unexpected(std::move(effective.error()).within(attempted));
    }
    return overrides;
}

}  // namespace

Result<Desired> with_overrides(const Desired &file, const Overrides &overrides)
{
    if (overrides.empty()) {
        return file;
    }
    Desired effective = file;
    for (Pool &pool : effective.pools) {
        // The map is ordered by pool, then backend, so that added backends come in order.
        for (auto entry = overrides.lower_bound({pool.name, ""});
             entry != overrides.end() && entry->first.first == pool.name; ++entry) {
            const std::string &name = entry->first.second;
            const BackendOverride &change = entry->second;
            auto backend = std::ranges::find(pool.backends, name, &Backend::name);
            if (change.removed) {
                if (backend != pool.backends.end()) {
                    pool.backends.erase(backend);
                }
                continue;
            }
            if (change.added_address) {
                if (backend != pool.backends.end() &&
                    backend->address != *change.added_address) {
                    return fail(text({pool.name, name}) + " was added at run time as " +
                                change.added_address->to_string() +
                                ", but the file has it as " + backend->address.to_string());
                }
                if (backend == pool.backends.end()) {
                    backend = pool.backends.insert(
                        pool.backends.end(), {.name = name, .address = *change.added_address});
                }
            }
            if (backend != pool.backends.end()) {
                apply(change, *backend);
            }
        }
    }
    if (auto valid = check_effective(file, effective); !valid) {
        return std::unexpected(
            std::move(valid.error())
                .within("the file with the operator's overrides is not valid"));
    }
    return effective;
}

std::vector<OverrideDescription> describe(const Desired &file, const Overrides &overrides)
{
    std::vector<OverrideDescription> descriptions;
    for (const auto &[key, change] : overrides) {
        const auto &[pool_name, name] = key;
        const Pool *pool = find_pool(file, pool_name);
        const Backend *in_file = pool == nullptr ? nullptr : find_backend(*pool, name);
        std::string what;
        const auto add = [&](const std::string &part) {
            what += (what.empty() ? "" : ", ") + part;
        };
        if (change.removed) {
            add("removed");
        }
        if (change.added_address) {
            add("added as " + change.added_address->to_string());
        }
        if (change.enabled) {
            add(*change.enabled ? "enabled" : "disabled");
        }
        if (change.drain) {
            add(change.drain->deadline ? "drained, cut at " + utc_text(*change.drain->deadline)
                                       : "drained");
        }
        if (change.weight) {
            add("weight " + std::to_string(*change.weight) +
                (in_file == nullptr ? "" : " (file: " + std::to_string(in_file->weight) + ")"));
        }
        if (pool == nullptr) {
            add("no effect: the file has no such pool");
        } else if (in_file == nullptr && !change.added_address) {
            add("no effect: the file has no such backend");
        }
        descriptions.push_back({pool_name, name, what});
    }
    return descriptions;
}

Result<Overrides> add_backend(const Desired &file, Overrides overrides, const BackendId &id,
                              const IpAddress &address, uint32_t weight)
{
    const std::string attempted = "cannot add " + text(id);
    const Pool *pool = find_pool(file, id.pool);
    if (pool == nullptr) {
        return fail(attempted + ": there is no such pool");
    }
    if (!is_name(id.name)) {
        return fail(attempted + ": a name is " + std::string(kNameRule));
    }
    if (auto existing = current_backend(file, overrides, id)) {
        return fail(attempted + ": it exists already, with the address " +
                    existing->address.to_string());
    }
    const Backend *in_file = find_backend(*pool, id.name);
    if (in_file != nullptr && in_file->address != address) {
        return fail(attempted + ": the file has it as " + in_file->address.to_string() +
                    "; choose another name, or change the file");
    }
    overrides[{id.pool, id.name}] = {.added_address = address, .weight = weight};
    normalise(file, overrides, id);
    return checked(file, std::move(overrides), attempted);
}

Result<Overrides> remove_backend(const Desired &file, Overrides overrides, const BackendId &id)
{
    if (auto existing = current_backend(file, overrides, id); !existing) {
        return std::unexpected(std::move(existing.error()).within("cannot remove " + text(id)));
    }
    const Pool *pool = find_pool(file, id.pool);
    if (find_backend(*pool, id.name) == nullptr) {
        overrides.erase({id.pool, id.name});
    } else {
        overrides[{id.pool, id.name}] = {.removed = true};
    }
    return overrides;
}

Result<Overrides> set_enabled(const Desired &file, Overrides overrides, const BackendId &id,
                              bool enabled)
{
    const std::string attempted = (enabled ? "cannot enable " : "cannot disable ") + text(id);
    if (auto existing = current_backend(file, overrides, id); !existing) {
        return std::unexpected(std::move(existing.error()).within(attempted));
    }
    BackendOverride &change = overrides[{id.pool, id.name}];
    change.enabled = enabled;
    if (enabled) {
        change.drain.reset();
    }
    normalise(file, overrides, id);
    return overrides;
}

Result<Overrides> set_drained(const Desired &file, Overrides overrides, const BackendId &id,
                              std::optional<int64_t> deadline)
{
    const std::string attempted = "cannot drain " + text(id);
    if (auto existing = current_backend(file, overrides, id); !existing) {
        return std::unexpected(std::move(existing.error()).within(attempted));
    }
    if (deadline && (*deadline <= 0 || *deadline > kUnixTimeMax)) {
        return fail(attempted + ": the deadline " + std::to_string(*deadline) +
                    " is not a time; seconds since 1970, at most " +
                    std::to_string(kUnixTimeMax));
    }
    overrides[{id.pool, id.name}].drain = Drain{deadline};
    return overrides;
}

Result<Overrides> set_weight(const Desired &file, Overrides overrides, const BackendId &id,
                             uint32_t weight)
{
    const std::string attempted = "cannot set the weight of " + text(id);
    if (auto existing = current_backend(file, overrides, id); !existing) {
        return std::unexpected(std::move(existing.error()).within(attempted));
    }
    if (weight > kWeightMax) {
        return fail(attempted + ": " + std::to_string(weight) + " is too large; from 0 to " +
                    std::to_string(kWeightMax));
    }
    overrides[{id.pool, id.name}].weight = weight;
    normalise(file, overrides, id);
    return overrides;
}

}  // namespace guideway::model
