// A function that can stop in the middle and go on later: on a stack of its own, in the same
// thread.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <functional>
#include <memory>

namespace guideway::sim {

class Fiber {
  public:
    // Thrown out of yield() by a fiber that is abandoned.
    struct Abandoned {};

    Fiber();
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;
    ~Fiber();

    // Begins `work`, which must not throw, and returns at its first yield or its end. The
    // fiber must be idle.
    void start(std::function<void()> work);
    // Goes on to the next yield or the end.
    void resume();
    // Ends the work where it stands, by an exception.
    void abandon();
    [[nodiscard]] bool is_idle() const { return is_idle_; }

    // Which fiber runs; nullptr outside of all.
    [[nodiscard]] static Fiber *current();
    // Back to whoever started or resumed the fiber that runs.
    static void yield();

  private:
    static void entry(unsigned high, unsigned low);
    [[noreturn]] void loop();

    static constexpr size_t kStackBytes = 64 << 10;
    std::unique_ptr<std::byte[]> stack_;
    std::jmp_buf own_{};
    std::jmp_buf caller_{};
    std::function<void()> work_;
    bool is_idle_ = true;
    bool is_abandoned_ = false;
};

}  // namespace guideway::sim
