#include "dataplane/tables/workers.hpp"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace guideway {
namespace {

// One for each worker that there can be; none where the tables are of before there were workers.
std::vector<std::atomic_ref<uint64_t>> epochs_of(const TablesView &tables)
{
    std::vector<std::atomic_ref<uint64_t>> epochs;
    for (uint32_t worker = 0; worker < tables.cpus(); worker++) {
        const auto epoch = tables.counted(GW_SECTION_COUNTED_EPOCH, worker);
        if (epoch.records() != 0) {
            epochs.emplace_back(*reinterpret_cast<uint64_t *>(epoch.at(0)));
        }
    }
    return epochs;
}

}  // namespace

bool wait_for_workers(const TablesView &tables, std::chrono::milliseconds longest)
{
    // What was written before must be visible to every burst that begins after its epoch is read.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    std::vector<std::pair<std::atomic_ref<uint64_t>, uint64_t>> at_work;
    for (const auto &epoch : epochs_of(tables)) {
        if (const uint64_t now = epoch.load(); now % 2 == 1) {
            at_work.emplace_back(epoch, now);
        }
    }
    const auto until = std::chrono::steady_clock::now() + longest;
    for (const auto &[epoch, begun] : at_work) {
        while (epoch.load() == begun) {
            if (std::chrono::steady_clock::now() >= until) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }
    return true;
}

bool wait_for_workers(const Tables &tables, std::chrono::milliseconds longest)
{
    return wait_for_workers(TablesView::of(tables), longest);
}

void forget_workers(const TablesView &tables)
{
    for (const auto &epoch : epochs_of(tables)) {
        // Unless its worker lives after all, and is further already.
        if (uint64_t now = epoch.load(); now % 2 == 1) {
            epoch.compare_exchange_strong(now, now + 1);
        }
    }
}

void forget_workers(const Tables &tables)
{
    forget_workers(TablesView::of(tables));
}

void settle_workers(const TablesView &tables)
{
    if (!wait_for_workers(tables, kBurstLongest)) {
        forget_workers(tables);
    }
}

}  // namespace guideway
