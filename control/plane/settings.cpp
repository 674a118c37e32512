#include "control/plane/settings.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace guideway::plane {
namespace {

// How long an ended connection's pin stays (its last packets may be repeated), and one whose
// handshake did not end, where its place is needed.
constexpr auto kClosing = std::chrono::minutes(2);
constexpr auto kHandshake = std::chrono::seconds(3);

uint32_t to_pin_ticks(model::Milliseconds time)
{
    const auto nanoseconds = std::chrono::nanoseconds(time).count();
    // Rounded up, and one more: a pin may have been refreshed at the end of a tick.
    return static_cast<uint32_t>(nanoseconds >> GW_PIN_TICK_SHIFT) + 2;
}

}  // namespace

gw_hash_key table_key(const model::HashKey &key)
{
    gw_hash_key words{};
    static_assert(sizeof(words) == sizeof(key));
    std::memcpy(&words, key.data(), key.size());
    return words;
}

gw_capacity table_capacity(const model::Capacity &capacity, uint32_t cpus_max)
{
    return {.addresses_max = capacity.addresses,
            .services_max = capacity.services,
            .backends_max = capacity.backends,
            .ring_slots_max = capacity.ring_slots,
            .cpus_max = cpus_max,
            .pins_max = capacity.pins,
            .sources_max = capacity.sources,
            .prefixes_max = capacity.prefixes};
}

gw_pin_times pin_times(const model::Connections &connections)
{
    const model::Milliseconds idle = connections.idle_timeout;
    return {.idle_ticks = to_pin_ticks(idle),
            .closing_ticks = to_pin_ticks(std::min<model::Milliseconds>(idle, kClosing)),
            .handshake_ticks = to_pin_ticks(std::min<model::Milliseconds>(idle, kHandshake))};
}

}  // namespace guideway::plane
