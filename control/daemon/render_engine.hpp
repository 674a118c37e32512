// The DPDK engine in the API's answers; docs/api.md describes the shapes.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "control/model/desired.hpp"
#include "dataplane/dpdk/engine_page.hpp"

namespace guideway::daemon {

// Of status: the process, its memory and its workers. `shares` as Engine::busy_shares().
[[nodiscard]] nlohmann::json render_engine(const std::optional<dpdk::EnginePage> &page,
                                           const model::Dpdk &dpdk,
                                           const std::vector<double> &shares);
// Of status: the configured interfaces as the engine's ports.
[[nodiscard]] nlohmann::json render_ports(const std::optional<dpdk::EnginePage> &page,
                                          const model::Desired &desired);
// Of counters: a row for each port and counter.
[[nodiscard]] nlohmann::json render_port_counters(const std::optional<dpdk::EnginePage> &page);

}  // namespace guideway::daemon
