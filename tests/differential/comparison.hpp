// One packet through two engines, which must not differ in a bit.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tests/packets/engine.hpp"
#include "tests/packets/pins.hpp"
#include "tests/packets/world.hpp"

namespace guideway::differential {

struct Trial {
    packets::Bytes frame;
    uint32_t headroom_bytes = packets::kHeadroomBytes;
    bool icmp_exhausted = false;           // the limit on ICMP answers has been reached
    std::vector<packets::Change> changes;  // before it
};

class Comparison {
  public:
    // Native against XDP.
    [[nodiscard]] static Result<Comparison> open();

    [[nodiscard]] Result<void> load(const packets::World &world);

    // What the engines disagree about, or nothing. Compares verdict, frame, and all counters,
    // pins and states of sources since load(). Frames that cannot be given to both count as agreed.
    [[nodiscard]] std::optional<std::string> compare(const Trial &trial);

    [[nodiscard]] uint64_t compared() const { return compared_; }
    // How often each reason was given since load(), by gw_reason.
    [[nodiscard]] std::vector<uint64_t> reasons() const;
    // How often each event happened since load(), by gw_event.
    [[nodiscard]] std::vector<uint64_t> events() const;

  private:
    Comparison(std::unique_ptr<packets::Engine> native, std::unique_ptr<packets::Engine> xdp)
        : native_(std::move(native)), xdp_(std::move(xdp))
    {
    }

    [[nodiscard]] Result<void> change(const packets::Change &change);

    std::unique_ptr<packets::Engine> native_;
    std::unique_ptr<packets::Engine> xdp_;
    packets::World world_;
    uint64_t compared_ = 0;
};

}  // namespace guideway::differential
