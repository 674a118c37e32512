#include "tools/replay/world.hpp"

#include <fmt/format.h>

#include <chrono>

#include "control/plane/settings.hpp"
#include "dataplane/dpdk/replay_engine.hpp"
#include "dataplane/replay/frames.hpp"
#include "tools/guideway/problems.hpp"
#include "xdp/replay_engine.hpp"

namespace guideway::cli {
namespace {

constexpr model::Mac kOurMac = {2, 0, 0, 0, 0, 1};
constexpr model::Mac kNextHopMac = {2, 0, 0, 0, 0, 3};
// Fixed, so that the same capture gives the same result on every host; both clocks are as exact as
// the capture's times.
constexpr uint32_t kTickNs = 1'000'000;

Failure failed(std::string message)
{
    return {.exit = Exit::kFailed, .message = std::move(message), .body = {}};
}

// Nothing has moved before the capture: slots settle as they do on a host where connections that
// were there before have been learnt.
void settle(plane::Plane &plane, plane::Moment now)
{
    constexpr int kSweeps = 8;
    for (int i = 0; i < kSweeps && plane.has_sweeping_to_do(); i++) {
        now.time += std::chrono::seconds(2);
        (void)plane.sweep(SIZE_MAX, now);
    }
}

Result<std::unique_ptr<replay::Engine>> make_engine(EngineKind kind,
                                                    const gw_capacity &capacity,
                                                    const gw_hash_key &key)
{
    switch (kind) {
        case EngineKind::kNative:
            return replay::native_engine(capacity, key);
        case EngineKind::kXdp:
            return xdp::replay_engine(capacity, key);
        case EngineKind::kDpdk:
            return dpdk::replay_engine(capacity, key);
    }
    return fail("there is no such engine in this build");
}

}  // namespace

std::optional<EngineKind> engine_kind(const std::string &name)
{
    if (name == "native") {
        return EngineKind::kNative;
    }
    if (name == "xdp") {
        return EngineKind::kXdp;
    }
    if (name == "dpdk") {
        return EngineKind::kDpdk;
    }
    return std::nullopt;
}

World::World(config::Document document, std::unique_ptr<replay::Engine> engine)
    : document_(std::move(document)), engine_(std::move(engine))
{
}

Outcome<std::unique_ptr<World>> World::make(const std::string &file, const std::string &text,
                                            const Surroundings &around)
{
    auto document = config::parse(file, text);
    if (!document) {
        return std::unexpected(refused(file, document.error()));
    }
    const model::Desired &desired = document->desired;
    auto engine = make_engine(around.engine,
                              plane::table_capacity(desired.capacity, replay::kCounterAreas),
                              plane::table_key(desired.hash_key));
    if (!engine) {
        return std::unexpected(failed(std::move(engine.error().message)));
    }
    std::unique_ptr<World> world(new World(std::move(*document), std::move(*engine)));
    Tables &tables = world->engine_->tables();
    tables.header().tick_ns = kTickNs;
    tables.header().clock_ahead_ns = 0;
    tables.header().pin_times = plane::pin_times(world->desired().connections);
    const plane::Moment now = {
        .time = {},
        .pin_ticks = static_cast<uint32_t>(replay::kClockBegins >> GW_PIN_TICK_SHIFT)};
    world->plane_.emplace(
        tables, [] {},
        plane::SelectionTiming{.learning = world->desired().connections.learning_period}, now);
    const auto next_hop = [&](const model::IpAddress &address) -> Result<model::NextHop> {
        return model::NextHop{.egress_ifindex = replay::kInterface,
                              .interface = "replay",
                              .source = kOurMac,
                              .destination = kNextHopMac,
                              .tags = {},
                              .mtu_bytes = around.mtu_bytes,
                              .via = address};
    };
    if (auto applied = world->plane_->apply(world->desired(),
                                            {.next_hop = next_hop, .condition = {}}, now);
        !applied) {
        return std::unexpected(failed("cannot use " + file + ": " + applied.error().message));
    }
    settle(*world->plane_, now);
    tables.header().active_generation = 1;

    world->services_ = world->plane_->services();
    world->services_by_index_.resize(tables.services().size());
    for (const auto &service : world->services_) {
        world->services_by_index_[service.index] = &service;
    }
    world->backends_by_index_.resize(tables.backends().size());
    for (const auto &backend : world->plane_->backends()) {
        if (backend.index) {
            world->backends_by_index_[*backend.index] = &backend;
        }
    }
    return world;
}

const plane::ServiceView *World::service(uint32_t index) const
{
    return index < services_by_index_.size() ? services_by_index_[index] : nullptr;
}

const plane::BackendView *World::backend(uint32_t index) const
{
    return index < backends_by_index_.size() ? backends_by_index_[index] : nullptr;
}

std::string listen_text(const model::Service &service)
{
    const std::string address = service.address.to_string();
    return fmt::format("{}://{}:{}", service.protocol == model::Protocol::kTcp ? "tcp" : "udp",
                       service.address.is_ipv6() ? "[" + address + "]" : address, service.port);
}

}  // namespace guideway::cli
