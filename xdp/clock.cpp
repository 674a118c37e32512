#include "xdp/clock.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <array>
#include <memory>

#include "clock.skel.h"

namespace guideway::xdp {

Result<PinClock> PinClock::open(uint32_t tick_ns)
{
    const Transcript transcript;
    const auto failure = [&transcript](const char *verb) {
        auto error = Error::system(verb, "the program that reads the clock");
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    };
    const std::unique_ptr<clock_bpf, void (*)(clock_bpf *)> skeleton(clock_bpf::open(),
                                                                     clock_bpf::destroy);
    if (!skeleton) {
        return failure("open");
    }
    skeleton->rodata->gw_tick_ns_constant = tick_ns;
    if (clock_bpf::load(skeleton.get()) != 0) {
        return failure("load");
    }
    Descriptor program(
        fcntl(bpf_program__fd(skeleton->progs.gw_read_clock), F_DUPFD_CLOEXEC, 0));
    if (!program.valid()) {
        return failure("keep");
    }
    return PinClock(std::move(program));
}

Result<uint32_t> PinClock::now() const
{
    std::array<uint8_t, 64> packet{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(),
                .data_size_in = packet.size());
    if (bpf_prog_test_run_opts(program_.get(), &options) != 0) {
        return std::unexpected(Error::system("run", "the program that reads the clock"));
    }
    return options.retval;
}

}  // namespace guideway::xdp
