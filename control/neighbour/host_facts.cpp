#include <algorithm>

#include "control/neighbour/messages.hpp"
#include "control/neighbour/netlink.hpp"
#include "control/neighbour/path.hpp"
#include "control/neighbour/resolver.hpp"

namespace guideway::neighbour {

// Addresses come from the interfaces, which have them even while they are down, and from
// the local routing table, which has those that are local without being on an interface.
Result<model::HostFacts> host_facts()
{
    auto asker = Asker::open();
    if (!asker) {
        return std::unexpected(std::move(asker.error()));
    }
    model::HostFacts facts;
    std::map<uint32_t, std::string> names;
    std::vector<LocalAddress> local;
    const Visit visit_link = [&](const nlmsghdr &message) {
        if (const auto link = parse_link(message)) {
            facts.interfaces[link->name] = link->ifindex;
            names[link->ifindex] = link->name;
        }
    };
    const Visit visit_address = [&](const nlmsghdr &message) {
        if (const auto address = parse_local_address(message)) {
            local.push_back(*address);
        }
    };
    for (const auto &[request, visit] :
         {std::pair{dump_links(), visit_link}, std::pair{dump_addresses(), visit_address},
          std::pair{dump_local_routes(model::Family::kIpv4), visit_address},
          std::pair{dump_local_routes(model::Family::kIpv6), visit_address}}) {
        if (const auto asked = asker->ask(request, visit); !asked) {
            return std::unexpected(Error::system("ask the kernel for", "this host's addresses",
                                                 asked.error().error_number));
        }
    }
    for (const auto &[ifindex, address] : local) {
        facts.local_addresses.emplace_back(address, names[ifindex]);
    }
    std::ranges::sort(facts.local_addresses);
    const auto same = std::ranges::unique(facts.local_addresses);
    facts.local_addresses.erase(same.begin(), same.end());
    return facts;
}

}  // namespace guideway::neighbour
