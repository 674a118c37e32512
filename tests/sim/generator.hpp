// Chooses what happens next in a world.
#pragma once

#include "tests/sim/history.hpp"
#include "tests/sim/world.hpp"

namespace guideway::sim {

class Generator {
  public:
    explicit Generator(const Config &config);

    [[nodiscard]] Event next(const World &world);

  private:
    // A client that sends again in time, each time after another pause; or one that doesn't.
    struct Client {
        uint32_t connection = 0;
        bool is_careful = false;
        uint32_t pause_percent = 0;  // of how long it may be silent
        int64_t decided_ms = -1;     // for the packet of which time
    };

    void notice_ending(const World &world);
    Event client(const World &world);
    [[nodiscard]] Send choose_send(const Flow &flow, const World &world);
    Event flood();
    Event clock(const World &world);
    // Who of the clients wants to send first, and when.
    struct Due {
        size_t flow = 0;
        int64_t at_ms = INT64_MAX;
    };
    [[nodiscard]] Due first_due(const World &world);
    Event retarget(const World &world);
    Event come_back(const World &world);
    Event service(const World &world);
    Event operation(Operation what, uint32_t at, uint32_t value = 0);
    Event packet(size_t flow, Send send);

    const Config &config_;
    Random random_;
    std::vector<uint32_t> sums_;
    std::vector<Client> clients_;
    uint32_t burst_left_ = 0;
    bool was_ending_ = false;
    bool restarts_soon_ = false;
    uint8_t last_flow_ = 0;
    std::vector<uint8_t> flood_flows_;
    std::vector<uint8_t> client_flows_;
};

}  // namespace guideway::sim
