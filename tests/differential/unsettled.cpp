#include "tests/differential/unsettled.hpp"

#include <array>

namespace guideway::differential {

using packets::World;

namespace {

std::string any_owner(const World &world, Random &random)
{
    if (world.backends.empty() || below(random, 16) == 0) {
        return "none";
    }
    return world.backends[below(random, world.backends.size())].name;
}

std::string any_slot(const World &world, Random &random)
{
    // Moving twice: there most is decided.
    static constexpr std::array<const char *, 5> kStates = {
        "", "moving:", "moving:", "pinned:", "every-flow:"};
    return kStates[below(random, kStates.size())] + any_owner(world, random) + "<-" +
           any_owner(world, random);
}

packets::ForeignPins any_pin(const World &world, Random &random)
{
    packets::ForeignPins pins;
    pins.pin.backend = world.backends[below(random, world.backends.size())].name;
    pins.pin.confirmed = below(random, 2) == 0;
    pins.pin.closing = below(random, 4) == 0;
    pins.pin.age_ticks = static_cast<uint32_t>(below(random, 200));
    return pins;
}

}  // namespace

World unsettled_world(World world, Random &random)
{
    const auto buckets = uint32_t{1} << below(random, 3);
    world.pins_max = buckets * GW_PIN_WAYS;
    world.pin_times = {.idle_ticks = 100, .closing_ticks = 20, .handshake_ticks = 5};
    world.pins.clear();
    for (auto &service : world.services) {
        for (auto &slot : service.ring) {
            slot = any_slot(world, random);
        }
    }
    for (uint64_t i = 0; i < buckets * 2 && !world.backends.empty(); i++) {
        world.pins.push_back(any_pin(world, random));
    }
    return world;
}

std::vector<packets::Change> random_changes(const World &world, Random &random)
{
    std::vector<packets::Change> changes;
    if (below(random, 8) == 0) {
        const uint64_t ticks =
            below(random, 8) == 0 ? 90 + below(random, 20) : below(random, 7);
        changes.emplace_back(packets::Ageing{static_cast<uint32_t>(ticks)});
    }
    if (below(random, 32) == 0 && !world.services.empty()) {
        const auto &service = world.services[below(random, world.services.size())];
        if (!service.ring.empty()) {
            changes.emplace_back(packets::SlotChange{
                service.name, static_cast<uint32_t>(below(random, service.ring.size())),
                any_slot(world, random)});
        }
    }
    if (below(random, 32) == 0 && !world.backends.empty()) {
        const auto &backend = world.backends[below(random, world.backends.size())];
        changes.emplace_back(packets::LifeChange{backend.name, below(random, 3) == 0});
    }
    if (below(random, 512) == 0) {
        changes.emplace_back(packets::OverflowCleared{});
    }
    return changes;
}

}  // namespace guideway::differential
