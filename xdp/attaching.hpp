// Which interfaces carry programs of ours, and the exchange of all of them for this build's:
// prepare (whatever can be refused is), put (all or none), and, once the new generation acts,
// settle (the old ones go).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "xdp/carrier.hpp"
#include "xdp/fast_path.hpp"
#include "xdp/loaded_program.hpp"

namespace guideway::xdp {

// How a program is known to be ours: it reads our tables, or some that they have replaced, or we
// pinned it. Either alone must do: a daemon may have been killed before it pinned, and tables can be lost.
struct Ownership {
    std::set<uint32_t> region_map_ids;
    std::set<uint32_t> pinned_ids;

    [[nodiscard]] bool covers(const Program &program) const;
};

// An interface that carries at least one program of ours.
struct Held {
    Interface interface;
    Occupant occupant;             // our program, or the dispatcher that holds ours
    std::vector<Program> members;  // of ours in the dispatcher; none when alone

    [[nodiscard]] AttachedInterface describe() const;
};

// Why our program cannot join the dispatcher that `interface` carries, with `others` in it.
[[nodiscard]] Error cannot_join(const Interface &interface, const std::vector<Program> &others,
                                const std::string &obstacle);

// Trouble with one interface; the message names it.
struct Failure {
    Interface interface;
    std::string message;
};

struct Survey {
    std::vector<Held> held;           // every such interface of this network namespace
    std::vector<Failure> unreadable;  // may carry a program of ours, and it cannot be known
};
[[nodiscard]] Result<Survey> survey(const Ownership &ownership);

// Whether the interface of that name is still the same one and still carries the program.
// Not being able to read it is no sign that it is not.
[[nodiscard]] bool still_carries(const AttachedInterface &attached);

// What became of an attempt to take our programs off interfaces.
struct TakenOff {
    std::vector<std::string> names;  // carry nothing of ours any more
    std::vector<Held> left;          // still do, with what they carry now
    std::vector<Failure> failures;   // why, and what could not be read
};

// Takes our programs off all interfaces but those kept. One that fails stops none of the
// others; an error means that nothing was tried.
[[nodiscard]] Result<TakenOff> take_off_except(const Ownership &ownership,
                                               const std::set<uint32_t> &kept_ifindices);

class Exchange {
  public:
    // Opens this build's program as `generation`, or as GW_GENERATION_ALONE.
    using Open = std::function<Result<LoadedProgram>(uint32_t generation)>;
    // Why a dispatcher cannot be used on this kernel; nothing if it can.
    using Obstacle = std::function<const std::optional<std::string> &()>;

    struct Plan {
        std::optional<Mode> mode;  // none: that in which each interface's program is
        uint32_t generation = 0;
        Open open;
        Obstacle obstacle;
    };

    // Changes nothing outside. Fails when an interface cannot take our program.
    [[nodiscard]] static Result<Exchange> prepare(const std::vector<Interface> &interfaces,
                                                  const Ownership &ownership, Plan plan);

    // Puts the new program on every interface, beside or instead of the old one. On failure
    // those already changed are put back.
    [[nodiscard]] Result<void> put();

    // Removes the old programs from the dispatchers, as far as possible. What could not be
    // removed no longer acts.
    [[nodiscard]] std::vector<Failure> settle();

    // After put(): what each interface carries now, and the descriptor of its program.
    [[nodiscard]] std::vector<AttachedInterface> attached() const;
    [[nodiscard]] int program_fd(size_t index) const { return changes_[index].program.fd(); }

  private:
    struct Change {
        Interface interface;
        Mode mode = Mode::kNative;
        Attachment attachment = Attachment::kAlone;
        std::string note;
        std::optional<Occupant> before;    // ours alone, or a dispatcher
        std::vector<Program> old_members;  // ours in that dispatcher
        LoadedProgram program;
        bool done = false;
    };

    Exchange(Plan plan) : plan_(std::move(plan)) {}
    [[nodiscard]] Result<void> plan_change(const Interface &interface,
                                           const Ownership &ownership);
    [[nodiscard]] Result<void> put_one(Change &change) const;
    [[nodiscard]] Result<void> undo_one(Change &change) const;

    Plan plan_;
    std::vector<Change> changes_;
};

}  // namespace guideway::xdp
