// The decapsulator on one device: attaching, replacing, removing and looking at it.
//
// The kernel keeps the program while it is attached; nothing is pinned and no process has
// to stay. A device's decapsulator is recognised by its program's name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/error.hpp"
#include "xdp/decap.h"

namespace guideway::decap {

enum class Mode : uint8_t { kNative, kGeneric };

[[nodiscard]] constexpr std::string_view to_string(Mode mode)
{
    return mode == Mode::kNative ? "native" : "generic";
}

// An outer destination as the program's table holds it: IPv4 as ::ffff:a.b.c.d.
struct Address {
    std::array<uint8_t, 16> bytes{};

    // Fails when `text` is neither an IPv4 nor an IPv6 address.
    [[nodiscard]] static Result<Address> parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;

    auto operator<=>(const Address &) const = default;
};

struct Status {
    std::string device;
    Mode mode = Mode::kNative;
    uint32_t program_id = 0;
    std::vector<Address> addresses;  // outer destinations taken, sorted
    // The device's own addresses that are not among them: added since it was attached.
    std::vector<Address> addresses_missed;
    std::array<uint64_t, DECAP_OUTCOMES> packets{};  // by decap_outcome
};

struct Attached {
    Status status;
    bool replaced = false;  // an older decapsulator was there; its counts go on
};

// Puts the decapsulator on `device`, for outer packets to the device's own addresses and to
// `more_addresses`. Replaces an older decapsulator of ours without a gap if the mode is the
// same. Refuses a device that carries another program, or that would have no address.
[[nodiscard]] Result<Attached> attach(const std::string &device, Mode mode,
                                      const std::vector<Address> &more_addresses);

// Takes it off. Fails when there is none, or another program.
[[nodiscard]] Result<void> detach(const std::string &device);

// Fails when there is none, or another program.
[[nodiscard]] Result<Status> status(const std::string &device);

}  // namespace guideway::decap
