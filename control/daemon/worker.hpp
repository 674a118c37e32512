// One thread that does one thing after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace guideway::daemon {

class Worker {
  public:
    Worker() : thread_([this](const std::stop_token &stop) { run(stop); }) {}
    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;
    ~Worker() = default;  // ends what is under way; what waits is not begun

    // `work` must not throw.
    void begin(std::function<void()> work);

  private:
    void run(const std::stop_token &stop);

    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<std::function<void()>> waiting_;
    std::jthread thread_;  // begins when all else is there
};

}  // namespace guideway::daemon
