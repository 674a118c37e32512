#include "xdp/replay_engine.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sched.h>

#include <cstring>
#include <utility>
#include <vector>

#include <linux/bpf.h>
#include <linux/if_link.h>

#include "dataplane/core/outcome.h"
#include "dataplane/descriptor.hpp"
#include "dataplane/replay/link.hpp"
#include "replay.skel.h"

namespace guideway::xdp {
namespace {

constexpr uint32_t kLoopback = 1;
static_assert(replay::kInterface == kLoopback, "where test runs come in");

// The calling thread's network namespace.
Descriptor present_namespace()
{
    return Descriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

struct DestroySkeleton {
    void operator()(replay_bpf *skeleton) const { replay_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<replay_bpf, DestroySkeleton>;

std::unexpected<Error> failed(std::string_view attempted, std::string_view subject, int error)
{
    auto problem = Error::system(attempted, subject, error);
    if (error == EPERM || error == EACCES) {
        problem.message += "; the xdp engine needs root";
    }
    return std::unexpected(std::move(problem));
}

int print_nothing(libbpf_print_level, const char *, va_list)
{
    return 0;
}

Result<Skeleton> load(const gw_layout &layout)
{
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    const auto former = libbpf_set_print(print_nothing);
    Skeleton skeleton(replay_bpf__open());
    int error = skeleton ? 0 : errno;
    if (skeleton) {
        bpf_map__set_value_size(skeleton->maps.gw_region, layout.total_bytes);
        // The constants are const to everyone but the loader.
        std::memcpy(const_cast<void *>(static_cast<const volatile void *>(
                        &skeleton->rodata->gw_layout_constants)),
                    &layout, sizeof(layout));
        skeleton->rodata->gw_generation_constant = GW_GENERATION_ALONE;
        error = -replay_bpf__load(skeleton.get());
    }
    libbpf_set_print(former);
    if (error != 0) {
        return failed("load", "the XDP program into the kernel", error);
    }
    return skeleton;
}

// Attaches the program in a namespace of its own, which stays for as long as what is returned.
Result<Descriptor> park(int program_fd)
{
    const Descriptor home = present_namespace();
    if (!home.valid() || unshare(CLONE_NEWNET) != 0) {
        return failed("make", "a network namespace for the XDP program", errno);
    }
    Descriptor own = present_namespace();
    const int error =
        -bpf_xdp_attach(static_cast<int>(kLoopback), program_fd, XDP_FLAGS_SKB_MODE, nullptr);
    if (setns(home.get(), CLONE_NEWNET) != 0) {
        return failed("come back from", "the network namespace of the XDP program", errno);
    }
    if (error != 0) {
        return failed("attach the XDP program to", "the loopback of its namespace", error);
    }
    return own;
}

Result<replay::Verdict> to_verdict(uint32_t action)
{
    switch (action) {
        case XDP_PASS:
            return replay::Verdict::kPass;
        case XDP_DROP:
            return replay::Verdict::kDrop;
        case XDP_TX:
            return replay::Verdict::kSend;
        case XDP_REDIRECT:
            return replay::Verdict::kRedirect;
        default:
            return fail("the XDP program returned " + std::to_string(action));
    }
}

class XdpEngine : public replay::Engine {
  public:
    XdpEngine(Skeleton skeleton, Descriptor own, Tables tables)
        : skeleton_(std::move(skeleton)), namespace_(std::move(own)), tables_(std::move(tables))
    {
    }

    [[nodiscard]] std::string_view name() const override { return "xdp"; }
    [[nodiscard]] Tables &tables() override { return tables_; }

    [[nodiscard]] Result<replay::Ran> run(std::span<const uint8_t> frame,
                                          uint64_t now_ns) override
    {
        skeleton_->bss->gw_replay_now_ns = now_ns;
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.data_in = frame.data();
        options.data_size_in = static_cast<uint32_t>(frame.size());
        options.data_out = received_.data();
        options.data_size_out = static_cast<uint32_t>(received_.size());
        options.repeat = 1;
        const int error =
            bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.guideway_replay), &options);
        if (error != 0) {
            return failed("run", "the XDP program", -error);
        }
        const auto verdict = to_verdict(options.retval);
        if (!verdict) {
            return std::unexpected(verdict.error());
        }
        const gw_outcome &outcome = skeleton_->bss->gw_replay_outcome;
        replay::Ran ran{.decision = replay::decision_of(outcome),
                        .frame = {received_.data(), options.data_size_out}};
        ran.decision.verdict = *verdict;  // what the kernel was told
        return ran;
    }

  private:
    Skeleton skeleton_;
    Descriptor namespace_;
    Tables tables_;
    std::vector<uint8_t> received_ =
        std::vector<uint8_t>(replay::kFrameBytesMax + replay::kHeadroomBytes);
};

}  // namespace

Result<std::unique_ptr<replay::Engine>> replay_engine(const gw_capacity &capacity,
                                                      const gw_hash_key &hash_key)
{
    const auto layout = tables_layout(capacity);
    if (!layout) {
        return std::unexpected(layout.error());
    }
    auto skeleton = load(*layout);
    if (!skeleton) {
        return std::unexpected(std::move(skeleton.error()));
    }
    auto own = park(bpf_program__fd((*skeleton)->progs.guideway_replay));
    if (!own) {
        return std::unexpected(std::move(own.error()));
    }
    auto tables =
        Tables::map(bpf_map__fd((*skeleton)->maps.gw_region), capacity, "of the replay");
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    tables->initialise(hash_key);
    return std::make_unique<XdpEngine>(std::move(*skeleton), std::move(*own),
                                       std::move(*tables));
}

}  // namespace guideway::xdp
