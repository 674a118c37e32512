// Reading single values of a tree: each function takes a node and its path, and either sets
// what it is asked for or reports a problem, marks the path as unread, and sets nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/config.hpp"
#include "control/config/tree.hpp"

namespace guideway::config {

using ReadFunction = std::function<void(const Node &, const std::string &path)>;

// A key of a map: its name, whether it must be there, and what reads its value.
struct Key {
    std::string_view name;
    bool is_required = false;
    ReadFunction read;
};

// A key that is known and means nothing here, why, and what to do instead.
struct Unsupported {
    std::string_view name;
    std::string_view hint;
    std::string_view why = "is not yet supported";
};

class ValueReader {
  protected:
    void problem(Position position, std::string message, std::string hint);
    // Reports that `node` is not what is expected; `suggested` is what may have been meant.
    void wrong(const Node &node, const std::string &path, const std::string &expected,
               const std::string &suggested = {});
    void unread(const std::string &path) { unread_.insert(path); }

    // `what` is the map in an operator's words, such as "a service".
    void read_map(const Node &node, const std::string &path, std::string_view what,
                  std::span<const Key> keys, std::span<const Unsupported> unsupported);
    void read_list(const Node &node, const std::string &path, const std::string &expected,
                   const ReadFunction &read_item);
    void read_text(const Node &node, const std::string &path, const std::string &expected,
                   std::string &into);
    void read_number(const Node &node, const std::string &path, const std::string &expected,
                     uint32_t &into);
    // The position in `supported`.
    [[nodiscard]] std::optional<size_t> choose(const Node &node, const std::string &path,
                                               std::span<const std::string_view> supported,
                                               std::span<const std::string_view> unsupported);
    void read_address(const Node &node, const std::string &path, model::IpAddress &into);
    void read_tunnel_source(const Node &node, const std::string &path,
                            std::optional<model::Prefix> &into, std::string_view expected);
    void read_hash_key(const Node &node, const std::string &path, model::HashKey &into);
    void read_duration(const Node &node, const std::string &path, model::Milliseconds &into);
    void read_yes_no(const Node &node, const std::string &path, bool &into);
    void read_health(const Node &node, const std::string &path, model::Health &into);
    // Of one service, or of all (`family` none).
    void read_limits(const Node &node, const std::string &path,
                     std::optional<model::Family> family, std::vector<model::Limit> &into);
    void read_admission(const Node &node, const std::string &path, model::Admission &into);
    void read_listen(const Node &node, const std::string &path, model::Service &into);
    void read_dpdk(const Node &node, const std::string &path, model::Dpdk &into);

    static std::string child(const std::string &path, std::string_view key)
    {
        return path.empty() ? std::string(key) : path + "." + std::string(key);
    }

    std::vector<Problem> problems_;  // without their file
    std::set<std::string> unread_;   // paths

  private:
    void read_status(const Node &node, const std::string &path, model::StatusRange &into);
    void read_passive(const Node &node, const std::string &path, model::PassiveHealth &into);
    void read_limit(const Node &node, const std::string &path,
                    std::optional<model::Family> family, model::Limit &into);
    void read_source_bits(const Node &node, const std::string &path,
                          std::optional<model::Family> family, model::SourceBits &into);
    void read_bits(const Node &node, const std::string &path, model::Family family,
                   model::SourceBits &into);
    void read_rate(const Node &node, const std::string &path, model::LimitOf of,
                   model::Rate &into);
    void read_burst(const Node &node, const std::string &path, model::LimitOf of,
                    uint64_t &into);
    void read_memory(const Node &node, const std::string &path, uint32_t &into_mib);
    void read_engine_port(const Node &node, const std::string &path, model::EnginePort &into);
    void unknown_key(const Node::Key &key, std::string_view what, std::span<const Key> keys,
                     std::span<const Unsupported> unsupported);
};

}  // namespace guideway::config
