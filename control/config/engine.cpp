// Reads how the DPDK engine is to be run.
#include <algorithm>
#include <charconv>

#include "control/config/values.hpp"
#include "control/model/engine.hpp"

namespace guideway::config {

void ValueReader::read_memory(const Node &node, const std::string &path, uint32_t &into_mib)
{
    std::string_view text = node.text;
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_number = error == std::errc() && !text.starts_with('0');
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    constexpr uint32_t kMibOfGib = 1024;
    const bool is_gib = text == "GiB";
    if (node.kind != Node::Kind::kScalar || !is_number || (!is_gib && text != "MiB") ||
        (is_gib && value > UINT32_MAX / kMibOfGib)) {
        wrong(node, path, "a whole number and MiB or GiB, such as 64MiB");
        return;
    }
    into_mib = is_gib ? value * kMibOfGib : value;
}

void ValueReader::read_engine_port(const Node &node, const std::string &path,
                                   model::EnginePort &into)
{
    const Key keys[] = {
        {"interface", true,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "the name of an interface", into.interface);
         }},
        {"device", false,
         [&](const Node &value, const std::string &at) {
             read_text(value, at, "DPDK's device arguments, such as net_af_packet",
                       into.device);
         }},
    };
    read_map(node, path, "a port", keys, {});
}

void ValueReader::read_dpdk(const Node &node, const std::string &path, model::Dpdk &into)
{
    const auto number = [&](uint32_t &value_into) {
        return [this, &value_into](const Node &value, const std::string &at) {
            read_number(value, at, "a number", value_into);
        };
    };
    const auto choice = [&]<typename Choice>(std::span<const std::string_view> names,
                                             Choice &value_into) {
        return [this, names, &value_into](const Node &value, const std::string &at) {
            if (const auto chosen = choose(value, at, names, {})) {
                value_into = static_cast<Choice>(*chosen);
            }
        };
    };
    const Key keys[] = {
        {"workers", false, number(into.workers)},
        {"cores", false,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of CPUs' numbers, such as [2, 3]",
                       [&](const Node &item, const std::string &item_path) {
                           read_number(item, item_path, "a CPU's number",
                                       into.cores.emplace_back());
                       });
         }},
        {"queues", false,
         [&](const Node &value, const std::string &at) {
             read_number(value, at, "a number", into.queues);
             if (value.kind == Node::Kind::kScalar && value.text == "0") {
                 wrong(value, at, "a number from 1 to that of the workers");
             }
         }},
        {"memory", false,
         [&](const Node &value, const std::string &at) {
             read_memory(value, at, into.memory_mib);
         }},
        {"hugepages", false, choice(model::kHugepagesNames, into.hugepages)},
        {"idle", false, choice(model::kIdleNames, into.idle)},
        {"start", false, choice(model::kEngineStartNames, into.start)},
        {"ports", false,
         [&](const Node &value, const std::string &at) {
             read_list(value, at, "a list of ports",
                       [&](const Node &item, const std::string &item_path) {
                           read_engine_port(item, item_path, into.ports.emplace_back());
                       });
         }},
    };
    read_map(node, path, "dpdk", keys, {});
    if (unread_.contains(child(path, "workers"))) {
        // How many may be given is not known.
        unread(child(path, "queues"));
        unread(child(path, "cores"));
    }
}

}  // namespace guideway::config
