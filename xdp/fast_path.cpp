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
constexpr auto kNamespaceRecord = "netns";
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

// Keeps the pins of these interfaces.
void drop_pins_except(const std::filesystem::path &pin_directory,
                      const std::set<std::string> &kept)
{
    std::set<std::string> names;
    for (const auto &interface : kept) {
        names.insert(program_pin_name(interface));
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

// "net:[NUMBER]", of the calling thread.
Result<std::string> network_namespace()
{
    static constexpr auto kSelf = "/proc/thread-self/ns/net";
    std::error_code error;
    const auto target = std::filesystem::read_symlink(kSelf, error);
    if (error) {
        return std::unexpected(Error::system("read", kSelf, error.value()));
    }
    return target.native();
}

// A link, because a BPF file system holds no ordinary files.
Result<void> record_namespace(const std::filesystem::path &pin_directory)
{
    auto here = network_namespace();
    if (!here) {
        return std::unexpected(std::move(here.error()));
    }
    const auto record = pin_directory / kNamespaceRecord;
    unlink(record.c_str());
    if (symlink(here->c_str(), record.c_str()) != 0) {
        return std::unexpected(Error::system("make the link", record.native()));
    }
    return {};
}

// Whether a namespace elsewhere still exists cannot be known, so this is for the operator.
Result<void> check_namespace(const std::filesystem::path &pin_directory)
{
    std::error_code no_record;
    const auto there =
        std::filesystem::read_symlink(pin_directory / kNamespaceRecord, no_record);
    if (no_record) {
        return {};  // nothing was attached
    }
    auto here = network_namespace();
    if (!here) {
        return std::unexpected(std::move(here.error()));
    }
    if (there != *here) {
        return fail("the programs of " + pin_directory.native() +
                    " are on interfaces of another network namespace, " + there.native() +
                    " (this is " + *here + "): detach there (nsenter --net=…); if that " +
                    "namespace is gone, so are its programs, and 'rm -r " +
                    pin_directory.native() + "' removes what is left of them");
    }
    return {};
}

std::set<std::string> names_of(const std::vector<Failure> &failures)
{
    std::set<std::string> names;
    for (const auto &failure : failures) {
        names.insert(failure.interface.name);
    }
    return names;
}

template <typename Texts>
std::string joined(const Texts &texts, std::string_view separator)
{
    std::string all;
    for (const auto &text : texts) {
        all += (all.empty() ? "" : std::string(separator)) + text;
    }
    return all;
}

// A detach that did not go through: what it changed, what not, and why.
Error detached_in_part(const TakenOff &taken)
{
    std::vector<std::string> reasons;
    for (const auto &failure : taken.failures) {
        reasons.push_back(failure.message);
    }
    return {"the programs are off " +
            (taken.names.empty() ? "no interface" : joined(taken.names, ", ")) +
            ", and not off " + joined(names_of(taken.failures), ", ") + ": " +
            joined(reasons, "; ")};
}

}  // namespace

struct FastPath::State {
    std::filesystem::path pin_directory;
    Descriptor lock;
    Region region;
    Tables tables;
    bool adopted = false;
    std::vector<AttachedInterface> interfaces;
    std::vector<std::string> remains;
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
    void finish(Exchange &exchange);
    void record_what_is_left(const TakenOff &taken);
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
                                                  .remains = {},
                                                  .obstacle = {}});
    use_our_dispatcher_object();
    auto found = survey(state->ownership());
    if (!found) {
        return std::unexpected(std::move(found.error()));
    }
    for (const auto &held : found->held) {
        state->interfaces.push_back(held.describe());
    }
    // Somebody's broken dispatcher on an interface of no concern must not keep us from starting.
    for (const auto &unreadable : found->unreadable) {
        state->remains.push_back(unreadable.message);
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
    if (auto recorded = record_namespace(state_->pin_directory); !recorded) {
        return recorded;
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
    state_->finish(*exchange);
    return {};
}

// The new programs act: what fails now leaves remains, not a broken fast path.
void FastPath::State::finish(Exchange &exchange)
{
    interfaces = exchange.attached();
    remains.clear();
    for (const auto &failure : exchange.settle()) {
        remains.push_back(
            failure.interface.name +
            " still holds a former program, which does nothing any more: " + failure.message);
    }
    std::set<uint32_t> kept;
    std::set<std::string> names;
    for (size_t i = 0; i < interfaces.size(); i++) {
        kept.insert(interfaces[i].ifindex);
        names.insert(interfaces[i].name);
        auto pinned = pin_replacing(exchange.program_fd(i), program_pin(interfaces[i].name));
        if (!pinned) {
            remains.push_back(std::move(pinned.error().message));
        }
    }
    auto taken = take_off_except(ownership(), kept);
    if (!taken) {
        // Not knowing what is left, every pin may still be needed to recognise it.
        remains.push_back("interfaces no longer listed may still forward: " +
                          taken.error().message);
        return;
    }
    for (const auto &failure : taken->failures) {
        remains.push_back(failure.interface.name +
                          " is no longer listed and may still forward: " + failure.message);
    }
    names.merge(names_of(taken->failures));
    drop_pins_except(pin_directory, names);
}

// After a detach that did not go through.
void FastPath::State::record_what_is_left(const TakenOff &taken)
{
    const auto names = names_of(taken.failures);
    std::erase_if(interfaces, [&](const auto &each) { return !names.contains(each.name); });
    for (const auto &held : taken.left) {
        const auto now = held.describe();
        const auto known = std::ranges::find(interfaces, now.name, &AttachedInterface::name);
        if (known == interfaces.end()) {
            interfaces.push_back(now);
        } else if (known->program_id != now.program_id) {
            *known = now;
        }
    }
    remains.clear();
    drop_pins_except(pin_directory, names);
}

Result<std::vector<std::string>> FastPath::detach()
{
    auto taken = take_off_except(state_->ownership(), {});
    if (!taken) {
        return std::unexpected(std::move(taken.error()));
    }
    if (!taken->failures.empty()) {
        state_->record_what_is_left(*taken);
        return std::unexpected(detached_in_part(*taken));
    }
    state_->tables.header().active_generation = 0;
    state_->interfaces.clear();
    state_->remains.clear();
    drop_pins_except(state_->pin_directory, {});
    unlink(state_->region_pin().c_str());
    unlink((state_->pin_directory / kNamespaceRecord).c_str());
    return std::move(taken->names);
}

Result<std::vector<std::string>> FastPath::remove(const std::filesystem::path &pin_directory)
{
    auto lock = lock_pin_directory(pin_directory);
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    if (auto checked = check_namespace(pin_directory); !checked) {
        return std::unexpected(std::move(checked.error()));
    }
    const auto region_pin = pin_directory / kRegionPin;
    const Descriptor region(bpf_obj_get(region_pin.c_str()));
    use_our_dispatcher_object();
    auto taken = take_off_except(
        ownership_of(pin_directory, region.valid() ? map_id(region.get()) : 0), {});
    if (!taken) {
        return std::unexpected(std::move(taken.error()));
    }
    if (!taken->failures.empty()) {
        drop_pins_except(pin_directory, names_of(taken->failures));
        return std::unexpected(detached_in_part(*taken));
    }
    drop_pins_except(pin_directory, {});
    unlink(region_pin.c_str());
    unlink((pin_directory / kNamespaceRecord).c_str());
    rmdir(pin_directory.c_str());
    return std::move(taken->names);
}

const std::vector<AttachedInterface> &FastPath::interfaces() const
{
    return state_->interfaces;
}

const std::vector<std::string> &FastPath::remains() const
{
    return state_->remains;
}

bool FastPath::intact() const
{
    return std::ranges::all_of(state_->interfaces, still_carries);
}

Tables &FastPath::tables()
{
    return state_->tables;
}

int FastPath::region_fd() const
{
    return state_->region.fd.get();
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
