// Forwarding tables as another build may have made them, seen through the list of sections in
// their header. They are input: whatever is read was checked to lie inside the region.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

namespace guideway {

class TablesView {
  public:
    // One kind of record. Empty where the tables have none.
    class Section {
      public:
        Section() = default;
        Section(uint8_t *base, const gw_section &section) : base_(base), section_(section) {}

        [[nodiscard]] uint32_t records() const { return section_.records; }
        [[nodiscard]] uint32_t record_bytes() const { return section_.record_bytes; }
        [[nodiscard]] uint32_t offset() const { return section_.offset; }
        [[nodiscard]] uint8_t *at(uint32_t index) const
        {
            return base_ + section_.offset + uint64_t{section_.record_bytes} * index;
        }

        // A copy of a record, as this build knows it: what that one does not have is zero.
        template <typename Record>
        [[nodiscard]] Record read(uint32_t index) const
        {
            Record record{};
            std::memcpy(&record, at(index),
                        std::min<size_t>(sizeof(record), section_.record_bytes));
            return record;
        }

      private:
        uint8_t *base_ = nullptr;
        gw_section section_{};
    };

    // Views the tables in `bytes`, which must outlive the view. Fails when they are not of this
    // ABI and boot, or when a section does not lie inside them.
    [[nodiscard]] static Result<TablesView> of(std::span<uint8_t> bytes);
    // Those of this build, which need no check.
    [[nodiscard]] static TablesView of(const Tables &tables);

    // Up to its list of sections; what follows that is the business of who made them.
    [[nodiscard]] gw_tables_header &header() const
    {
        return *reinterpret_cast<gw_tables_header *>(bytes_.data());
    }
    [[nodiscard]] Section section(gw_section_kind kind) const;
    // In the counters of one CPU.
    [[nodiscard]] Section counted(gw_section_kind kind, uint32_t cpu) const;
    [[nodiscard]] uint32_t cpus() const { return section(GW_SECTION_COUNTERS).records(); }
    [[nodiscard]] std::span<gw_pin_bucket> pin_buckets() const;

    [[nodiscard]] std::span<uint8_t> bytes() const { return bytes_; }

  private:
    explicit TablesView(std::span<uint8_t> bytes) : bytes_(bytes) {}
    [[nodiscard]] Result<void> check() const;

    std::span<uint8_t> bytes_;
};

}  // namespace guideway
