// Health checking of an instance: starts the probes that its pools' state machines ask for, and
// tells them how they end.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "control/health/pool_health.hpp"
#include "control/health/probe.hpp"
#include "control/model/condition.hpp"
#include "control/model/desired.hpp"
#include "control/store/health_memory.hpp"

namespace guideway::daemon {

class Checks {
  public:
    // What checks need of the rest of the instance; called from the loop only.
    struct World {
        // The index in the tables of a backend that packets can be sent to now, or in an
        // operator's words why there is none.
        std::function<Result<uint32_t>(const std::string &pool,
                                       const model::IpAddress &address)>
            index;
        std::function<health::SynCounts(uint32_t index)> syns;
        // Some condition() is another one.
        std::function<void()> changed;
        std::function<void(const health::Event &event)> event;
    };

    Checks(boost::asio::io_context &loop, World world, store::HealthMemory memory);

    // Takes over what is to be checked now; an empty state ends all checking.
    void configure(const model::Desired &desired);

    [[nodiscard]] model::Condition condition(const std::string &pool,
                                             const model::IpAddress &address) const;
    // Null where no service uses the pool.
    [[nodiscard]] const health::PoolHealth *pool(const std::string &name) const;
    // Whether each backend has been probed since the start, with whatever outcome.
    [[nodiscard]] bool first_rounds_are_over() const;
    // Service addresses that probes go to through the tunnel.
    [[nodiscard]] std::set<model::IpAddress> tunnelled() const;
    [[nodiscard]] store::HealthMemory memory() const;

  private:
    struct Pool {
        model::Pool settings;
        model::IpAddress service;  // probed through the tunnel
        uint16_t port = 0;
        health::PoolHealth health;
    };
    using Conditions = std::map<std::pair<std::string, model::IpAddress>, model::Condition>;

    void turn();
    void turn_soon();
    void schedule();
    void probe(const std::string &name, const model::IpAddress &address, health::Time begun);
    void end_probe(const std::string &name, const model::IpAddress &address,
                   const health::ProbeReport &report);
    [[nodiscard]] static health::ProbeTarget target_of(const Pool &pool,
                                                       const model::IpAddress &address,
                                                       uint32_t index);
    void watch_syns();
    [[nodiscard]] Conditions conditions() const;

    boost::asio::io_context &loop_;
    World world_;
    store::HealthMemory memory_;  // of pools not configured yet
    health::Prober prober_;
    boost::asio::steady_timer timer_;
    boost::asio::steady_timer syn_timer_;
    std::map<std::string, Pool> pools_;
    Conditions conditions_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace guideway::daemon
