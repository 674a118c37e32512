#include "dataplane/dpdk/replay_engine.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <vector>

#include "dataplane/dpdk/burst.hpp"
#include "dataplane/replay/link.hpp"

namespace guideway::dpdk {
namespace {

static_assert(replay::kHeadroomBytes + replay::kFrameBytesMax <= UINT16_MAX,
              "a buffer's length is 16 bits");

class DpdkEngine : public replay::Engine {
  public:
    explicit DpdkEngine(Tables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] std::string_view name() const override { return "dpdk"; }
    [[nodiscard]] Tables &tables() override { return tables_; }

    // A burst of one: the next packet may come at a later time.
    [[nodiscard]] Result<replay::Ran> run(std::span<const uint8_t> frame,
                                          uint64_t now_ns) override
    {
        const size_t data_offset = buffer_.size() - frame.size();
        std::ranges::copy(frame, buffer_.begin() + static_cast<ptrdiff_t>(data_offset));
        rte_mbuf mbuf{};
        mbuf.buf_addr = buffer_.data();
        mbuf.buf_len = static_cast<uint16_t>(buffer_.size());
        mbuf.data_off = static_cast<uint16_t>(data_offset);
        mbuf.data_len = static_cast<uint16_t>(frame.size());
        mbuf.pkt_len = mbuf.data_len;
        mbuf.nb_segs = 1;
        rte_mbuf *const frames[] = {&mbuf};
        const Moment moment{now_ns, now_ns};
        gw_outcome outcome{};
        process_burst(frames,
                      {.tables = tables_.base(),
                       .layout = &tables_.layout(),
                       .former_tables = nullptr,
                       .former_layout = nullptr,
                       .ingress_ifindex = replay::kInterface,
                       .cpu = 0},
                      std::span(&moment, 1), std::span(&outcome, 1));
        return replay::Ran{.decision = replay::decision_of(outcome),
                           .frame = {buffer_.data() + mbuf.data_off, mbuf.data_len}};
    }

  private:
    Tables tables_;
    std::vector<uint8_t> buffer_ =
        std::vector<uint8_t>(replay::kHeadroomBytes + replay::kFrameBytesMax);
};

}  // namespace

Result<std::unique_ptr<replay::Engine>> replay_engine(const gw_capacity &capacity,
                                                      const gw_hash_key &hash_key)
{
    auto tables = Tables::anonymous(capacity, hash_key);
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return std::make_unique<DpdkEngine>(std::move(*tables));
}

}  // namespace guideway::dpdk
