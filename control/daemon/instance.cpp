#include "control/daemon/instance.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "control/plane/settings.hpp"
#include "dataplane/tables/migrate.hpp"
#include "xdp/host.hpp"

namespace guideway::daemon {
namespace {

// How long after a start the next hops found in adopted tables are believed while the
// kernel has not yet been heard on them.
constexpr auto kTrustAdopted = std::chrono::seconds(3);

gw_capacity to_table_capacity(const model::Capacity &capacity)
{
    // The last is the control plane's.
    return plane::table_capacity(capacity, xdp::possible_cpus() + 1);
}

plane::SelectionTiming timing_of(const model::Connections &connections)
{
    return {.learning = connections.learning_period};
}

}  // namespace

Instance::Instance(boost::asio::io_context &loop, Options options, store::Store store)
    : options_(std::move(options)),
      store_(std::move(store)),
      events_(loop, [this](const auto &events) { return store_.append_events(events); }),
      trust_timer_(loop),
      sweep_timer_(loop),
      supervision_timer_(loop),
      engine_(std::make_unique<Engine>(
          loop, options_.engine, options_.name,
          Engine::World{.record = [this](auto event) { events_.record(std::move(event)); },
                        .begins = [this] { trust_next_hops(); },
                        .changed = [this] { note_engine(); }}))
{
}

Result<std::unique_ptr<Instance>> Instance::start(boost::asio::io_context &loop,
                                                  Options options, bool idle_if_detached)
{
    auto store = store::Store::open(options.state_directory / (options.name + ".db"));
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    std::unique_ptr<Instance> instance(
        new Instance(loop, std::move(options), std::move(*store)));
    auto resolver = neighbour::Resolver::start(loop, [self = instance.get()] {
        self->reconcile();
        if (self->serving()) {
            self->lay_probe_path();  // routes may be other ones
        }
    });
    if (!resolver) {
        return std::unexpected(std::move(resolver.error()));
    }
    instance->resolver_ = std::move(*resolver);
    instance->begin_checks(loop);
    if (auto begun = instance->begin_lists(loop); !begun) {
        return std::unexpected(std::move(begun.error()));
    }
    instance->begin_sight(loop);

    auto remembered = instance->store_.events(Events::kKept);
    if (!remembered) {
        spdlog::warn("events of before this start are not shown: {}",
                     remembered.error().message);
    }
    instance->events_.go_on_after(std::move(remembered).value_or(std::vector<model::Event>{}));
    auto latest = instance->store_.latest();
    if (!latest) {
        return std::unexpected(std::move(latest.error()));
    }
    if (!*latest) {
        return instance;
    }
    if (idle_if_detached && (*latest)->cause == kDetach) {
        instance->revision_ = (*latest)->number;
        instance->overrides_ = (*latest)->overrides;
        return instance;
    }
    if (auto restored = instance->restore(**latest); !restored) {
        return std::unexpected(
            std::move(restored.error())
                .within("cannot restore revision " + std::to_string((*latest)->number)));
    }
    return instance;
}

// The last revision was checked when it was applied. It is not checked against the host
// again: an interface that has gone since is a reason to say so and to try again when links
// change, not to leave the operator without a daemon.
Result<void> Instance::restore(const store::Revision &revision)
{
    auto document = config::parse(revision.file_name, revision.file_text);
    if (!document) {
        return fail(document.error().front().to_string());
    }
    auto effective = model::with_overrides(document->desired, revision.overrides);
    if (!effective) {
        return std::unexpected(std::move(effective.error()));
    }
    if (auto opened = open_tables(*effective); !opened) {
        return opened;
    }
    if (auto room = plane_->fits(*effective); !room) {
        return room;
    }
    document_ = std::move(*document);
    document_text_ = revision.file_text;
    overrides_ = revision.overrides;
    effective_ = std::move(*effective);
    revision_ = revision.number;
    checks_->configure(effective_);
    health_changed_ = true;
    fill_tables(effective_);
    lay_probe_path();
    begin_forwarding();
    events_.record({.kind = "started",
                    .text = "revision " + std::to_string(revision_) +
                            " is in force: " + revision.summary});
    note_states();
    spdlog::info("revision {} is in force: {}", revision_, revision.summary);
    return {};
}

// Opens or adopts the tables; they are not yet written.
Result<void> Instance::open_tables(const model::Desired &effective)
{
    auto opened = xdp::FastPath::open(
        {.pin_directory = pin_directory(),
         .capacity = to_table_capacity(effective.capacity),
         .hash_key = plane::table_key(effective.hash_key),
         .settle_workers = [this](const TablesView &tables) { settle_workers(tables); }});
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    fast_path_ = std::make_unique<xdp::FastPath>(std::move(*opened));
    auto clock = xdp::PinClock::open(fast_path_->tables().header().tick_ns);
    if (!clock) {
        fast_path_.reset();
        return std::unexpected(std::move(clock.error()));
    }
    pin_clock_ = std::make_unique<xdp::PinClock>(std::move(*clock));
    if (!fast_path_->moved().empty()) {
        spdlog::info("{}", fast_path_->moved());
    }
    make_plane(effective);
    sweep();
    trust_adopted_ = false;
    if (fast_path_->adopted()) {
        trust_next_hops();
    }
    return {};
}

// For a while those in the tables are believed, whatever the kernel says.
void Instance::trust_next_hops()
{
    trust_adopted_ = true;
    trust_timer_.expires_after(kTrustAdopted);
    trust_timer_.async_wait([this](const boost::system::error_code &error) {
        if (!error) {
            trust_adopted_ = false;
            reconcile();
        }
    });
}

void Instance::make_plane(const model::Desired &effective)
{
    const auto quiesce = [this] {
        xdp::quiesce();
        settle_workers(TablesView::of(fast_path_->tables()));
    };
    plane_ = std::make_unique<plane::Plane>(fast_path_->tables(), quiesce,
                                            timing_of(effective.connections), moment());
    set_connection_times(effective.connections);
    lists_->put_all();
    sight_->begin();
}

// Whether `desired` can be put in force: where it asks for other sizes, in tables of these that
// hold what the present ones do.
Result<void> Instance::fits(const model::Desired &desired) const
{
    if (desired.capacity == effective_.capacity) {
        return plane_->fits(desired);
    }
    auto trial = Tables::anonymous(to_table_capacity(desired.capacity),
                                   fast_path_->tables().header().hash_key);
    if (!trial) {
        return std::unexpected(std::move(trial.error()));
    }
    if (auto migrated = migrate(TablesView::of(fast_path_->tables()), *trial); !migrated) {
        return migrated;
    }
    if (const auto room = ListsRoom::of(*trial); room != ListsRoom::of(fast_path_->tables())) {
        if (auto fit = lists_->fit(room); !fit) {
            return fit;
        }
    }
    return plane::Plane(*trial, [] {}, timing_of(desired.connections), {}).fits(desired);
}

// Other tables, with all that the present ones hold. To be followed by attach_what_exists(true):
// until then the programs look for pins in the former ones too.
Result<void> Instance::resize(const model::Capacity &capacity)
{
    if (auto resized = fast_path_->resize(to_table_capacity(capacity)); !resized) {
        return resized;
    }
    spdlog::info("{}", fast_path_->moved());
    make_plane(effective_);
    probe_path_.reset();  // its program reads the former ones; the next takes its place
    return {};
}

// What fits() has let pass.
void Instance::fill_tables(const model::Desired &effective)
{
    drains_.set_deadlines(effective, unix_now());
    watch_next_hops(effective);
    auto applied = plane_->apply(
        effective,
        {.next_hop = [this](const auto &address) { return resolver_->lookup(address); },
         .condition = [this](const auto &pool,
                             const auto &backend) { return condition(pool, backend); },
         .trust_adopted = trust_adopted_},
        moment());
    if (!applied) {
        spdlog::error("the tables stay as they were: {}", applied.error().message);
    }
    watch_next_hops(effective);
}

std::filesystem::path Instance::pin_directory() const
{
    return options_.bpf_directory / options_.name;
}

void Instance::watch_next_hops(const model::Desired &desired)
{
    std::set<model::IpAddress> addresses;
    for (const auto &pool : desired.pools) {
        for (const auto &backend : pool.backends) {
            addresses.insert(backend.address);
        }
    }
    for (const auto &view : plane_->backends()) {
        addresses.insert(view.backend.address);  // also of those that are leaving
    }
    addresses.merge(checks_->tunnelled());
    resolver_->watch(addresses);
}

void Instance::reconcile()
{
    if (serving()) {
        fill_tables(effective_);
        note_states();
    }
}

std::vector<model::OverrideDescription> Instance::overrides() const
{
    return model::describe(document_.desired, overrides_);
}

std::vector<std::string> Instance::problems() const
{
    std::vector<std::string> problems;
    if (!serving()) {
        std::error_code unreadable;  // then there is nothing to say of it
        if (std::filesystem::exists(pin_directory(), unreadable)) {
            problems.push_back(
                "an earlier daemon has left a fast path in the kernel, which this "
                "one has no configuration for; it may be forwarding: 'guideway "
                "apply FILE' adopts it, 'guideway detach' removes it");
        }
        return problems;
    }
    if (!memory_problem_.empty()) {
        problems.push_back("health is not remembered: " + memory_problem_);
    }
    if (!events_.problem().empty()) {
        problems.push_back("events are not remembered for now: " + events_.problem());
    }
    for (const auto &problem : {lists_->problem(), lists_->expiry_problem(), probe_problem_}) {
        if (!problem.empty()) {
            problems.push_back(problem);
        }
    }
    if (const std::string problem = engine_->problem(); !problem.empty()) {
        problems.push_back(problem);
    }
    if (!attach_problem_.empty()) {
        problems.push_back(attach_problem_);
    } else if (!fast_path_->intact()) {
        problems.push_back(
            "the XDP program is not on all of its interfaces; it is put there "
            "again within seconds");
    }
    problems.insert(problems.end(), fast_path_->remains().begin(), fast_path_->remains().end());
    add_problems_of_health(problems);
    for (const auto &service : plane_->services()) {
        if (std::ranges::all_of(service.backends,
                                [](const auto &backend) { return backend.slots == 0; })) {
            problems.push_back("service " + service.service.name +
                               " has no backend that can be used; its packets are dropped");
        }
    }
    return problems;
}

}  // namespace guideway::daemon
