// How far a replay is, on one line of a terminal that is gone when it is done.
#pragma once

#include <chrono>
#include <iosfwd>

#include "dataplane/replay/frames.hpp"

namespace guideway::cli {

class ReplayProgress {
  public:
    ReplayProgress(std::ostream &err, bool enabled);
    ReplayProgress(const ReplayProgress &) = delete;
    ReplayProgress &operator=(const ReplayProgress &) = delete;
    ~ReplayProgress() { clear(); }

    // Takes the line away, before something else is printed.
    void clear();

    // To be called after each packet; looks at the clock now and then.
    void show(const replay::Frames &frames);

  private:
    using Clock = std::chrono::steady_clock;

    std::ostream &err_;
    bool enabled_;
    bool is_shown_ = false;
    Clock::time_point begin_ = Clock::now();
    Clock::time_point shown_ = begin_;
};

}  // namespace guideway::cli
