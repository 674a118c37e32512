// Interfaces as carriers of XDP programs: what is on one, and how a program of ours that
// has the interface for itself is put on it, replaced and removed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "xdp/fast_path.hpp"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

struct Interface {
    std::string name;
    uint32_t ifindex = 0;
};

// Fails for a name that is no interface of this network namespace.
[[nodiscard]] Result<Interface> interface_of_name(const std::string &name);
[[nodiscard]] Result<std::vector<Interface>> all_interfaces();

// The one program that the kernel runs on an interface; a dispatcher counts as one.
struct Occupant {
    Program program;
    Mode mode = Mode::kNative;
};

// What `interface` carries; nothing when it is free, or went away meanwhile.
[[nodiscard]] Result<std::optional<Occupant>> occupant_of(const Interface &interface);

// What to do about an attempt to attach that failed with this error number; may be empty.
[[nodiscard]] std::string attach_advice(int error_number, Mode mode);

// "native" or "generic".
[[nodiscard]] const char *mode_name(Mode mode);

// Puts `program` on the interface. `before` is our program there now: it is replaced in one
// step, and only if it is still there; with nothing before, the interface must be free.
// Changing between native and generic takes two steps, because the kernel runs one kind at a
// time; if the second fails the first is undone.
[[nodiscard]] Result<void> put_alone(const Interface &interface, int program_fd, Mode mode,
                                     const std::optional<Occupant> &before);

// Takes `occupant` off, if it is still there. An interface that is gone is no error.
[[nodiscard]] Result<void> remove_alone(const Interface &interface, const Occupant &occupant);

}  // namespace guideway::xdp
