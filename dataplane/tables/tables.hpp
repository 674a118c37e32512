// The forwarding tables of dataplane/core/tables.h in C++: made, adopted and mapped into
// memory. What is written into them is the control plane's business (control/plane).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/core/tables.h"
#include "dataplane/error.hpp"

namespace guideway {

// Sizes for `capacity`, or an error that names the bound that was exceeded.
[[nodiscard]] Result<gw_layout> tables_layout(const gw_capacity &capacity);

// Fails when tables of this header were not written by this ABI, completely, and during this
// boot of the kernel.
[[nodiscard]] Result<void> check_origin(const gw_tables_header &header);

// Sums of all CPUs' counters at one moment.
struct CounterTotals {
    std::vector<uint64_t> reasons;             // by gw_reason; FORWARDED is the sum of services
    std::vector<uint64_t> events;              // by gw_event
    std::vector<gw_traffic> services;          // by service index
    std::vector<gw_backend_traffic> backends;  // by backend index
};

// Owns a mapping of one region. Moves; does not copy. Unmapped on destruction, which does
// not disturb engines that have mapped the same memory.
class Tables {
  public:
    // Private memory, for tests and replay. Initialised and empty.
    [[nodiscard]] static Result<Tables> anonymous(const gw_capacity &capacity,
                                                  const gw_hash_key &hash_key);

    // Maps `fd` (a BPF_F_MMAPABLE array of one value, or a file) of a size that suits
    // `capacity`. `name` is for messages. Content is left as it is: call initialise() on
    // new memory, check() on old. `fd` is not kept.
    [[nodiscard]] static Result<Tables> map(int fd, const gw_capacity &capacity,
                                            std::string_view name);

    // Writes an empty set of tables: header, no directory entries, no generation active.
    void initialise(const gw_hash_key &hash_key);

    // Fails when the content was not written by this ABI, during this boot of the kernel,
    // and for this capacity, layout and key; the message says which.
    [[nodiscard]] Result<void> check(const gw_hash_key &hash_key) const;
    // Whether these tables begin where this build looks for them, and end there.
    [[nodiscard]] bool has_this_layout() const;

    Tables(Tables &&other) noexcept;
    Tables &operator=(Tables &&other) noexcept;
    Tables(const Tables &) = delete;
    Tables &operator=(const Tables &) = delete;
    ~Tables();

    [[nodiscard]] const gw_layout &layout() const { return layout_; }
    [[nodiscard]] const gw_capacity &capacity() const { return capacity_; }
    [[nodiscard]] uint8_t *base() const { return base_; }
    [[nodiscard]] gw_tables_header &header() const;
    [[nodiscard]] gw_directory &directory(unsigned copy) const;
    [[nodiscard]] std::span<gw_address_bucket> address_buckets(unsigned copy) const;
    [[nodiscard]] std::span<gw_port_bucket> port_buckets(unsigned copy) const;
    [[nodiscard]] std::span<gw_service> services() const;
    [[nodiscard]] std::span<gw_backend> backends() const;
    [[nodiscard]] std::span<gw_slot> ring_slots() const;
    [[nodiscard]] std::span<gw_pin_bucket> pin_buckets() const;
    [[nodiscard]] std::span<gw_limit> limits() const;
    [[nodiscard]] std::span<gw_source_bucket> source_buckets() const;
    [[nodiscard]] std::span<uint64_t> source_cells() const;
    [[nodiscard]] std::span<gw_limited> limited() const;
    [[nodiscard]] gw_counters_area &counters_area(uint32_t cpu) const;
    [[nodiscard]] CounterTotals counters() const;
    [[nodiscard]] gw_backend_traffic backend_counters(uint32_t backend) const;
    // What exceeded a limit, on all CPUs.
    [[nodiscard]] gw_excess excess_counters(uint32_t limit) const;
    // Zeroes the counters of one index on every CPU, before the index is given to another.
    // Packets of a service go on to count among the forwarded ones.
    void clear_service_counters(uint32_t service) const;
    void clear_backend_counters(uint32_t backend) const;
    void clear_excess_counters(uint32_t limit) const;

  private:
    Tables(uint8_t *base, const gw_capacity &capacity, const gw_layout &layout)
        : base_(base), capacity_(capacity), layout_(layout)
    {
    }

    uint8_t *base_ = nullptr;
    gw_capacity capacity_{};
    gw_layout layout_{};
};

}  // namespace guideway
