// What clients are promised: no connection moves unless its backend died. The flows as their
// clients know them, and the judge of each packet's end.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/sim/history.hpp"

namespace guideway::sim {

// What must not happen has happened.
struct Violation : std::runtime_error {
    Violation(std::string which, const std::string &how)
        : std::runtime_error(how), invariant(std::move(which))
    {
    }
    std::string invariant;
};

// One life of a backend: an index that is used again, or comes back from the dead, is another.
using Life = uint32_t;
inline constexpr Life kNoLife = 0;

// Why a packet may reach another backend than its connection's. Each is documented.
enum class Excuse : uint8_t {
    none,
    no_home,      // the connection's SYN has not reached a backend
    home_died,    // its backend failed
    silent,       // sent nothing for as long as a learning period (or, of a service with
                  // `affinity: flow`, as long as pins stay)
    closing,      // said that it ends, and nothing more for as long as closing pins stay
    handshake,    // its SYN got nothing to follow it for as long as a handshake may take
    overtaken,    // a SYN was sent again while this packet, or one before it that is not there
                  // yet, was on its way; or the first datagrams of a flow are
    unprotected,  // `affinity: ring`
    over,         // belongs to a connection that its client has given up
};
[[nodiscard]] const char *name_of(Excuse excuse);

class Lives {
  public:
    Lives() : died_(1, true) {}
    Life begin()
    {
        died_.push_back(false);
        return static_cast<Life>(died_.size() - 1);
    }
    void end(Life life) { died_[life] = true; }
    [[nodiscard]] bool has_ended(Life life) const { return died_[life]; }

  private:
    std::vector<bool> died_;
};

// The backends that a connection may be on: one, but where a SYN was sent again.
class Homes {
  public:
    [[nodiscard]] bool contain(Life life) const;
    [[nodiscard]] bool is_empty() const { return count_ == 0; }
    [[nodiscard]] bool any_has_ended(const Lives &lives) const;
    void add(Life life);
    void become(Life life);
    void clear() { count_ = 0; }
    [[nodiscard]] std::string text() const;

  private:
    std::array<Life, 4> lives_{};
    uint8_t count_ = 0;
};

struct Flow {
    FlowConfig config;
    uint32_t affinity = 0;  // of its service now
    bool is_open = false;
    uint32_t connection = 0;  // which one of these addresses and ports
    Homes homes;
    Excuse excuse = Excuse::none;  // of packets that begin now
    int64_t home_again_ms = -1;    // when, in spite of the excuse, one reached home
    bool has_answered = false;     // something other than a SYN was sent
    bool is_confirmed = false;     // and arrived
    bool is_closing = false;
    bool has_sent_more_than_syns = false;  // ever
    int64_t last_ms = 0;                   // when its last packet set out
    int64_t last_syn_ms = 0;
    uint32_t flights = 0;  // packets on their way
    uint32_t syns_in_flight = 0;
    uint32_t disturbances = 0;  // SYNs that set out or arrived, deaths noticed
    uint32_t disturbing = 0;    // packets on their way that may yet decide where the flow goes
};

// A packet's part in the promise.
struct Passage {
    uint32_t flow = 0;
    Send send{};
    uint32_t connection = 0;
    int64_t began_ms = 0;
    Homes homes;  // when it set out
    uint32_t disturbances = 0;
    bool is_disturbing = false;
    Excuse excuse = Excuse::none;
};

// How it ended.
struct Arrival {
    int64_t at_ms = 0;
    Life life = kNoLife;  // kNoLife: dropped
    bool has_found_pin = false;
    bool has_made_pin = false;
};

class Promise {
  public:
    Promise(const Config &config, const Lives &lives);

    [[nodiscard]] const std::vector<Flow> &flows() const { return flows_; }

    // A service came, with this affinity, or went: its flows begin anew.
    void reset_service(uint32_t service, uint32_t affinity);
    // The client forgets the connection without a word.
    void give_up(uint32_t flow) { flows_[flow].is_open = false; }

    // Whether a client would send that now.
    [[nodiscard]] bool can_send(uint32_t flow, Send send) const;
    [[nodiscard]] Passage begin(uint32_t flow, Send send, int64_t now_ms);
    // Throws when the promise is broken.
    void end(const Passage &passage, const Arrival &arrival);

    // Whether the packet, which now arrives, was alone with its connection: no SYN came again
    // meanwhile, no backend died, and it was not late.
    [[nodiscard]] bool is_undisturbed(const Passage &passage) const;

    // For how long the flow may be silent and still be kept, from its last packet on.
    [[nodiscard]] int64_t silence_max_ms(const Flow &flow) const;

  private:
    [[nodiscard]] Excuse excuse_of(const Flow &flow, int64_t now_ms) const;
    void come_home(Flow &flow, const Passage &passage, const Arrival &arrival) const;
    static void end_syn(Flow &flow, const Arrival &arrival);
    void end_datagram(Flow &flow, const Passage &passage, const Arrival &arrival) const;
    void check(const Passage &passage, const Arrival &arrival) const;

    const Config &config_;
    const Lives &lives_;
    std::vector<Flow> flows_;
};

}  // namespace guideway::sim
