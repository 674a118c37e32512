#include "control/daemon/engine.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

namespace guideway::daemon {
namespace {

using dpdk::EnginePage;
using dpdk::EngineState;

constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kLookWhileWaiting = std::chrono::milliseconds(5);
// Starting takes a second or two; one that takes longer than the second of these hangs.
constexpr auto kStart = std::chrono::seconds(5);
constexpr auto kStartLongest = std::chrono::seconds(30);
constexpr auto kEnd = std::chrono::seconds(3);
// An engine writes its page five times a second. One that does not for the first of these is said to
// hang; the second allows for a machine that stands still for a while.
constexpr auto kSilent = std::chrono::seconds(3);
constexpr auto kSilentLongest = std::chrono::seconds(10);
constexpr auto kMeasure = std::chrono::seconds(1);
constexpr auto kBackOffMax = std::chrono::seconds(30);
// After that long what comes is a new trouble, not the old one.
constexpr auto kSteady = std::chrono::minutes(1);

bool is_of_log(const std::string &argument)
{
    return argument.starts_with("--log-");
}

// How logs look is no reason to start an engine anew.
std::vector<std::string> compared(std::vector<std::string> arguments)
{
    std::erase_if(arguments, is_of_log);
    return arguments;
}

std::vector<std::string> lines_of(const std::string &text)
{
    std::vector<std::string> lines;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return lines;
}

std::string joined(const std::vector<std::string> &words)
{
    std::string text;
    for (const auto &word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

}  // namespace

Engine::Engine(boost::asio::io_context &loop, EnginePlace place, const std::string &instance,
               World world)
    : place_(std::move(place)),
      instance_(instance),
      world_(std::move(world)),
      file_(place_.run_directory / (instance + ".dpdk")),
      timer_(loop)
{
}

// Log options apart.
bool Engine::is_as_wished(const EnginePage &page) const
{
    std::string wished;
    for (const auto &argument : wish_->arguments) {
        wished += (wished.empty() ? "" : "\n") + argument;
    }
    wished.resize(std::min(wished.size(), page.arguments.size() - 1));
    return page_text(page.build) == GUIDEWAY_VERSION &&
           compared(lines_of(page_text(page.arguments))) == compared(lines_of(wished));
}

// The one that holds the lock, whoever has begun it.
std::optional<EngineProcess> Engine::running_process() const
{
    if (!file_.is_held()) {
        return std::nullopt;
    }
    const uint32_t pid = file_.pid();
    auto process = pid != 0 ? EngineProcess::find(static_cast<pid_t>(pid)) : std::nullopt;
    // It had not ended before the process of that number was found.
    return process && file_.is_held() ? std::move(process) : std::nullopt;
}

Result<void> Engine::require(const EngineWish &wish, bool must_run)
{
    want(wish);
    if (wish.is_external && !must_run && !process_) {
        return {};
    }
    if (auto runs = await_running(); !runs) {
        release(false);
        return runs;
    }
    return {};
}

Result<void> Engine::await_running()
{
    // Memory is touched once, which takes about a second for 4 GiB.
    const auto longest = kStart + std::chrono::seconds(wish_->memory_mib / 2048);
    const auto until = Clock::now() + longest;
    while (!is_running_) {
        const bool had_process = process_.has_value();
        look();
        if (is_running_) {
            break;
        }
        if (!process_ && (had_process || !failure_.empty())) {
            return fail("the engine does not run: " + failure_);
        }
        if (!process_) {
            return fail(
                "no engine runs: with 'start: external' guideway-dpdk is started for this "
                "instance by the service manager, and before it is to forward");
        }
        if (Clock::now() >= until) {
            return fail("the engine does not come up within " +
                        std::to_string(longest.count()) + " s");
        }
        std::this_thread::sleep_for(kLookWhileWaiting);
    }
    return {};
}

void Engine::want(const EngineWish &wish)
{
    if (wish_ == wish) {
        return;
    }
    wish_ = wish;
    failure_.clear();
    other_ports_.clear();
    back_off_ = std::chrono::seconds(1);
    begin_again_ = {};
    if (process_) {
        const auto page = file_.read();
        const bool is_kept = page && page->pid == static_cast<uint32_t>(process_->pid()) &&
                             (wish.is_external || is_as_wished(*page));
        if (!is_kept && !wish.is_external) {
            spdlog::info("the engine is started anew: it is to run otherwise");
            end_process(false);
        }
        forget_process();
    }
    look();
    look_later();
}

void Engine::release(bool remove_taps)
{
    if (wish_ && process_ && !wish_->is_external) {
        end_process(remove_taps);
        world_.record({.kind = "engine_ended", .text = "the engine was ended: none is wanted"});
    }
    forget();
}

void Engine::forget()
{
    timer_.cancel();
    wish_.reset();
    failure_.clear();
    other_ports_.clear();
    forget_process();
}

void Engine::forget_process()
{
    process_.reset();
    is_running_ = false;
    links_.clear();
    busy_ns_.clear();
    busy_shares_.clear();
}

void Engine::end_left_over()
{
    if (wish_) {
        return;
    }
    if (const auto process = running_process(); process && process->is_a_daemons()) {
        spdlog::info("ending an engine that an earlier daemon has left, pid {}",
                     process->pid());
        if (auto said = file_.say_remove_taps(true); !said) {
            spdlog::warn("{}", said.error().message);
        }
        process->end(kEnd);
    }
}

void Engine::end_process(bool remove_taps)
{
    if (auto said = file_.say_remove_taps(remove_taps); !said && !process_->has_ended()) {
        spdlog::warn("{}", said.error().message);
    }
    process_->end(kEnd);
    if (!process_->has_ended()) {
        spdlog::error("the engine, pid {}, does not end", process_->pid());
    }
}

bool Engine::may_be_at_work() const
{
    return (process_ && !process_->has_ended()) || file_.is_held();
}

void Engine::end_hanging()
{
    if (process_ && wish_ && !wish_->is_external) {
        spdlog::error("the engine, pid {}, hangs in the middle of packets: it is killed",
                      process_->pid());
        process_->kill();
    } else {
        spdlog::error(
            "a worker of the engine hangs in the middle of packets; it is waited for "
            "no longer");
    }
}

void Engine::look_later()
{
    timer_.expires_after(kLook);
    timer_.async_wait([this](const boost::system::error_code &error) {
        if (error || !wish_) {
            return;
        }
        const bool was_running = is_running_;
        look();
        look_later();
        if (was_running != is_running_) {
            world_.changed();
        }
    });
}

void Engine::look()
{
    if (process_ && process_->has_ended()) {
        note_end();
    }
    if (!process_) {
        look_for_process();
    }
    if (process_) {
        look_at_page();
    }
}

// Adopts what runs as it is wished, and begins it where nothing does.
void Engine::look_for_process()
{
    auto running = running_process();
    if (wish_->is_external) {
        if (running) {
            world_.begins();
        }
        process_ = std::move(running);
        begun_ = Clock::now();
        return;
    }
    if (Clock::now() < begin_again_) {
        return;
    }
    if (running) {
        const auto page = file_.read();
        if (page && is_as_wished(*page)) {
            spdlog::info("adopting the engine that runs already, pid {}", running->pid());
            process_ = std::move(running);
            begun_ = Clock::now();
            return;
        }
        spdlog::info(
            "the engine that runs, pid {}, is of another build or runs otherwise: it "
            "is started anew",
            running->pid());
        running->end(kEnd);
    }
    begin();
}

void Engine::begin()
{
    world_.begins();
    auto process = EngineProcess::begin(place_.program, wish_->arguments);
    if (!process) {
        note_failure(process.error().message);
        return;
    }
    process_ = std::move(*process);
    begun_ = Clock::now();
}

void Engine::look_at_page()
{
    const auto page = file_.read();
    // Else it has not written yet, or cannot be read just now, which is no sign of anything.
    if (page && page->pid == static_cast<uint32_t>(process_->pid())) {
        if (page->sequence != sequence_) {
            sequence_ = page->sequence;
            heard_at_ = Clock::now();
        }
        const bool was_running = is_running_;
        is_running_ = page->state == EngineState::kRunning;
        if (is_running_ && !was_running) {
            heard_at_ = Clock::now();
            failure_.clear();
            const std::string text =
                "the engine forwards: guideway-dpdk " + page_text(page->build) + ", pid " +
                std::to_string(page->pid) + ", " + std::to_string(page->workers) +
                " worker(s), " + page_text(page->memory);
            spdlog::info("{}", text);
            world_.record({.kind = "engine_started", .text = text});
        }
        look_at_links(*page);
        measure_workers(*page);
    }
    if (is_running_ && Clock::now() - begun_ > kSteady) {
        back_off_ = std::chrono::seconds(1);
    }
    if (is_running_ && !wish_->is_external && Clock::now() - heard_at_ > kSilentLongest) {
        spdlog::error("the engine, pid {}, hangs: it is killed", process_->pid());
        process_->kill();
    }
    if (!is_running_ && !wish_->is_external && Clock::now() - begun_ > kStartLongest) {
        spdlog::error("the engine, pid {}, does not come up: it is killed", process_->pid());
        process_->kill();
    }
}

void Engine::look_at_links(const EnginePage &page)
{
    std::vector<std::string> ports;
    for (uint32_t i = 0; i < page.ports; i++) {
        const std::string name = page_text(page.port[i].interface);
        const bool is_up = page.port[i].is_up != 0;
        ports.push_back(name);
        const auto [known, is_new] = links_.emplace(name, is_up);
        if ((is_new && is_up) || (!is_new && known->second == is_up)) {
            continue;
        }
        known->second = is_up;
        const std::string text = "the link of port " + name + " is " + (is_up ? "up" : "down");
        spdlog::log(is_up ? spdlog::level::info : spdlog::level::warn, "{}", text);
        world_.record({.kind = is_up ? "link_up" : "link_down", .text = text});
    }
    if (wish_->is_external && is_running_) {
        auto wished = wish_->interfaces;
        auto found = ports;
        std::ranges::sort(wished);
        std::ranges::sort(found);
        other_ports_ = wished == found ? "" : joined(ports);
    }
}

void Engine::measure_workers(const EnginePage &page)
{
    const auto now = Clock::now();
    const std::chrono::duration<double, std::nano> passed = now - measured_at_;
    if (passed < kMeasure && busy_ns_.size() == page.workers) {
        return;
    }
    std::vector<uint64_t> busy_ns;
    busy_shares_.assign(page.workers, 0);
    for (uint32_t i = 0; i < page.workers; i++) {
        busy_ns.push_back(page.worker[i].busy_ns);
        if (i < busy_ns_.size() && busy_ns[i] > busy_ns_[i]) {
            busy_shares_[i] =
                std::min(1.0, static_cast<double>(busy_ns[i] - busy_ns_[i]) / passed.count());
        }
    }
    busy_ns_ = std::move(busy_ns);
    measured_at_ = now;
}

void Engine::note_end()
{
    const auto page = file_.read();
    std::string text = process_->how_it_ended();
    if (page && page->pid == static_cast<uint32_t>(process_->pid()) &&
        page->state == EngineState::kFailed && !page_text(page->message).empty()) {
        text = page_text(page->message);
    }
    forget_process();
    world_.begins();  // a service manager is quick
    note_failure(text);
}

void Engine::note_failure(const std::string &text)
{
    if (!wish_->is_external) {
        begin_again_ = Clock::now() + back_off_;
        spdlog::error("the engine does not run: {}; trying again in {} s", text,
                      back_off_.count());
        back_off_ = std::min<std::chrono::seconds>(back_off_ * 2, kBackOffMax);
    } else {
        spdlog::error("the engine does not run: {}", text);
    }
    if (text != failure_) {  // once, when it fails again and again
        world_.record({.kind = "engine_ended", .text = "the engine does not run: " + text});
    }
    failure_ = text;
}

std::string Engine::problem() const
{
    if (!wish_) {
        return "";
    }
    if (is_running_ && Clock::now() - heard_at_ > kSilent) {
        return "the engine, pid " + std::to_string(process_->pid()) +
               ", hangs or is stopped: it has not written its page for " +
               std::to_string(
                   std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - heard_at_)
                       .count()) +
               " s";
    }
    if (is_running_) {
        return other_ports_.empty() ? ""
                                    : "the engine that runs has other ports than the "
                                      "configuration's interfaces: " +
                                          other_ports_;
    }
    if (wish_->is_external) {
        return "no engine forwards: guideway-dpdk does not run, and is for the service manager "
               "to start" +
               (failure_.empty() ? "" : ": " + failure_);
    }
    return failure_.empty() ? "the engine is starting; nothing is forwarded yet"
                            : "the engine does not run, nothing is forwarded: " + failure_ +
                                  "; it is started again within " +
                                  std::to_string(kBackOffMax.count()) + " s";
}

std::optional<EnginePage> Engine::page() const
{
    if (!process_) {
        return std::nullopt;
    }
    auto page = file_.read();
    return page && page->pid == static_cast<uint32_t>(process_->pid()) ? page : std::nullopt;
}

}  // namespace guideway::daemon
