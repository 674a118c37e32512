#include "tests/packets/pins.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

constexpr std::array<std::pair<std::string_view, gw_slot_state>, 3> kStates = {
    {{"moving:", GW_SLOT_MOVING},
     {"pinned:", GW_SLOT_PINNED},
     {"every-flow:", GW_SLOT_EVERY_FLOW}}};

template <typename... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};

Result<uint32_t> owner_index(const World &world, const std::string &name, uint32_t none)
{
    if (name == "none") {
        return none;
    }
    if (const auto index = world.backend_index(name)) {
        return *index;
    }
    return fail("no backend '" + name + "'");
}

// One word of a pin's description; false when it is none.
bool parse_pin_word(Words &words, Pin &pin, uint32_t &count)
{
    if (words.accept("confirmed")) {
        pin.confirmed = true;
    } else if (words.accept("closing")) {
        pin.closing = true;
    } else if (words.accept("age")) {
        pin.age_ticks = static_cast<uint32_t>(words.number("the age", GW_PIN_TICKS_MASK));
    } else if (words.accept("times")) {
        count = static_cast<uint32_t>(words.number("how many", 4096));
    } else {
        return false;
    }
    return true;
}

Result<void> change_slot(const Tables &tables, const World &world, const SlotChange &change)
{
    const auto service = world.service_index(change.service);
    if (!service) {
        return fail("no service '" + change.service + "'");
    }
    const auto &entry = tables.services()[*service];
    if (change.slot >= entry.ring_size) {
        return fail("service " + change.service + " has no slot " +
                    std::to_string(change.slot));
    }
    const auto slot = slot_from_text(world, change.becomes);
    if (!slot) {
        return std::unexpected(slot.error());
    }
    tables.ring_slots()[entry.ring_offset + change.slot] = *slot;
    return {};
}

Result<void> change_life(const Tables &tables, const World &world, const LifeChange &change)
{
    const auto backend = world.backend_index(change.backend);
    if (!backend) {
        return fail("no backend '" + change.backend + "'");
    }
    uint32_t &state = tables.backends()[*backend].state;
    state = change.is_dead ? state | GW_BACKEND_DEAD : state & ~uint32_t{GW_BACKEND_DEAD};
    return {};
}

bool is_empty(const gw_pin &pin)
{
    return (pin.first & ~GW_PIN_OVERFLOW) == 0;
}

// The next empty way of the bucket, or of all buckets.
gw_pin *empty_way(const Tables &tables, std::optional<uint32_t> bucket)
{
    const auto buckets = tables.pin_buckets();
    for (size_t i = 0; i < buckets.size(); i++) {
        const auto found = std::ranges::find_if(buckets[i].way, is_empty);
        if (bucket.value_or(i) == i && found != std::end(buckets[i].way)) {
            return found;
        }
    }
    return nullptr;
}

}  // namespace

std::optional<Change> parse_change(const std::string &keyword, Words &words)
{
    if (keyword == "age") {
        return Ageing{static_cast<uint32_t>(words.number("the ticks", GW_PIN_TICKS_MASK))};
    }
    if (keyword == "slot") {
        SlotChange change;
        change.service = words.next("the service");
        change.slot = static_cast<uint32_t>(words.number("the slot's number", UINT32_MAX));
        change.becomes = words.next("the slot");
        return change;
    }
    if (keyword == "dead" || keyword == "alive") {
        return LifeChange{words.next("the backend"), keyword == "dead"};
    }
    if (keyword == "pin") {
        return parse_foreign_pins(words);
    }
    if (keyword == "overflow-cleared") {
        return OverflowCleared{};
    }
    return std::nullopt;
}

ForeignPins parse_foreign_pins(Words &words)
{
    ForeignPins pins;
    pins.pin.backend = words.next("the pin's backend");
    while (!words.done()) {
        if (words.accept("bucket")) {
            pins.bucket = static_cast<uint32_t>(words.number("the bucket", UINT32_MAX));
        } else if (!parse_pin_word(words, pins.pin, pins.count)) {
            break;
        }
    }
    return pins;
}

std::vector<Pin> parse_pins(Words &words)
{
    std::vector<Pin> pins;
    if (words.accept("none")) {
        return pins;
    }
    while (!words.done()) {
        Words one = words.layer();
        Pin pin;
        uint32_t count = 1;
        pin.backend = one.next("a pin's backend");
        while (!one.done() && parse_pin_word(one, pin, count)) {
        }
        if (!one.done()) {
            one.fail("does not know '" + std::string(one.peek()) + "' of a pin");
        }
        if (one.error()) {
            words.fail(*one.error());
        }
        pins.insert(pins.end(), count, pin);
    }
    std::ranges::sort(pins);
    return pins;
}

Result<gw_slot> slot_from_text(const World &world, const std::string &text)
{
    auto state = GW_SLOT_STABLE;
    std::string owner_name = text;
    std::string previous_name = "none";
    for (const auto &[prefix, meant] : kStates) {
        if (text.starts_with(prefix)) {
            state = meant;
            owner_name = text.substr(prefix.size());
        }
    }
    if (const auto arrow = owner_name.find("<-"); arrow != std::string::npos) {
        previous_name = owner_name.substr(arrow + 2);
        owner_name.erase(arrow);
    }
    const auto owner = owner_index(world, owner_name, GW_OWNER_NONE);
    const auto previous = owner_index(world, previous_name, GW_PREVIOUS_NONE);
    if (!owner || !previous) {
        return fail("slot '" + text + "': " + (owner ? previous : owner).error().message);
    }
    return gw_slot_make(*owner, state, *previous);
}

Result<void> place_pins(const Tables &tables, const World &world, const ForeignPins &pins,
                        uint32_t now)
{
    const auto backend = world.backend_index(pins.pin.backend);
    if (!backend) {
        return fail("a pin to no backend: '" + pins.pin.backend + "'");
    }
    const auto *first_way = reinterpret_cast<const gw_pin *>(tables.pin_buckets().data());
    for (uint32_t i = 0; i < pins.count; i++) {
        gw_pin *way = empty_way(tables, pins.bucket);
        if (way == nullptr) {
            return fail("no room for a pin to " + pins.pin.backend);
        }
        const auto place = static_cast<uint64_t>(way - first_way);
        const uint64_t fingerprint =
            (place + 1) * 0x9e3779b97f4a7c15ULL >> GW_PIN_FINGERPRINT_SHIFT;
        way->first = (way->first & GW_PIN_OVERFLOW) | fingerprint << GW_PIN_FINGERPRINT_SHIFT |
                     (pins.pin.confirmed ? GW_PIN_CONFIRMED : 0) | *backend;
        way->second = uint64_t{now - pins.pin.age_ticks} << GW_PIN_SEEN_SHIFT |
                      (pins.pin.closing ? GW_PIN_CLOSING : 0);
    }
    return {};
}

Result<void> apply_change(const Tables &tables, const World &world, const Change &change,
                          uint32_t now)
{
    return std::visit(
        Overloaded{
            [&](const SlotChange &slot) { return change_slot(tables, world, slot); },
            [&](const LifeChange &life) { return change_life(tables, world, life); },
            [&](const ForeignPins &pins) { return place_pins(tables, world, pins, now); },
            [&](const Ageing &age) -> Result<void> {
                shift_times(tables, -int64_t{age.ticks});
                return {};
            },
            [&](const OverflowCleared &) -> Result<void> {
                for (auto &bucket : tables.pin_buckets()) {
                    bucket.way[0].first &= ~GW_PIN_OVERFLOW;
                }
                return {};
            }},
        change);
}

std::vector<Pin> read_pins(const Tables &tables, const World &world, uint32_t now)
{
    std::vector<Pin> pins;
    for (const auto &bucket : tables.pin_buckets()) {
        for (const auto &way : bucket.way) {
            if (is_empty(way)) {
                continue;
            }
            const auto backend = static_cast<size_t>(way.first & GW_OWNER_MASK);
            Pin pin{
                .backend = backend < world.backends.size() ? world.backends[backend].name
                                                           : std::to_string(backend),
                .confirmed = (way.first & GW_PIN_CONFIRMED) != 0,
                .closing = (way.second & GW_PIN_CLOSING) != 0,
                .age_ticks = (now - static_cast<uint32_t>(way.second >> GW_PIN_SEEN_SHIFT)) &
                             GW_PIN_TICKS_MASK};
            if ((way.first & GW_PIN_CLAIMED) != 0) {
                pin.backend += " (claimed)";  // which no packet may leave behind
            }
            pins.push_back(std::move(pin));
        }
    }
    std::ranges::sort(pins);
    return pins;
}

void shift_times(const Tables &tables, int64_t ticks, Shifted of)
{
    if (ticks == 0) {
        return;
    }
    const auto by = static_cast<uint64_t>(ticks);
    for (auto &bucket : tables.pin_buckets()) {
        for (auto &way : bucket.way) {
            if (!is_empty(way)) {
                way.second += by << GW_PIN_SEEN_SHIFT;
            }
        }
    }
    for (uint32_t cpu = 0; cpu < tables.capacity().cpus_max; cpu++) {
        for (uint32_t &cell : tables.counters_area(cpu).syn_seen) {
            if (cell != 0) {
                cell += static_cast<uint32_t>(by) << 20;
            }
        }
    }
    shift_limited(tables, ticks);
    if (of == Shifted::kAll) {
        shift_states(tables, ticks);
    }
}

}  // namespace guideway::packets
