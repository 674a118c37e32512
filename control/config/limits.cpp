// Reads the limits of sources and the admission of connections.
#include <algorithm>
#include <charconv>

#include "control/config/values.hpp"
#include "control/model/limit.hpp"

namespace guideway::config {

namespace {

// Bits of an address of `family`, without leading zeros.
std::optional<uint8_t> address_bits(std::string_view text, model::Family family)
{
    uint8_t bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    const int most = family == model::Family::kIpv6 ? 128 : 32;
    return error == std::errc() && end == text.data() + text.size() && bits <= most &&
                   !text.starts_with('0')
               ? std::optional(bits)
               : std::nullopt;
}

std::string bits_rule(model::Family family)
{
    return family == model::Family::kIpv6 ? "1 to 128 bits of an IPv6 address"
                                          : "1 to 32 bits of an IPv4 address";
}

uint8_t &bits_of(model::SourceBits &bits, model::Family family)
{
    return family == model::Family::kIpv6 ? bits.ipv6 : bits.ipv4;
}

bool has_key(const Node &node, std::string_view key)
{
    return std::ranges::find(node.keys, key, &Node::Key::text) != node.keys.end();
}

}  // namespace

void ValueReader::read_bits(const Node &node, const std::string &path, model::Family family,
                            model::SourceBits &into)
{
    const auto bits = address_bits(node.text, family);
    if (node.kind != Node::Kind::kScalar || node.is_quoted || !bits) {
        wrong(
            node, path,
            bits_rule(family) + ", such as " + (family == model::Family::kIpv6 ? "56" : "24"));
        return;
    }
    bits_of(into, family) = *bits;
}

void ValueReader::read_source_bits(const Node &node, const std::string &path,
                                   std::optional<model::Family> family, model::SourceBits &into)
{
    if (node.kind == Node::Kind::kMap && !node.keys.empty()) {
        const Key keys[] = {
            {"ipv4", false,
             [&](const Node &value, const std::string &at) {
                 read_bits(value, at, model::Family::kIpv4, into);
             }},
            {"ipv6", false,
             [&](const Node &value, const std::string &at) {
                 read_bits(value, at, model::Family::kIpv6, into);
             }},
        };
        read_map(node, path, "per", keys, {});
        return;
    }
    constexpr std::string_view kSource = "source";
    const auto counted = family.value_or(model::Family::kIpv4);
    if (node.kind == Node::Kind::kScalar && node.text == kSource) {
        return;
    }
    if (node.kind == Node::Kind::kScalar && node.text.starts_with("source/")) {
        if (const auto bits =
                address_bits(std::string_view(node.text).substr(kSource.size() + 1), counted)) {
            bits_of(into, counted) = *bits;
            return;
        }
    }
    wrong(node, path,
          "source, source/BITS with " + bits_rule(counted) + ", or {ipv4: 24, ipv6: 56}");
}

void ValueReader::read_rate(const Node &node, const std::string &path, model::LimitOf of,
                            model::Rate &into)
{
    const auto rate = model::parse_rate(of, node.text);
    if (node.kind != Node::Kind::kScalar || !rate) {
        wrong(node, path,
              of == model::LimitOf::kBytes
                  ? "a rate of bytes: a whole number, perhaps k, M or G, bit or B, and /s, /m, "
                    "/h or "
                    "/d, such as 1Gbit/s or 10MB/s"
                  : "a rate: a whole number, perhaps k, M or G, and /s, /m, /h or /d, such as "
                    "100/m or 50k/s");
        return;
    }
    into = *rate;
}

void ValueReader::read_burst(const Node &node, const std::string &path, model::LimitOf of,
                             uint64_t &into)
{
    const auto burst = model::parse_burst(of, node.text);
    if (node.kind != Node::Kind::kScalar || !burst) {
        wrong(node, path,
              of == model::LimitOf::kBytes
                  ? "a size: a whole number, perhaps k, M or G, and B, such as 64kB or 10MB"
                  : "a whole number, perhaps k, M or G, such as 20 or 100k");
        return;
    }
    into = *burst;
}

void ValueReader::read_limit(const Node &node, const std::string &path,
                             std::optional<model::Family> family, model::Limit &into)
{
    std::optional<size_t> of;
    const Node *rate = nullptr;
    const Node *burst = nullptr;
    const Key keys[] = {
        {"name", false,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "a name", into.name);
         }},
        {"per", true,
         [&](const Node &value, const std::string &at) {
             read_source_bits(value, at, family, into.per);
         }},
        {"of", true,
         [&](const Node &value, const std::string &at) {
             of = choose(value, at, model::kLimitOfNames, {});
         }},
        {"rate", true, [&](const Node &value, const std::string & /*at*/) { rate = &value; }},
        {"burst", false,
         [&](const Node &value, const std::string & /*at*/) { burst = &value; }},
        {"mode", false,
         [&](const Node &value, const std::string &at) {
             const auto chosen = choose(value, at, model::kLimitModeNames, {});
             into.mode = static_cast<model::LimitMode>(chosen.value_or(0));
         }},
    };
    read_map(node, path, "a limit", keys, {});
    if (!of) {
        unread(path);  // what the other keys mean is not known
        return;
    }
    into.of = static_cast<model::LimitOf>(*of);
    const std::string rate_path = child(path, "rate");
    if (rate != nullptr) {
        read_rate(*rate, rate_path, into.of, into.rate);
    }
    if (burst != nullptr) {
        read_burst(*burst, child(path, "burst"), into.of, into.burst);
    } else if (!unread_.contains(rate_path) && into.rate.amount != 0) {
        into.burst = model::default_burst(into.of, into.rate);
    }
    if (!has_key(node, "name")) {
        into.name = model::default_limit_name(into.of, into.per, family);
    }
}

void ValueReader::read_limits(const Node &node, const std::string &path,
                              std::optional<model::Family> family,
                              std::vector<model::Limit> &into)
{
    read_list(node, path, "a list of limits",
              [&](const Node &item, const std::string &item_path) {
                  read_limit(item, item_path, family, into.emplace_back());
              });
}

void ValueReader::read_admission(const Node &node, const std::string &path,
                                 model::Admission &into)
{
    constexpr auto kOf = model::LimitOf::kNewConnections;
    const auto rate = [&](std::optional<model::Rate> &member) {
        return [this, &member](const Node &value, const std::string &at) {
            read_rate(value, at, kOf, member.emplace());
        };
    };
    const Key keys[] = {
        {"new_connections", false, rate(into.new_connections)},
        {"per_backend", false, rate(into.per_backend)},
        {"burst", false,
         [&](const Node &value, const std::string &at) {
             read_burst(value, at, kOf, into.burst.emplace());
         }},
    };
    read_map(node, path, "admission", keys, {});
}

}  // namespace guideway::config
