#include "dataplane/tables/workers.hpp"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace guideway {
namespace {

std::atomic_ref<uint64_t> epoch_of(const Tables &tables, uint32_t worker)
{
    return std::atomic_ref(tables.counters_area(worker).epoch);
}

}  // namespace

bool wait_for_workers(const Tables &tables, std::chrono::milliseconds longest)
{
    // What was written before must be visible to every burst that begins after its epoch is read.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    std::vector<std::pair<uint32_t, uint64_t>> at_work;
    for (uint32_t worker = 0; worker < tables.capacity().cpus_max; worker++) {
        if (const uint64_t epoch = epoch_of(tables, worker).load(); epoch % 2 == 1) {
            at_work.emplace_back(worker, epoch);
        }
    }
    const auto until = std::chrono::steady_clock::now() + longest;
    for (const auto &[worker, epoch] : at_work) {
        while (epoch_of(tables, worker).load() == epoch) {
            if (std::chrono::steady_clock::now() >= until) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }
    return true;
}

void forget_workers(const Tables &tables)
{
    for (uint32_t worker = 0; worker < tables.capacity().cpus_max; worker++) {
        const auto epoch = epoch_of(tables, worker);
        if (const uint64_t now = epoch.load(); now % 2 == 1) {
            epoch.store(now + 1);
        }
    }
}

}  // namespace guideway
