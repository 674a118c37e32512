#include <span>
#include <string>

#include "control/config/config.hpp"
#include "control/model/validate.hpp"

namespace guideway::config {

namespace {

// Plain where YAML cannot take it for anything but this text, double-quoted elsewhere.
std::string scalar(std::string_view text)
{
    const bool is_null = text == "null" || text == "Null" || text == "NULL";
    if (model::is_name(text) && !is_null) {
        return std::string(text);
    }
    std::string out = "\"";
    for (const char c : text) {
        out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    }
    return out + "\"";
}

std::string hexadecimal(const model::HashKey &key)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const uint8_t byte : key) {
        out += kDigits[byte >> 4];
        out += kDigits[byte & 15];
    }
    return out;
}

std::string per(const model::SourceBits &bits, std::optional<model::Family> family)
{
    return model::per_text(bits, family)
        .value_or("{ipv4: " + std::to_string(bits.ipv4) +
                  ", ipv6: " + std::to_string(bits.ipv6) + "}");
}

void emit_limits(const std::vector<model::Limit> &limits, std::optional<model::Family> family,
                 const std::string &indentation, std::string &out)
{
    if (limits.empty()) {
        return;
    }
    out += indentation + "limits:\n";
    for (const model::Limit &limit : limits) {
        out += indentation + "  - {name: " + scalar(limit.name) +
               ", per: " + per(limit.per, family) +
               ", of: " + std::string(model::kLimitOfNames[static_cast<size_t>(limit.of)]) +
               ", rate: " + model::rate_text(limit.rate) +
               ", burst: " + model::burst_text(limit.of, limit.burst) + ", mode: " +
               std::string(model::kLimitModeNames[static_cast<size_t>(limit.mode)]) + "}\n";
    }
}

void emit_admission(const model::Admission &admission, std::string &out)
{
    std::string keys;
    const auto add = [&](std::string_view key, const std::string &value) {
        keys += (keys.empty() ? "" : ", ") + std::string(key) + ": " + value;
    };
    if (admission.new_connections) {
        add("new_connections", model::rate_text(*admission.new_connections));
    }
    if (admission.per_backend) {
        add("per_backend", model::rate_text(*admission.per_backend));
    }
    if (admission.burst) {
        add("burst", model::burst_text(model::LimitOf::kNewConnections, *admission.burst));
    }
    out += "    admission: {" + keys + "}\n";
}

void emit_service(const model::Service &service, std::string &out)
{
    out += "  - name: " + scalar(service.name) + "\n";
    out += "    listen: " + model::listen_text(service) + "\n";
    out += "    forwarding: ipip\n";
    out += "    pool: " + scalar(service.pool) + "\n";
    out += "    ring_size: " + std::to_string(service.ring_size) + "\n";
    out += std::string("    unmatched: ") +
           (service.unmatched == model::Unmatched::kDrop ? "drop" : "pass") + "\n";
    constexpr std::string_view kAffinity[] = {"none", "connection", "flow"};
    out +=
        "    affinity: " + std::string(kAffinity[static_cast<size_t>(service.affinity)]) + "\n";
    emit_limits(service.limits, service.address.family, "    ", out);
    if (service.admission) {
        emit_admission(*service.admission, out);
    }
}

std::string statuses(const std::vector<model::StatusRange> &ranges)
{
    std::string out;
    for (const auto &[from, to] : ranges) {
        out += (out.empty() ? "" : ", ") + std::to_string(from) +
               (from == to ? "" : "-" + std::to_string(to));
    }
    return "[" + out + "]";
}

void emit_health(const model::Health &health, std::string &out)
{
    const auto add = [&](std::string_view key, const std::string &value) {
        out += "      " + std::string(key) + ": " + value + "\n";
    };
    const auto add_text = [&](std::string_view key, const std::string &value) {
        if (!value.empty()) {
            add(key, scalar(value));
        }
    };
    out += "    health:\n";
    add("type", std::string(model::to_string(health.type)));
    // With `none` nothing else matters; it is kept all the same if somebody wrote it.
    if (health == model::Health()) {
        return;
    }
    add_text("service", health.service);
    if (health.port != 0) {
        add("port", std::to_string(health.port));
    }
    if (health.type != model::HealthType::kTcp) {
        add("path", scalar(health.path));
        add_text("host", health.host);
        add("expect_status", statuses(health.expect_status));
        add_text("body", health.body);
    }
    add_text("sni", health.sni);
    if (health.type == model::HealthType::kHttps || health.verify) {
        add("verify", health.verify ? "true" : "false");
    }
    add_text("ca", health.ca_file);
    add("interval", model::duration_text(health.interval));
    add("timeout", model::duration_text(health.timeout));
    add("rise", std::to_string(health.rise));
    add("fall", std::to_string(health.fall));
    add("jitter", std::to_string(health.jitter_percent));
    add("recheck", model::duration_text(health.recheck));
    add("slow_start", model::duration_text(health.slow_start));
    add("panic_threshold", std::to_string(health.panic_threshold_percent));
    add("through", health.through == model::ProbeThrough::kTunnel ? "tunnel" : "direct");
    if (const auto &passive = health.passive) {
        add("passive", "{syn_repeats: " + std::to_string(passive->syn_repeats_percent) +
                           ", at_least: " + std::to_string(passive->at_least) +
                           ", window: " + model::duration_text(passive->window) + "}");
    }
}

// What of a backend a file cannot say.
std::string remark(const model::Backend &backend)
{
    std::string what = backend.enabled ? "" : "disabled";
    if (backend.drained) {
        what += (what.empty() ? "" : " and ") + std::string("drained");
    }
    if (what.empty()) {
        return "";
    }
    return "   # " + what + " by an operator" +
           (backend.drained && backend.drain_deadline != 0
                ? ", cut at " + model::utc_text(backend.drain_deadline)
                : "");
}

void emit_pool(const model::Pool &pool, std::string &out)
{
    out += "  - name: " + scalar(pool.name) + "\n";
    emit_health(pool.health, out);
    out += std::string("    on_failure: ") +
           (pool.on_failure == model::OnFailure::kReset ? "reset" : "keep") + "\n";
    if (pool.backends.empty()) {
        out += "    backends: []\n";
        return;
    }
    out += "    backends:\n";
    for (const model::Backend &backend : pool.backends) {
        // Quoted: in brackets and braces, colons of an IPv6 address could be misread.
        const std::string quote = backend.address.is_ipv6() ? "\"" : "";
        out += "      - {name: " + scalar(backend.name) + ", address: " + quote +
               backend.address.to_string() + quote +
               ", weight: " + std::to_string(backend.weight) + "}" + remark(backend) + "\n";
    }
}

template <typename Choice>
std::string named(std::span<const std::string_view> names, Choice choice)
{
    return std::string(names[static_cast<size_t>(choice)]);
}

void emit_engine(const model::Desired &desired, std::string &out)
{
    out += "engine: " + named(model::kEngineNames, desired.engine) + "\n";
    if (desired.engine == model::Engine::kXdp) {
        out += "xdp_mode: ";
        out += desired.xdp_mode == model::XdpMode::kNative
                   ? "native\n"
                   : "generic   # GRO must be off: ethtool -K DEVICE gro off\n";
        return;
    }
    const model::Dpdk &dpdk = desired.dpdk;
    out += "dpdk:\n  workers: " + std::to_string(dpdk.workers) + "\n";
    if (!dpdk.cores.empty()) {
        out += "  cores: [";
        for (size_t i = 0; i < dpdk.cores.size(); i++) {
            out += (i == 0 ? "" : ", ") + std::to_string(dpdk.cores[i]);
        }
        out += "]\n";
    }
    if (dpdk.queues != 0) {
        out += "  queues: " + std::to_string(dpdk.queues) + "\n";
    }
    out += "  memory: " + std::to_string(dpdk.memory_mib) + "MiB\n";
    out += "  hugepages: " + named(model::kHugepagesNames, dpdk.hugepages) + "\n";
    out += "  idle: " + named(model::kIdleNames, dpdk.idle) + "\n";
    out += "  start: " + named(model::kEngineStartNames, dpdk.start) + "\n";
    out += dpdk.ports.empty() ? "" : "  ports:\n";
    for (const auto &port : dpdk.ports) {
        out += "    - {interface: " + scalar(port.interface) +
               ", device: " + scalar(port.device) + "}\n";
    }
}

}  // namespace

std::string emit(const model::Desired &desired)
{
    const model::Capacity &capacity = desired.capacity;
    std::string out = "instance: " + scalar(desired.instance) + "\ninterfaces: [";
    for (size_t i = 0; i < desired.interfaces.size(); i++) {
        out += (i == 0 ? "" : ", ") + scalar(desired.interfaces[i]);
    }
    out += "]\n";
    emit_engine(desired, out);
    if (desired.tunnel_source_ipv4) {
        out += "tunnel_source: " + desired.tunnel_source_ipv4->to_string() + "\n";
    }
    if (desired.tunnel_source_ipv6) {
        out += "tunnel_source6: \"" + desired.tunnel_source_ipv6->to_string() + "\"\n";
    }
    out += "hash_key: \"" + hexadecimal(desired.hash_key) + "\"\n";
    out += "capacity:\n";
    out += "  addresses: " + std::to_string(capacity.addresses) + "\n";
    out += "  services: " + std::to_string(capacity.services) + "\n";
    out += "  backends: " + std::to_string(capacity.backends) + "\n";
    out += "  ring_slots: " + std::to_string(capacity.ring_slots) + "\n";
    out += "  pins: " + std::to_string(capacity.pins) + "\n";
    out += "  sources: " + std::to_string(capacity.sources) + "\n";
    out += "  prefixes: " + std::to_string(capacity.prefixes) + "\n";
    out += "connections:\n";
    out += "  learning_period: " + model::duration_text(desired.connections.learning_period) +
           "\n";
    out += "  idle_timeout: " + model::duration_text(desired.connections.idle_timeout) + "\n";
    emit_limits(desired.limits, std::nullopt, "", out);
    out += desired.services.empty() ? "services: []\n" : "services:\n";
    for (const model::Service &service : desired.services) {
        emit_service(service, out);
    }
    out += desired.pools.empty() ? "pools: []\n" : "pools:\n";
    for (const model::Pool &pool : desired.pools) {
        emit_pool(pool, out);
    }
    return out;
}

}  // namespace guideway::config
