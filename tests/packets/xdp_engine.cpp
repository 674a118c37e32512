#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include <linux/bpf.h>
#include <linux/if_link.h>

#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"
#include "xdp/guideway.skel.h"

namespace guideway::packets {
namespace {

struct DestroySkeleton {
    void operator()(guideway_bpf *skeleton) const { guideway_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<guideway_bpf, DestroySkeleton>;

class XdpEngine : public Engine {
  public:
    XdpEngine(Skeleton skeleton, Tables tables)
        : skeleton_(std::move(skeleton)), tables_(std::move(tables)), received_(1 << 16)
    {
    }

    [[nodiscard]] std::string name() const override { return "xdp"; }
    [[nodiscard]] Tables &tables() override { return tables_; }
    [[nodiscard]] size_t frame_bytes_min() const override { return 14; }

    [[nodiscard]] Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) override
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

  private:
    Skeleton skeleton_;
    Tables tables_;
    Bytes received_;
};

Result<void> park_on_loopback(int program_fd)
{
    if (unshare(CLONE_NEWNET) != 0) {
        return std::unexpected(Error::system("make", "a network namespace"));
    }
    // The namespace, and with it the attachment, ends with the process.
    const int error = bpf_xdp_attach(static_cast<int>(kIngressIfindex), program_fd,
                                     XDP_FLAGS_SKB_MODE, nullptr);
    if (error != 0) {
        return std::unexpected(Error::system("attach the XDP program to", "lo", -error));
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> xdp_engine()
{
    const auto capacity = case_capacity(static_cast<uint32_t>(libbpf_num_possible_cpus()));
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
    return std::make_unique<XdpEngine>(std::move(skeleton), std::move(*tables));
}

}  // namespace guideway::packets
