#include "tests/lab/flow_load/run.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tests/lab/http_text.hpp"

namespace lab {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;

Run::Run(RunOptions options) : options_(std::move(options)) {}

bool Run::read_targets()
{
    for (const std::string &text : options_.targets) {
        auto endpoint = parse_target(text);
        if (!endpoint) {
            std::cerr << "flow_load: '" << text
                      << "' is not ADDRESS:PORT, such as 203.0.113.10:80 or [2001:db8::1]:80\n";
            return false;
        }
        targets_.push_back(*endpoint);
    }
    return true;
}

awaitable<void> Run::sleep_until(Clock::time_point time)
{
    if (is_over_) {
        co_return;
    }
    asio::steady_timer timer(context_, time);
    sleeping_.insert(&timer);
    boost::system::error_code woken;
    co_await timer.async_wait(asio::redirect_error(use_awaitable, woken));
    sleeping_.erase(&timer);
}

awaitable<void> Run::watch_the_end()
{
    const auto end = begin_ + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(options_.duration_s));
    const auto is_done = [this] {
        return account_.ended_well + account_.broken == options_.flows;
    };
    asio::steady_timer timer(context_);
    std::error_code ignored;
    while (!is_done() && Clock::now() < end &&
           (options_.until.empty() || !std::filesystem::exists(options_.until, ignored))) {
        timer.expires_after(Milliseconds(50));
        co_await timer.async_wait(use_awaitable);
    }
    is_over_ = true;
    for (auto *sleeping : sleeping_) {
        sleeping->cancel();
    }
}

awaitable<void> Run::room_to_open(uint32_t started)
{
    boost::system::error_code woken;
    while (started - account_.opened - broken_before_opened_ >= options_.opening) {
        opener_.expires_at(Clock::time_point::max());
        co_await opener_.async_wait(asio::redirect_error(use_awaitable, woken));
    }
}

void Run::opened(const std::string &backend)
{
    account_.opened++;
    account_.backends[backend]++;
    opener_.cancel();
    if (account_.opened == options_.flows && !options_.ready.empty()) {
        std::ofstream(options_.ready) << "\n";
    }
}

void Run::ended_well()
{
    account_.ended_well++;
}

void Run::broke(const std::string &reason, const std::string &backend)
{
    account_.broken++;
    if (backend.empty()) {
        broken_before_opened_++;
        opener_.cancel();
    } else {
        account_.broken_of[backend]++;
    }
    account_.reasons[reason]++;
}

nlohmann::json Run::report() const
{
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - begin_).count();
    return {
        {"flows", options_.flows},         {"opened", account_.opened},
        {"broken", account_.broken},       {"reasons", account_.reasons},
        {"answers", account_.answers},     {"moved", account_.moved},
        {"bytes", account_.bytes},         {"backends", account_.backends},
        {"broken_of", account_.broken_of}, {"elapsed_s", std::round(elapsed_s * 1000) / 1000}};
}

}  // namespace lab
