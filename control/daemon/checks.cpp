#include "control/daemon/checks.hpp"

#include <algorithm>
#include <random>

#include "xdp/probe.h"

namespace guideway::daemon {
namespace {

using std::chrono::milliseconds;

// Results that come within this time of each other are judged together, and probes that are
// due within it begin together: waking up costs more than a probe.
constexpr milliseconds kTogether{10};
// How often it is asked again whether packets can be sent to a backend never seen before.
constexpr milliseconds kAskAgain{50};
constexpr milliseconds kSynInterval{1000};

health::Time time_now()
{
    return std::chrono::steady_clock::now();
}

health::Now now()
{
    return {time_now(), std::chrono::duration_cast<milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count()};
}

health::ProbeKind kind_of(model::HealthType type)
{
    switch (type) {
        case model::HealthType::kHttp:
            return health::ProbeKind::kHttp;
        case model::HealthType::kHttps:
            return health::ProbeKind::kHttps;
        case model::HealthType::kTcp:
        case model::HealthType::kNone:
            break;
    }
    return health::ProbeKind::kTcp;
}

health::ProbeReport report_of(health::ProbeResult result)
{
    const auto outcome = result.outcome == health::ProbeOutcome::kGood ? health::Outcome::kOk
                         : result.outcome == health::ProbeOutcome::kBad
                             ? health::Outcome::kFailed
                             : health::Outcome::kNotProbed;
    return {outcome, std::move(result.reason), result.latency};
}

}  // namespace

Checks::Checks(boost::asio::io_context &loop, World world, store::HealthMemory memory)
    : loop_(loop),
      world_(std::move(world)),
      memory_(std::move(memory)),
      prober_(loop),
      timer_(loop),
      syn_timer_(loop)
{
}

void Checks::configure(const model::Desired &desired)
{
    std::set<std::string> kept;
    for (const auto &pool : desired.pools) {
        const auto *service = model::probed_service(desired, pool);
        if (service == nullptr) {
            continue;
        }
        kept.insert(pool.name);
        auto known = pools_.find(pool.name);
        if (known == pools_.end()) {
            known = pools_
                        .emplace(pool.name, Pool{.settings = pool,
                                                 .service = service->address,
                                                 .port = 0,
                                                 .health = {std::random_device()(),
                                                            std::move(memory_[pool.name])}})
                        .first;
            memory_.erase(pool.name);
        }
        known->second.settings = pool;
        known->second.service = service->address;
        known->second.port = model::probed_port(pool.health, *service);
        known->second.health.configure(pool, now());
    }
    for (const auto &[name, pool] : pools_) {
        if (!kept.contains(name)) {
            memory_[name] = pool.health.remembered(now());
        }
    }
    std::erase_if(pools_, [&](const auto &entry) { return !kept.contains(entry.first); });
    conditions_ = conditions();
    turn_soon();
    watch_syns();
}

Checks::Conditions Checks::conditions() const
{
    Conditions all;
    for (const auto &[name, pool] : pools_) {
        for (const auto &[address, member] : pool.health.members()) {
            all.emplace(std::pair{name, address}, member.condition);
        }
    }
    return all;
}

model::Condition Checks::condition(const std::string &pool,
                                   const model::IpAddress &address) const
{
    const auto found = conditions_.find({pool, address});
    return found == conditions_.end() ? model::Condition{} : found->second;
}

const health::PoolHealth *Checks::pool(const std::string &name) const
{
    const auto found = pools_.find(name);
    return found == pools_.end() ? nullptr : &found->second.health;
}

bool Checks::first_rounds_are_over() const
{
    return std::ranges::all_of(
        pools_, [](const auto &entry) { return entry.second.health.first_round_is_over(); });
}

std::set<model::IpAddress> Checks::tunnelled() const
{
    std::set<model::IpAddress> addresses;
    for (const auto &[name, pool] : pools_) {
        const auto &health = pool.settings.health;
        if (health.type != model::HealthType::kNone &&
            health.through == model::ProbeThrough::kTunnel) {
            addresses.insert(pool.service);
        }
    }
    return addresses;
}

store::HealthMemory Checks::memory() const
{
    store::HealthMemory memory;
    for (const auto &[name, pool] : pools_) {
        memory.emplace(name, pool.health.remembered(now()));
    }
    return memory;
}

// Lets time pass for the pools, starts what is due, and says what has come of it.
void Checks::turn()
{
    std::vector<std::pair<std::string, model::IpAddress>> due;
    std::vector<health::Event> events;
    for (auto &[name, pool] : pools_) {
        pool.health.advance(time_now());
        for (const auto &address : pool.health.start_due(time_now())) {
            due.emplace_back(name, address);
        }
        auto news = pool.health.take_events();
        events.insert(events.end(), std::make_move_iterator(news.begin()),
                      std::make_move_iterator(news.end()));
    }
    for (const auto &[name, address] : due) {
        probe(name, address, time_now());
    }
    schedule();
    for (const auto &event : events) {
        world_.event(event);
    }
    if (auto all = conditions(); all != conditions_) {
        conditions_ = std::move(all);
        world_.changed();
    }
}

void Checks::schedule()
{
    auto wake = health::Time::max();
    for (const auto &[name, pool] : pools_) {
        wake = std::min(wake, pool.health.next_wake());
    }
    if (wake == health::Time::max()) {
        return;
    }
    timer_.expires_at(std::max(wake, time_now() + kTogether));
    timer_.async_wait([this](const boost::system::error_code &error) {
        if (!error) {
            turn();
        }
    });
}

void Checks::turn_soon()
{
    const auto soon = time_now() + kTogether;
    if (timer_.expiry() > time_now() && timer_.expiry() <= soon) {
        return;  // it is about to
    }
    timer_.expires_at(soon);
    timer_.async_wait([this](const boost::system::error_code &error) {
        if (!error) {
            turn();
        }
    });
}

void Checks::probe(const std::string &name, const model::IpAddress &address, health::Time begun)
{
    const auto found = pools_.find(name);
    if (found == pools_.end()) {
        return;
    }
    const Pool &pool = found->second;
    uint32_t index = 0;
    if (pool.settings.health.through == model::ProbeThrough::kTunnel) {
        auto placed = world_.index(name, address);
        if (!placed) {
            const auto member = pool.health.members().find(address);
            const bool is_new = member != pool.health.members().end() &&
                                member->second.health.state() == health::State::kUnknown;
            if (is_new && time_now() - begun < pool.settings.health.timeout) {
                // Its next hop is being looked for.
                auto again = std::make_shared<boost::asio::steady_timer>(loop_, kAskAgain);
                again->async_wait([this, name, address, begun, again,
                                   alive = std::weak_ptr(alive_)](const auto &) {
                    if (!alive.expired()) {
                        probe(name, address, begun);
                    }
                });
                return;
            }
            end_probe(name, address,
                      {.outcome = health::Outcome::kFailed,
                       .reason = placed.error().message,
                       .latency = {}});
            return;
        }
        index = *placed;
    }
    prober_.probe(target_of(pool, address, index),
                  [this, name, address](health::ProbeResult result) {
                      end_probe(name, address, report_of(std::move(result)));
                  });
}

health::ProbeTarget Checks::target_of(const Pool &pool, const model::IpAddress &address,
                                      uint32_t index)
{
    const auto &settings = pool.settings.health;
    const bool tunnelled = settings.through == model::ProbeThrough::kTunnel;
    health::ProbeTarget target;
    target.kind = kind_of(settings.type);
    target.address = tunnelled ? pool.service : address;
    target.port = pool.port;
    target.mark = tunnelled ? gw_probe_mark(index) : 0;
    target.timeout = settings.timeout;
    target.path = settings.path;
    target.host = settings.host;
    target.sni = model::server_name(settings);
    target.verify = settings.verify;
    target.ca_file = settings.ca_file;
    target.body = settings.body;
    for (const auto &range : settings.expect_status) {
        target.statuses.emplace_back(static_cast<uint16_t>(range.from),
                                     static_cast<uint16_t>(range.to));
    }
    return target;
}

void Checks::end_probe(const std::string &name, const model::IpAddress &address,
                       const health::ProbeReport &report)
{
    if (const auto found = pools_.find(name); found != pools_.end()) {
        found->second.health.report(address, report, time_now());
        turn_soon();
    }
}

// What the packet path has seen of repeated SYNs.
void Checks::watch_syns()
{
    const bool is_wanted = std::ranges::any_of(pools_, [](const auto &entry) {
        return entry.second.settings.health.passive.has_value();
    });
    if (!is_wanted) {
        syn_timer_.cancel();
        return;
    }
    syn_timer_.expires_after(kSynInterval);
    syn_timer_.async_wait([this](const boost::system::error_code &error) {
        if (error) {
            return;
        }
        for (auto &[name, pool] : pools_) {
            if (!pool.settings.health.passive) {
                continue;
            }
            for (const auto &backend : pool.settings.backends) {
                if (const auto index = world_.index(name, backend.address)) {
                    pool.health.observe_syns(backend.address, world_.syns(*index), time_now());
                }
            }
        }
        turn_soon();
        watch_syns();
    });
}

}  // namespace guideway::daemon
