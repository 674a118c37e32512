// Tells of sources that begin to exceed limits, and of those that do so no more. What was told
// is kept with the records in the tables, so that another daemon goes on where this one ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/model/event.hpp"
#include "dataplane/tables/limited.hpp"

namespace guideway::daemon {

// A source as people read it: 192.0.2.0/24, or an address. The bits are those of its limit.
[[nodiscard]] std::string source_text(const gw_address &source, int ipv4_bits, int ipv6_bits);

// "api/hourly", or "flood" of the instance.
[[nodiscard]] std::string full_limit_name(const std::string &service, const std::string &name);

class LimitedSources {
  public:
    // How limits and services are called, by their indices.
    struct Limit {
        std::string name;   // as full_limit_name() has it
        std::string terms;  // "100/m new connections, burst 20"
        bool observes = false;
        int ipv4_bits = 32;
        int ipv6_bits = 64;
    };
    struct Names {
        std::map<uint32_t, Limit> limits;
        std::map<uint32_t, std::string> services;
    };

    static constexpr uint64_t kOverAfterNs = 10'000'000'000;
    // In a flood of sources, events that are of one source alone; and of those that it ends for.
    static constexpr size_t kAloneInAPeriod = 10;
    static constexpr uint64_t kPeriodNs = 60'000'000'000;

    // To be called about once a second, with the limits' clock. Gives up the records of sources
    // that do not exceed their limit any more, or whose limit is gone.
    [[nodiscard]] std::vector<model::Event> note(const Tables &tables,
                                                 const std::function<Names()> &names,
                                                 uint64_t now_ns);

  private:
    // A source that an event was of.
    struct Known {
        std::string source;
        std::string service;
        std::string limit;
        uint64_t packets = 0;
        uint64_t bytes = 0;
        uint64_t lasted_ns = 0;
        uint64_t seen_at_ns = 0;
    };

    void know(const LimitedSource &source, const Limit *limit, const Names &names,
              uint64_t now_ns);
    [[nodiscard]] std::optional<model::Event> begun(const LimitedSource &source,
                                                    const Limit &limit, const Names &names);
    [[nodiscard]] std::optional<model::Event> over(const Known &known, bool is_limit_gone);
    [[nodiscard]] std::optional<model::Event> sum();

    std::unordered_map<uint64_t, Known> known_;  // by fingerprint
    uint64_t period_began_ns_ = 0;
    size_t begun_alone_ = 0;  // in this period
    size_t over_alone_ = 0;
    std::map<std::string, uint64_t> begun_among_others_;  // by the limit's name
    uint64_t over_among_others_ = 0;
};

}  // namespace guideway::daemon
