// A configuration in force in an engine, without a kernel: every backend is healthy, and its next
// hop is made up.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/plane/plane.hpp"
#include "dataplane/replay/engine.hpp"
#include "tools/guideway/client.hpp"

namespace guideway::cli {

enum class EngineKind : uint8_t { kNative, kXdp, kDpdk };
[[nodiscard]] std::optional<EngineKind> engine_kind(const std::string &name);

// What the world outside is made of.
struct Surroundings {
    EngineKind engine = EngineKind::kNative;
    uint32_t mtu_bytes = 1500;  // of every next hop
};

class World {
  public:
    // `text` is the content of the configuration `file`.
    [[nodiscard]] static Outcome<std::unique_ptr<World>> make(const std::string &file,
                                                              const std::string &text,
                                                              const Surroundings &around);

    [[nodiscard]] replay::Engine &engine() { return *engine_; }
    [[nodiscard]] const std::string &file() const { return document_.file; }
    [[nodiscard]] const model::Desired &desired() const { return document_.desired; }
    [[nodiscard]] const plane::Plane &plane() const { return *plane_; }
    [[nodiscard]] const Tables &tables() const { return engine_->tables(); }
    // Null where there is none of this index.
    [[nodiscard]] const plane::ServiceView *service(uint32_t index) const;
    [[nodiscard]] const plane::BackendView *backend(uint32_t index) const;
    [[nodiscard]] const std::vector<plane::ServiceView> &services() const { return services_; }

  private:
    World(config::Document document, std::unique_ptr<replay::Engine> engine);

    config::Document document_;
    std::unique_ptr<replay::Engine> engine_;
    std::optional<plane::Plane> plane_;
    std::vector<plane::ServiceView> services_;
    std::vector<const plane::ServiceView *> services_by_index_;
    std::vector<const plane::BackendView *> backends_by_index_;
};

// "tcp://203.0.113.10:443"
[[nodiscard]] std::string listen_text(const model::Service &service);

}  // namespace guideway::cli
