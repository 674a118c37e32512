#include "xdp/attaching.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "xdp/dispatcher.hpp"
#include "xdp/region.hpp"

namespace guideway::xdp {
namespace {

constexpr std::string_view kOurName = "guideway";

// Two instances on one interface would take each other's packets, dispatcher or not. That it
// is another one cannot be known: a program whose pins were lost looks the same.
Error other_instance(const Interface &interface, const Program &program,
                     const std::string &removal)
{
    return {interface.name + " is held by a Guideway program that is not this instance's (id " +
            std::to_string(program.id) +
            "): detach the instance it belongs to, or leave the interface out; if it belongs "
            "to none, because its pins were lost, remove it with '" +
            removal + "'"};
}

std::string removal_of_alone(const Interface &interface)
{
    return "ip link set dev " + interface.name + " xdp off";
}

std::string removal_of_member(const Interface &interface, const Program &program)
{
    return "xdp-loader unload " + interface.name + " --id " + std::to_string(program.id);
}

Error foreign_program(const Interface &interface, const Program &program)
{
    if (program.name == kOurName) {
        return other_instance(interface, program, removal_of_alone(interface));
    }
    return {interface.name + " already carries somebody else's XDP program " + program.name +
            " (id " + std::to_string(program.id) +
            "), which is not in a dispatcher: remove it first ('" +
            removal_of_alone(interface) + "'), or leave the interface out"};
}

std::string names_of(const std::vector<Program> &programs)
{
    std::string names;
    for (const auto &program : programs) {
        names += (names.empty() ? "" : ", ") + program.name + " (id " +
                 std::to_string(program.id) + ")";
    }
    return names;
}

struct Split {
    std::vector<Program> ours;
    std::vector<Program> theirs;
};

Result<Split> split_members(const Interface &interface, const Ownership &ownership)
{
    auto members = dispatcher_members(interface);
    if (!members) {
        return std::unexpected(std::move(members.error()));
    }
    Split split;
    for (auto &member : *members) {
        (ownership.covers(member) ? split.ours : split.theirs).push_back(std::move(member));
    }
    return split;
}

}  // namespace

bool Ownership::covers(const Program &program) const
{
    const auto is_of_ours = [&](uint32_t map_id) {
        return region_map_ids.contains(map_id) ||
               std::ranges::any_of(region_map_ids, [&](uint32_t region) {
                   return was_replaced_by(map_id, region);
               });
    };
    return pinned_ids.contains(program.id) || std::ranges::any_of(program.map_ids, is_of_ours);
}

Error cannot_join(const Interface &interface, const std::vector<Program> &others,
                  const std::string &obstacle)
{
    if (others.empty()) {
        return {interface.name +
                " carries our earlier program in a dispatcher, which goes on, and this build's "
                "cannot replace it: " +
                obstacle};
    }
    return {interface.name + " carries a dispatcher with " + names_of(others) +
            ", which our program cannot join: " + obstacle};
}

AttachedInterface Held::describe() const
{
    const bool alone = members.empty();
    return {.name = interface.name,
            .ifindex = interface.ifindex,
            .mode = occupant.mode,
            .attachment = alone ? Attachment::kAlone : Attachment::kDispatcher,
            .program_id = alone ? occupant.program.id : members.back().id,
            .note = alone ? "attached so by an earlier start" : ""};
}

namespace {

// What of ours is on an interface; nothing if none.
Result<std::optional<Held>> held_on(const Interface &interface, const Ownership &ownership)
{
    auto occupant = occupant_of(interface);
    if (!occupant) {
        return std::unexpected(std::move(occupant.error()));
    }
    if (!*occupant) {
        return std::nullopt;
    }
    if (is_dispatcher((*occupant)->program)) {
        auto members = split_members(interface, ownership);
        if (!members) {
            return std::unexpected(std::move(members.error()));
        }
        if (!members->ours.empty()) {
            return Held{interface, std::move(**occupant), std::move(members->ours)};
        }
    } else if (ownership.covers((*occupant)->program)) {
        return Held{interface, std::move(**occupant), {}};
    }
    return std::nullopt;
}

}  // namespace

Result<Survey> survey(const Ownership &ownership)
{
    auto all = all_interfaces();
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    Survey survey;
    for (auto &interface : *all) {
        auto held = held_on(interface, ownership);
        if (!held) {
            survey.unreadable.push_back(
                {std::move(interface), std::move(held.error().message)});
        } else if (*held) {
            survey.held.push_back(std::move(**held));
        }
    }
    return survey;
}

bool still_carries(const AttachedInterface &attached)
{
    auto interface = interface_of_name(attached.name);
    if (!interface || interface->ifindex != attached.ifindex) {
        return false;
    }
    auto occupant = occupant_of(*interface);
    if (!occupant) {
        return true;
    }
    if (!*occupant || (*occupant)->mode != attached.mode) {
        return false;
    }
    if (attached.attachment == Attachment::kAlone) {
        return (*occupant)->program.id == attached.program_id;
    }
    // Each program that joins or leaves exchanges the dispatcher; it is ours that must stay.
    if (!is_dispatcher((*occupant)->program)) {
        return false;
    }
    auto members = dispatcher_members(*interface);
    return !members ||
           std::ranges::find(*members, attached.program_id, &Program::id) != members->end();
}

namespace {

// Takes our programs off an interface. Of several in a dispatcher those that could not be
// taken out stay in `held`.
Result<void> take_off(Held &held)
{
    if (held.members.empty()) {
        return remove_alone(held.interface, held.occupant);
    }
    Result<void> outcome;
    std::erase_if(held.members, [&](const Program &member) {
        auto left = leave_dispatcher(held.interface, member.id);
        const bool is_out = left.has_value();
        if (!is_out && outcome) {
            outcome = std::move(left);
        }
        return is_out;
    });
    return outcome;
}

}  // namespace

Result<TakenOff> take_off_except(const Ownership &ownership,
                                 const std::set<uint32_t> &kept_ifindices)
{
    auto found = survey(ownership);
    if (!found) {
        return std::unexpected(std::move(found.error()));
    }
    TakenOff taken;
    for (auto &held : found->held) {
        if (kept_ifindices.contains(held.interface.ifindex)) {
            continue;
        }
        if (auto off = take_off(held); !off) {
            taken.failures.push_back({held.interface, std::move(off.error().message)});
            taken.left.push_back(std::move(held));
        } else {
            taken.names.push_back(held.interface.name);
        }
    }
    for (auto &unreadable : found->unreadable) {
        if (!kept_ifindices.contains(unreadable.interface.ifindex)) {
            taken.failures.push_back(std::move(unreadable));
        }
    }
    forget_lost_dispatchers([&](const Program &program) { return ownership.covers(program); });
    return taken;
}

Result<Exchange> Exchange::prepare(const std::vector<Interface> &interfaces,
                                   const Ownership &ownership, Plan plan)
{
    Exchange exchange(std::move(plan));
    for (const auto &interface : interfaces) {
        if (auto planned = exchange.plan_change(interface, ownership); !planned) {
            return std::unexpected(std::move(planned.error()));
        }
    }
    return exchange;
}

Result<void> Exchange::plan_change(const Interface &interface, const Ownership &ownership)
{
    auto before = occupant_of(interface);
    if (!before) {
        return std::unexpected(std::move(before.error()));
    }
    const Mode mode = plan_.mode.value_or(*before ? (*before)->mode : Mode::kNative);
    const auto &obstacle = plan_.obstacle();
    Attachment attachment = obstacle ? Attachment::kAlone : Attachment::kDispatcher;
    std::string note = obstacle.value_or("");
    std::vector<Program> old_members;

    if (*before && is_dispatcher((*before)->program)) {
        auto members = split_members(interface, ownership);
        if (!members) {
            return std::unexpected(std::move(members.error()));
        }
        const auto rival = std::ranges::find(members->theirs, kOurName, &Program::name);
        if (rival != members->theirs.end()) {
            return std::unexpected(
                other_instance(interface, *rival, removal_of_member(interface, *rival)));
        }
        if (obstacle) {
            return std::unexpected(cannot_join(interface, members->theirs, *obstacle));
        }
        if ((*before)->mode != mode && !members->theirs.empty()) {
            return fail(interface.name + " carries a dispatcher in " +
                        mode_name((*before)->mode) + " mode with " + names_of(members->theirs) +
                        ": ask for " + mode_name((*before)->mode) +
                        " mode, or remove those programs first");
        }
        old_members = std::move(members->ours);
    } else if (*before) {
        if (!ownership.covers((*before)->program)) {
            return std::unexpected(foreign_program(interface, (*before)->program));
        }
        // Between taking it off and joining a dispatcher packets would go past us.
        attachment = Attachment::kAlone;
        if (!obstacle) {
            note = "it was attached alone before, and changing that takes a detach";
        }
    }
    auto program =
        plan_.open(attachment == Attachment::kAlone ? GW_GENERATION_ALONE : plan_.generation);
    if (!program) {
        return std::unexpected(std::move(program.error()));
    }
    if (attachment == Attachment::kAlone) {
        if (auto loaded = program->load(); !loaded) {
            return loaded;
        }
    }
    changes_.push_back({interface, mode, attachment, std::move(note), std::move(*before),
                        std::move(old_members), std::move(*program)});
    return {};
}

Result<void> Exchange::put_one(Change &change) const
{
    if (change.attachment == Attachment::kAlone) {
        return put_alone(change.interface, change.program.fd(), change.mode, change.before);
    }
    // A dispatcher is native or generic as a whole. Changing that needs a moment without.
    const bool changes_mode = change.before && change.before->mode != change.mode;
    if (changes_mode) {
        for (const auto &member : change.old_members) {
            if (auto left = leave_dispatcher(change.interface, member.id); !left) {
                return left;
            }
        }
    }
    auto joined = join_dispatcher(change.interface, change.program, change.mode);
    if (!joined && changes_mode) {
        if (auto undone = undo_one(change); !undone) {
            joined.error().message += "; undoing: " + undone.error().message;
        }
    }
    return joined;
}

Result<void> Exchange::undo_one(Change &change) const
{
    auto current = occupant_of(change.interface);
    if (!current) {
        return std::unexpected(std::move(current.error()));
    }
    if (change.attachment == Attachment::kAlone) {
        if (!*current) {
            return {};  // the interface went away, and its program with it
        }
        return change.before ? put_alone(change.interface, change.before->program.fd.get(),
                                         change.before->mode, *current)
                             : remove_alone(change.interface, **current);
    }
    if (*current) {
        if (auto left = leave_dispatcher(change.interface, change.program.id()); !left) {
            return left;
        }
    }
    if (change.before && change.before->mode != change.mode) {
        for (const auto &member : change.old_members) {
            if (auto back = rejoin_dispatcher(change.interface, member, change.before->mode);
                !back) {
                return back;
            }
        }
    }
    return {};
}

Result<void> Exchange::put()
{
    for (auto &change : changes_) {
        auto put = put_one(change);
        if (put) {
            change.done = true;
            continue;
        }
        for (auto &earlier : std::views::reverse(changes_)) {
            if (earlier.done) {
                if (auto undone = undo_one(earlier); !undone) {
                    put.error().message += "; undoing: " + undone.error().message;
                }
            }
        }
        return put;
    }
    return {};
}

std::vector<Failure> Exchange::settle()
{
    std::vector<Failure> failures;
    for (const auto &change : changes_) {
        for (const auto &member : change.old_members) {
            if (auto left = leave_dispatcher(change.interface, member.id); !left) {
                failures.push_back({change.interface, std::move(left.error().message)});
            }
        }
    }
    return failures;
}

std::vector<AttachedInterface> Exchange::attached() const
{
    std::vector<AttachedInterface> attached;
    for (const auto &change : changes_) {
        attached.push_back({.name = change.interface.name,
                            .ifindex = change.interface.ifindex,
                            .mode = change.mode,
                            .attachment = change.attachment,
                            .program_id = change.program.id(),
                            .note = change.note});
    }
    return attached;
}

}  // namespace guideway::xdp
