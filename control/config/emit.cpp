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

void emit_service(const model::Service &service, std::string &out)
{
    out += "  - name: " + scalar(service.name) + "\n";
    out += "    listen: " + model::listen_text(service) + "\n";
    out += "    forwarding: ipip\n";
    out += "    pool: " + scalar(service.pool) + "\n";
    out += "    ring_size: " + std::to_string(service.ring_size) + "\n";
    out += std::string("    unmatched: ") +
           (service.unmatched == model::Unmatched::kDrop ? "drop" : "pass") + "\n";
}

void emit_pool(const model::Pool &pool, std::string &out)
{
    out += "  - name: " + scalar(pool.name) + "\n";
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
               ", weight: " + std::to_string(backend.weight) + "}" +
               (backend.enabled ? "" : "   # disabled by an operator") + "\n";
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
    out += "]\nengine: xdp\nxdp_mode: ";
    out += desired.xdp_mode == model::XdpMode::kNative
               ? "native\n"
               : "generic   # GRO must be off: ethtool -K DEVICE gro off\n";
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
