#include "control/config/values.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::config {

namespace {

using model::quoted;

// Edits that turn one word into the other, a swap of neighbours counting as one (optimal
// string alignment), for suggestions.
size_t edits(std::string_view from, std::string_view to)
{
    std::vector<std::vector<size_t>> cost(from.size() + 1, std::vector<size_t>(to.size() + 1));
    for (size_t i = 0; i <= from.size(); i++) {
        for (size_t j = 0; j <= to.size(); j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            const size_t replaced = cost[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
            cost[i][j] = std::min({replaced, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
    }
    return cost[from.size()][to.size()];
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known)
{
    std::string_view best;
    size_t best_edits = 3;
    for (const std::string_view candidate : known) {
        // Hostile keys may be megabytes long; what is much longer is not a slip.
        if (word.size() >= candidate.size() + best_edits) {
            continue;
        }
        const size_t count = edits(word, candidate);
        if (count < std::min(best_edits, candidate.size() / 2 + 1)) {
            best_edits = count;
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

}  // namespace

void ValueReader::problem(Position position, std::string message, std::string hint)
{
    problems_.push_back({{}, position, std::move(message), std::move(hint)});
}

void ValueReader::wrong(const Node &node, const std::string &path, const std::string &expected,
                        const std::string &suggested)
{
    unread(path);
    if (node.kind != Node::Kind::kRefused) {
        problem(node.position, path + ": found " + found(node),
                suggested + "expected " + expected);
    }
}

void ValueReader::unknown_key(const Node::Key &key, std::string_view what,
                              std::span<const Key> keys,
                              std::span<const Unsupported> unsupported)
{
    const auto known = std::ranges::find(unsupported, key.text, &Unsupported::name);
    if (known != unsupported.end()) {
        problem(key.position, quoted(key.text) + " " + std::string(known->why),
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

void ValueReader::read_map(const Node &node, const std::string &path, std::string_view what,
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

void ValueReader::read_list(
    const Node &node, const std::string &path, const std::string &expected,
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

void ValueReader::read_text(const Node &node, const std::string &path,
                            const std::string &expected, std::string &into)
{
    if (node.kind != Node::Kind::kScalar) {
        wrong(node, path, expected);
        return;
    }
    into = node.text;
}

void ValueReader::read_number(const Node &node, const std::string &path,
                              const std::string &expected, uint32_t &into)
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

std::optional<size_t> ValueReader::choose(const Node &node, const std::string &path,
                                          std::span<const std::string_view> supported,
                                          std::span<const std::string_view> unsupported)
{
    const std::string expected = "one of: " + joined(supported);
    if (node.kind != Node::Kind::kScalar) {
        wrong(node, path, expected);
        return std::nullopt;
    }
    const auto chosen = std::ranges::find(supported, node.text);
    if (chosen != supported.end()) {
        return static_cast<size_t>(chosen - supported.begin());
    }
    if (std::ranges::find(unsupported, node.text) != unsupported.end()) {
        unread(path);
        problem(node.position, path + ": " + quoted(node.text) + " is not yet supported",
                "expected " + expected);
    } else {
        wrong(node, path, expected, suggestion(node.text, supported));
    }
    return std::nullopt;
}

void ValueReader::read_address(const Node &node, const std::string &path,
                               model::IpAddress &into)
{
    const auto address = model::IpAddress::parse(node.text);
    if (node.kind != Node::Kind::kScalar || !address) {
        wrong(node, path, "an IPv4 or IPv6 address, such as 10.2.0.2 or 2001:db8::2");
        return;
    }
    into = *address;
}

void ValueReader::read_tunnel_source(const Node &node, const std::string &path,
                                     std::optional<model::Prefix> &into,
                                     std::string_view expected)
{
    const auto prefix = model::Prefix::parse(node.text);
    if (node.kind != Node::Kind::kScalar || !prefix) {
        wrong(node, path, std::string(expected));
        return;
    }
    into = *prefix;
}

void ValueReader::read_duration(const Node &node, const std::string &path,
                                model::Milliseconds &into)
{
    const auto duration = model::parse_duration(node.text);
    if (node.kind != Node::Kind::kScalar || !duration) {
        wrong(node, path,
              "a duration: a whole number and ms, s, m, h or d, such as 250ms or 2s");
        return;
    }
    into = *duration;
}

void ValueReader::read_yes_no(const Node &node, const std::string &path, bool &into)
{
    static constexpr std::string_view kChoices[] = {"false", "true"};
    if (const auto chosen = choose(node, path, kChoices, {})) {
        into = *chosen == 1;
    }
}

void ValueReader::read_hash_key(const Node &node, const std::string &path, model::HashKey &into)
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
            problem(node.position, path + ": not a key",
                    "expected 64 hexadecimal digits, such as from: openssl rand -hex 32");
        }
        return;
    }
    into = key;
}

void ValueReader::read_listen(const Node &node, const std::string &path, model::Service &into)
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
        wrong(node, path, example);
        return;
    }
    rest.remove_prefix(6);
    const size_t colon = rest.rfind(':');
    const size_t bracket = rest.rfind(']');
    if (colon == std::string_view::npos ||
        (bracket != std::string_view::npos && colon < bracket)) {
        wrong(node, path, "a port at the end of " + example);
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
        wrong(node, path, "an IPv4 address, or an IPv6 address in brackets, in " + example);
        return;
    }
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), port);
    if (error != std::errc() || end != digits.end() || digits.front() == '0') {
        wrong(node, path, "a port from 1 to 65535 in " + example);
        return;
    }
    into.address = *address;
    into.port = port;
}

}  // namespace guideway::config
