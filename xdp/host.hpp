// Facts and services of the kernel that the XDP engine runs in.
#pragma once

#include <cstdint>

namespace guideway::xdp {

// How many counter areas a program needs: CPUs that may ever come online.
[[nodiscard]] uint32_t possible_cpus();

// Returns when every XDP program run that was under way at the call has ended. XDP
// programs run inside an RCU read-side section, and membarrier(2) with
// MEMBARRIER_CMD_GLOBAL waits for a grace period: a few to some tens of milliseconds.
void quiesce();

}  // namespace guideway::xdp
