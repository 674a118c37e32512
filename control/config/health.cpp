// Reads the health checks of a pool.
#include <algorithm>
#include <charconv>

#include "control/config/values.hpp"

namespace guideway::config {

namespace {

// A whole text of digits, without leading zeros.
std::optional<uint32_t> number(std::string_view text)
{
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    const bool leading_zero = text.size() > 1 && text.front() == '0';
    return error == std::errc() && end == text.end() && !leading_zero ? std::optional(value)
                                                                      : std::nullopt;
}

}  // namespace

void ValueReader::read_status(const Node &node, const std::string &path,
                              model::StatusRange &into)
{
    const std::string_view text = node.text;
    const size_t dash = text.find('-');
    const auto from = number(text.substr(0, dash));
    const auto to = dash == std::string_view::npos ? from : number(text.substr(dash + 1));
    if (node.kind != Node::Kind::kScalar || !from || !to) {
        wrong(node, path, "a status or a range of them, such as 204 or 200-299");
        return;
    }
    into = {*from, *to};
}

void ValueReader::read_passive(const Node &node, const std::string &path,
                               model::PassiveHealth &into)
{
    const Key keys[] = {
        {"syn_repeats", false,
         [&](const Node &value, const std::string &at) {
             read_number(value, at, "a number, the percentage of SYNs that are repeated",
                         into.syn_repeats_percent);
         }},
        {"at_least", false,
         [&](const Node &value, const std::string &at) {
             read_number(value, at, "a number of SYNs", into.at_least);
         }},
        {"window", false,
         [&](const Node &value, const std::string &at) {
             read_duration(value, at, into.window);
         }},
    };
    read_map(node, path, "passive", keys, {});
}

void ValueReader::read_health(const Node &node, const std::string &path, model::Health &into)
{
    static constexpr std::string_view kTypes[] = {"none", "tcp", "http", "https"};
    static constexpr std::string_view kTypesLater[] = {"grpc", "udp"};
    static constexpr std::string_view kThrough[] = {"tunnel", "direct"};
    const auto text = [&](const char *expected, std::string &member) {
        return [this, expected, &member](const Node &value, const std::string &at) {
            read_text(value, at, expected, member);
        };
    };
    const auto count = [&](const char *expected, uint32_t &member) {
        return [this, expected, &member](const Node &value, const std::string &at) {
            read_number(value, at, expected, member);
        };
    };
    const auto duration = [&](model::Milliseconds &member) {
        return [this, &member](const Node &value, const std::string &at) {
            read_duration(value, at, member);
        };
    };
    const Key keys[] = {
        {"type", true,
         [&](const Node &value, const std::string &at) {
             if (const auto chosen = choose(value, at, kTypes, kTypesLater)) {
                 into.type = static_cast<model::HealthType>(*chosen);
             }
         }},
        {"service", false, text("the name of a service that uses the pool", into.service)},
        {"port", false,
         [&](const Node &value, const std::string &at) {
             const auto port = number(value.text);
             if (value.kind != Node::Kind::kScalar || value.is_quoted || !port || *port == 0 ||
                 *port > 65535) {
                 wrong(value, at, "a port from 1 to 65535");
                 return;
             }
             into.port = static_cast<uint16_t>(*port);
         }},
        {"path", false, text("a path, such as /healthz", into.path)},
        {"host", false, text("a host, such as api.example.net", into.host)},
        {"sni", false, text("a DNS name, such as api.example.net", into.sni)},
        {"verify", false,
         [&](const Node &value, const std::string &at) {
             read_yes_no(value, at, into.verify);
         }},
        {"ca", false, text("the absolute path of a file of certificates", into.ca_file)},
        {"expect_status", false,
         [&](const Node &value, const std::string &at) {
             into.expect_status.clear();
             read_list(value, at, "a list of statuses or ranges, such as [200, 300-399]",
                       [&](const Node &item, const std::string &item_path) {
                           read_status(item, item_path, into.expect_status.emplace_back());
                       });
         }},
        {"body", false, text("a text that must occur in the answer", into.body)},
        {"interval", false, duration(into.interval)},
        {"timeout", false, duration(into.timeout)},
        {"rise", false, count("a number of probes", into.rise)},
        {"fall", false, count("a number of probes", into.fall)},
        {"jitter", false,
         count("a number, the percentage of the interval", into.jitter_percent)},
        {"recheck", false, duration(into.recheck)},
        {"slow_start", false, duration(into.slow_start)},
        {"panic_threshold", false,
         count("a number, the percentage of the pool's weight", into.panic_threshold_percent)},
        {"through", false,
         [&](const Node &value, const std::string &at) {
             const auto chosen = choose(value, at, kThrough, {});
             into.through =
                 chosen == 1 ? model::ProbeThrough::kDirect : model::ProbeThrough::kTunnel;
         }},
        {"passive", false,
         [&](const Node &value, const std::string &at) {
             read_passive(value, at, into.passive.emplace());
         }},
    };
    read_map(node, path, "health", keys, {});
    if (unread_.contains(child(path, "type"))) {
        into = {};  // which of the other keys have a meaning is not known
        unread(path);
        return;
    }
    if (unread_.contains(child(path, "interval"))) {
        unread(child(path, "timeout"));  // which of them are too long is not known
        unread(child(path, "recheck"));
    }
    const auto is_given = [&](std::string_view key) {
        return std::ranges::find(node.keys, key, &Node::Key::text) != node.keys.end();
    };
    if (!is_given("timeout")) {
        into.timeout = model::default_timeout(into.interval);
    }
    if (!is_given("recheck")) {
        into.recheck = model::default_recheck(into.interval);
    }
}

}  // namespace guideway::config
