// What a case says of slots that move, of pins, and of time.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/tables/tables.hpp"
#include "tests/packets/words.hpp"

namespace guideway::packets {

struct World;

// A pin as a case sees it: where it lies in the table, and whose it is, are not said.
struct Pin {
    std::string backend;
    bool confirmed = false;
    bool closing = false;
    uint32_t age_ticks = 0;

    auto operator<=>(const Pin &) const = default;
};

// As many pins of other flows than any that a packet can have.
struct ForeignPins {
    Pin pin;
    uint32_t count = 1;
    std::optional<uint32_t> bucket;  // or wherever there is room
};

// What is changed between two packets, as the control plane or time would.
struct SlotChange {
    std::string service;
    uint32_t slot = 0;  // of the service's ring
    std::string becomes;
};
struct LifeChange {
    std::string backend;
    bool is_dead = false;
};
struct Ageing {
    uint32_t ticks = 0;
};
struct OverflowCleared {};
using Change = std::variant<SlotChange, LifeChange, Ageing, ForeignPins, OverflowCleared>;

// Parses the statement `keyword`, if it is a change; the keyword has been read.
[[nodiscard]] std::optional<Change> parse_change(const std::string &keyword, Words &words);
// "pin BACKEND [confirmed] [closing] [age N] [times N] [bucket N]", without its keyword.
[[nodiscard]] ForeignPins parse_foreign_pins(Words &words);
// "none", or "BACKEND [confirmed] [closing] [age N] [times N]", separated by " / ".
[[nodiscard]] std::vector<Pin> parse_pins(Words &words);

// A slot's word for "OWNER", "moving:OWNER<-PREVIOUS", "pinned:OWNER" or "every-flow:OWNER".
[[nodiscard]] Result<gw_slot> slot_from_text(const World &world, const std::string &text);

// `now` is the pins' clock.
[[nodiscard]] Result<void> place_pins(const Tables &tables, const World &world,
                                      const ForeignPins &pins, uint32_t now);
[[nodiscard]] Result<void> apply_change(const Tables &tables, const World &world,
                                        const Change &change, uint32_t now);
// All pins, sorted.
[[nodiscard]] std::vector<Pin> read_pins(const Tables &tables, const World &world,
                                         uint32_t now);

// Adds `ticks`, which may be negative, to all times in the tables that come from the pins'
// clock, and to those of the limits': what is there gets younger by so much.
// States of limits that read the exact clock have times of that.
enum class Shifted : uint8_t { kAll, kWithoutStates };
void shift_times(const Tables &tables, int64_t ticks, Shifted of = Shifted::kAll);

}  // namespace guideway::packets
