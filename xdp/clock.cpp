#include "xdp/clock.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <memory>

#include "clock.skel.h"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

namespace {

using Skeleton = std::unique_ptr<clock_bpf, void (*)(clock_bpf *)>;

std::unexpected<Error> failure(const char *verb, const Transcript &transcript)
{
    auto error = Error::system(verb, "the program that reads the clock");
    error.message += transcript.reason();
    return std::unexpected(std::move(error));
}

Result<Skeleton> load(uint32_t tick_ns)
{
    const Transcript transcript;
    Skeleton skeleton(clock_bpf::open(), clock_bpf::destroy);
    if (!skeleton) {
        return failure("open", transcript);
    }
    skeleton->rodata->gw_tick_ns_constant = tick_ns;
    if (clock_bpf::load(skeleton.get()) != 0) {
        return failure("load", transcript);
    }
    return skeleton;
}

Result<uint32_t> run(int program)
{
    std::array<uint8_t, 64> packet{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(),
                .data_size_in = packet.size());
    if (bpf_prog_test_run_opts(program, &options) != 0) {
        return std::unexpected(Error::system("run", "the program that reads the clock"));
    }
    return options.retval;
}

}  // namespace

Result<uint64_t> clock_ahead_ns(uint32_t tick_ns)
{
    const auto skeleton = load(tick_ns);
    if (!skeleton) {
        return std::unexpected(skeleton.error());
    }
    if (auto ran = run(bpf_program__fd((*skeleton)->progs.gw_compare_clocks)); !ran) {
        return std::unexpected(std::move(ran.error()));
    }
    return (*skeleton)->bss->gw_clock_ahead_ns;
}

Result<PinClock> PinClock::open(uint32_t tick_ns)
{
    auto skeleton = load(tick_ns);
    if (!skeleton) {
        return std::unexpected(skeleton.error());
    }
    return PinClock(std::move(*skeleton));
}

Result<uint32_t> PinClock::now() const
{
    return run(bpf_program__fd(skeleton_->progs.gw_read_clock));
}

Result<uint64_t> PinClock::coarse_ns() const
{
    if (auto ran = run(bpf_program__fd(skeleton_->progs.gw_read_coarse_clock)); !ran) {
        return std::unexpected(std::move(ran.error()));
    }
    return *static_cast<const volatile uint64_t *>(&skeleton_->bss->gw_coarse_clock_ns);
}

}  // namespace guideway::xdp
