// The one writer of limit records, and of what services ask of policy: their `limits` and
// `policy` words. What packets make of it is dataplane/core/police.h.
//
// A limit is known by its service (or the instance), its name, and what it counts of whom. As
// long as these stay it keeps its record: the index, the seed, by which the states of its sources
// are found, and its counters. Rate, burst and mode are words that change in place. A record that
// no service names is given to another limit only after every packet has ended that could have
// seen it named.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "control/model/desired.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::plane {

// A limit in force, or what admits the connections of a service.
struct LimitView {
    std::string service;  // empty: of the instance
    std::string name;     // of admission: model::kAdmissionName
    bool is_admission = false;
    std::optional<model::Family> family;  // of the service
    model::SourceBits per;                // of limits
    model::LimitOf of = model::LimitOf::kNewConnections;
    model::LimitMode mode = model::LimitMode::kDrop;
    model::Rate rate;  // in force
    uint64_t burst = 1;
    model::Admission admission;  // as asked for, where it is one
    uint32_t backends = 0;       // that take new flows, where it is one
    bool exact_clock = false;
    uint32_t index = 0;  // in the tables
    gw_excess excess{};  // since the limit was made
};

// Where the limits that are desired have, or will have, their records.
struct LimitPlacement {
    struct Place {
        uint64_t identity = 0;
        uint32_t index = 0;
    };
    std::vector<Place> instance;  // in the order of desired.limits
    std::vector<std::vector<Place>>
        services;  // as desired.services, in the order of their limits
    std::vector<std::optional<Place>> admissions;  // as desired.services
};

class Policing {
  public:
    explicit Policing(const Tables &tables) : tables_(tables) {}

    // Fails when there is no room. What no service of `in_force` names counts as room, because
    // a quiescent point comes before it is used.
    [[nodiscard]] Result<LimitPlacement> place(const std::set<uint32_t> &in_force,
                                               const model::Desired &desired) const;

    // After a quiescent point: frees what no service of `in_force`, and nothing in `placement`,
    // names any more.
    void collect(const std::set<uint32_t> &in_force, const LimitPlacement &placement) const;

    // Writes records and the services' words. `indices` and `backends` that take new flows are
    // as desired.services; their records are there, the directory may not yet name them.
    void write(const model::Desired &desired, const LimitPlacement &placement,
               std::span<const uint32_t> indices, std::span<const uint32_t> backends);

    // Whether packets are sampled, of the services that were written last and of those to come.
    void set_sampling(bool is_on);
    // To be told when header.lists_used has changed.
    void lists_changed() const { write_policy(); }

    // In the order of the file: the instance's, then each service's with its admission last.
    [[nodiscard]] std::vector<LimitView> limits() const;
    // The same without their excess, which takes a look at every CPU.
    [[nodiscard]] const std::vector<LimitView> &views() const { return views_; }

  private:
    void write_record(const LimitPlacement::Place &place, const LimitView &view) const;
    void add(LimitView view, const LimitPlacement::Place &place);
    void write_words(uint32_t service, const std::vector<uint32_t> &limits) const;
    void write_policy() const;

    const Tables &tables_;
    bool sampling_ = false;
    std::vector<LimitView> views_;
    std::vector<uint32_t> services_;  // indices of those in force
};

}  // namespace guideway::plane
