// How packets come to be forwarded by the tables: by the XDP program on interfaces, or by the DPDK
// engine; and how that ends.
#include <net/if.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {
namespace {

// How often it is looked whether the program is still on its interfaces, and how long
// after a failed attempt the next is made: each loads a program.
constexpr auto kSupervision = std::chrono::seconds(2);
constexpr auto kAttachAgain = std::chrono::seconds(10);
constexpr auto kFirstRoundStep = std::chrono::milliseconds(20);

}  // namespace

// Adopted tables forward already. New ones wait for the first round of probes, as long as one
// may take: rings that are empty meanwhile would drop what other edge hosts could serve.
void Instance::begin_forwarding()
{
    if (effective_.engine == model::Engine::kDpdk) {
        engine_->want(
            engine_wish(effective_, options_.engine));  // probes may leave by its taps
    }
    const auto begun = std::chrono::steady_clock::now();
    if (fast_path_->adopted() || checks_->first_rounds_are_over()) {
        attach_what_exists(true);
        supervise();
        return;
    }
    auto longest = model::Milliseconds::zero();
    for (const auto &pool : effective_.pools) {
        longest = std::max(longest, pool.health.timeout);
    }
    wait_for_first_round(begun + longest);
}

void Instance::wait_for_first_round(std::chrono::steady_clock::time_point until)
{
    supervision_timer_.expires_after(kFirstRoundStep);
    supervision_timer_.async_wait([this, until](const boost::system::error_code &error) {
        if (error || !serving()) {
            return;
        }
        if (checks_->first_rounds_are_over() || std::chrono::steady_clock::now() >= until) {
            attach_what_exists(true);
            supervise();
        } else {
            wait_for_first_round(until);
        }
    });
}

// Ends what only a serving instance does. The fast path is not touched.
void Instance::forget_fast_path()
{
    sight_->end();
    trust_timer_.cancel();
    sweep_timer_.cancel();
    supervision_timer_.cancel();
    engine_->forget();
    checks_->configure({});
    attach_problem_.clear();
    probe_problem_.clear();
    probe_path_.reset();
    plane_.reset();
    drains_.forget();
    noted_.clear();
    pin_clock_.reset();
    fast_path_.reset();
    lists_->put_all();  // nowhere
    resolver_->watch({});
}

void Instance::end_serving()
{
    const bool was_there_before = fast_path_->adopted();
    if (!was_there_before) {
        if (auto detached = fast_path_->detach(); !detached) {
            spdlog::error("{}", detached.error().message);
        }
        engine_->release(true);
    }
    forget_fast_path();
}

Result<void> Instance::attach(const model::Desired &desired)
{
    if (desired.engine == model::Engine::kDpdk) {
        return attach_engine(desired);
    }
    const auto &ports = effective_.dpdk.ports;
    if (engine_->is_wanted() && std::ranges::any_of(ports, [](const auto &port) {
            return model::is_diverted_device(port.device);
        })) {
        engine_->release(false);  // its own programs are where ours are to be
    }
    return attach(desired.interfaces, desired.xdp_mode);
}

// The engine forwards before the XDP programs are taken off, so that somebody always does. But a
// port that takes packets away from an interface needs that for itself.
Result<void> Instance::attach_engine(const model::Desired &desired)
{
    std::vector<std::string> carried;
    std::vector<std::string> kept;
    for (const auto &interface : fast_path_->interfaces()) {
        const auto port = std::ranges::find(desired.dpdk.ports, interface.name,
                                            &model::EnginePort::interface);
        carried.push_back(interface.name);
        if (port == desired.dpdk.ports.end() || !model::is_diverted_device(port->device)) {
            kept.push_back(interface.name);
        }
    }
    if (kept != carried) {
        if (auto freed = attach(kept, effective_.xdp_mode); !freed) {
            return freed;
        }
    }
    if (auto runs = engine_->require(engine_wish(desired, options_.engine), !carried.empty());
        !runs) {
        if (kept != carried) {
            if (auto back = attach(carried, effective_.xdp_mode); !back) {
                spdlog::error("cannot go back to the interfaces before: {}",
                              back.error().message);
            }
        }
        return runs;
    }
    auto attached = attach({}, effective_.xdp_mode);
    if (!attached && effective_.engine == model::Engine::kXdp) {
        engine_->release(true);
    }
    return attached;
}

// Once the XDP programs forward.
void Instance::end_unwanted_engine()
{
    if (effective_.engine == model::Engine::kXdp) {
        engine_->release(true);
        engine_->end_left_over();
    }
}

// Like attach_what_exists(): what is missing is tried again.
void Instance::keep_engine(bool anew)
{
    engine_->want(engine_wish(effective_, options_.engine));
    const bool carries = !fast_path_->interfaces().empty();
    const bool is_due = anew || carries || fast_path_->generation() == 0 ||
                        !fast_path_->remains().empty() || !attach_problem_.empty();
    if (!is_due || (carries && !engine_->is_running())) {
        return;
    }
    if (auto attached = attach({}, effective_.xdp_mode); !attached) {
        if (attached.error().message != attach_problem_) {
            spdlog::error("{}", attached.error().message);
            events_.record({.kind = "attach_problem", .text = attached.error().message});
        }
        attach_problem_ = attached.error().message;
    }
}

void Instance::note_engine()
{
    if (serving() && effective_.engine == model::Engine::kDpdk) {
        keep_engine(false);
        reconcile();
    }
}

// Returns when no worker of an engine can be at a packet that it had before the call.
void Instance::settle_workers(const TablesView &tables)
{
    if (engine_->may_be_at_work()) {
        if (wait_for_workers(tables, kBurstLongest)) {
            return;
        }
        engine_->end_hanging();
    }
    forget_workers(tables);
}

Result<void> Instance::attach(const std::vector<std::string> &interfaces, model::XdpMode mode)
{
    auto attached =
        fast_path_->attach(interfaces, mode == model::XdpMode::kGeneric ? xdp::Mode::kGeneric
                                                                        : xdp::Mode::kNative);
    if (attached) {
        attach_problem_.clear();
    }
    return attached;
}

// Puts the program on those interfaces that there are, where it is not there already or
// `anew` asks for this build's. One that is missing must not keep the others from serving.
void Instance::attach_what_exists(bool anew)
{
    if (effective_.engine == model::Engine::kDpdk) {
        keep_engine(anew);
        return;
    }
    std::vector<std::string> present;
    std::string problem;
    for (const auto &name : effective_.interfaces) {
        if (if_nametoindex(name.c_str()) != 0) {
            present.push_back(name);
        } else {
            problem += (problem.empty() ? "there is no interface " : ", ") + name;
        }
    }
    std::vector<std::string> carried;
    for (const auto &interface : fast_path_->interfaces()) {
        carried.push_back(interface.name);
    }
    std::ranges::sort(carried);
    auto wanted = present;
    std::ranges::sort(wanted);
    if (anew || wanted != carried || !fast_path_->intact() || !fast_path_->remains().empty()) {
        if (auto attached = attach(present, effective_.xdp_mode); !attached) {
            problem += (problem.empty() ? "" : "; ") + attached.error().message;
        } else if (!anew) {
            spdlog::info("the XDP program was put on its interfaces again");
        }
    }
    if (!problem.empty() && problem != attach_problem_) {
        spdlog::error("{}; trying again every {} s", problem, kAttachAgain.count());
        events_.record({.kind = "attach_problem", .text = problem});
    } else if (problem.empty() && !attach_problem_.empty()) {
        events_.record({.kind = "attached", .text = "the XDP program is on its interfaces"});
    }
    attach_problem_ = problem;
    if (anew && problem.empty()) {
        end_unwanted_engine();
    }
}

// Looks again and again whether the program is where it should be: an interface may be made
// anew, or somebody may have taken the program off.
void Instance::supervise()
{
    const bool is_well = attach_problem_.empty() && fast_path_->remains().empty();
    supervision_timer_.expires_after(is_well ? kSupervision : kAttachAgain);
    supervision_timer_.async_wait([this](const boost::system::error_code &error) {
        if (!error && serving()) {
            attach_what_exists(false);
            lay_probe_path();
            supervise();
        }
    });
}

Result<std::vector<std::string>> remove_fast_path(const std::filesystem::path &pin_directory)
{
    if (auto probes = xdp::ProbePath::remove(pin_directory); !probes) {
        spdlog::warn("{}", probes.error().message);
    }
    return xdp::FastPath::remove(pin_directory);
}

Result<std::vector<std::string>> Instance::detach()
{
    if (!serving()) {
        // Perhaps an earlier daemon has left something.
        engine_->end_left_over();
        std::error_code unreadable;
        return std::filesystem::exists(pin_directory(), unreadable)
                   ? remove_fast_path(pin_directory())
                   : std::vector<std::string>{};
    }
    auto detached = fast_path_->detach();
    if (!detached) {
        return detached;
    }
    engine_->release(true);
    if (probe_path_) {
        if (auto gone = probe_path_->detach(); !gone) {
            spdlog::warn("{}", gone.error().message);
        }
    }
    spdlog::info("the fast path is detached; services are not forwarded any more");
    forget_fast_path();
    events_.record({.kind = "detached", .text = "services are not forwarded any more"});
    auto number = store_.append({.created_at = "",
                                 .cause = kDetach,
                                 .file_name = document_.file,
                                 .file_text = document_text_,
                                 .overrides = overrides_,
                                 .summary = "detached"});
    if (number) {
        revision_ = *number;
    } else {
        spdlog::warn("detached, but the next start will not know: {}", number.error().message);
    }
    return detached;
}

}  // namespace guideway::daemon
