#include "xdp/fast_path.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <set>

#include "xdp/attaching.hpp"
#include "xdp/dispatcher.hpp"
#include "xdp/instance_pins.hpp"
#include "xdp/kernel_objects.hpp"
#include "xdp/loaded_program.hpp"
#include "xdp/region.hpp"
#include "xdp/replacement.hpp"

namespace guideway::xdp {
namespace {

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
    SettleWorkers settle_workers;
    Descriptor lock;
    OpenedTables opened;
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
    [[nodiscard]] Result<LoadedProgram> open_program(uint32_t generation) const;
    [[nodiscard]] const std::optional<std::string> &dispatcher_obstacle();
    [[nodiscard]] Result<void> survey_interfaces();
    void finish(Exchange &exchange);
    void record_what_is_left(const TakenOff &taken);
};

Ownership FastPath::State::ownership() const
{
    auto ownership = ownership_of(pin_directory);
    ownership.region_map_ids.insert(opened.region.map_id);
    return ownership;
}

// After a detach the tables are no longer pinned, and a later daemon must find them.
Result<void> FastPath::State::ensure_region_pinned() const
{
    std::error_code ignored;
    if (std::filesystem::exists(region_pin(), ignored)) {
        return {};
    }
    return pin_replacing(opened.region.fd.get(), region_pin());
}

Result<LoadedProgram> FastPath::State::open_program(uint32_t generation) const
{
    return LoadedProgram::open(opened.tables, opened.region.fd.get(), generation);
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
    auto lock = lock_pin_directory(options.pin_directory);
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    use_our_dispatcher_object();
    auto opened = open_tables(options.pin_directory, options.capacity, options.hash_key,
                              options.settle_workers);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    auto state = std::unique_ptr<State>(new State{.pin_directory = options.pin_directory,
                                                  .settle_workers = options.settle_workers,
                                                  .lock = std::move(*lock),
                                                  .opened = std::move(*opened),
                                                  .interfaces = {},
                                                  .remains = {},
                                                  .obstacle = {}});
    if (auto found = state->survey_interfaces(); !found) {
        return std::unexpected(std::move(found.error()));
    }
    return FastPath(std::move(state));
}

Result<void> FastPath::State::survey_interfaces()
{
    auto found = survey(ownership());
    if (!found) {
        return std::unexpected(std::move(found.error()));
    }
    interfaces.clear();
    remains.clear();
    for (const auto &held : found->held) {
        interfaces.push_back(held.describe());
    }
    // Somebody's broken dispatcher on an interface of no concern must not keep us from starting.
    for (const auto &unreadable : found->unreadable) {
        remains.push_back(unreadable.message);
    }
    return {};
}

Result<void> FastPath::resize(const gw_capacity &capacity)
{
    auto opened = open_tables(state_->pin_directory, capacity,
                              state_->opened.tables.header().hash_key, state_->settle_workers);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    // The former tables are unmapped: who used them must be told so, whatever else happens.
    state_->opened = std::move(*opened);
    if (auto found = state_->survey_interfaces(); !found) {
        state_->remains = {"it is not known which interfaces carry programs: " +
                           found.error().message};
    }
    return {};
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
    const uint32_t generation = xdp::take_generation(state_->opened.tables);
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
    state_->opened.tables.header().active_generation = generation;
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
    drop_program_pins_except(pin_directory, names);
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
    drop_program_pins_except(pin_directory, names);
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
    state_->opened.tables.header().active_generation = 0;
    state_->interfaces.clear();
    state_->remains.clear();
    drop_program_pins_except(state_->pin_directory, {});
    unlink(state_->region_pin().c_str());
    unlink((state_->pin_directory / kFormerRegionPin).c_str());
    unlink((state_->pin_directory / kNamespaceRecord).c_str());
    return std::move(taken->names);
}

namespace {

// An engine that has mapped the tables keeps them when their pin is gone: it is to act by them no
// longer. Tables that cannot be read are none that an engine could act by.
void silence_pinned(const std::filesystem::path &pin)
{
    auto region = region_of_pin(pin);
    if (!region || !*region || (*region)->total_bytes < GW_HEADER_BYTES) {
        return;
    }
    auto mapped = MappedRegion::map(std::move(**region));
    if (!mapped) {
        return;
    }
    auto &header = *reinterpret_cast<gw_tables_header *>(mapped->bytes().data());
    if (header.magic == GW_TABLES_MAGIC && header.abi == GW_TABLES_ABI) {
        std::atomic_ref(header.active_generation).store(0);
    }
}

}  // namespace

Result<std::vector<std::string>> FastPath::remove(const std::filesystem::path &pin_directory)
{
    auto lock = lock_pin_directory(pin_directory);
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    if (auto checked = check_namespace(pin_directory, "detach"); !checked) {
        return std::unexpected(std::move(checked.error()));
    }
    use_our_dispatcher_object();
    auto taken = take_off_except(ownership_of(pin_directory), {});
    if (!taken) {
        return std::unexpected(std::move(taken.error()));
    }
    if (!taken->failures.empty()) {
        drop_program_pins_except(pin_directory, names_of(taken->failures));
        return std::unexpected(detached_in_part(*taken));
    }
    drop_program_pins_except(pin_directory, {});
    silence_pinned(pin_directory / kRegionPin);
    silence_pinned(pin_directory / kFormerRegionPin);
    unlink((pin_directory / kRegionPin).c_str());
    unlink((pin_directory / kFormerRegionPin).c_str());
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
    return state_->opened.tables;
}

int FastPath::region_fd() const
{
    return state_->opened.region.fd.get();
}

bool FastPath::adopted() const
{
    return state_->opened.adopted;
}

const std::string &FastPath::moved() const
{
    return state_->opened.moved;
}

uint32_t FastPath::generation() const
{
    return state_->opened.tables.header().active_generation;
}

}  // namespace guideway::xdp
