// The forwarding tables that the daemon has pinned, as workers use them, and how they get others
// when the daemon replaces them (docs/design/0008-tables-of-another-layout.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/core/tables.h"
#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway::dpdk {

// Tables that are being replaced: pins that are not found in the new ones are looked for here.
class FormerTables {
  public:
    [[nodiscard]] static Result<FormerTables> map(int fd, uint32_t bytes);

    [[nodiscard]] uint8_t *base() const { return bytes_.data(); }
    [[nodiscard]] const gw_layout &layout() const { return layout_; }  // of pins alone

    FormerTables(FormerTables &&other) noexcept;
    FormerTables &operator=(FormerTables &&) = delete;
    ~FormerTables();

  private:
    explicit FormerTables(std::span<uint8_t> bytes) : bytes_(bytes) {}
    std::span<uint8_t> bytes_;
    gw_layout layout_{};
};

// What a worker takes at the beginning of a round and uses until its end.
struct TablesInUse {
    uint64_t serial = 0;  // each that is published has a higher one
    uint32_t map_id = 0;
    std::shared_ptr<const Tables> tables;
    std::shared_ptr<const FormerTables> former;  // may be none

    [[nodiscard]] bool are_active() const;
};

// Of one thread, but for current().
class PinnedTables {
  public:
    PinnedTables(std::filesystem::path pin_directory, uint32_t workers)
        : pin_directory_(std::move(pin_directory)), workers_(workers)
    {
    }

    // Looks at the pins; publishes what workers are to use where that is something new. Fails when
    // the tables that are pinned now are none for this build.
    [[nodiscard]] Result<void> refresh();
    // None: nothing was pinned so far.
    [[nodiscard]] const TablesInUse *current() const
    {
        return current_.load(std::memory_order_acquire);
    }
    // Unmaps what was replaced before `serial`, which is the lowest that is still used.
    void forget_before(uint64_t serial);

  private:
    [[nodiscard]] Result<void> take_new(int fd, uint32_t map_id, uint32_t bytes);
    void publish(TablesInUse next);

    std::filesystem::path pin_directory_;
    uint32_t workers_;
    uint64_t last_serial_ = 0;
    std::vector<std::unique_ptr<const TablesInUse>> kept_;  // the last is the current one
    std::atomic<const TablesInUse *> current_ = nullptr;
};

}  // namespace guideway::dpdk
