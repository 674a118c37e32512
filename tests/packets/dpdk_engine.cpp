// The DPDK engine's bursts, without ports: buffers are all that a burst sees of DPDK.
#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "dataplane/dpdk/burst.hpp"
#include "tests/packets/engine.hpp"
#include "tests/packets/host_tables.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

// A frame in a buffer that ends where the frame does.
class Buffer {
  public:
    Buffer(const Bytes &frame, uint32_t headroom_bytes)
        : bytes_(std::make_unique_for_overwrite<uint8_t[]>(headroom_bytes + frame.size()))
    {
        std::fill_n(bytes_.get(), headroom_bytes, 0xee);
        std::ranges::copy(frame, bytes_.get() + headroom_bytes);
        mbuf_.buf_addr = bytes_.get();
        mbuf_.buf_len = static_cast<uint16_t>(headroom_bytes + frame.size());
        mbuf_.data_off = static_cast<uint16_t>(headroom_bytes);
        mbuf_.data_len = static_cast<uint16_t>(frame.size());
        mbuf_.pkt_len = mbuf_.data_len;
        mbuf_.nb_segs = 1;
    }

    [[nodiscard]] rte_mbuf *mbuf() { return &mbuf_; }
    [[nodiscard]] Bytes frame() const
    {
        const uint8_t *data = bytes_.get() + mbuf_.data_off;
        return {data, data + mbuf_.data_len};
    }

  private:
    std::unique_ptr<uint8_t[]> bytes_;
    rte_mbuf mbuf_{};
};

class DpdkEngine : public BurstEngine {
  public:
    explicit DpdkEngine(HostTables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string name() const override { return "dpdk"; }
    [[nodiscard]] Tables &tables() override { return tables_.get(); }
    [[nodiscard]] size_t frame_bytes_min() const override { return 0; }
    [[nodiscard]] uint32_t now_ticks() const override { return kHostTicks; }

    [[nodiscard]] Result<void> load(const World &world) override
    {
        auto loaded = tables_.load(world);
        if (world.other_generation) {
            tables_.get().header().active_generation = 0;  // it acts whenever anybody is to
        }
        return loaded;
    }

    [[nodiscard]] Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) override
    {
        return std::move(run_burst(std::span(&frame, 1), headroom_bytes).front());
    }

    [[nodiscard]] std::vector<Ran> run_burst(std::span<const Bytes> frames,
                                             uint32_t headroom_bytes) override
    {
        std::vector<Buffer> buffers;
        buffers.reserve(frames.size());
        std::vector<rte_mbuf *> mbufs;
        for (const auto &frame : frames) {
            buffers.emplace_back(frame, headroom_bytes);
            mbufs.push_back(buffers.back().mbuf());
        }
        std::array<gw_outcome, dpdk::kBurst> outcomes{};
        const dpdk::Moment moment{limits_clock_ns(kHostTicks), limits_clock_ns(kHostTicks)};
        dpdk::process_burst(mbufs,
                            {.tables = tables_.get().base(),
                             .layout = &tables_.get().layout(),
                             .former_tables = nullptr,
                             .former_layout = nullptr,
                             .ingress_ifindex = kIngressIfindex,
                             .cpu = 0},
                            std::span(&moment, 1), outcomes);
        std::vector<Ran> ran;
        for (size_t i = 0; i < buffers.size(); i++) {
            ran.push_back(ran_of(outcomes[i], buffers[i].frame()));
        }
        return ran;
    }

  private:
    HostTables tables_;
};

}  // namespace

Result<std::unique_ptr<BurstEngine>> dpdk_engine()
{
    auto tables = HostTables::make();
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return std::make_unique<DpdkEngine>(std::move(*tables));
}

}  // namespace guideway::packets
