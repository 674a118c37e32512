#include "control/neighbour/resolver.hpp"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <spdlog/spdlog.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "control/neighbour/netlink.hpp"
#include "control/neighbour/path.hpp"

namespace guideway::neighbour {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using model::IpAddress;
using Clock = std::chrono::steady_clock;

// Changes come in bursts (a link that goes down takes its routes along); one answer for
// all of them.
constexpr auto kDebounce = std::chrono::milliseconds(50);
// Of the loop's time, at most a tenth goes into asking for routes again.
constexpr int kRestShare = 9;
// A neighbour is not asked for again sooner, should the kernel not do as told.
constexpr auto kManagePause = std::chrono::seconds(1);
// The kernel does not tell when a learnt path MTU expires.
constexpr auto kRefresh = std::chrono::seconds(30);

struct Watched {
    Result<Route> route;
    std::optional<NeighbourKey> key;  // none: the route leads to no neighbour
    Result<model::NextHop> answer = fail("not looked up yet");
};

struct Kept {
    std::optional<Neighbour> entry;  // none: the kernel has none
    std::optional<Clock::time_point> asked_at;
    std::string refusal;  // why the kernel did not take it
};

bool same(const Result<model::NextHop> &a, const Result<model::NextHop> &b)
{
    return a.has_value() == b.has_value() &&
           (a ? *a == *b : a.error().message == b.error().message);
}

class KernelResolver final : public Resolver {
  public:
    KernelResolver(asio::io_context &loop, Asker asker, Listener listener,
                   std::function<void()> changed)
        : asker_(std::move(asker)),
          listener_(std::move(listener)),
          readable_(loop, listener_.descriptor()),
          settle_(loop),
          refresh_(loop),
          changed_(std::move(changed))
    {
    }

    ~KernelResolver() override
    {
        *alive_ = false;
        readable_.release();  // the listener closes it
    }

    Result<void> begin()
    {
        if (auto done = read_links(); !done) {
            return done;
        }
        wait_for_messages();
        wait_for_refresh();
        return {};
    }

    void watch(const std::set<IpAddress> &addresses) override;
    [[nodiscard]] Result<model::NextHop> lookup(const IpAddress &address) const override;

  private:
    void wait_for_messages();
    void wait_for_refresh();
    void schedule(Clock::duration delay);
    void take(const nlmsghdr &message);
    void settle();

    [[nodiscard]] Result<void> read_links();
    [[nodiscard]] Watched look_up_route(const IpAddress &address);
    void adopt_neighbours();
    void keep_neighbours();
    void manage(const NeighbourKey &key, Kept &kept);
    bool answer();
    [[nodiscard]] Result<model::NextHop> answer_for(const Watched &watched) const;

    // A handler that does nothing once this object is gone.
    template <typename Do>
    auto guarded(Do what)
    {
        return [what, alive = alive_](error_code error) {
            if (*alive && !error) {
                what();
            }
        };
    }

    Asker asker_;
    Listener listener_;
    asio::posix::stream_descriptor readable_;
    asio::steady_timer settle_;
    asio::steady_timer refresh_;
    std::function<void()> changed_;

    Links links_;
    std::map<IpAddress, Watched> watched_;
    std::map<NeighbourKey, Kept> neighbours_;  // those that watched addresses need
    bool messages_lost_ = false;
    bool routes_stale_ = false;
    std::optional<Clock::time_point> settle_at_;
    Clock::time_point busy_until_;  // no earlier look at all routes
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void KernelResolver::wait_for_messages()
{
    readable_.async_wait(
        asio::posix::stream_descriptor::wait_read, guarded([this] {
            if (!listener_.read([this](const nlmsghdr &message) { take(message); })) {
                messages_lost_ = true;
                schedule(kDebounce);
            }
            wait_for_messages();
        }));
}

void KernelResolver::wait_for_refresh()
{
    refresh_.expires_after(kRefresh);
    refresh_.async_wait(guarded([this] {
        routes_stale_ = true;
        schedule(kDebounce);
        wait_for_refresh();
    }));
}

// The earliest of the times asked for counts.
void KernelResolver::schedule(Clock::duration delay)
{
    auto at = Clock::now() + delay;
    if (routes_stale_ || messages_lost_) {
        at = std::max(at, busy_until_);
    }
    if (settle_at_ && *settle_at_ <= at) {
        return;
    }
    settle_at_ = at;
    settle_.expires_at(at);
    settle_.async_wait(guarded([this] { settle(); }));
}

// One message of the kernel into what is remembered. What it leads to is worked out later,
// for all messages of a burst.
void KernelResolver::take(const nlmsghdr &message)
{
    if (const auto neighbour = parse_neighbour(message)) {
        const auto &[key, entry] = *neighbour;
        const auto kept = neighbours_.find(key);
        if (kept == neighbours_.end()) {
            return;  // nobody's next hop
        }
        kept->second.entry =
            message.nlmsg_type == RTM_DELNEIGH ? std::nullopt : std::optional(entry);
        schedule(kDebounce);
        return;
    }
    if (const auto link = parse_link(message)) {
        if (message.nlmsg_type == RTM_DELLINK) {
            links_.erase(link->ifindex);
        } else {
            links_[link->ifindex] = *link;
        }
    }
    // Routes that go with a link go without a message of their own.
    routes_stale_ = true;
    schedule(kDebounce);
}

void KernelResolver::settle()
{
    settle_at_.reset();
    const auto begin = Clock::now();
    const bool look_at_all = messages_lost_ || routes_stale_;
    if (messages_lost_) {
        spdlog::info(
            "the kernel had more changes of routes and neighbours than fit; reading "
            "them all again");
        if (const auto done = read_links(); !done) {
            spdlog::error("{}; trying again", done.error().message);
            schedule(kManagePause);
            return;
        }
        neighbours_.clear();
    }
    if (look_at_all) {
        messages_lost_ = routes_stale_ = false;
        for (auto &[address, watched] : watched_) {
            auto fresh = look_up_route(address);
            watched.route = std::move(fresh.route);
            watched.key = fresh.key;
        }
        adopt_neighbours();
    }
    keep_neighbours();
    if (answer()) {
        const auto alive = alive_;
        changed_();  // may destroy this object
        if (!*alive) {
            return;
        }
    }
    if (look_at_all) {
        const auto end = Clock::now();
        busy_until_ = end + (end - begin) * kRestShare;
    }
}

Result<void> KernelResolver::read_links()
{
    Links fresh;
    const auto asked = asker_.ask(dump_links(), [&](const nlmsghdr &message) {
        if (auto link = parse_link(message)) {
            fresh[link->ifindex] = std::move(*link);
        }
    });
    if (!asked) {
        return std::unexpected(
            Error::system("ask the kernel for", "its interfaces", asked.error().error_number));
    }
    links_ = std::move(fresh);
    return {};
}

Watched KernelResolver::look_up_route(const IpAddress &address)
{
    std::optional<Route> route;
    const auto asked = asker_.ask(get_route(address), [&](const nlmsghdr &message) {
        if (auto parsed = parse_route(message)) {
            route = *parsed;
        }
    });
    Watched watched{.route = fail("no route to " + address.to_string()), .key = {}};
    if (!asked) {
        // The kernel answers with the error that a packet would meet.
        const int number = asked.error().error_number;
        if (number == EACCES || number == EINVAL) {
            watched.route = fail("the route to " + address.to_string() + " refuses packets");
        } else if (number != ENETUNREACH && number != EHOSTUNREACH && number != ESRCH) {
            watched.route = std::unexpected(
                Error::system("ask the kernel for the route to", address.to_string(), number));
        }
    } else if (route) {
        watched.route = *route;
        if (auto key = neighbour_of(address, *route)) {
            watched.key = *key;
        } else {
            watched.route = std::unexpected(std::move(key.error()));
        }
    }
    return watched;
}

// Begins with the neighbours that are needed now and lets go of those that are not.
void KernelResolver::adopt_neighbours()
{
    std::set<NeighbourKey> needed;
    for (const auto &[address, watched] : watched_) {
        if (watched.key) {
            needed.insert(*watched.key);
        }
    }
    std::erase_if(neighbours_, [&](const auto &item) {
        const auto &[key, kept] = item;
        if (needed.contains(key)) {
            return false;
        }
        if (kept.entry && kept.entry->managed) {
            // It may be gone with its interface; then there is nothing to let go of.
            [[maybe_unused]] const auto released =
                asker_.ask(release_neighbour(key), [](const nlmsghdr &) {});
        }
        return true;
    });
    for (const auto &key : needed) {
        const auto [place, is_new] = neighbours_.try_emplace(key);
        if (!is_new) {
            continue;
        }
        // No entry is an error here, and no news.
        [[maybe_unused]] const auto asked =
            asker_.ask(get_neighbour(key), [&](const nlmsghdr &message) {
                if (const auto neighbour = parse_neighbour(message)) {
                    place->second.entry = neighbour->second;
                }
            });
    }
}

void KernelResolver::keep_neighbours()
{
    for (auto &[key, kept] : neighbours_) {
        const bool fixed = kept.entry && (kept.entry->state & (NUD_PERMANENT | NUD_NOARP)) != 0;
        if (!fixed && !(kept.entry && kept.entry->managed)) {
            manage(key, kept);
        }
    }
}

void KernelResolver::manage(const NeighbourKey &key, Kept &kept)
{
    const auto egress = egress_of(links_, key.ifindex);
    if (!egress || (egress->interface->flags & IFF_NOARP) != 0) {
        return;  // an answer for it says why; the link's return is a message
    }
    const auto now = Clock::now();
    if (kept.asked_at && now - *kept.asked_at < kManagePause) {
        schedule(kManagePause);
        return;
    }
    kept.asked_at = now;
    const auto asked = asker_.ask(manage_neighbour(key), [](const nlmsghdr &) {});
    kept.refusal.clear();
    if (!asked) {
        kept.refusal = Error::system("have the kernel resolve",
                                     key.address.to_string() + " on " + egress->interface->name,
                                     asked.error().error_number)
                           .message;
    }
}

Result<model::NextHop> KernelResolver::answer_for(const Watched &watched) const
{
    if (!watched.route) {
        return std::unexpected(watched.route.error());
    }
    const auto kept = neighbours_.find(*watched.key);
    const bool known = kept != neighbours_.end();
    auto hop = next_hop(links_, *watched.route, *watched.key,
                        known && kept->second.entry ? &*kept->second.entry : nullptr);
    if (!hop && known && !kept->second.refusal.empty()) {
        return fail(kept->second.refusal);
    }
    return hop;
}

// True when an answer differs from the one before.
bool KernelResolver::answer()
{
    bool differs = false;
    for (auto &[address, watched] : watched_) {
        auto fresh = answer_for(watched);
        differs = differs || !same(watched.answer, fresh);
        watched.answer = std::move(fresh);
    }
    return differs;
}

void KernelResolver::watch(const std::set<IpAddress> &addresses)
{
    std::erase_if(watched_, [&](const auto &item) { return !addresses.contains(item.first); });
    for (const auto &address : addresses) {
        if (!watched_.contains(address)) {
            auto watched = look_up_route(address);
            watched.answer = answer_for(watched);
            watched_.emplace(address, std::move(watched));
        }
    }
    adopt_neighbours();
    keep_neighbours();
    // The caller looks up next; it is told afterwards of what differs from now on.
    answer();
}

Result<model::NextHop> KernelResolver::lookup(const IpAddress &address) const
{
    const auto watched = watched_.find(address);
    if (watched == watched_.end()) {
        return fail(address.to_string() + " is not watched");
    }
    return watched->second.answer;
}

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::start(asio::io_context &loop,
                                                  std::function<void()> changed)
{
    // Listens before it asks, so that no change falls between the two.
    auto listener =
        Listener::open({RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                        RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP});
    if (!listener) {
        return std::unexpected(std::move(listener.error()));
    }
    auto asker = Asker::open();
    if (!asker) {
        return std::unexpected(std::move(asker.error()));
    }
    auto resolver = std::make_unique<KernelResolver>(loop, std::move(*asker),
                                                     std::move(*listener), std::move(changed));
    if (auto begun = resolver->begin(); !begun) {
        return std::unexpected(std::move(begun.error()));
    }
    return resolver;
}

}  // namespace guideway::neighbour
