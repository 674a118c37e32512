#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include <algorithm>

#include "dataplane/core/process.h"
#include "tests/packets/engine.hpp"
#include "tests/packets/host_tables.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

class NativeEngine : public Engine {
  public:
    explicit NativeEngine(HostTables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string name() const override { return "native"; }
    [[nodiscard]] Tables &tables() override { return tables_.get(); }
    [[nodiscard]] size_t frame_bytes_min() const override { return 0; }
    [[nodiscard]] uint32_t now_ticks() const override { return kHostTicks; }

    [[nodiscard]] Result<void> load(const World &world) override { return tables_.load(world); }

    [[nodiscard]] Result<Ran> run(const Bytes &frame, uint32_t headroom_bytes) override
    {
        const size_t size = headroom_bytes + frame.size();
        const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(size);
        std::fill_n(buffer.get(), headroom_bytes, 0xee);
        std::ranges::copy(frame, buffer.get() + headroom_bytes);
        gw_packet packet{.head = buffer.get(),
                         .data = buffer.get() + headroom_bytes,
                         .end = buffer.get() + size,
                         .tables = tables_.get().base(),
                         .layout = &tables_.get().layout(),
                         .now_ns = limits_clock_ns(kHostTicks),
                         .exact_ns = limits_clock_ns(kHostTicks),
                         .ingress_ifindex = kIngressIfindex,
                         .cpu = 0,
                         .generation = kGeneration};
        gw_outcome outcome;
        gw_process(&packet, &outcome);
        return ran_of(outcome, Bytes(packet.data, packet.end));
    }

  private:
    HostTables tables_;
};

}  // namespace

Result<std::unique_ptr<Engine>> native_engine()
{
    auto tables = HostTables::make();
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
