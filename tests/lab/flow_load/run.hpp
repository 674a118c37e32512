// One run of flow_load: what all of its flows share. One thread.
#pragma once

// clang-format off
#include <utility>  // which Boost 1.74 uses and does not include
#include <boost/asio.hpp>
// clang-format on
#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace lab {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

struct RunOptions {
    std::vector<std::string> targets;
    uint32_t flows = 1000;         // spread over the targets
    uint32_t opening = 100;        // of them opened at once
    uint32_t patience_ms = 10000;  // how long a step may take: connect, a part of an answer
    double duration_s = 30;
    std::string ready;  // a file that is made once all flows are open
    std::string until;  // a file that ends the run when it appears, before the duration
};

// What became of the flows.
struct Account {
    uint64_t opened = 0;  // that got so far as to be held
    uint64_t ended_well = 0;
    uint64_t broken = 0;
    uint64_t answers = 0;
    uint64_t bytes = 0;  // of bodies
    uint64_t moved = 0;  // answers of another backend than the flow's first
    std::map<std::string, uint64_t> reasons;
    std::map<std::string, uint64_t> backends;   // flows opened, by backend
    std::map<std::string, uint64_t> broken_of;  // of them broken
};

class Run {
  public:
    explicit Run(RunOptions options);

    [[nodiscard]] const RunOptions &options() const { return options_; }
    [[nodiscard]] boost::asio::io_context &context() { return context_; }
    [[nodiscard]] bool is_over() const { return is_over_; }
    [[nodiscard]] Account &account() { return account_; }
    // The target of the flow of that number.
    [[nodiscard]] const boost::asio::ip::tcp::endpoint &target(uint32_t flow) const
    {
        return targets_[flow % targets_.size()];
    }

    // Until that time, or until the run is over.
    boost::asio::awaitable<void> sleep_until(Clock::time_point time);

    // A flow is held from now on, by that backend.
    void opened(const std::string &backend);
    // Each flow ends in one of these; `backend` is empty of one that never opened.
    void ended_well();
    void broke(const std::string &reason, const std::string &backend);

    // Runs `flow(number)` for each of the flows, at most `opening` of which have not opened
    // yet, until all have ended. False: a target is not understood.
    template <typename Flow>
    bool run(const Flow &flow)
    {
        if (!read_targets()) {
            return false;
        }
        boost::asio::co_spawn(context_, open_all(flow), boost::asio::detached);
        boost::asio::co_spawn(context_, watch_the_end(), boost::asio::detached);
        context_.run();
        return true;
    }

    // What every report has.
    [[nodiscard]] nlohmann::json report() const;
    [[nodiscard]] bool went_well() const
    {
        return account_.ended_well == options_.flows && account_.broken == 0;
    }

  private:
    bool read_targets();
    boost::asio::awaitable<void> watch_the_end();
    boost::asio::awaitable<void> room_to_open(uint32_t started);

    template <typename Flow>
    boost::asio::awaitable<void> open_all(const Flow &flow)
    {
        for (uint32_t i = 0; i < options_.flows; i++) {
            co_await room_to_open(i);
            boost::asio::co_spawn(context_, flow(i), boost::asio::detached);
        }
    }

    RunOptions options_;
    boost::asio::io_context context_{1};
    boost::asio::steady_timer opener_{context_};
    std::vector<boost::asio::ip::tcp::endpoint> targets_;
    std::set<boost::asio::steady_timer *> sleeping_;
    bool is_over_ = false;
    Clock::time_point begin_ = Clock::now();
    uint64_t broken_before_opened_ = 0;
    Account account_;
};

}  // namespace lab
