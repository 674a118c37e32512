#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <linux/bpf.h>
#include <linux/if_link.h>

#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"
#include "xdp/clock.hpp"
#include "xdp/guideway.skel.h"

namespace guideway::packets {
namespace {

struct DestroySkeleton {
    void operator()(guideway_bpf *skeleton) const { guideway_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<guideway_bpf, DestroySkeleton>;

struct Program {
    Skeleton skeleton;
    Tables tables;
};

Result<Program> load_program(const World &world);

class XdpEngine : public Engine {
  public:
    XdpEngine(Program program, xdp::PinClock clock)
        : skeleton_(std::move(program.skeleton)),
          tables_(std::move(program.tables)),
          clock_(std::move(clock)),
          received_(1 << 16)
    {
    }

    [[nodiscard]] std::string name() const override { return "xdp"; }
    [[nodiscard]] Tables &tables() override { return tables_; }
    [[nodiscard]] size_t frame_bytes_min() const override { return 14; }
    [[nodiscard]] uint32_t now_ticks() const override { return now_ticks_; }

    [[nodiscard]] Result<void> load(const World &world) override
    {
        if (world.pins_max != tables_.capacity().pins_max ||
            world.sources_max != tables_.capacity().sources_max) {
            auto program = load_program(world);
            if (!program) {
                return std::unexpected(program.error());
            }
            skeleton_ = std::move(program->skeleton);
            tables_ = std::move(program->tables);
        }
        exact_clock_ = uses_exact_clock(world);
        return write_world(tables_, world, now_ticks_);
    }

    // The kernel's clock cannot be held: the tables follow it, and a packet during which it
    // moved on runs again.
    [[nodiscard]] Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) override
    {
        const uint32_t kept_at_ticks = now_ticks_;
        keep();
        for (;;) {
            const auto before = clock_.coarse_ns();
            if (!before) {
                return std::unexpected(before.error());
            }
            stand_at(*before);
            auto ran = run_once(frame, headroom_bytes);
            const auto after = clock_.coarse_ns();
            if (!after) {
                return std::unexpected(after.error());
            }
            if (*after == *before) {
                return ran;
            }
            restore();
            now_ticks_ = kept_at_ticks;
        }
    }

  private:
    // What a packet may change: pins, limits and sources, which follow each other, and what is
    // counted. The lists between them are large, and only read.
    [[nodiscard]] std::array<std::span<uint8_t>, 2> changing() const
    {
        const auto &layout = tables_.layout();
        return {std::span(tables_.base() + layout.pins_offset,
                          tables_.base() + layout.lists_offset[0]),
                std::span(tables_.base() + layout.counters_offset,
                          tables_.base() + layout.total_bytes)};
    }

    void keep()
    {
        kept_.clear();
        for (const auto part : changing()) {
            kept_.insert(kept_.end(), part.begin(), part.end());
        }
    }

    void restore()
    {
        auto from = kept_.cbegin();
        for (const auto part : changing()) {
            const auto bytes = static_cast<ptrdiff_t>(part.size());
            std::copy(from, from + bytes, part.begin());
            from += bytes;
        }
    }

    // Moves the tables to the time `coarse_ns` of the kernel's clock, and makes the limits read
    // the pins' clock for as long as that stands.
    void stand_at(uint64_t coarse_ns)
    {
        const auto ticks =
            static_cast<uint32_t>(coarse_ns >> GW_PIN_TICK_SHIFT) & GW_PIN_TICKS_MASK;
        // The exact clock goes on by itself.
        shift_times(tables_, int64_t{ticks} - now_ticks_,
                    exact_clock_ ? Shifted::kWithoutStates : Shifted::kAll);
        now_ticks_ = ticks;
        tables_.header().clock_ahead_ns = coarse_ns - limits_clock_ns(ticks);
    }

    [[nodiscard]] Result<Ran> run_once(const Bytes &frame, uint32_t headroom_bytes)
    {
        // Metadata in front of the frame takes headroom away, in whole words.
        const uint32_t metadata_bytes = kHeadroomBytes - headroom_bytes;
        Bytes given(metadata_bytes);
        given.insert(given.end(), frame.begin(), frame.end());
        xdp_md context_in{};
        xdp_md context_out{};
        context_in.data = metadata_bytes;
        context_in.data_end = static_cast<uint32_t>(given.size());
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.data_in = given.data();
        options.data_size_in = static_cast<uint32_t>(given.size());
        options.data_out = received_.data();
        options.data_size_out = static_cast<uint32_t>(received_.size());
        options.ctx_in = &context_in;
        options.ctx_size_in = sizeof(context_in);
        options.ctx_out = &context_out;
        options.ctx_size_out = sizeof(context_out);
        options.repeat = 1;
        const int error =
            bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.guideway), &options);
        if (error != 0) {
            return std::unexpected(Error::system("run", "the XDP program", -error));
        }
        Ran ran{.frame = Bytes(received_.begin() + context_out.data,
                               received_.begin() + options.data_size_out)};
        switch (options.retval) {
            case XDP_PASS:
                ran.verdict = Verdict::kPass;
                break;
            case XDP_TX:
                ran.verdict = Verdict::kSend;
                break;
            case XDP_REDIRECT:
                ran.verdict = Verdict::kRedirect;
                break;
            case XDP_DROP:
                ran.verdict = Verdict::kDrop;
                ran.frame.clear();
                break;
            default:
                return fail("the XDP program returned " + std::to_string(options.retval));
        }
        return ran;
    }

    Skeleton skeleton_;
    Tables tables_;
    xdp::PinClock clock_;
    uint32_t now_ticks_ = 0;    // at which the tables stand
    bool exact_clock_ = false;  // which the limits in them read
    Bytes kept_;
    Bytes received_;
};

Result<void> park_on_loopback(int program_fd)
{
    // The namespace, and with it the attachment, ends with the process.
    const int error = bpf_xdp_attach(static_cast<int>(kIngressIfindex), program_fd,
                                     XDP_FLAGS_SKB_MODE, nullptr);
    if (error != 0) {
        return std::unexpected(Error::system("attach the XDP program to", "lo", -error));
    }
    return {};
}

Result<Program> load_program(const World &world)
{
    const auto capacity =
        case_capacity(static_cast<uint32_t>(libbpf_num_possible_cpus()), world);
    const auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(layout.error());
    }
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    Skeleton skeleton(guideway_bpf__open());
    if (!skeleton) {
        return std::unexpected(Error::system("open", "the XDP object"));
    }
    bpf_map__set_value_size(skeleton->maps.gw_region, layout->total_bytes);
    // The constants are const to everyone but the loader.
    std::memcpy(const_cast<void *>(
                    static_cast<const volatile void *>(&skeleton->rodata->gw_layout_constants)),
                &*layout, sizeof(*layout));
    skeleton->rodata->gw_generation_constant = kGeneration;
    if (const int error = guideway_bpf__load(skeleton.get()); error != 0) {
        return std::unexpected(Error::system("load", "the XDP object", -error));
    }
    if (auto parked = park_on_loopback(bpf_program__fd(skeleton->progs.guideway)); !parked) {
        return std::unexpected(parked.error());
    }
    auto tables =
        Tables::map(bpf_map__fd(skeleton->maps.gw_region), capacity, "the tables under test");
    if (!tables) {
        return std::unexpected(tables.error());
    }
    return Program{std::move(skeleton), std::move(*tables)};
}

}  // namespace

Result<std::unique_ptr<Engine>> xdp_engine()
{
    if (unshare(CLONE_NEWNET) != 0) {
        return std::unexpected(Error::system("make", "a network namespace"));
    }
    // One processor, as the native engine has: SYNs are remembered by processor.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0) {
        return std::unexpected(Error::system("stay on", "one processor"));
    }
    auto program = load_program(World{});
    if (!program) {
        return std::unexpected(program.error());
    }
    auto clock = xdp::PinClock::open(program->skeleton->rodata->gw_tick_ns_constant);
    if (!clock) {
        return std::unexpected(clock.error());
    }
    return std::make_unique<XdpEngine>(std::move(*program), std::move(*clock));
}

}  // namespace guideway::packets
