#include <linux/rtnetlink.h>
#include <net/if.h>

#include <array>
#include <cerrno>

#include "control/neighbour/messages.hpp"
#include "control/neighbour/netlink.hpp"
#include "control/neighbour/resolver.hpp"

namespace guideway::neighbour {
namespace {

// Packets to such an address end at this host.
bool is_taken(const Route &route)
{
    switch (route.type) {
        case RTN_LOCAL:
        case RTN_BROADCAST:
        case RTN_ANYCAST:
        case RTN_MULTICAST:
            return true;
        default:
            return false;
    }
}

// The answers by which the kernel says that packets to an address go nowhere.
bool is_no_route(int error_number)
{
    return error_number == ENETUNREACH || error_number == EHOSTUNREACH ||
           error_number == ESRCH || error_number == EACCES || error_number == EINVAL;
}

std::unexpected<Error> cannot_ask(const std::string &what, const Refusal &refusal)
{
    return std::unexpected(Error::system("ask the kernel for", what, refusal.error_number));
}

}  // namespace

// Interfaces have addresses even while they are down. The rest is asked for one by one: a
// local route may be for a whole prefix, and the table that would have to be read for it,
// which the kernel does not filter for everybody, may be that of the Internet.
Result<model::HostFacts> host_facts(const std::set<model::IpAddress> &addresses)
{
    auto asker = Asker::open();
    if (!asker) {
        return std::unexpected(std::move(asker.error()));
    }
    model::HostFacts facts;
    std::map<uint32_t, std::string> names;
    const auto links = asker->ask(dump_links(), [&](const nlmsghdr &message) {
        if (const auto link = parse_link(message)) {
            facts.interfaces[link->name] = link->ifindex;
            names[link->ifindex] = link->name;
        }
    });
    if (!links) {
        return cannot_ask("its interfaces", links.error());
    }
    const auto configured = asker->ask(dump_addresses(), [&](const nlmsghdr &message) {
        const auto local = parse_local_address(message);
        if (local && addresses.contains(local->address)) {
            facts.local_addresses.try_emplace(local->address, names[local->ifindex]);
        }
    });
    if (!configured) {
        return cannot_ask("this host's addresses", configured.error());
    }
    for (const auto &address : addresses) {
        const auto asked = asker->ask(get_route_entry(address), [&](const nlmsghdr &message) {
            if (const auto route = parse_route(message); route && is_taken(*route)) {
                facts.local_addresses.try_emplace(address, names[route->ifindex]);
            }
        });
        if (!asked && !is_no_route(asked.error().error_number)) {
            return cannot_ask("the route to " + address.to_string(), asked.error());
        }
    }
    return facts;
}

Result<std::set<std::string>> interfaces_towards(const model::IpAddress &address)
{
    auto asker = Asker::open();
    if (!asker) {
        return std::unexpected(std::move(asker.error()));
    }
    std::set<std::string> names;
    const auto asked = asker->ask(get_route_entry(address), [&](const nlmsghdr &message) {
        const auto route = parse_route(message);
        if (!route || route->type != RTN_UNICAST) {
            return;
        }
        for (const uint32_t ifindex : parse_route_interfaces(message)) {
            std::array<char, IF_NAMESIZE> name{};
            if (if_indextoname(ifindex, name.data()) != nullptr) {
                names.emplace(name.data());
            }
        }
    });
    if (!asked && !is_no_route(asked.error().error_number)) {
        return cannot_ask("the route to " + address.to_string(), asked.error());
    }
    return names;
}

}  // namespace guideway::neighbour
