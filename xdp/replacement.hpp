// Opens an instance's tables, replacing those of another capacity or of another build's layout
// while packets are forwarded.
//
// A replacement goes in steps. Whoever is killed between two of them leaves a state from which
// the next start goes on:
//
//   step       what is pinned                  who forwards               the next start
//   (before)   region: old                     old programs               begins anew
//   pin        region-former: old, then        old programs; nobody acts  takes the old ones for
//              region: new                     by the new tables          the region again
//   put        the same                        old and new ones; the new  puts new ones again
//                                              look for pins in both
//   silence    the same                        new ones                   the same
//   move       the same                        new ones                   the same; what has
//                                                                         moved is gone there
//   forget     region: new                     new ones                   adopts the new ones
//
// Nothing writes slots meanwhile: the caller has the instance's lock, and no other tables until
// all of it is done.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"
#include "dataplane/tables/workers.hpp"
#include "xdp/region.hpp"

namespace guideway::xdp {

struct OpenedTables {
    Region region;
    Tables tables;
    bool adopted = false;  // or replaced others: packets may be forwarded by what they hold
    std::string moved;     // what a replacement has moved, in words; empty when there was none
};

// The pinned tables, if they are of this capacity and layout; what replaces them, if they are of
// others; or new ones, pinned, where there are none. Needs the instance's lock.
[[nodiscard]] Result<OpenedTables> open_tables(const std::filesystem::path &pin_directory,
                                               const gw_capacity &capacity,
                                               const gw_hash_key &hash_key,
                                               const SettleWorkers &settle_workers);

// A number for programs that none has, not even one left by a daemon that was killed halfway.
[[nodiscard]] uint32_t take_generation(Tables &tables);

class Replacement {
  public:
    // `formers`, the newer first, are to be replaced by `to`, which holds already what they do
    // but for pins and counters. `to_is_pinned`: an earlier start has begun.
    [[nodiscard]] static Result<Replacement> prepare(std::filesystem::path pin_directory,
                                                     OpenedTables to, bool to_is_pinned,
                                                     std::vector<MappedRegion> formers,
                                                     SettleWorkers settle_workers);

    [[nodiscard]] Result<void> pin();
    // On failure the old programs forward again, by the old tables.
    [[nodiscard]] Result<void> put();
    void silence();
    void move();
    [[nodiscard]] OpenedTables forget() &&;

    Replacement(Replacement &&) noexcept;
    ~Replacement();

  private:
    struct State;
    explicit Replacement(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// open_tables() up to where something changes: the tables, or how to come to them.
struct Opening {
    std::optional<OpenedTables> tables;
    std::optional<Replacement> replacement;
};
[[nodiscard]] Result<Opening> begin_opening(const std::filesystem::path &pin_directory,
                                            const gw_capacity &capacity,
                                            const gw_hash_key &hash_key,
                                            const SettleWorkers &settle_workers);

}  // namespace guideway::xdp
