#include "control/config/schema.hpp"

#include <algorithm>
#include <utility>

#include "control/config/values.hpp"

namespace guideway::config {

namespace {

constexpr Unsupported kUnsupportedTop[] = {
    {"deny", "remove it; use guideway deny, whose lists outlive restarts and files",
     "is not a key of files"},
    {"allow", "remove it; use guideway allow, whose lists outlive restarts and files",
     "is not a key of files"},
    {"announce", "remove it; route the service addresses to this host by static routes"},
    {"admission", "move it to the services that it is for", "is a key of services"},
};
constexpr Unsupported kUnsupportedService[] = {
    {"deny", "remove it; use guideway deny, whose lists hold for all services",
     "is not a key of files"},
    {"allow", "remove it; use guideway allow, whose lists hold for all services",
     "is not a key of files"},
    {"announce", "remove it; route the service addresses to this host by static routes"},
    {"on_failure", "move it to the service's pool", "is a key of pools"},
    {"health", "move it to the service's pool", "is a key of pools"},
};
constexpr Unsupported kUnsupportedPool[] = {
    {"affinity", "move it to the services that use the pool", "is a key of services"},
};

class Reader : ValueReader {
  public:
    Reading run(const Node &root)
    {
        note_positions(root, "");
        if (root.kind == Node::Kind::kNothing) {
            unread("");
            problem({.line = 1, .column = 1}, "the configuration is empty",
                    "at least instance, interfaces and services");
        } else {
            read_top(root);
        }
        return {.desired = std::move(desired_),
                .positions = std::move(positions_),
                .unread = std::move(unread_),
                .problems = std::move(problems_)};
    }

  private:
    void note_positions(const Node &node, const std::string &path)
    {
        positions_[path] = node.position;
        for (size_t i = 0; i < node.values.size(); i++) {
            // A key that is a path in itself could pass for another value's.
            const bool is_map = node.kind == Node::Kind::kMap;
            if (!is_map || node.keys[i].text.find_first_of(".[") == std::string::npos) {
                note_positions(node.values[i], is_map ? child(path, node.keys[i].text)
                                                      : path + "[" + std::to_string(i) + "]");
            }
        }
    }

    void read_capacity(const Node &node, const std::string &path);
    void read_connections(const Node &node, const std::string &path);
    void read_service(const Node &node, const std::string &path);
    void read_pool(const Node &node, const std::string &path);
    void read_backend(const Node &node, const std::string &path, model::Pool &pool);
    void read_top(const Node &root);
    void check_engine(const Node *xdp_mode, const Node *dpdk);

    model::Desired desired_;
    std::map<std::string, Position> positions_;
};

void Reader::read_capacity(const Node &node, const std::string &path)
{
    model::Capacity &capacity = desired_.capacity;
    const auto count = [&](uint32_t &into) {
        return [this, &into](const Node &value, const std::string &at) {
            read_number(value, at, "a number", into);
        };
    };
    const Key keys[] = {
        {"addresses", false, count(capacity.addresses)},
        {"services", false, count(capacity.services)},
        {"backends", false, count(capacity.backends)},
        {"ring_slots", false, count(capacity.ring_slots)},
        {"pins", false, count(capacity.pins)},
        {"sources", false, count(capacity.sources)},
        {"prefixes", false, count(capacity.prefixes)},
    };
    read_map(node, path, "capacity", keys, {});
}

void Reader::read_connections(const Node &node, const std::string &path)
{
    model::Connections &connections = desired_.connections;
    const auto duration = [&](model::Milliseconds &into) {
        return [this, &into](const Node &value, const std::string &at) {
            read_duration(value, at, into);
        };
    };
    const Key keys[] = {
        {"learning_period", false, duration(connections.learning_period)},
        {"idle_timeout", false, duration(connections.idle_timeout)},
    };
    read_map(node, path, "connections", keys, {});
    if (unread_.contains(child(path, "learning_period"))) {
        unread(child(path, "idle_timeout"));  // which is too short is not known
    }
}

void Reader::read_service(const Node &node, const std::string &path)
{
    static constexpr std::string_view kForwarding[] = {"ipip"};
    static constexpr std::string_view kForwardingLater[] = {"gue", "l2", "nat"};
    static constexpr std::string_view kUnmatched[] = {"drop", "pass"};
    static constexpr std::string_view kAffinity[] = {"none", "connection", "flow"};
    model::Service &service = desired_.services.emplace_back();
    std::optional<size_t> affinity;
    const Node *limits = nullptr;
    const Key keys[] = {
        {"name", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", service.name);
         }},
        {"listen", true,
         [&](const Node &value, const std::string &at) { read_listen(value, at, service); }},
        {"forwarding", false,
         [&](const Node &value, const std::string &at) {
             if (choose(value, at, kForwarding, kForwardingLater)) {
                 service.forwarding = model::Forwarding::kIpip;
             }
         }},
        {"pool", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "the name of a pool", service.pool);
         }},
        {"ring_size", false,
         [&](const Node &value, const std::string &at) {
             read_number(value, at, "a prime number of slots, such as 65537",
                         service.ring_size);
         }},
        {"unmatched", false,
         [&](const Node &value, const std::string &at) {
             const auto chosen = choose(value, at, kUnmatched, {});
             service.unmatched =
                 chosen == 1 ? model::Unmatched::kPass : model::Unmatched::kDrop;
         }},
        {"affinity", false,
         [&](const Node &value, const std::string &at) {
             affinity = choose(value, at, kAffinity, {});
         }},
        {"limits", false,
         [&](const Node &value, const std::string & /*at*/) { limits = &value; }},
        {"admission", false,
         [&](const Node &value, const std::string &at) {
             read_admission(value, at, service.admission.emplace());
         }},
    };
    read_map(node, path, "a service", keys, kUnsupportedService);
    if (affinity) {
        service.affinity = static_cast<model::Affinity>(*affinity);
    } else if (service.protocol == model::Protocol::kUdp) {
        service.affinity = model::Affinity::kNone;
    }
    // Whose bits they count depends on the address.
    if (limits != nullptr) {
        read_limits(*limits, child(path, "limits"), service.address.family, service.limits);
    }
    if (unread_.contains(child(path, "listen"))) {
        // Of which protocol and family is not known.
        unread(child(path, "affinity"));
        unread(child(path, "limits"));
        unread(child(path, "admission"));
    }
}

void Reader::read_backend(const Node &node, const std::string &path, model::Pool &pool)
{
    model::Backend &backend = pool.backends.emplace_back();
    const Key keys[] = {
        {"name", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", backend.name);
         }},
        {"address", true,
         [&](const Node &value, const std::string &at) {
             read_address(value, at, backend.address);
         }},
        {"weight", false,
         [&](const Node &value, const std::string &at) {
             read_number(
                 value, at,
                 "a number from 0 (no new flows) to " + std::to_string(model::kWeightMax),
                 backend.weight);
         }},
    };
    static constexpr Unsupported kUnsupported[] = {
        {"health", "move it to the pool; its backends are all checked in the same way",
         "is a key of pools"},
        {"drained", "remove it; use guideway backend drain", "is not a key of files"},
        {"enabled", "remove it; use guideway backend disable, or weight: 0"},
    };
    read_map(node, path, "a backend", keys, kUnsupported);
}

void Reader::read_pool(const Node &node, const std::string &path)
{
    static constexpr std::string_view kOnFailure[] = {"reset", "keep"};
    model::Pool &pool = desired_.pools.emplace_back();
    const Key keys[] = {
        {"name", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", pool.name);
         }},
        {"backends", true,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of backends, or [] for none yet",
                       [&](const Node &item, const std::string &item_path) {
                           read_backend(item, item_path, pool);
                       });
         }},
        {"health", false,
         [&](const Node &value, const std::string &at) {
             read_health(value, at, pool.health);
         }},
        {"on_failure", false,
         [&](const Node &value, const std::string &at) {
             const auto chosen = choose(value, at, kOnFailure, {});
             pool.on_failure = chosen == 1 ? model::OnFailure::kKeep : model::OnFailure::kReset;
         }},
    };
    read_map(node, path, "a pool", keys, kUnsupportedPool);
}

void Reader::read_top(const Node &root)
{
    static constexpr std::string_view kXdpMode[] = {"native", "generic"};
    const Node *xdp_mode = nullptr;
    const Node *dpdk = nullptr;
    const auto interface = [&](const Node &item, const std::string &at) {
        read_text(item, at, "the name of an interface", desired_.interfaces.emplace_back());
    };
    const Key keys[] = {
        {"instance", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", desired_.instance);
         }},
        {"interfaces", true,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of interfaces, such as [eth0]", interface);
         }},
        {"engine", false,
         [&](const Node &value, const std::string &at) {
             const auto chosen = choose(value, at, model::kEngineNames, {});
             desired_.engine = static_cast<model::Engine>(chosen.value_or(0));
         }},
        {"xdp_mode", false,
         [&](const Node &value, const std::string &at) {
             xdp_mode = &value;
             const auto chosen = choose(value, at, kXdpMode, {});
             desired_.xdp_mode =
                 chosen == 1 ? model::XdpMode::kGeneric : model::XdpMode::kNative;
         }},
        {"dpdk", false,
         [&](const Node &value, const std::string &at) {
             dpdk = &value;
             read_dpdk(value, at, desired_.dpdk);
         }},
        {"tunnel_source", false,
         [&](const Node &value, const std::string &at) {
             read_tunnel_source(value, at, desired_.tunnel_source_ipv4,
                                "an IPv4 address or prefix, such as 10.1.0.2 or 10.1.7.0/24");
         }},
        {"tunnel_source6", false,
         [&](const Node &value, const std::string &at) {
             read_tunnel_source(value, at, desired_.tunnel_source_ipv6,
                                "an IPv6 address, such as 2001:db8:1::2");
         }},
        {"hash_key", false,
         [&](const Node &value, const std::string &at) {
             read_hash_key(value, at, desired_.hash_key);
         }},
        {"capacity", false,
         [&](const Node &value, const std::string &at) { read_capacity(value, at); }},
        {"connections", false,
         [&](const Node &value, const std::string &at) { read_connections(value, at); }},
        {"limits", false,
         [&](const Node &value, const std::string &at) {
             read_limits(value, at, std::nullopt, desired_.limits);
         }},
        {"services", true,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of services, or [] for none yet",
                       [&](const Node &item, const std::string &item_path) {
                           read_service(item, item_path);
                       });
         }},
        {"pools", false,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of pools",
                       [&](const Node &item, const std::string &item_path) {
                           read_pool(item, item_path);
                       });
         }},
    };
    read_map(root, "", "the configuration", keys, kUnsupportedTop);
    if (!unread_.contains("engine")) {
        check_engine(xdp_mode, dpdk);
    }
}

// Keys of one engine mean nothing with the other, and each interface has a port.
void Reader::check_engine(const Node *xdp_mode, const Node *dpdk)
{
    if (desired_.engine == model::Engine::kXdp) {
        if (dpdk != nullptr) {
            problem(dpdk->position, "dpdk: this is for engine dpdk, and the engine is xdp",
                    "remove it, or add engine: dpdk");
        }
        return;
    }
    if (xdp_mode != nullptr) {
        problem(xdp_mode->position, "xdp_mode: this is for engine xdp, and the engine is dpdk",
                "remove it");
    }
    auto &ports = desired_.dpdk.ports;
    for (const auto &interface : desired_.interfaces) {
        if (std::ranges::find(ports, interface, &model::EnginePort::interface) == ports.end()) {
            ports.push_back({.interface = interface});
        }
    }
}

}  // namespace

Reading read_schema(const Node &root)
{
    return Reader().run(root);
}

}  // namespace guideway::config
