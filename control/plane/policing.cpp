#include "control/plane/policing.hpp"

#include <algorithm>
#include <atomic>

#include "control/plane/identity.hpp"
#include "control/plane/placement.hpp"

namespace guideway::plane {
namespace {

static_assert(model::kLimitsMax == GW_LIMITS_MAX);
static_assert(model::kLimitsOfServiceMax == GW_SERVICE_LIMITS_MAX);

// A word that packets may be reading.
template <typename Word>
void put(Word &word, Word value)
{
    std::atomic_ref(word).store(value, std::memory_order_relaxed);
}

// What a packet can tell apart: of a service, bits of one family only.
model::SourceBits counted_bits(const model::SourceBits &per, const model::Service *service)
{
    model::SourceBits bits = per;
    if (service != nullptr) {
        (service->address.is_ipv6() ? bits.ipv4 : bits.ipv6) = 0;
    }
    return bits;
}

// `service` is null for those of the whole instance.
uint64_t limit_identity(const model::Limit &limit, const model::Service *service)
{
    const auto bits = counted_bits(limit.per, service);
    Identity identity;
    identity.add("limit").add(service == nullptr ? ""
                                                 : std::to_string(service_identity(*service)));
    return identity.add(limit.name)
        .add(model::kLimitOfNames[static_cast<size_t>(limit.of)])
        .add(std::to_string(bits.ipv4))
        .add(std::to_string(bits.ipv6))
        .value();
}

uint64_t admission_identity(const model::Service &service)
{
    return Identity().add("admission").add(std::to_string(service_identity(service))).value();
}

// Of the identity, so that who makes the record anew finds the states again. Mixed, because each
// key of a state is the source's address and the seed, one over the other.
uint64_t seed_of(uint64_t identity)
{
    return gw_fold_multiply(identity, 0x9e3779b97f4a7c15ULL);
}

gw_limit_kind kind_of(model::LimitOf of)
{
    return of == model::LimitOf::kNewConnections ? GW_LIMIT_NEW_CONNECTIONS
           : of == model::LimitOf::kPackets      ? GW_LIMIT_PACKETS
                                                 : GW_LIMIT_BYTES;
}

// Whether packets to the service can exceed one of the instance.
bool applies(const model::Limit &limit, const model::Service &service)
{
    return limit.of != model::LimitOf::kNewConnections ||
           service.protocol == model::Protocol::kTcp;
}

// Indices of the records that services in force name.
std::set<uint32_t> named_by(const Tables &tables, const std::set<uint32_t> &in_force)
{
    std::set<uint32_t> named;
    for (const uint32_t index : in_force) {
        if (index >= tables.services().size()) {
            continue;
        }
        for (const uint16_t limit : tables.services()[index].limits) {
            if (limit != 0 && limit <= GW_LIMITS_MAX) {
                named.insert(limit - 1U);
            }
        }
    }
    return named;
}

// And whose they are to be.
std::map<uint32_t, uint64_t> identities_in(const LimitPlacement &placement)
{
    std::map<uint32_t, uint64_t> indices;
    const auto note = [&](const LimitPlacement::Place &place) {
        indices.emplace(place.index, place.identity);
    };
    std::ranges::for_each(placement.instance, note);
    for (const auto &places : placement.services) {
        std::ranges::for_each(places, note);
    }
    for (const auto &place : placement.admissions) {
        if (place) {
            note(*place);
        }
    }
    return indices;
}

// Gives records to identities.
class Placer {
  public:
    Placer(std::span<const gw_limit> records, const std::set<uint32_t> &named)
        : records_(records), named_(named)
    {
        for (uint32_t i = 0; i < records.size(); i++) {
            if (records[i].identity != 0) {
                known_.emplace(records[i].identity, i);
            }
        }
    }

    void want(uint64_t identity)
    {
        if (const auto known = known_.find(identity); known != known_.end()) {
            kept_.insert(known->second);
        }
    }

    // After all are wanted.
    [[nodiscard]] std::optional<LimitPlacement::Place> place(uint64_t identity)
    {
        if (const auto known = known_.find(identity);
            known != known_.end() && kept_.contains(known->second)) {
            return LimitPlacement::Place{identity, known->second};
        }
        while (next_ < records_.size()) {
            const uint32_t index = next_++;
            if (!named_.contains(index) && !kept_.contains(index)) {
                return LimitPlacement::Place{identity, index};
            }
        }
        return std::nullopt;
    }

  private:
    std::span<const gw_limit> records_;
    const std::set<uint32_t> &named_;
    std::map<uint64_t, uint32_t> known_;
    std::set<uint32_t> kept_;
    uint32_t next_ = 0;
};

}  // namespace

Result<LimitPlacement> Policing::place(const std::set<uint32_t> &in_force,
                                       const model::Desired &desired) const
{
    const auto named = named_by(tables_, in_force);
    Placer placer(tables_.limits(), named);
    const auto each = [&](const auto &visit) {
        for (const auto &limit : desired.limits) {
            visit(limit_identity(limit, nullptr));
        }
        for (const auto &service : desired.services) {
            for (const auto &limit : service.limits) {
                visit(limit_identity(limit, &service));
            }
            if (service.admission) {
                visit(admission_identity(service));
            }
        }
    };
    each([&](uint64_t identity) { placer.want(identity); });

    bool has_room = true;
    const auto placed = [&](uint64_t identity) {
        const auto place = placer.place(identity);
        has_room = has_room && place.has_value();
        return place.value_or(LimitPlacement::Place{});
    };
    LimitPlacement placement;
    for (const auto &limit : desired.limits) {
        placement.instance.push_back(placed(limit_identity(limit, nullptr)));
    }
    for (const auto &service : desired.services) {
        auto &places = placement.services.emplace_back();
        for (const auto &limit : service.limits) {
            places.push_back(placed(limit_identity(limit, &service)));
        }
        auto &admission = placement.admissions.emplace_back();
        if (service.admission) {
            admission = placed(admission_identity(service));
        }
    }
    if (!has_room) {
        return fail("no free place for every limit: there are " +
                    std::to_string(GW_LIMITS_MAX) +
                    " of them at most, and those that this change removes count too; remove "
                    "those first");
    }
    return placement;
}

void Policing::collect(const std::set<uint32_t> &in_force,
                       const LimitPlacement &placement) const
{
    // No packet comes to the others any more; the next daemon must not take them for named.
    const auto services = tables_.services();
    for (uint32_t i = 0; i < services.size(); i++) {
        if (services[i].identity != 0 && !in_force.contains(i)) {
            put(services[i].policy, 0U);
            write_words(i, {});
        }
    }
    const auto named = named_by(tables_, in_force);
    const auto wanted = identities_in(placement);
    const auto records = tables_.limits();
    for (uint32_t i = 0; i < records.size(); i++) {
        const auto to_be = wanted.find(i);
        if (records[i].identity == 0 || named.contains(i) ||
            (to_be != wanted.end() && to_be->second == records[i].identity)) {
            continue;
        }
        records[i] = {};
        tables_.clear_excess_counters(i);
        for (auto &limited : tables_.limited()) {
            const uint64_t seen = gw_read_once64(&limited.fingerprint);
            if (seen > GW_LIMITED_CLAIMED && limited.limit == i) {
                gw_compare_exchange64(&limited.fingerprint, seen, 0);
            }
        }
    }
}

void Policing::write_record(const LimitPlacement::Place &place, const LimitView &view) const
{
    gw_limit &record = tables_.limits()[place.index];
    const auto parameters = model::gcra(view.rate, view.burst);
    const uint32_t flags =
        (view.mode == model::LimitMode::kObserve ? uint32_t{GW_LIMIT_OBSERVE} : 0U) |
        (view.exact_clock ? uint32_t{GW_LIMIT_EXACT_CLOCK} : 0U) |
        (view.is_admission ? uint32_t{GW_LIMIT_ALL_SOURCES} : 0U);
    put(record.interval, parameters.interval);
    put(record.tolerance, parameters.tolerance);
    put(record.flags, static_cast<uint8_t>(flags));
    if (record.identity != place.identity) {
        // Nobody names it yet.
        record.seed = seed_of(place.identity);
        record.shared_arrival = 0;
        record.shared_until = 0;
        record.kind = static_cast<uint8_t>(kind_of(view.of));
        record.ipv4_bits = view.is_admission ? 0 : view.per.ipv4;
        record.ipv6_bits = view.is_admission ? 0 : view.per.ipv6;
        put(record.identity, place.identity);
    }
}

void Policing::add(LimitView view, const LimitPlacement::Place &place)
{
    view.index = place.index;
    view.exact_clock =
        model::needs_exact_clock(model::gcra(view.rate, view.burst), tables_.header().tick_ns);
    write_record(place, view);
    views_.push_back(std::move(view));
}

void Policing::write(const model::Desired &desired, const LimitPlacement &placement,
                     std::span<const uint32_t> indices, std::span<const uint32_t> backends)
{
    views_.clear();
    const auto add_limit = [&](const model::Limit &limit, const model::Service *service,
                               const LimitPlacement::Place &place) {
        add({.service = service == nullptr ? "" : service->name,
             .name = limit.name,
             .family =
                 service == nullptr ? std::nullopt : std::optional(service->address.family),
             .per = limit.per,
             .of = limit.of,
             .mode = limit.mode,
             .rate = limit.rate,
             .burst = limit.burst,
             .admission = {}},
            place);
    };
    for (size_t i = 0; i < desired.limits.size(); i++) {
        add_limit(desired.limits[i], nullptr, placement.instance[i]);
    }
    services_.assign(indices.begin(), indices.end());
    for (size_t s = 0; s < desired.services.size(); s++) {
        const model::Service &service = desired.services[s];
        // In the order that dataplane/core asks for: what refuses, what refuses over all
        // sources, what observes.
        std::vector<uint32_t> refusing;
        std::vector<uint32_t> observing;
        const auto note = [&](const model::Limit &limit, const LimitPlacement::Place &place) {
            (limit.mode == model::LimitMode::kObserve ? observing : refusing)
                .push_back(place.index);
        };
        for (size_t i = 0; i < service.limits.size(); i++) {
            add_limit(service.limits[i], &service, placement.services[s][i]);
            note(service.limits[i], placement.services[s][i]);
        }
        for (size_t i = 0; i < desired.limits.size(); i++) {
            if (applies(desired.limits[i], service)) {
                note(desired.limits[i], placement.instance[i]);
            }
        }
        if (service.admission) {
            const auto in_force = model::in_force(*service.admission, backends[s]);
            add({.service = service.name,
                 .name = std::string(model::kAdmissionName),
                 .is_admission = true,
                 .family = service.address.family,
                 .per = {},
                 .rate = in_force.rate,
                 .burst = in_force.burst,
                 .admission = *service.admission,
                 .backends = backends[s]},
                *placement.admissions[s]);
            refusing.push_back(placement.admissions[s]->index);
        }
        refusing.insert(refusing.end(), observing.begin(), observing.end());
        write_words(indices[s], refusing);
    }
    write_policy();
}

// Where limits come, from the end, and where they go, from the front: those that stay are not
// left out meanwhile, at worst they are charged twice.
void Policing::write_words(uint32_t service, const std::vector<uint32_t> &limits) const
{
    gw_service &record = tables_.services()[service];
    const auto write = [&](size_t i) {
        const auto word = static_cast<uint16_t>(i < limits.size() ? limits[i] + 1 : 0);
        if (record.limits[i] != word) {
            put(record.limits[i], word);
        }
    };
    const auto count = static_cast<size_t>(std::ranges::find(record.limits, uint16_t{0}) -
                                           std::begin(record.limits));
    for (size_t i = 0; i < GW_SERVICE_LIMITS_MAX; i++) {
        write(limits.size() > count ? GW_SERVICE_LIMITS_MAX - 1 - i : i);
    }
}

void Policing::write_policy() const
{
    const bool has_lists =
        std::atomic_ref(tables_.header().lists_used).load(std::memory_order_relaxed) != 0;
    for (const uint32_t index : services_) {
        gw_service &record = tables_.services()[index];
        const uint32_t bits = (has_lists ? uint32_t{GW_POLICY_LISTS} : 0U) |
                              (record.limits[0] != 0 ? uint32_t{GW_POLICY_LIMITS} : 0U) |
                              (sampling_ ? uint32_t{GW_POLICY_SAMPLE} : 0U);
        std::atomic_ref(record.policy).store(bits, std::memory_order_release);
    }
}

void Policing::set_sampling(bool is_on)
{
    sampling_ = is_on;
    write_policy();
}

std::vector<LimitView> Policing::limits() const
{
    auto views = views_;
    for (auto &view : views) {
        view.excess = tables_.excess_counters(view.index);
    }
    return views;
}

}  // namespace guideway::plane
