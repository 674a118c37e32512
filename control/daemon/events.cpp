#include "control/daemon/events.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <iterator>
#include <utility>

namespace guideway::daemon {
namespace {

constexpr auto kSaveAfter = std::chrono::seconds(1);
constexpr auto kSaveAgain = std::chrono::seconds(30);  // after a failure

int64_t now_ms()
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace

Events::Events(boost::asio::io_context &loop, Save save)
    : loop_(loop), save_timer_(loop), save_(std::move(save))
{
}

Events::~Events()
{
    *alive_ = false;
    save_now();
}

void Events::go_on_after(std::vector<model::Event> saved)
{
    kept_.assign(std::make_move_iterator(saved.begin()), std::make_move_iterator(saved.end()));
    if (kept_.empty()) {
        return;
    }
    forgotten_ = kept_.size() < kKept ? 0 : kept_.front().sequence - 1;
    // A daemon that was killed may have told somebody of events that it had not saved.
    newest_ = kept_.back().sequence + static_cast<int64_t>(kKept);
    saved_ = newest_;
}

void Events::record(model::Event event)
{
    event.sequence = ++newest_;
    event.time_ms = now_ms();
    kept_.push_back(std::move(event));
    if (kept_.size() > kKept) {
        forgotten_ = kept_.front().sequence;
        kept_.pop_front();
    }
    // So many at once that some would be forgotten before they are saved.
    if (problem_.empty() && newest_ - saved_ >= static_cast<int64_t>(kKept / 2)) {
        save_now();
    }
    if (!is_saving_) {
        save_later(kSaveAfter);
    }
    if (!watchers_.empty() && !is_waking_) {
        is_waking_ = true;  // later: what happens together is told together
        boost::asio::post(loop_, [this, alive = alive_] {
            if (*alive) {
                wake_watchers();
            }
        });
    }
}

Events::Page Events::after(int64_t sequence, size_t most) const
{
    Page page{.events = {}, .newest = newest_, .missed = sequence > 0 && sequence < forgotten_};
    auto from = std::ranges::upper_bound(kept_, sequence, {}, &model::Event::sequence);
    for (; from != kept_.end() && page.events.size() < most; ++from) {
        page.events.push_back(*from);
    }
    return page;
}

std::vector<model::Event> Events::unsaved() const
{
    const auto from = std::ranges::upper_bound(kept_, saved_, {}, &model::Event::sequence);
    return {from, kept_.end()};
}

void Events::save_later(std::chrono::milliseconds delay)
{
    is_saving_ = true;
    save_timer_.expires_after(delay);
    save_timer_.async_wait([this, alive = alive_](const boost::system::error_code &error) {
        if (!error && *alive) {
            is_saving_ = false;
            save_now();
            if (!problem_.empty()) {
                save_later(kSaveAgain);
            }
        }
    });
}

void Events::save_now()
{
    const auto batch = unsaved();
    if (batch.empty()) {
        return;
    }
    const auto saved = save_(batch);
    if (saved) {
        saved_ = batch.back().sequence;
        problem_.clear();
        return;
    }
    if (problem_.empty()) {
        spdlog::warn("events are not remembered for now: {}", saved.error().message);
    }
    problem_ = saved.error().message;
}

std::shared_ptr<void> Events::wait(int64_t sequence, std::chrono::milliseconds patience,
                                   Wake wake_up)
{
    if (watchers_.size() >= kWatchersMax) {
        return nullptr;
    }
    const uint64_t id = ++watchers_made_;
    auto timer = std::make_shared<boost::asio::steady_timer>(loop_, patience);
    timer->async_wait([this, id, alive = alive_](const boost::system::error_code &error) {
        if (!error && *alive) {
            wake(id);
        }
    });
    watchers_.emplace(id, Watcher{sequence, std::move(timer), std::move(wake_up)});
    return {this, [id, alive = alive_](Events *events) {
                if (*alive) {
                    events->watchers_.erase(id);
                }
            }};
}

void Events::wake(uint64_t watcher)
{
    // Out of the list first: the callback may drop its ticket, or wait again.
    if (auto node = watchers_.extract(watcher)) {
        node.mapped().patience->cancel();
        node.mapped().wake();
    }
}

void Events::wake_watchers()
{
    is_waking_ = false;
    std::vector<uint64_t> due;
    for (const auto &[id, watcher] : watchers_) {
        if (watcher.after < newest_) {
            due.push_back(id);
        }
    }
    for (const uint64_t id : due) {
        wake(id);
    }
}

}  // namespace guideway::daemon
