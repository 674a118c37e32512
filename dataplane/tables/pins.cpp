#include "dataplane/tables/pins.hpp"

#include <optional>
#include <vector>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/pins.h"

namespace guideway {
namespace {

struct PinRead {
    uint64_t first = 0;
    uint64_t second = 0;

    [[nodiscard]] bool is_pin() const
    {
        return (first & ~GW_PIN_OVERFLOW) != 0 && (first & GW_PIN_CLAIMED) == 0;
    }
    [[nodiscard]] uint32_t backend() const
    {
        return static_cast<uint32_t>(first) & GW_OWNER_MASK;
    }
    [[nodiscard]] uint32_t service() const
    {
        return static_cast<uint32_t>(second >> GW_PIN_SERVICE_SHIFT) & GW_PIN_SERVICE_MASK;
    }
    [[nodiscard]] uint32_t slot() const
    {
        return static_cast<uint32_t>(second) & GW_PIN_SLOT_MASK;
    }
};

PinRead read_pin(const gw_pin &pin)
{
    const uint64_t first = gw_read_once64(&pin.first);
    return {first, gw_read_once64(&pin.second)};
}

// Where the rings of one table are in the other.
class SlotMap {
  public:
    SlotMap(const TablesView &from, const TablesView &to)
        : from_(rings_of(from)), to_(rings_of(to))
    {
    }

    // The slot of a pin in the other table; none when its service is not there.
    [[nodiscard]] std::optional<uint32_t> find(uint32_t service, uint32_t slot) const
    {
        if (service >= from_.size() || service >= to_.size()) {
            return std::nullopt;
        }
        const uint32_t at = slot - from_[service].offset;
        if (at >= from_[service].size || at >= to_[service].size) {
            return std::nullopt;
        }
        return to_[service].offset + at;
    }

  private:
    struct Ring {
        uint32_t offset = 0;
        uint32_t size = 0;
    };
    static std::vector<Ring> rings_of(const TablesView &tables)
    {
        const auto records = tables.section(GW_SECTION_SERVICES);
        std::vector<Ring> rings;
        for (uint32_t i = 0; i < records.records(); i++) {
            const auto record = records.read<gw_service>(i);
            rings.push_back({record.ring_offset, record.identity == 0 ? 0 : record.ring_size});
        }
        return rings;
    }

    std::vector<Ring> from_;
    std::vector<Ring> to_;
};

std::vector<bool> living_backends(const TablesView &tables)
{
    const auto records = tables.section(GW_SECTION_BACKENDS);
    std::vector<bool> living(GW_OWNER_MASK + 1UL);
    for (uint32_t i = 0; i < std::min<size_t>(records.records(), living.size()); i++) {
        const auto record = records.read<gw_backend>(i);
        living[i] = record.identity != 0 && (record.state & GW_BACKEND_DEAD) == 0;
    }
    return living;
}

// The core's way to the pins of tables, whoever made them.
class PinTable {
  public:
    explicit PinTable(const TablesView &tables)
    {
        const auto pins = tables.section(GW_SECTION_PINS);
        layout_.pins_offset = pins.offset();
        layout_.pin_buckets_mask = pins.records() - 1;
        walk_.tables = tables.bytes().data();
    }
    PinTable(const PinTable &) = delete;
    PinTable &operator=(const PinTable &) = delete;

    [[nodiscard]] const gw_walk *walk()
    {
        walk_.layout = &layout_;
        return &walk_;
    }

  private:
    gw_layout layout_{};
    gw_walk walk_{};
};

// Of a pin, all that its place depends on.
uint64_t hash_of(uint64_t first)
{
    return first >> GW_PIN_FINGERPRINT_SHIFT << GW_PIN_FINGERPRINT_SHIFT;
}

// Makes room for a flow by moving a pin out of one of its buckets into that pin's other one.
bool make_room(const gw_walk *walk, uint64_t hash)
{
    const uint64_t fingerprint = hash >> GW_PIN_FINGERPRINT_SHIFT;
    const uint32_t mask = walk->layout->pin_buckets_mask;
    const uint32_t home = static_cast<uint32_t>(fingerprint) & mask;
    // Else nobody would look for the moved pin in its second bucket.
    if ((gw_read_once64(&gw_pin_bucket_at(walk, home)->way[0].first) & GW_PIN_OVERFLOW) == 0) {
        return false;
    }
    for (auto &pin : gw_pin_bucket_at(walk, home)->way) {
        const auto read = read_pin(pin);
        const uint64_t other = read.first >> GW_PIN_FINGERPRINT_SHIFT;
        // Only from its first to its second, which is what this bucket's overflow bit says.
        if (!read.is_pin() || (static_cast<uint32_t>(other) & mask) != home) {
            continue;
        }
        auto *bucket = gw_pin_bucket_at(
            walk, gw_pin_other_bucket(static_cast<uint32_t>(other), other, mask));
        const auto *times = &gw_walk_header(walk)->pin_times;
        auto *place = gw_pin_claim(bucket, times,
                                   static_cast<uint32_t>(read.second >> GW_PIN_SEEN_SHIFT));
        if (place != nullptr) {
            gw_pin_publish(place, read.first & ~GW_PIN_OVERFLOW, read.second);
            gw_pin_clear(&pin, read.first);
            return true;
        }
    }
    return false;
}

bool insert(const gw_walk *walk, const PinRead &pin, uint64_t second)
{
    const uint64_t hash = hash_of(pin.first);
    const auto attempt = [&] {
        return gw_pin_insert(walk, hash, pin.backend(), pin.first & GW_PIN_CONFIRMED, second) !=
               GW_INDEX_NONE;
    };
    return attempt() || (make_room(walk, hash) && attempt());
}

// False when the pin was gone already.
bool take_out(gw_pin &pin, uint64_t first)
{
    for (;;) {
        const uint64_t found =
            gw_compare_exchange64(&pin.first, first, first & GW_PIN_OVERFLOW);
        if (found == first) {
            return true;
        }
        if (hash_of(found) != hash_of(first)) {
            return false;
        }
        first = found;  // the bucket overflowed
    }
}

MovedPins transfer_pins(const TablesView &from, const TablesView &to, bool keep)
{
    MovedPins account;
    const SlotMap slots(from, to);
    const auto living = living_backends(to);
    PinTable table(to);
    const gw_walk *walk = table.walk();
    if (to.pin_buckets().empty()) {
        return account;
    }
    for (auto &bucket : from.pin_buckets()) {
        for (auto &way : bucket.way) {
            const auto pin = read_pin(way);
            if (!pin.is_pin()) {
                continue;
            }
            const auto slot = slots.find(pin.service(), pin.slot());
            if (!slot || !living[pin.backend()]) {
                account.forgotten++;
                if (!keep) {
                    gw_pin_clear(&way, pin.first);
                }
                continue;
            }
            uint64_t found = 0;
            const uint64_t second = (pin.second & ~uint64_t{GW_PIN_SLOT_MASK}) | *slot;
            if (gw_pin_find(walk, hash_of(pin.first), &found) == nullptr &&
                !insert(walk, pin, second)) {
                account.no_room++;
                continue;
            }
            account.moved++;
            if (keep) {
                continue;
            }
            if (!take_out(way, pin.first)) {
                // A packet that began the flow anew was faster, and knows better.
                auto *stale = gw_pin_find(walk, hash_of(pin.first), &found);
                if (stale != nullptr && gw_read_once64(&stale->second) == second) {
                    gw_pin_clear(stale, found);
                }
            }
        }
    }
    return account;
}

}  // namespace

PinsInUse pins_in_use(const TablesView &tables)
{
    PinsInUse in_use;
    std::vector<bool> named(GW_OWNER_MASK + 1UL);
    for (const auto &bucket : tables.pin_buckets()) {
        for (const auto &way : bucket.way) {
            const auto pin = read_pin(way);
            if (pin.is_pin()) {
                in_use.pins++;
                named[pin.backend()] = true;
            }
        }
    }
    for (uint32_t i = 0; i < named.size(); i++) {
        if (named[i]) {
            in_use.backends.insert(i);
        }
    }
    return in_use;
}

MovedPins move_pins(const TablesView &from, const TablesView &to)
{
    return transfer_pins(from, to, false);
}

MovedPins copy_pins(const TablesView &from, const TablesView &to)
{
    return transfer_pins(from, to, true);
}

}  // namespace guideway
