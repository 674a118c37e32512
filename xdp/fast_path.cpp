#include "xdp/fast_path.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <set>

#include "xdp/carrier.hpp"
#include "xdp/kernel_objects.hpp"
#include "xdp/loaded_program.hpp"

namespace guideway::xdp {
namespace {

constexpr auto kRegionPin = "region";
constexpr std::string_view kProgramPinPrefix = "program-";

// BPF file systems refuse dots in names, and VLAN devices have them in theirs.
std::string program_pin_name(const std::string &interface) {
    std::string name(kProgramPinPrefix);
    for (const char c : interface) {
        name += c == '.' ? "%2e" : c == '%' ? "%25" : std::string(1, c);
    }
    return name;
}

std::vector<std::filesystem::path> program_pins(const std::filesystem::path &directory) {
    std::vector<std::filesystem::path> pins;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().filename().native().starts_with(kProgramPinPrefix)) {
            pins.push_back(entry.path());
        }
    }
    return pins;
}

struct Region {
    Descriptor fd;
    uint32_t map_id = 0;
};

Result<bpf_map_info> map_info(int fd) {
    bpf_map_info info{};
    uint32_t info_bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &info_bytes) != 0) {
        return std::unexpected(Error::system("read about", "the tables' BPF map"));
    }
    return info;
}

// The pinned region, or none when nothing is pinned.
Result<std::optional<Region>> region_of_pin(const std::filesystem::path &pin,
                                            uint32_t total_bytes) {
    Descriptor fd(bpf_obj_get(pin.c_str()));
    if (!fd.valid()) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return std::unexpected(Error::system("open the pinned tables", pin.native()));
    }
    auto info = map_info(fd.get());
    if (!info) {
        return std::unexpected(std::move(info.error()).within(pin.native()));
    }
    if (info->type != BPF_MAP_TYPE_ARRAY || (info->map_flags & BPF_F_MMAPABLE) == 0 ||
        info->max_entries != 1 || info->value_size != total_bytes) {
        return fail("the pinned tables " + pin.native() + " are of " +
                    std::to_string(info->value_size) +
                    " bytes, and the configured sizes need " + std::to_string(total_bytes) +
                    ": start with the former sizes, or detach the instance first");
    }
    return Region{std::move(fd), info->id};
}

Result<Region> new_region(uint32_t total_bytes) {
    const Transcript transcript;
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    Descriptor fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "gw_region", sizeof(uint32_t), total_bytes,
                                 1, &options));
    if (!fd.valid()) {
        return std::unexpected(Error::system(
            "make the tables,", "a BPF array of " + std::to_string(total_bytes) + " bytes"));
    }
    auto info = map_info(fd.get());
    if (!info) {
        return std::unexpected(std::move(info.error()));
    }
    return Region{std::move(fd), info->id};
}

// An interface that carries a program of ours.
struct Held {
    Interface interface;
    Occupant occupant;
};

}  // namespace

struct FastPath::State {
    std::filesystem::path pin_directory;
    Descriptor lock;
    Region region;
    Tables tables;
    bool adopted = false;
    std::vector<AttachedInterface> interfaces;

    // Leaves everything in place, except that a directory without pins has served its time:
    // it goes while its lock is still held.
    ~State() { rmdir(pin_directory.c_str()); }

    [[nodiscard]] std::filesystem::path region_pin() const {
        return pin_directory / kRegionPin;
    }
    [[nodiscard]] std::filesystem::path program_pin(const std::string &interface) const {
        return pin_directory / program_pin_name(interface);
    }

    [[nodiscard]] bool is_ours(const Program &program, const std::set<uint32_t> &pinned) const {
        return program.uses_map(region.map_id) || pinned.contains(program.id);
    }

    [[nodiscard]] std::set<uint32_t> pinned_program_ids() const;
    [[nodiscard]] Result<std::vector<Held>> survey() const;
    [[nodiscard]] uint32_t take_generation() const;
    void drop_pins_except(const std::vector<AttachedInterface> &kept) const;
};

std::set<uint32_t> FastPath::State::pinned_program_ids() const {
    std::set<uint32_t> ids;
    for (const auto &pin : program_pins(pin_directory)) {
        if (auto program = program_of_pin(pin)) {
            ids.insert(program->id);
        }
    }
    return ids;
}

// Every interface of this network namespace with a program of ours: one that reads our
// tables, or one that we pinned. It is the kernel that knows; pins of interfaces that are
// gone, and programs that a killed daemon had not yet pinned, are nothing special.
Result<std::vector<Held>> FastPath::State::survey() const {
    auto all = all_interfaces();
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    const auto pinned = pinned_program_ids();
    std::vector<Held> held;
    for (auto &interface : *all) {
        auto occupant = occupant_of(interface);
        if (!occupant) {
            return std::unexpected(std::move(occupant.error()));
        }
        if (*occupant && is_ours((*occupant)->program, pinned)) {
            held.push_back({std::move(interface), std::move(**occupant)});
        }
    }
    return held;
}

// A number that no program has, not even one left by a daemon that was killed halfway.
uint32_t FastPath::State::take_generation() const {
    auto &header = tables.header();
    uint32_t next = std::max(header.active_generation, header.last_generation) + 1;
    if (next == 0 || next == GW_GENERATION_ALONE) {
        next = 1;
    }
    header.last_generation = next;
    return next;
}

void FastPath::State::drop_pins_except(const std::vector<AttachedInterface> &kept) const {
    std::set<std::string> names;
    for (const auto &interface : kept) {
        names.insert(program_pin_name(interface.name));
    }
    for (const auto &pin : program_pins(pin_directory)) {
        if (!names.contains(pin.filename().native())) {
            unlink(pin.c_str());
        }
    }
}

FastPath::FastPath(std::unique_ptr<State> state) : state_(std::move(state)) {}
FastPath::FastPath(FastPath &&) noexcept = default;
FastPath &FastPath::operator=(FastPath &&) noexcept = default;
FastPath::~FastPath() = default;

Result<FastPath> FastPath::open(const Options &options) {
    auto layout = tables_layout(options.capacity);
    if (!layout) {
        return std::unexpected(std::move(layout.error()));
    }
    auto lock = lock_pin_directory(options.pin_directory);
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    const auto pin = options.pin_directory / kRegionPin;
    auto pinned = region_of_pin(pin, layout->total_bytes);
    if (!pinned) {
        return std::unexpected(std::move(pinned.error()));
    }
    const bool adopted = pinned->has_value();
    auto region =
        adopted ? Result<Region>(std::move(**pinned)) : new_region(layout->total_bytes);
    if (!region) {
        return std::unexpected(std::move(region.error()));
    }
    auto tables = Tables::map(region->fd.get(), options.capacity, pin.native());
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    if (adopted) {
        if (auto checked = tables->check(options.hash_key); !checked) {
            checked.error().message +=
                ": start the build and configuration that made them, or detach the instance "
                "first";
            return std::unexpected(
                std::move(checked.error()).within("cannot adopt " + pin.native()));
        }
    } else {
        // Pinned last: what is pinned is complete.
        tables->initialise(options.hash_key);
        if (auto kept = pin_replacing(region->fd.get(), pin); !kept) {
            return std::unexpected(std::move(kept.error()));
        }
    }
    auto state = std::unique_ptr<State>(new State{.pin_directory = options.pin_directory,
                                                  .lock = std::move(*lock),
                                                  .region = std::move(*region),
                                                  .tables = std::move(*tables),
                                                  .adopted = adopted,
                                                  .interfaces = {}});
    auto held = state->survey();
    if (!held) {
        return std::unexpected(std::move(held.error()));
    }
    for (const auto &each : *held) {
        state->interfaces.push_back({.name = each.interface.name,
                                     .ifindex = each.interface.ifindex,
                                     .mode = each.occupant.mode,
                                     .attachment = Attachment::kAlone,
                                     .program_id = each.occupant.program.id,
                                     .note = ""});
    }
    return FastPath(std::move(state));
}

namespace {

Error foreign_program(const Interface &interface, const Program &program) {
    const std::string whose = program.name == "guideway"
                                  ? "another Guideway instance's program"
                                  : "somebody else's XDP program " + program.name;
    return {interface.name + " already carries " + whose + " (id " +
            std::to_string(program.id) + "): remove it first (ip link set dev " +
            interface.name + " xdp off), or leave the interface out"};
}

// One interface on its way from what it carried before to this build's program.
struct Change {
    Interface interface;
    std::optional<Occupant> before;  // ours
    LoadedProgram program;
    bool done = false;
};

Result<std::vector<Interface>> resolve(const std::vector<std::string> &names) {
    std::vector<Interface> interfaces;
    std::set<std::string> seen;
    for (const auto &name : names) {
        if (!seen.insert(name).second) {
            return fail("the interface " + name + " is listed twice");
        }
        auto interface = interface_of_name(name);
        if (!interface) {
            return std::unexpected(std::move(interface.error()));
        }
        interfaces.push_back(std::move(*interface));
    }
    return interfaces;
}

// Puts back what was there, in the opposite order. Failures are added to `error`.
void roll_back(std::vector<Change> &changes, Error &error) {
    for (auto &change : std::views::reverse(changes)) {
        if (!change.done) {
            continue;
        }
        auto current = occupant_of(change.interface);
        if (!current || !*current) {
            continue;  // the interface went away, and its program with it
        }
        auto undone = change.before
                          ? put_alone(change.interface, change.before->program.fd.get(),
                                      change.before->mode, *current)
                          : remove_alone(change.interface, **current);
        if (!undone) {
            error.message += "; undoing: " + undone.error().message;
        }
    }
}

}  // namespace

Result<void> FastPath::attach(const std::vector<std::string> &interfaces, Mode mode) {
    auto wanted = resolve(interfaces);
    if (!wanted) {
        return std::unexpected(std::move(wanted.error()));
    }
    // After a detach the tables are no longer pinned, and a later daemon must find them.
    std::error_code ignored;
    if (!std::filesystem::exists(state_->region_pin(), ignored)) {
        if (auto kept = pin_replacing(state_->region.fd.get(), state_->region_pin()); !kept) {
            return kept;
        }
    }
    const uint32_t generation = state_->take_generation();
    const auto pinned = state_->pinned_program_ids();

    // Everything that can be refused is, before anything is changed.
    std::vector<Change> changes;
    for (const auto &interface : *wanted) {
        auto occupant = occupant_of(interface);
        if (!occupant) {
            return std::unexpected(std::move(occupant.error()));
        }
        if (*occupant && !state_->is_ours((*occupant)->program, pinned)) {
            return std::unexpected(foreign_program(interface, (*occupant)->program));
        }
        auto program =
            LoadedProgram::open(state_->tables, state_->region.fd.get(), GW_GENERATION_ALONE);
        if (!program) {
            return std::unexpected(std::move(program.error()));
        }
        if (auto loaded = program->load(); !loaded) {
            return std::unexpected(std::move(loaded.error()));
        }
        changes.push_back({interface, std::move(*occupant), std::move(*program)});
    }
    for (auto &change : changes) {
        if (auto put = put_alone(change.interface, change.program.fd(), mode, change.before);
            !put) {
            roll_back(changes, put.error());
            return put;
        }
        change.done = true;
    }

    state_->tables.header().active_generation = generation;

    std::vector<AttachedInterface> attached;
    Result<void> outcome;
    for (const auto &change : changes) {
        auto occupant = occupant_of(change.interface);
        attached.push_back({.name = change.interface.name,
                            .ifindex = change.interface.ifindex,
                            .mode = mode,
                            .attachment = Attachment::kAlone,
                            .program_id = occupant && *occupant ? (*occupant)->program.id : 0,
                            .note = ""});
        if (auto kept =
                pin_replacing(change.program.fd(), state_->program_pin(change.interface.name));
            !kept && outcome) {
            outcome = std::move(kept);
        }
    }
    state_->interfaces = std::move(attached);
    if (auto held = state_->survey()) {
        for (const auto &each : *held) {
            if (std::ranges::find(interfaces, each.interface.name) == interfaces.end()) {
                if (auto removed = remove_alone(each.interface, each.occupant);
                    !removed && outcome) {
                    outcome = std::move(removed);
                }
            }
        }
    }
    state_->drop_pins_except(state_->interfaces);
    return outcome;
}

Result<std::vector<std::string>> FastPath::detach() {
    auto held = state_->survey();
    if (!held) {
        return std::unexpected(std::move(held.error()));
    }
    std::vector<std::string> names;
    for (const auto &each : *held) {
        if (auto removed = remove_alone(each.interface, each.occupant); !removed) {
            return std::unexpected(std::move(removed.error()));
        }
        names.push_back(each.interface.name);
    }
    state_->tables.header().active_generation = 0;
    state_->interfaces.clear();
    state_->drop_pins_except({});
    unlink(state_->region_pin().c_str());
    return names;
}

const std::vector<AttachedInterface> &FastPath::interfaces() const {
    return state_->interfaces;
}

Tables &FastPath::tables() {
    return state_->tables;
}

bool FastPath::adopted() const {
    return state_->adopted;
}

uint32_t FastPath::generation() const {
    return state_->tables.header().active_generation;
}

}  // namespace guideway::xdp
