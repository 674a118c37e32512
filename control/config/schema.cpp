#include "control/config/schema.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::config {

namespace {

using model::quoted;

// A key of a map: its name, whether it must be there, and what reads its value.
struct Key {
    std::string_view name;
    bool is_required = false;
    std::function<void(const Node &, const std::string &)> read;
};

// A key that other versions of this file have, and why it means nothing yet.
struct Unsupported {
    std::string_view name;
    std::string_view hint;
};

constexpr Unsupported kUnsupportedTop[] = {
    {"limits", "remove it; this version does not limit sources"},
    {"deny", "remove it; this version has no policy lists"},
    {"allow", "remove it; this version has no policy lists"},
    {"announce", "remove it; route the service addresses to this host by static routes"},
    {"admission", "remove it; this version does not limit sources"},
    {"dpdk", "remove it; this version runs on xdp"},
};
constexpr Unsupported kUnsupportedService[] = {
    {"limits", "remove it; this version does not limit sources"},
    {"deny", "remove it; this version has no policy lists"},
    {"allow", "remove it; this version has no policy lists"},
    {"announce", "remove it; route the service addresses to this host by static routes"},
    {"admission", "remove it; this version does not limit sources"},
    {"affinity", "remove it; each flow goes where the ring says"},
    {"on_failure", "remove it; this version does not check backends' health"},
    {"health", "remove it; this version does not check backends' health"},
};
constexpr Unsupported kUnsupportedPool[] = {
    {"health", "remove it; this version does not check backends' health"},
    {"on_failure", "remove it; this version does not check backends' health"},
    {"affinity", "remove it; each flow goes where the ring says"},
};

// Edits that turn one word into the other (Levenshtein), for suggestions.
size_t edits(std::string_view from, std::string_view to)
{
    std::vector<size_t> row(to.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= from.size(); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= to.size(); j++) {
            const size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known)
{
    std::string_view best;
    size_t best_edits = 3;
    for (const std::string_view candidate : known) {
        // Hostile keys may be megabytes long; what is much longer is not a slip.
        if (word.size() < candidate.size() + best_edits &&
            edits(word, candidate) < std::min(best_edits, candidate.size() / 2 + 1)) {
            best_edits = edits(word, candidate);
            best = candidate;
        }
    }
    return best.empty() ? "" : "did you mean " + quoted(best) + "? ";
}

std::string joined(std::span<const std::string_view> words)
{
    std::string text;
    for (const std::string_view word : words) {
        text += (text.empty() ? "" : ", ") + std::string(word);
    }
    return text;
}

std::string found(const Node &node)
{
    switch (node.kind) {
        case Node::Kind::kNothing:
            return "nothing";
        case Node::Kind::kScalar:
            return quoted(node.text);
        case Node::Kind::kList:
            return "a list";
        case Node::Kind::kMap:
            return "a map";
        case Node::Kind::kRefused:
            break;
    }
    return "something else";
}

// Two hexadecimal digits, or nothing.
std::optional<uint8_t> hexadecimal_byte(std::string_view digits)
{
    uint8_t value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 16);
    return error == std::errc() && end == digits.end() ? std::optional(value) : std::nullopt;
}

class Reader {
  public:
    Reading run(const Node &root)
    {
        note_positions(root, "");
        if (root.kind == Node::Kind::kNothing) {
            problem({.line = 1, .column = 1}, "the configuration is empty",
                    "at least instance, interfaces and services");
            return std::move(reading_);
        }
        read_top(root);
        return std::move(reading_);
    }

  private:
    void problem(Position position, std::string message, std::string hint)
    {
        reading_.problems.push_back({{}, position, std::move(message), std::move(hint)});
    }

    void unread(const std::string &path) { reading_.unread.insert(path); }

    void wrong(const Node &node, const std::string &path, const std::string &expected)
    {
        unread(path);
        if (node.kind != Node::Kind::kRefused) {
            problem(node.position, path + ": found " + found(node), expected);
        }
    }

    static std::string child(const std::string &path, std::string_view key)
    {
        return path.empty() ? std::string(key) : path + "." + std::string(key);
    }

    void note_positions(const Node &node, const std::string &path)
    {
        reading_.positions[path] = node.position;
        for (size_t i = 0; i < node.values.size(); i++) {
            // A key that is a path in itself could pass for another value's.
            const bool is_map = node.kind == Node::Kind::kMap;
            if (!is_map || node.keys[i].text.find_first_of(".[") == std::string::npos) {
                note_positions(node.values[i], is_map ? child(path, node.keys[i].text)
                                                      : path + "[" + std::to_string(i) + "]");
            }
        }
    }

    void read_map(const Node &node, const std::string &path, std::string_view what,
                  std::span<const Key> keys, std::span<const Unsupported> unsupported);
    void unknown_key(const Node::Key &key, std::string_view what, std::span<const Key> keys,
                     std::span<const Unsupported> unsupported);
    void read_list(const Node &node, const std::string &path, const std::string &expected,
                   const std::function<void(const Node &, const std::string &)> &read_item);
    void read_text(const Node &node, const std::string &path, const std::string &expected,
                   std::string &into);
    void read_number(const Node &node, const std::string &path, const std::string &expected,
                     uint32_t &into);
    template <typename Value>
    void read_choice(const Node &node, const std::string &path,
                     std::span<const std::pair<std::string_view, std::optional<Value>>> choices,
                     Value &into);
    void read_address(const Node &node, const std::string &path, model::IpAddress &into);
    void read_tunnel_source(const Node &node, const std::string &path,
                            std::optional<model::Prefix> &into, std::string_view expected);
    void read_hash_key(const Node &node, const std::string &path);
    void read_listen(const Node &node, const std::string &path, model::Service &into);
    void read_capacity(const Node &node, const std::string &path);
    void read_service(const Node &node, const std::string &path);
    void read_pool(const Node &node, const std::string &path);
    void read_backend(const Node &node, const std::string &path, model::Pool &pool);
    void read_top(const Node &root);

    Reading reading_;
};

void Reader::unknown_key(const Node::Key &key, std::string_view what, std::span<const Key> keys,
                         std::span<const Unsupported> unsupported)
{
    const auto known = std::ranges::find(unsupported, key.text, &Unsupported::name);
    if (known != unsupported.end()) {
        problem(key.position, quoted(key.text) + " is not yet supported",
                std::string(known->hint));
        return;
    }
    std::vector<std::string_view> names;
    for (const Key &candidate : keys) {
        names.push_back(candidate.name);
    }
    problem(key.position, "unknown key " + quoted(key.text) + " in " + std::string(what),
            suggestion(key.text, names) + "known keys: " + joined(names));
}

void Reader::read_map(const Node &node, const std::string &path, std::string_view what,
                      std::span<const Key> keys, std::span<const Unsupported> unsupported)
{
    if (node.kind != Node::Kind::kMap) {
        std::vector<std::string_view> names;
        for (const Key &key : keys) {
            names.push_back(key.name);
        }
        wrong(node, path.empty() ? "the document" : path,
              "a map with the keys " + joined(names));
        if (path.empty()) {
            unread("");
        }
        return;
    }
    for (size_t i = 0; i < node.keys.size(); i++) {
        const auto key = std::ranges::find(keys, node.keys[i].text, &Key::name);
        if (key == keys.end()) {
            unknown_key(node.keys[i], what, keys, unsupported);
        } else {
            key->read(node.values[i], child(path, key->name));
        }
    }
    for (const Key &key : keys) {
        const bool is_there =
            std::ranges::find(node.keys, key.name, &Node::Key::text) != node.keys.end();
        if (key.is_required && !is_there) {
            unread(child(path, key.name));
            problem(node.position, std::string(what) + " has no key " + quoted(key.name),
                    "add " + std::string(key.name) + ":");
        }
    }
}

void Reader::read_list(const Node &node, const std::string &path, const std::string &expected,
                       const std::function<void(const Node &, const std::string &)> &read_item)
{
    if (node.kind != Node::Kind::kList) {
        wrong(node, path, expected);
        return;
    }
    for (size_t i = 0; i < node.values.size(); i++) {
        read_item(node.values[i], path + "[" + std::to_string(i) + "]");
    }
}

void Reader::read_text(const Node &node, const std::string &path, const std::string &expected,
                       std::string &into)
{
    if (node.kind != Node::Kind::kScalar) {
        wrong(node, path, expected);
        return;
    }
    into = node.text;
}

void Reader::read_number(const Node &node, const std::string &path, const std::string &expected,
                         uint32_t &into)
{
    const std::string_view text = node.text;
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    // YAML once read 0100 as octal: neither reading is safe to guess.
    const bool leading_zero = text.size() > 1 && text.front() == '0';
    if (node.kind != Node::Kind::kScalar || node.is_quoted || error != std::errc() ||
        end != text.end() || leading_zero) {
        wrong(node, path, expected + (node.is_quoted ? ", without quotes" : ""));
        return;
    }
    into = value;
}

template <typename Value>
void Reader::read_choice(
    const Node &node, const std::string &path,
    std::span<const std::pair<std::string_view, std::optional<Value>>> choices, Value &into)
{
    std::vector<std::string_view> supported;
    for (const auto &[name, value] : choices) {
        if (value) {
            supported.push_back(name);
        }
    }
    const std::string expected = "one of: " + joined(supported);
    if (node.kind != Node::Kind::kScalar) {
        wrong(node, path, expected);
        return;
    }
    for (const auto &[name, value] : choices) {
        if (node.text == name && value) {
            into = *value;
            return;
        }
        if (node.text == name) {
            unread(path);
            problem(node.position, path + ": " + quoted(name) + " is not yet supported",
                    expected);
            return;
        }
    }
    wrong(node, path, suggestion(node.text, supported) + expected);
}

void Reader::read_address(const Node &node, const std::string &path, model::IpAddress &into)
{
    const auto address = model::IpAddress::parse(node.text);
    if (node.kind != Node::Kind::kScalar || !address) {
        wrong(node, path, "an IPv4 or IPv6 address, such as 10.2.0.2 or 2001:db8::2");
        return;
    }
    into = *address;
}

void Reader::read_tunnel_source(const Node &node, const std::string &path,
                                std::optional<model::Prefix> &into, std::string_view expected)
{
    const auto prefix = model::Prefix::parse(node.text);
    if (node.kind != Node::Kind::kScalar || !prefix) {
        wrong(node, path, std::string(expected));
        return;
    }
    into = *prefix;
}

void Reader::read_hash_key(const Node &node, const std::string &path)
{
    model::HashKey key{};
    bool is_key = node.kind == Node::Kind::kScalar && node.text.size() == key.size() * 2;
    for (size_t i = 0; is_key && i < key.size(); i++) {
        const auto byte = hexadecimal_byte(std::string_view(node.text).substr(i * 2, 2));
        is_key = byte.has_value();
        key[i] = byte.value_or(0);
    }
    if (!is_key) {
        // A key is a secret: it is not repeated in messages, which end up in logs.
        unread(path);
        if (node.kind != Node::Kind::kRefused) {
            problem(node.position, path + ": not 64 hexadecimal digits",
                    "64 hexadecimal digits, such as from: openssl rand -hex 32");
        }
        return;
    }
    reading_.desired.hash_key = key;
}

void Reader::read_listen(const Node &node, const std::string &path, model::Service &into)
{
    const std::string example =
        "PROTOCOL://ADDRESS:PORT, such as tcp://203.0.113.10:443 or udp://[2001:db8::1]:53";
    std::string_view rest = node.text;
    if (node.kind != Node::Kind::kScalar) {
        wrong(node, path, example);
        return;
    }
    if (rest.starts_with("tcp://")) {
        into.protocol = model::Protocol::kTcp;
    } else if (rest.starts_with("udp://")) {
        into.protocol = model::Protocol::kUdp;
    } else {
        wrong(node, path, "tcp:// or udp:// in front: " + example);
        return;
    }
    rest.remove_prefix(6);
    const size_t colon = rest.rfind(':');
    const size_t bracket = rest.rfind(']');
    if (colon == std::string_view::npos ||
        (bracket != std::string_view::npos && colon < bracket)) {
        wrong(node, path, "a port at the end: " + example);
        return;
    }
    const std::string_view digits = rest.substr(colon + 1);
    std::string_view host = rest.substr(0, colon);
    const bool is_bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
    if (is_bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    const auto address = model::IpAddress::parse(host);
    if (!address || address->is_ipv6() != is_bracketed) {
        wrong(node, path, "an IPv4 address, or an IPv6 address in brackets: " + example);
        return;
    }
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), port);
    if (error != std::errc() || end != digits.end() || digits.front() == '0') {
        wrong(node, path, "a port from 1 to 65535: " + example);
        return;
    }
    into.address = *address;
    into.port = port;
}

void Reader::read_capacity(const Node &node, const std::string &path)
{
    model::Capacity &capacity = reading_.desired.capacity;
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
    };
    read_map(node, path, "capacity", keys, {});
}

void Reader::read_service(const Node &node, const std::string &path)
{
    using model::Forwarding;
    using model::Unmatched;
    static constexpr std::pair<std::string_view, std::optional<Forwarding>> kForwarding[] = {
        {"ipip", Forwarding::kIpip}, {"gue", {}}, {"l2", {}}, {"nat", {}}};
    static constexpr std::pair<std::string_view, std::optional<Unmatched>> kUnmatched[] = {
        {"drop", Unmatched::kDrop}, {"pass", Unmatched::kPass}};
    model::Service &service = reading_.desired.services.emplace_back();
    const Key keys[] = {
        {"name", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", service.name);
         }},
        {"listen", true,
         [&](const Node &value, const std::string &at) { read_listen(value, at, service); }},
        {"forwarding", false,
         [&](const Node &value, const std::string &at) {
             read_choice<Forwarding>(value, at, kForwarding, service.forwarding);
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
             read_choice<Unmatched>(value, at, kUnmatched, service.unmatched);
         }},
    };
    read_map(node, path, "a service", keys, kUnsupportedService);
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
        {"health", "remove it; this version does not check backends' health"},
        {"enabled", "remove it; use guideway backend disable, or weight: 0"},
    };
    read_map(node, path, "a backend", keys, kUnsupported);
}

void Reader::read_pool(const Node &node, const std::string &path)
{
    model::Pool &pool = reading_.desired.pools.emplace_back();
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
    };
    read_map(node, path, "a pool", keys, kUnsupportedPool);
}

void Reader::read_top(const Node &root)
{
    using model::XdpMode;
    enum class Engine { kXdp };
    static constexpr std::pair<std::string_view, std::optional<Engine>> kEngine[] = {
        {"xdp", Engine::kXdp}, {"dpdk", {}}};
    static constexpr std::pair<std::string_view, std::optional<XdpMode>> kXdpMode[] = {
        {"native", XdpMode::kNative}, {"generic", XdpMode::kGeneric}};
    model::Desired &desired = reading_.desired;
    const auto interface = [&](const Node &item, const std::string &at) {
        read_text(item, at, "the name of an interface", desired.interfaces.emplace_back());
    };
    const Key keys[] = {
        {"instance", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", desired.instance);
         }},
        {"interfaces", true,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of interfaces, such as [eth0]", interface);
         }},
        {"engine", false,
         [&](const Node &value, const std::string &at) {
             Engine engine = Engine::kXdp;
             read_choice<Engine>(value, at, kEngine, engine);
         }},
        {"xdp_mode", false,
         [&](const Node &value, const std::string &at) {
             read_choice<XdpMode>(value, at, kXdpMode, desired.xdp_mode);
         }},
        {"tunnel_source", false,
         [&](const Node &value, const std::string &at) {
             read_tunnel_source(value, at, desired.tunnel_source_ipv4,
                                "an IPv4 address or prefix, such as 10.1.0.2 or 10.1.7.0/24");
         }},
        {"tunnel_source6", false,
         [&](const Node &value, const std::string &at) {
             read_tunnel_source(value, at, desired.tunnel_source_ipv6,
                                "an IPv6 address, such as 2001:db8:1::2");
         }},
        {"hash_key", false,
         [&](const Node &value, const std::string &at) { read_hash_key(value, at); }},
        {"capacity", false,
         [&](const Node &value, const std::string &at) { read_capacity(value, at); }},
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
}

}  // namespace

Reading read_schema(const Node &root)
{
    return Reader().run(root);
}

}  // namespace guideway::config
