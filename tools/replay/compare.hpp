// Two results of one capture beside each other: which flows go elsewhere, and why.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "tools/replay/flows.hpp"

namespace guideway::cli {

// In what two results of a flow differ. `kind` groups flows, `why` is the sentence of one.
struct Difference {
    std::string kind;
    std::string why;
    bool is_elsewhere = true;  // or the same place with other bytes or other packets refused
};

// Nothing when both are the same. Without configurations (null: of another build) the reason can
// only be the build.
[[nodiscard]] std::optional<Difference> difference(const FlowResult &a, const FlowResult &b,
                                                   const model::Desired *before,
                                                   const model::Desired *after);

class Comparison {
  public:
    // Lists at most so many flows.
    Comparison(uint32_t list_max, const model::Desired *before, const model::Desired *after)
        : list_max_(list_max), before_(before), after_(after)
    {
    }

    // Both results of one flow.
    void add(const FlowResult &a, const FlowResult &b);
    // Of results that come in two lists, each in its order.
    void add_first(FlowResult a);
    void add_second(FlowResult b);
    // What only one list had was for no service in the other.
    void finish();

    [[nodiscard]] nlohmann::json to_json() const;

  private:
    struct Kind {
        uint64_t flows = 0;
        uint64_t packets = 0;
        bool is_elsewhere = true;
    };

    uint32_t list_max_;
    const model::Desired *before_;
    const model::Desired *after_;
    uint64_t flows_ = 0;
    uint64_t differ_ = 0;
    uint64_t elsewhere_ = 0;
    std::map<std::string, Kind> kinds_;
    nlohmann::json list_ = nlohmann::json::array();
    std::unordered_map<std::string, FlowResult> first_;
    std::unordered_map<std::string, FlowResult> second_;
};

[[nodiscard]] std::string comparison_view(const nlohmann::json &report, bool colours);

}  // namespace guideway::cli
