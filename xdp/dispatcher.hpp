// Sharing an interface with other XDP programs, through libxdp's dispatcher.
//
// An interface runs one XDP program. libxdp makes that one a dispatcher, which calls the
// programs that joined one after the other (by run priority, then name; of equals, those
// that were there before come first), each time one joins or leaves a new one, exchanged in
// one step. Programs outlive the process: libxdp keeps them pinned in /sys/fs/bpf/xdp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "xdp/carrier.hpp"
#include "xdp/loaded_program.hpp"

namespace guideway::xdp {

// Tells libxdp where our dispatcher object is: LIBXDP_OBJECT_PATH if the operator has set
// it, else the build tree for a program that runs from there, else where it is installed.
void use_our_dispatcher_object();

// Whether this kernel lets `probe` (opened, not loaded; used up) into a slot of the
// dispatcher. If not, why: for an operator, one line.
[[nodiscard]] std::optional<std::string> dispatcher_obstacle(LoadedProgram probe);

// True when the occupant of an interface is a dispatcher.
[[nodiscard]] bool is_dispatcher(const Program &occupant);

// The programs that joined the dispatcher of `interface`, in the order in which they run.
[[nodiscard]] Result<std::vector<Program>> dispatcher_members(const Interface &interface);

// Adds `program` (opened, not loaded), on a free interface with a dispatcher of its own.
[[nodiscard]] Result<void> join_dispatcher(const Interface &interface, LoadedProgram &program,
                                           Mode mode);

// Adds a program that was in a dispatcher before, as it is.
[[nodiscard]] Result<void> rejoin_dispatcher(const Interface &interface, const Program &program,
                                             Mode mode);

// Takes the program with this id out; the last one takes the dispatcher with it. An
// interface that is gone is no error.
[[nodiscard]] Result<void> leave_dispatcher(const Interface &interface, uint32_t program_id);

// Removes what libxdp keeps of dispatchers that held one of our programs on an interface that
// has gone, or has lost its dispatcher to somebody's `ip link set dev … xdp off`. Without
// that the programs stay in the kernel for ever. `is_ours` tells our programs.
void forget_lost_dispatchers(const std::function<bool(const Program &)> &is_ours);

}  // namespace guideway::xdp
