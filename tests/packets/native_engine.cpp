#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include <algorithm>
#include <cstring>

#include "dataplane/core/process.h"
#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

// Two days: what a case ages lies in the past, not before the clock's beginning.
constexpr uint32_t kNowTicks = (1 << 20) + 7;

Result<Tables> make_tables(const World &world)
{
    return Tables::anonymous(case_capacity(2, world), gw_hash_key{});
}

class NativeEngine : public Engine {
  public:
    explicit NativeEngine(Tables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string name() const override { return "native"; }
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
        return write_world(tables_, world, now_ticks());
    }

    [[nodiscard]] Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) override
    {
        const size_t size = headroom_bytes + frame.size();
        const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(size);
        std::fill_n(buffer.get(), headroom_bytes, 0xee);
        std::ranges::copy(frame, buffer.get() + headroom_bytes);
        gw_packet packet{.head = buffer.get(),
                         .data = buffer.get() + headroom_bytes,
                         .end = buffer.get() + size,
                         .tables = tables_.base(),
                         .layout = &tables_.layout(),
                         .now_ns = limits_clock_ns(kNowTicks),
                         .exact_ns = limits_clock_ns(kNowTicks),
                         .ingress_ifindex = kIngressIfindex,
                         .cpu = 0,
                         .generation = kGeneration};
        gw_outcome outcome;
        gw_process(&packet, &outcome);
        Ran ran{.frame = Bytes(packet.data, packet.end)};
        switch (outcome.verdict) {
            case GW_PASS:
                ran.verdict = Verdict::kPass;
                break;
            case GW_SEND:
                ran.verdict = Verdict::kSend;
                break;
            case GW_REDIRECT:
                ran.verdict = Verdict::kRedirect;
                ran.egress_ifindex = outcome.egress_ifindex;
                break;
            default:
                ran.verdict = Verdict::kDrop;
                ran.frame.clear();
                break;
        }
        return ran;
    }

  private:
    Tables tables_;
};

}  // namespace

Result<std::unique_ptr<Engine>> native_engine()
{
    auto tables = make_tables(World{});
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return std::make_unique<NativeEngine>(std::move(*tables));
}

std::string_view verdict_name(Verdict verdict)
{
    switch (verdict) {
        case Verdict::kPass:
            return "pass";
        case Verdict::kDrop:
            return "drop";
        case Verdict::kSend:
            return "send";
        case Verdict::kRedirect:
            return "redirect";
    }
    return "?";
}

}  // namespace guideway::packets
