#include "xdp/replacement.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "dataplane/tables/migrate.hpp"
#include "dataplane/tables/pins.hpp"
#include "dataplane/tables/sources.hpp"
#include "xdp/attaching.hpp"
#include "xdp/clock.hpp"
#include "xdp/dispatcher.hpp"
#include "xdp/host.hpp"
#include "xdp/instance_pins.hpp"
#include "xdp/loaded_program.hpp"

namespace guideway::xdp {
namespace {

constexpr auto kAdvice =
    ": start the build and configuration that made them, or remove them with 'guidewayd "
    "--instance NAME --detach' (services stop being forwarded)";

constexpr auto kRemovalAdvice =
    ": remove them with 'guidewayd --instance NAME --detach' (services stop being forwarded) "
    "and start again";

// The header's fields that every build of this ABI has at the same place.
gw_tables_header &header_of(const MappedRegion &region)
{
    return *reinterpret_cast<gw_tables_header *>(region.bytes().data());
}

TablesView view_of(const MappedRegion &region)
{
    return TablesView::of(region.bytes()).value();  // was checked when it was opened
}

uint32_t active_generation(const MappedRegion &region)
{
    return std::atomic_ref(header_of(region).active_generation).load();
}

Result<void> rename_pin(const std::filesystem::path &from, const std::filesystem::path &to)
{
    if (std::rename(from.c_str(), to.c_str()) != 0) {
        return std::unexpected(Error::system("rename the pin", from.native()));
    }
    return {};
}

Result<std::optional<MappedRegion>> mapped_pin(const std::filesystem::path &pin)
{
    auto region = region_of_pin(pin);
    if (!region) {
        return std::unexpected(std::move(region.error()));
    }
    if (!*region) {
        return std::nullopt;
    }
    auto mapped = MappedRegion::map(std::move(**region));
    if (!mapped) {
        return std::unexpected(std::move(mapped.error()).within(pin.native()));
    }
    if (auto view = TablesView::of(mapped->bytes()); !view) {
        view.error().message += kAdvice;
        return std::unexpected(std::move(view.error()).within("cannot adopt " + pin.native()));
    }
    return std::move(*mapped);
}

struct PinnedRegions {
    std::optional<MappedRegion> present;
    std::optional<MappedRegion> former;  // programs may still forward by it
};

// What is pinned, after going back to the former tables where nobody acts by the others yet.
Result<PinnedRegions> pinned_regions(const std::filesystem::path &pin_directory)
{
    const auto region_pin = pin_directory / kRegionPin;
    const auto former_pin = pin_directory / kFormerRegionPin;
    auto present = mapped_pin(region_pin);
    if (!present) {
        return std::unexpected(std::move(present.error()));
    }
    auto former = mapped_pin(former_pin);
    if (!former) {
        return std::unexpected(std::move(former.error()));
    }
    if (!*former) {
        return PinnedRegions{std::move(*present), std::nullopt};
    }
    if (*present && (*present)->region().map_id == (*former)->region().map_id) {
        unlink(former_pin.c_str());
        return PinnedRegions{std::move(*present), std::nullopt};
    }
    if (!*present || active_generation(**present) == 0) {
        if (auto back = rename_pin(former_pin, region_pin); !back) {
            return std::unexpected(std::move(back.error()));
        }
        return PinnedRegions{std::move(*former), std::nullopt};
    }
    return PinnedRegions{std::move(*present), std::move(*former)};
}

Result<OpenedTables> make_tables(const gw_capacity &capacity, const gw_layout &layout,
                                 const gw_hash_key &hash_key)
{
    auto region = new_region(layout.total_bytes);
    if (!region) {
        return std::unexpected(std::move(region.error()));
    }
    auto tables = Tables::map(region->fd.get(), capacity, "the new tables");
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    tables->initialise(hash_key);
    const auto ahead = clock_ahead_ns(tables->header().tick_ns);
    if (!ahead) {
        return std::unexpected(ahead.error());
    }
    tables->header().clock_ahead_ns = *ahead;
    return OpenedTables{std::move(*region), std::move(*tables), false, ""};
}

// `present` as tables of this build, if that is what they are.
Result<std::optional<OpenedTables>> as_own_tables(const MappedRegion &present,
                                                  const gw_capacity &capacity,
                                                  const gw_layout &layout,
                                                  const std::filesystem::path &pin)
{
    if (present.region().total_bytes != layout.total_bytes) {
        return std::nullopt;
    }
    // A descriptor of its own: `present` may go.
    auto region = region_of_pin(pin);
    if (!region || !*region) {
        return region ? fail(pin.native() + " has gone")
                      : std::unexpected(std::move(region.error()));
    }
    auto tables = Tables::map((*region)->fd.get(), capacity, pin.native());
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    if (!tables->has_this_layout()) {
        return std::nullopt;
    }
    if (auto content = check_content(TablesView::of(*tables)); !content) {
        content.error().message += kRemovalAdvice;
        return std::unexpected(
            std::move(content.error()).within("cannot adopt " + pin.native()));
    }
    return OpenedTables{std::move(**region), std::move(*tables), true, ""};
}

Result<Opening> replacing(Result<Replacement> replacement)
{
    if (!replacement) {
        return std::unexpected(std::move(replacement.error()));
    }
    return Opening{std::nullopt, std::move(*replacement)};
}

Result<Opening> open_pinned(const std::filesystem::path &pin_directory,
                            const gw_capacity &capacity, const gw_layout &layout,
                            const gw_hash_key &hash_key, const SettleWorkers &settle_workers,
                            PinnedRegions pinned)
{
    auto own = as_own_tables(*pinned.present, capacity, layout, pin_directory / kRegionPin);
    if (!own) {
        return std::unexpected(std::move(own.error()));
    }
    std::vector<MappedRegion> formers;
    if (*own) {
        if (!pinned.former) {
            return Opening{std::move(*own), std::nullopt};
        }
        formers.push_back(std::move(*pinned.former));
        return replacing(Replacement::prepare(pin_directory, std::move(**own), true,
                                              std::move(formers), settle_workers));
    }
    auto made = make_tables(capacity, layout, hash_key);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    if (auto migrated = migrate(view_of(*pinned.present), made->tables); !migrated) {
        return std::unexpected(std::move(migrated.error()).within("cannot replace the tables"));
    }
    // Again when all packets go by the new ones; so that until then no source has a burst anew.
    std::ignore = merge_sources(view_of(*pinned.present), TablesView::of(made->tables));
    made->adopted = true;
    if (pinned.former) {
        // Only one can be looked up beside the new ones.
        std::ignore = copy_pins(view_of(*pinned.former), view_of(*pinned.present));
    }
    formers.push_back(std::move(*pinned.present));
    if (pinned.former) {
        formers.push_back(std::move(*pinned.former));
    }
    return replacing(Replacement::prepare(pin_directory, std::move(*made), false,
                                          std::move(formers), settle_workers));
}

}  // namespace

uint32_t take_generation(Tables &tables)
{
    auto &header = tables.header();
    uint32_t next = std::max(header.active_generation, header.last_generation) + 1;
    if (next == 0 || next == GW_GENERATION_ALONE) {
        next = 1;
    }
    header.last_generation = next;
    return next;
}

Result<Opening> begin_opening(const std::filesystem::path &pin_directory,
                              const gw_capacity &capacity, const gw_hash_key &hash_key,
                              const SettleWorkers &settle_workers)
{
    auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(std::move(layout.error()));
    }
    auto pinned = pinned_regions(pin_directory);
    if (!pinned) {
        return std::unexpected(std::move(pinned.error()));
    }
    if (pinned->present) {
        if (std::memcmp(&header_of(*pinned->present).hash_key, &hash_key, sizeof(hash_key)) !=
            0) {
            return fail("cannot adopt " + (pin_directory / kRegionPin).native() +
                        ": the tables were made with another hash key" + kAdvice);
        }
        return open_pinned(pin_directory, capacity, *layout, hash_key, settle_workers,
                           std::move(*pinned));
    }
    auto made = make_tables(capacity, *layout, hash_key);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    // Pinned last: what is pinned is complete.
    if (auto kept = pin_replacing(made->region.fd.get(), pin_directory / kRegionPin); !kept) {
        return std::unexpected(std::move(kept.error()));
    }
    return Opening{std::move(*made), std::nullopt};
}

Result<OpenedTables> open_tables(const std::filesystem::path &pin_directory,
                                 const gw_capacity &capacity, const gw_hash_key &hash_key,
                                 const SettleWorkers &settle_workers)
{
    auto opening = begin_opening(pin_directory, capacity, hash_key, settle_workers);
    if (!opening) {
        return std::unexpected(std::move(opening.error()));
    }
    if (opening->tables) {
        return std::move(*opening->tables);
    }
    auto &replacement = *opening->replacement;
    if (auto pinned = replacement.pin(); !pinned) {
        return std::unexpected(std::move(pinned.error()));
    }
    if (auto put = replacement.put(); !put) {
        return std::unexpected(std::move(put.error()));
    }
    replacement.silence();
    replacement.move();
    return std::move(replacement).forget();
}

struct Replacement::State {
    std::filesystem::path pin_directory;
    OpenedTables to;
    bool to_is_pinned = false;
    std::vector<MappedRegion> formers;
    SettleWorkers settle_workers;
    uint32_t generation = 0;
    LoadedProgram::FormerPins former_pins;
    std::optional<std::optional<std::string>> obstacle;
    std::optional<Exchange> exchange;

    [[nodiscard]] Result<LoadedProgram> open_program(uint32_t opened) const
    {
        return LoadedProgram::open(to.tables, to.region.fd.get(), opened,
                                   former_pins.buckets == 0 ? nullptr : &former_pins);
    }
    [[nodiscard]] const std::optional<std::string> &ask_for_obstacle()
    {
        if (!obstacle) {
            auto probe = open_program(0);
            obstacle =
                probe ? xdp::dispatcher_obstacle(std::move(*probe)) : probe.error().message;
        }
        return *obstacle;
    }
    [[nodiscard]] std::atomic_ref<uint32_t> active() const
    {
        return std::atomic_ref(to.tables.header().active_generation);
    }
    [[nodiscard]] Ownership ownership() const;
    [[nodiscard]] Result<void> prepare_exchange();
    void wait_for_packets() const;
    void go_back();
};

Replacement::Replacement(std::unique_ptr<State> state) : state_(std::move(state)) {}
Replacement::Replacement(Replacement &&) noexcept = default;
Replacement::~Replacement() = default;

Ownership Replacement::State::ownership() const
{
    auto ownership = ownership_of(pin_directory);
    ownership.region_map_ids.insert(to.region.map_id);
    for (const auto &former : formers) {
        ownership.region_map_ids.insert(former.region().map_id);
    }
    return ownership;
}

Result<Replacement> Replacement::prepare(std::filesystem::path pin_directory, OpenedTables to,
                                         bool to_is_pinned, std::vector<MappedRegion> formers,
                                         SettleWorkers settle_workers)
{
    if (auto here = check_namespace(pin_directory, "start"); !here) {
        return std::unexpected(std::move(here.error()));
    }
    Replacement replacement(
        std::unique_ptr<State>(new State{.pin_directory = std::move(pin_directory),
                                         .to = std::move(to),
                                         .to_is_pinned = to_is_pinned,
                                         .formers = std::move(formers),
                                         .settle_workers = std::move(settle_workers),
                                         .former_pins = {},
                                         .obstacle = {},
                                         .exchange = {}}));
    if (auto prepared = replacement.state_->prepare_exchange(); !prepared) {
        return std::unexpected(std::move(prepared.error()).within("cannot replace the tables"));
    }
    return replacement;
}

// The programs where they are, in the mode in which they are.
Result<void> Replacement::State::prepare_exchange()
{
    const auto &newest = formers.front();
    const auto pins = view_of(newest).section(GW_SECTION_PINS);
    former_pins = {newest.region().fd.get(), pins.offset(), pins.records()};
    auto found = survey(ownership());
    if (!found) {
        return std::unexpected(std::move(found.error()));
    }
    if (!found->unreadable.empty()) {
        return fail("what " + found->unreadable.front().interface.name +
                    " carries may have to be replaced too, and cannot be read: " +
                    found->unreadable.front().message);
    }
    std::vector<Interface> interfaces;
    for (const auto &held : found->held) {
        interfaces.push_back(held.interface);
    }
    generation = take_generation(to.tables);
    auto prepared = Exchange::prepare(
        interfaces, ownership(),
        {.mode = std::nullopt,
         .generation = generation,
         .open = [this](uint32_t opened) { return open_program(opened); },
         .obstacle = [this]() -> const auto & { return ask_for_obstacle(); }});
    if (!prepared) {
        return std::unexpected(std::move(prepared.error()));
    }
    exchange.emplace(std::move(*prepared));
    return {};
}

Result<void> Replacement::pin()
{
    if (state_->to_is_pinned) {
        return {};
    }
    const auto region_pin = state_->pin_directory / kRegionPin;
    const auto former_pin = state_->pin_directory / kFormerRegionPin;
    auto former = pin_replacing(state_->formers.front().region().fd.get(), former_pin);
    if (!former) {
        return former;
    }
    return pin_replacing(state_->to.region.fd.get(), region_pin);
}

Result<void> Replacement::put()
{
    // What sources have sent while programs were loaded: without it their bursts would begin anew.
    for (const auto &former : state_->formers) {
        std::ignore = merge_sources(view_of(former), TablesView::of(state_->to.tables));
    }
    // Where nobody acts by the new tables yet, the new programs do at once: alone on an
    // interface from the moment they are there, and behind a dispatcher on what the old one,
    // which comes first, lets pass. Where an earlier start's programs act, they go on until ours
    // are everywhere.
    const bool is_first = state_->active().load() == 0;
    if (is_first) {
        state_->active().store(state_->generation);
    }
    if (auto put = state_->exchange->put(); !put) {
        if (is_first) {
            state_->go_back();
        }
        return std::unexpected(std::move(put.error()).within("cannot replace the tables"));
    }
    state_->active().store(state_->generation);
    return {};
}

// Returns when every packet's way that was begun before the call has ended, in the kernel and in
// an engine that has mapped the tables.
void Replacement::State::wait_for_packets() const
{
    quiesce();
    for (const auto &former : formers) {
        settle_workers(view_of(former));
    }
    settle_workers(TablesView::of(to.tables));
}

// The new programs were on some interfaces, and are not any more.
void Replacement::State::go_back()
{
    wait_for_packets();
    std::ignore = copy_pins(TablesView::of(to.tables), view_of(formers.front()));
    std::ignore = merge_sources(TablesView::of(to.tables), view_of(formers.front()));
    active().store(0);
    // By this a program that could not be taken off again is known to be ours, and is replaced.
    to.tables.header().successor = formers.front().region().map_id;
    if (auto back = rename_pin(pin_directory / kFormerRegionPin, pin_directory / kRegionPin);
        !back) {
        return;  // the next start does it: nobody acts by the new tables
    }
}

// From here on the old tables are not used but to look for pins.
void Replacement::silence()
{
    // An old program that was alone may still be at its last packet, which it must not pass up.
    state_->wait_for_packets();
    for (const auto &former : state_->formers) {
        header_of(former).successor = state_->to.region.map_id;
        std::atomic_ref(header_of(former).active_generation).store(0);
    }
    // What stays in a dispatcher does nothing any more, and attach() tries again.
    std::ignore = state_->exchange->settle();
    state_->wait_for_packets();
}

void Replacement::move()
{
    MovedPins pins;
    for (const auto &former : state_->formers) {
        const auto moved = move_pins(view_of(former), TablesView::of(state_->to.tables));
        pins.moved += moved.moved;
        pins.no_room += moved.no_room;
        std::ignore = merge_sources(view_of(former), TablesView::of(state_->to.tables));
        move_counters(view_of(former), state_->to.tables);
    }
    const auto &services = state_->to.tables.services();
    const auto count =
        std::ranges::count_if(services, [](const auto &each) { return each.identity != 0; });
    state_->to.moved = std::to_string(count) + " services and " + std::to_string(pins.moved) +
                       " pinned connections have moved into new tables";
    if (pins.no_room > 0) {
        state_->to.moved +=
            "; " + std::to_string(pins.no_room) + " pinned connections found no room there";
    }
}

OpenedTables Replacement::forget() &&
{
    unlink((state_->pin_directory / kFormerRegionPin).c_str());
    return std::move(state_->to);
}

}  // namespace guideway::xdp
