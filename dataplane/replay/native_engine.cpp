#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include <algorithm>
#include <vector>

#include "dataplane/core/process.h"
#include "dataplane/replay/engine.hpp"
#include "dataplane/replay/link.hpp"

namespace guideway::replay {
namespace {

class NativeEngine : public Engine {
  public:
    explicit NativeEngine(Tables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string_view name() const override { return "native"; }
    [[nodiscard]] Tables &tables() override { return tables_; }

    [[nodiscard]] Result<Ran> run(std::span<const uint8_t> frame, uint64_t now_ns) override
    {
        uint8_t *end = buffer_.data() + buffer_.size();
        uint8_t *data = end - frame.size();
        std::ranges::copy(frame, data);
        gw_packet packet{.head = data - kHeadroomBytes,
                         .data = data,
                         .end = end,
                         .tables = tables_.base(),
                         .layout = &tables_.layout(),
                         .now_ns = now_ns,
                         .exact_ns = now_ns,
                         .ingress_ifindex = kInterface,
                         .cpu = 0,
                         .generation = GW_GENERATION_ALONE};
        gw_outcome outcome;
        gw_process(&packet, &outcome);
        return Ran{.decision = decision_of(outcome), .frame = {packet.data, packet.end}};
    }

  private:
    Tables tables_;
    std::vector<uint8_t> buffer_ = std::vector<uint8_t>(kHeadroomBytes + kFrameBytesMax);
};

}  // namespace

Result<std::unique_ptr<Engine>> native_engine(const gw_capacity &capacity,
                                              const gw_hash_key &hash_key)
{
    auto tables = Tables::anonymous(capacity, hash_key);
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return std::make_unique<NativeEngine>(std::move(*tables));
}

}  // namespace guideway::replay
