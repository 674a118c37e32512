// Next hops: which interface, Layer 2 header and MTU lead to a backend's address.
//
// Observes the kernel's routes, neighbours and links over rtnetlink and keeps the answers
// up to date, so that the packet path never asks. Neighbours in use are kept resolved by
// the kernel (NTF_EXT_MANAGED, Linux 5.16), because traffic that bypasses the kernel does
// not keep them alive.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <set>

#include "control/model/address.hpp"
#include "control/model/host.hpp"
#include "control/model/next_hop.hpp"
#include "dataplane/error.hpp"

namespace guideway::neighbour {

using Mac = model::Mac;
using VlanTag = model::VlanTag;
using NextHop = model::NextHop;

class Resolver {
  public:
    // `changed` is called from the event loop, once for a burst of changes, when some
    // answer of lookup() may have changed. Kernel messages lost (ENOBUFS) lead to a full
    // resynchronisation, not to a stale answer.
    [[nodiscard]] static Result<std::unique_ptr<Resolver>> start(boost::asio::io_context &loop,
                                                                 std::function<void()> changed);
    virtual ~Resolver() = default;

    // The addresses to keep resolved from now on; the rest is forgotten. Look up afterwards:
    // `changed` is not called for what this call itself found.
    virtual void watch(const std::set<model::IpAddress> &addresses) = 0;

    // The next hop, or why there is none now ("no route to 10.2.0.2", "10.1.0.1 on eth0
    // does not answer ARP", "10.2.0.2 is this host").
    [[nodiscard]] virtual Result<NextHop> lookup(const model::IpAddress &address) const = 0;
};

// A snapshot for config::check_on_host: the interfaces, and which of `addresses` the host
// takes as its own.
[[nodiscard]] Result<model::HostFacts> host_facts(const std::set<model::IpAddress> &addresses);

// The interfaces by which the host sends packets to `address`: several where the route has
// several next hops, of which the kernel chooses by connection; none where there is no route, or
// the address is the host's own. The neighbours need not be known.
[[nodiscard]] Result<std::set<std::string>> interfaces_towards(const model::IpAddress &address);

}  // namespace guideway::neighbour
