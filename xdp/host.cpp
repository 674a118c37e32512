#include "xdp/host.hpp"

#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace guideway::xdp {

uint32_t possible_cpus()
{
    const int cpus = libbpf_num_possible_cpus();
    return cpus > 0 ? static_cast<uint32_t>(cpus) : 1;
}

void quiesce()
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) {
        return;
    }
    // Refused on kernels with nohz_full CPUs. A packet's run takes microseconds, and
    // nothing in it sleeps.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

}  // namespace guideway::xdp
