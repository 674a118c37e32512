#include "xdp/fast_path.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "xdp/attaching.hpp"
#include "xdp/dispatcher.hpp"
#include "xdp/kernel_objects.hpp"
#include "xdp/loaded_program.hpp"
#include "xdp/region.hpp"

namespace guideway::xdp {
namespace {

constexpr auto kRegionPin = "region";
constexpr std::string_view kProgramPinPrefix = "program-";

// BPF file systems refuse dots in names, and VLAN devices have them in theirs.
std::string program_pin_name(const std::string &interface)
{
    std::string name(kProgramPinPrefix);
    for (const char c : interface) {
        name += c == '.' ? "%2e" : c == '%' ? "%25" : std::string(1, c);
    }
    return name;
}

std::vector<std::filesystem::path> pins_with_prefix(const std::filesystem::path &directory,
                                                    std::string_view prefix)
{
    std::vector<std::filesystem::path> pins;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().filename().native().starts_with(prefix)) {
            pins.push_back(entry.path());
        }
    }
    return pins;
}

Ownership ownership_of(const std::filesystem::path &pin_directory, uint32_t region_map_id)
{
    Ownership ownership{.region_map_id = region_map_id, .pinned_ids = {}};
    for (const auto &pin : pins_with_prefix(pin_directory, kProgramPinPrefix)) {
        if (auto program = program_of_pin(pin)) {
            ownership.pinned_ids.insert(program->id);
        }
    }
    return ownership;
}

void drop_pins_except(const std::filesystem::path &pin_directory,
                      const std::vector<AttachedInterface> &kept)
{
    std::set<std::string> names;
    for (const auto &interface : kept) {
        names.insert(program_pin_name(interface.name));
    }
    for (const auto &pin : pins_with_prefix(pin_directory, kProgramPinPrefix)) {
        if (!names.contains(pin.filename().native())) {
            unlink(pin.c_str());
        }
    }
    for (const auto &pin : pins_with_prefix(pin_directory, kInterimPinPrefix)) {
        unlink(pin.c_str());  // left by one who was killed
    }
}

}  // namespace

struct FastPath::State {
    std::filesystem::path pin_directory;
    Descriptor lock;
    Region region;
    Tables tables;
    bool adopted = false;
    std::vector<AttachedInterface> interfaces;
    // Why a dispatcher cannot be used, if so; asked of the kernel once.
    std::optional<std::optional<std::string>> obstacle;

    // Leaves everything in place, except that a directory without pins has served its time:
    // it goes while its lock is still held.
    ~State() { rmdir(pin_directory.c_str()); }

    [[nodiscard]] std::filesystem::path region_pin() const
    {
        return pin_directory / kRegionPin;
    }
    [[nodiscard]] std::filesystem::path program_pin(const std::string &interface) const
    {
        return pin_directory / program_pin_name(interface);
    }

    [[nodiscard]] Ownership ownership() const;
    [[nodiscard]] Result<void> ensure_region_pinned() const;
    [[nodiscard]] uint32_t take_generation() const;
    [[nodiscard]] Result<LoadedProgram> open_program(uint32_t generation) const;
    [[nodiscard]] const std::optional<std::string> &dispatcher_obstacle();

  private:
};

Ownership FastPath::State::ownership() const
{
    return ownership_of(pin_directory, region.map_id);
}

// After a detach the tables are no longer pinned, and a later daemon must find them.
Result<void> FastPath::State::ensure_region_pinned() const
{
    std::error_code ignored;
    if (std::filesystem::exists(region_pin(), ignored)) {
        return {};
    }
    return pin_replacing(region.fd.get(), region_pin());
}

// A number that no program has, not even one left by a daemon that was killed halfway.
uint32_t FastPath::State::take_generation() const
{
    auto &header = tables.header();
    uint32_t next = std::max(header.active_generation, header.last_generation) + 1;
    if (next == 0 || next == GW_GENERATION_ALONE) {
        next = 1;
    }
    header.last_generation = next;
    return next;
}

Result<LoadedProgram> FastPath::State::open_program(uint32_t generation) const
{
    return LoadedProgram::open(tables, region.fd.get(), generation);
}

const std::optional<std::string> &FastPath::State::dispatcher_obstacle()
{
    if (!obstacle) {
        auto probe = open_program(0);
        obstacle = probe ? xdp::dispatcher_obstacle(std::move(*probe)) : probe.error().message;
    }
    return *obstacle;
}

FastPath::FastPath(std::unique_ptr<State> state) : state_(std::move(state)) {}
FastPath::FastPath(FastPath &&) noexcept = default;
FastPath &FastPath::operator=(FastPath &&) noexcept = default;
FastPath::~FastPath() = default;

Result<FastPath> FastPath::open(const Options &options)
{
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
                ": start the build and configuration that made them, or remove them with "
                "'guidewayd --instance NAME --detach' (services stop being forwarded)";
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
                                                  .interfaces = {},
                                                  .obstacle = {}});
    use_our_dispatcher_object();
    auto held = survey(state->ownership());
    if (!held) {
        return std::unexpected(std::move(held.error()));
    }
    for (const auto &each : *held) {
        state->interfaces.push_back(each.describe());
    }
    return FastPath(std::move(state));
}

namespace {

Result<std::vector<Interface>> resolve(const std::vector<std::string> &names)
{
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

}  // namespace

Result<void> FastPath::attach(const std::vector<std::string> &interfaces, Mode mode)
{
    auto wanted = resolve(interfaces);
    if (!wanted) {
        return std::unexpected(std::move(wanted.error()));
    }
    if (auto pinned = state_->ensure_region_pinned(); !pinned) {
        return pinned;
    }
    const uint32_t generation = state_->take_generation();
    auto exchange = Exchange::prepare(
        *wanted, state_->ownership(),
        {.mode = mode,
         .generation = generation,
         .open = [this](uint32_t opened) { return state_->open_program(opened); },
         .obstacle = [this]() -> const auto & { return state_->dispatcher_obstacle(); }});
    if (!exchange) {
        return std::unexpected(std::move(exchange.error()));
    }
    if (auto put = exchange->put(); !put) {
        return put;
    }

    // From here on the new programs act, and behind a dispatcher the old ones do not. A
    // packet between the two meets the old one first: it cannot miss both.
    state_->tables.header().active_generation = generation;

    // What fails now leaves remains, not a broken fast path: go on, and report the first.
    state_->interfaces = exchange->attached();
    auto outcome = exchange->settle();
    std::set<uint32_t> kept;
    for (size_t i = 0; i < state_->interfaces.size(); i++) {
        const auto &interface = state_->interfaces[i];
        kept.insert(interface.ifindex);
        auto pinned =
            pin_replacing(exchange->program_fd(i), state_->program_pin(interface.name));
        if (!pinned && outcome) {
            outcome = std::move(pinned);
        }
    }
    auto taken_off = take_off_except(state_->ownership(), kept);
    if (!taken_off && outcome) {
        outcome = std::unexpected(std::move(taken_off.error()));
    }
    drop_pins_except(state_->pin_directory, state_->interfaces);
    return outcome;
}

Result<std::vector<std::string>> FastPath::detach()
{
    auto names = take_off_except(state_->ownership(), {});
    if (names) {
        state_->tables.header().active_generation = 0;
        state_->interfaces.clear();
        drop_pins_except(state_->pin_directory, {});
        unlink(state_->region_pin().c_str());
    }
    return names;
}

Result<std::vector<std::string>> FastPath::remove(const std::filesystem::path &pin_directory)
{
    auto lock = lock_pin_directory(pin_directory);
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    const auto region_pin = pin_directory / kRegionPin;
    const Descriptor region(bpf_obj_get(region_pin.c_str()));
    use_our_dispatcher_object();
    auto names = take_off_except(
        ownership_of(pin_directory, region.valid() ? map_id(region.get()) : 0), {});
    if (names) {
        drop_pins_except(pin_directory, {});
        unlink(region_pin.c_str());
        rmdir(pin_directory.c_str());
    }
    return names;
}

const std::vector<AttachedInterface> &FastPath::interfaces() const
{
    return state_->interfaces;
}

Tables &FastPath::tables()
{
    return state_->tables;
}

bool FastPath::adopted() const
{
    return state_->adopted;
}

uint32_t FastPath::generation() const
{
    return state_->tables.header().active_generation;
}

}  // namespace guideway::xdp
