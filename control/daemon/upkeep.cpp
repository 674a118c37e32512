// What an instance does by the clock: it sweeps over pins and checks the health of backends.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "control/daemon/instance.hpp"
#include "control/plane/settings.hpp"

namespace guideway::daemon {
namespace {

// A sweep over pins takes kSweepSteps of these.
constexpr auto kSweepStep = std::chrono::milliseconds(100);
constexpr size_t kSweepSteps = 8;

LimitedSources::Limit describe(const plane::LimitView &view)
{
    std::string of(model::kLimitOfNames[static_cast<size_t>(view.of)]);
    std::ranges::replace(of, '_', ' ');
    return {.name = full_limit_name(view.service, view.name),
            .terms = model::rate_text(view.rate) + " " + of + ", burst " +
                     model::burst_text(view.of, view.burst),
            .observes = view.mode == model::LimitMode::kObserve,
            .ipv4_bits = view.per.ipv4,
            .ipv6_bits = view.per.ipv6};
}

}  // namespace

plane::Moment Instance::moment()
{
    const auto time = std::chrono::duration_cast<plane::Milliseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
    if (const auto ticks = pin_clock_->now()) {
        pin_ticks_ = *ticks;
    } else {
        // The last reading makes pins look younger than they are: they stay.
        spdlog::error("{}", ticks.error().message);
    }
    return {time, pin_ticks_};
}

void Instance::set_connection_times(const model::Connections &connections)
{
    fast_path_->tables().header().pin_times = plane::pin_times(connections);
    plane_->set_timing({.learning = connections.learning_period});
}

// Goes over the pins again and again, in steps that keep the loop responsive.
void Instance::sweep()
{
    sweep_timer_.expires_after(kSweepStep);
    sweep_timer_.async_wait([this](const boost::system::error_code &error) {
        if (error || !serving()) {
            return;
        }
        const size_t step = fast_path_->tables().pin_buckets().size() / kSweepSteps + 1;
        if (plane_->has_sweeping_to_do() && plane_->sweep(step, moment())) {
            reconcile();
        }
        look_around();
        sweep();
    });
}

// What becomes of a backend, apart from what is desired.
model::Condition Instance::condition(const std::string &pool,
                                     const model::Backend &backend) const
{
    model::Condition condition = checks_->condition(pool, backend.address);
    condition.cut = condition.cut || drains_.is_over({pool, backend.name}, unix_now());
    return condition;
}

Checks::World Instance::world_of_checks()
{
    return {
        .index = [this](const std::string &pool,
                        const model::IpAddress &address) -> Result<uint32_t> {
            for (const auto &view : plane_->backends()) {
                if (view.pool == pool && view.backend.address == address &&
                    view.state != plane::BackendState::kLeaving && view.index) {
                    return view.reason.empty() ? Result<uint32_t>(*view.index)
                                               : fail(view.reason);
                }
            }
            return fail("it has no place in the tables yet");
        },
        .syns =
            [this](uint32_t index) {
                const auto traffic = fast_path_->tables().backend_counters(index);
                return health::SynCounts{traffic.syns, traffic.syn_repeats};
            },
        .changed =
            [this] {
                health_changed_ = true;
                reconcile();
            },
        .event =
            [this](const health::Event &event) {
                spdlog::info("{}{}{}: {}: {}", event.pool, event.backend.empty() ? "" : "/",
                             event.backend, health::to_string(event.kind), event.text);
                std::string kind = "health_" + std::string(health::to_string(event.kind));
                std::ranges::replace(kind, ' ', '_');
                events_.record({.kind = std::move(kind),
                                .pool = event.pool,
                                .backend = event.backend,
                                .service = "",
                                .text = event.text});
                health_changed_ = true;
            },
    };
}

std::filesystem::path Instance::health_file() const
{
    return options_.state_directory / (options_.name + ".health");
}

void Instance::begin_checks(boost::asio::io_context &loop)
{
    auto memory = store::load_health(health_file());
    if (!memory) {
        spdlog::warn("{}; it begins anew", memory.error().message);
    }
    checks_ = std::make_unique<Checks>(loop, world_of_checks(),
                                       std::move(memory).value_or(store::HealthMemory{}));
}

// Also before anything is in force: they are kept, and wait for tables.
Result<void> Instance::begin_lists(boost::asio::io_context &loop)
{
    auto lists = Lists::start(
        loop, options_.state_directory / (options_.name + ".lists"),
        {.room = [this]() -> std::optional<ListsRoom> {
             return serving() ? std::optional(ListsRoom::of(fast_path_->tables()))
                              : std::nullopt;
         },
         .put = [this](const ListsImage &image) { plane_->put_lists(image); },
         .record = [this](model::Event event) { events_.record(std::move(event)); },
         .now = unix_now});
    if (!lists) {
        return std::unexpected(std::move(lists.error()));
    }
    lists_ = std::move(*lists);
    return {};
}

void Instance::begin_sight(boost::asio::io_context &loop)
{
    sight_ = std::make_unique<Sight>(
        loop,
        Sight::World{.tables = [this] { return serving() ? &fast_path_->tables() : nullptr; },
                     .names =
                         [this] {
                             LimitedSources::Names names{.limits = {},
                                                         .services = plane_->service_names()};
                             for (const auto &view : plane_->policing().views()) {
                                 names.limits.emplace(view.index, describe(view));
                             }
                             return names;
                         },
                     .sample = [this](bool is_on) { plane_->policing().set_sampling(is_on); },
                     .record = [this](model::Event event) { events_.record(std::move(event)); },
                     // What the packet path's exact clock shows.
                     .now_ns =
                         [] {
                             return static_cast<uint64_t>(
                                 std::chrono::nanoseconds(
                                     std::chrono::steady_clock::now().time_since_epoch())
                                     .count());
                         }});
}

void Instance::remember_health()
{
    if (!health_changed_) {
        return;
    }
    if (auto saved = store::save_health(health_file(), checks_->memory()); !saved) {
        if (saved.error().message != memory_problem_) {
            spdlog::warn("health is not remembered: {}", saved.error().message);
        }
        memory_problem_ = saved.error().message;
    } else {
        health_changed_ = false;
        memory_problem_.clear();
    }
}

// Puts the program that encapsulates probes where the host's routes to the probed service
// addresses leave.
void Instance::lay_probe_path()
{
    const auto addresses = checks_->tunnelled();
    std::string problem;
    std::set<std::string> interfaces;
    for (const auto &address : addresses) {
        auto ways = neighbour::interfaces_towards(address);
        if (!ways || ways->empty()) {
            problem += (problem.empty() ? "" : "; ") + std::string("probes of ") +
                       address.to_string() + " cannot leave: " +
                       (ways ? "the host has no route to it; a default route will do"
                             : ways.error().message);
            if (!ways && probe_path_) {  // nothing is known to have changed
                const auto now = probe_path_->interfaces();
                interfaces.insert(now.begin(), now.end());
            }
        } else {
            interfaces.merge(*ways);
        }
    }
    // Adopted tables may have been left with a program that reads them.
    if (!addresses.empty() || probe_path_ != nullptr || fast_path_->adopted()) {
        if (auto laid = lay_probe_path({interfaces.begin(), interfaces.end()}); !laid) {
            problem += (problem.empty() ? "" : "; ") + laid.error().message;
        }
    }
    if (!problem.empty() && problem != probe_problem_) {
        spdlog::warn("{}", problem);
    }
    probe_problem_ = problem;
}

// In alphabetical order.
Result<void> Instance::lay_probe_path(const std::vector<std::string> &interfaces)
{
    if (!probe_path_) {
        auto loaded = xdp::ProbePath::load(fast_path_->tables(), fast_path_->region_fd());
        if (!loaded) {
            return std::unexpected(std::move(loaded.error()));
        }
        probe_path_ = std::make_unique<xdp::ProbePath>(std::move(*loaded));
    }
    auto now = probe_path_->interfaces();
    std::ranges::sort(now);
    if (now == interfaces && probe_path_->intact()) {
        return {};
    }
    return probe_path_->attach(interfaces);
}

}  // namespace guideway::daemon
