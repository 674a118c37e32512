// The DPDK engine's bursts, without ports: buffers are all that a burst sees of DPDK.
#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "dataplane/dpdk/burst.hpp"
#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

// As the native engine's: see there.
constexpr uint32_t kNowTicks = (1 << 20) + 7;

Result<Tables> make_tables(const World &world)
{
    return Tables::anonymous(case_capacity(2, world), gw_hash_key{});
}

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

Ran ran_of(const gw_outcome &outcome, const Buffer &buffer)
{
    switch (outcome.verdict) {
        case GW_PASS:
            return {.verdict = Verdict::kPass, .frame = buffer.frame()};
        case GW_SEND:
            return {.verdict = Verdict::kSend, .frame = buffer.frame()};
        case GW_REDIRECT:
            return {.verdict = Verdict::kRedirect,
                    .egress_ifindex = outcome.egress_ifindex,
                    .frame = buffer.frame()};
        default:
            return {.verdict = Verdict::kDrop, .frame = {}};
    }
}

class DpdkEngine : public BurstEngine {
  public:
    explicit DpdkEngine(Tables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string name() const override { return "dpdk"; }
    [[nodiscard]] Tables &tables() override { return tables_; }
    [[nodiscard]] size_t frame_bytes_min() const override { return 0; }
    [[nodiscard]] uint32_t now_ticks() const override { return kNowTicks; }

    [[nodiscard]] Result<void> load(const World &world) override
    {
        if (world.pins_max != tables_.capacity().pins_max ||
            world.sources_max != tables_.capacity().sources_max) {
            auto tables = make_tables(world);
            if (!tables) {
                return std::unexpected(tables.error());
            }
            tables_ = std::move(*tables);
        }
        auto written = write_world(tables_, world, now_ticks());
        if (world.other_generation) {
            tables_.header().active_generation = 0;  // it acts whenever anybody is to
        }
        return written;
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
        const dpdk::Moment moment{limits_clock_ns(kNowTicks), limits_clock_ns(kNowTicks)};
        dpdk::process_burst(mbufs,
                            {.tables = tables_.base(),
                             .layout = &tables_.layout(),
                             .former_tables = nullptr,
                             .former_layout = nullptr,
                             .ingress_ifindex = kIngressIfindex,
                             .cpu = 0},
                            std::span(&moment, 1), outcomes);
        std::vector<Ran> ran;
        for (size_t i = 0; i < buffers.size(); i++) {
            ran.push_back(ran_of(outcomes[i], buffers[i]));
        }
        return ran;
    }

  private:
    Tables tables_;
};

}  // namespace

Result<std::unique_ptr<BurstEngine>> dpdk_engine()
{
    auto tables = make_tables(World{});
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return std::make_unique<DpdkEngine>(std::move(*tables));
}

}  // namespace guideway::packets
