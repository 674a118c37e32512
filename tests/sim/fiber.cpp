#include "tests/sim/fiber.hpp"

#include <ucontext.h>

#include <bit>
#include <cstdint>
#include <utility>

namespace guideway::sim {
namespace {

thread_local Fiber *running = nullptr;

// The stack is entered once by makecontext; from then on setjmp and longjmp switch, because
// swapcontext asks the kernel for the signal mask each time.
void jump(std::jmp_buf &from, std::jmp_buf &to)
{
    if (_setjmp(from) == 0) {
        _longjmp(to, 1);
    }
}

}  // namespace

Fiber::Fiber() : stack_(std::make_unique_for_overwrite<std::byte[]>(kStackBytes))
{
    ucontext_t context{};
    getcontext(&context);
    context.uc_stack.ss_sp = stack_.get();
    context.uc_stack.ss_size = kStackBytes;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&context, reinterpret_cast<void (*)()>(&Fiber::entry), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
    if (_setjmp(caller_) == 0) {
        setcontext(&context);
    }
}

Fiber::~Fiber()
{
    if (!is_idle_) {
        abandon();
    }
}

// makecontext passes integers only.
void Fiber::entry(unsigned high, unsigned low)
{
    std::bit_cast<Fiber *>(static_cast<uint64_t>(high) << 32 | low)->loop();
}

void Fiber::loop()
{
    for (;;) {
        jump(own_, caller_);
        try {
            work_();
        } catch (const Abandoned &) {
            is_abandoned_ = false;
        }
        is_idle_ = true;
    }
}

void Fiber::start(std::function<void()> work)
{
    work_ = std::move(work);
    is_idle_ = false;
    resume();
}

void Fiber::resume()
{
    running = this;
    jump(caller_, own_);
    running = nullptr;
}

void Fiber::abandon()
{
    is_abandoned_ = true;
    resume();
}

Fiber *Fiber::current()
{
    return running;
}

void Fiber::yield()
{
    Fiber *fiber = running;
    jump(fiber->own_, fiber->caller_);
    if (fiber->is_abandoned_) {
        throw Abandoned{};
    }
}

}  // namespace guideway::sim
