// Keeps guideway-dpdk running: starts it, adopts one that runs already, starts it again when it
// has ended, and tells what becomes of it. The engine outlives the daemon.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/daemon/engine_file.hpp"
#include "control/daemon/engine_process.hpp"
#include "control/model/desired.hpp"
#include "control/model/event.hpp"
#include "dataplane/error.hpp"

namespace guideway::daemon {

// Of the daemon's own command line.
struct EnginePlace {
    std::filesystem::path program;  // guideway-dpdk
    std::filesystem::path run_directory;
    std::filesystem::path bpf_mount;
    std::string log_format = "text";
    std::string log_level = "info";
};

// Where the program is that belongs to this daemon's: beside it, or in the build tree.
[[nodiscard]] std::filesystem::path engine_program();

// What is asked for.
struct EngineWish {
    std::vector<std::string> arguments;
    bool is_external = false;             // a service manager starts it
    std::vector<std::string> interfaces;  // its ports
    uint32_t memory_mib = 0;

    bool operator==(const EngineWish &) const = default;
};
[[nodiscard]] EngineWish engine_wish(const model::Desired &desired, const EnginePlace &place);

class Engine {
  public:
    struct World {
        std::function<void(model::Event)> record;
        // One is about to begin, or may be: DPDK sets addresses of interfaces anew, by which the
        // kernel forgets its neighbours for a moment.
        std::function<void()> begins;
        std::function<void()> changed;  // it forwards, or does not any more
    };

    Engine(boost::asio::io_context &loop, EnginePlace place, const std::string &instance,
           World world);
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    // Returns once an engine runs as it is wished, or fails with what it says; then none of the
    // daemon's runs. An external one is only waited for, if `must_run`.
    [[nodiscard]] Result<void> require(const EngineWish &wish, bool must_run);
    // The same, without waiting; again and again where it fails. For a wish that is fulfilled or
    // being worked at it does nothing.
    void want(const EngineWish &wish);
    // Ends the engine, unless it is external, and wants none any more.
    void release(bool remove_taps);
    // Wants none any more, and leaves one that runs alone.
    void forget();
    // Ends one that an earlier daemon has begun, where none is wanted.
    void end_left_over();

    // For whoever is to know that no worker is at work: whether there can be one.
    [[nodiscard]] bool may_be_at_work() const;
    // Of an engine whose workers hang.
    void end_hanging();

    [[nodiscard]] bool is_wanted() const { return wish_.has_value(); }
    [[nodiscard]] bool is_running() const { return is_running_; }
    // Why it does not run as it should, for an operator; empty: it does, or none is wanted.
    [[nodiscard]] std::string problem() const;
    // What the engine says of itself, while one runs.
    [[nodiscard]] std::optional<dpdk::EnginePage> page() const;
    // How much of the last second or so each worker was in bursts, from 0 to 1.
    [[nodiscard]] const std::vector<double> &busy_shares() const { return busy_shares_; }

  private:
    using Clock = std::chrono::steady_clock;

    void look_later();
    void look();
    void look_for_process();
    void look_at_page();
    void look_at_links(const dpdk::EnginePage &page);
    void measure_workers(const dpdk::EnginePage &page);
    void note_end();
    void note_failure(const std::string &text);
    void begin();
    [[nodiscard]] Result<void> await_running();
    [[nodiscard]] bool is_as_wished(const dpdk::EnginePage &page) const;
    [[nodiscard]] std::optional<EngineProcess> running_process() const;
    void end_process(bool remove_taps);
    void forget_process();

    EnginePlace place_;
    std::string instance_;
    World world_;
    EngineFile file_;
    boost::asio::steady_timer timer_;

    std::optional<EngineWish> wish_;
    std::optional<EngineProcess> process_;
    Clock::time_point begun_;           // the process, or when it was found
    Clock::time_point begin_again_;     // not before
    std::chrono::seconds back_off_{1};  // after the next end
    bool is_running_ = false;
    uint32_t sequence_ = 0;       // of its page, when that was last read
    Clock::time_point heard_at_;  // when that was another than before
    std::string failure_;         // why the last one ended; empty: none has
    std::string other_ports_;     // of an external one, if they are not those wished
    std::map<std::string, bool> links_;
    Clock::time_point measured_at_;
    std::vector<uint64_t> busy_ns_;  // of the workers, then
    std::vector<double> busy_shares_;
};

}  // namespace guideway::daemon
