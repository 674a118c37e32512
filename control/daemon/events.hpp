// What happened to an instance: for those who watch, and for the store.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/model/event.hpp"
#include "dataplane/error.hpp"

namespace guideway::daemon {

// The newest events, in memory. They are saved in batches, a second after the first of a batch:
// whoever records waits for no disk, unless kKept / 2 are not saved yet; and a full one costs
// only the history.
class Events {
  public:
    static constexpr size_t kKept = 1024;
    static constexpr size_t kWatchersMax = 16;

    using Save = std::function<Result<void>(std::span<const model::Event>)>;
    using Wake = std::function<void()>;

    // What the newest events after some number are.
    struct Page {
        std::vector<model::Event> events;  // oldest first
        int64_t newest = 0;                // none there is has a larger number
        bool missed = false;               // others were in between, which are not kept
    };

    Events(boost::asio::io_context &loop, Save save);
    Events(const Events &) = delete;
    Events &operator=(const Events &) = delete;
    ~Events();  // saves what is not saved yet

    // Goes on after what was saved before, at most kKept of it, oldest first.
    void go_on_after(std::vector<model::Event> saved);

    // Numbers and dates `event`, which needs a kind and a text, and wakes who watches.
    void record(model::Event event);

    [[nodiscard]] Page after(int64_t sequence, size_t most) const;
    // What save() has not taken yet, oldest first.
    [[nodiscard]] std::vector<model::Event> unsaved() const;
    void save_now();
    // Why the last attempt to save failed; empty: it did not.
    [[nodiscard]] const std::string &problem() const { return problem_; }

    // Calls `wake` once, from the event loop: when there is an event after `sequence`, or when
    // `patience` is over. Never once the answer is dropped. Null when kWatchersMax wait.
    [[nodiscard]] std::shared_ptr<void> wait(int64_t sequence,
                                             std::chrono::milliseconds patience, Wake wake);

  private:
    struct Watcher {
        int64_t after = 0;
        std::shared_ptr<boost::asio::steady_timer> patience;
        Wake wake;
    };

    void save_later(std::chrono::milliseconds delay);
    void wake_watchers();
    void wake(uint64_t watcher);

    boost::asio::io_context &loop_;
    boost::asio::steady_timer save_timer_;
    Save save_;
    std::deque<model::Event> kept_;
    int64_t newest_ = 0;
    int64_t saved_ = 0;      // number of the last that was saved
    int64_t forgotten_ = 0;  // of the last that is not kept any more
    bool is_saving_ = false;
    std::string problem_;  // of the last attempt to save
    bool is_waking_ = false;
    std::map<uint64_t, Watcher> watchers_;
    uint64_t watchers_made_ = 0;
    // For callbacks and tickets that outlive this.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace guideway::daemon
