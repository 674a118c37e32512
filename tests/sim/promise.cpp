#include "tests/sim/promise.hpp"

#include <algorithm>

#include "dataplane/core/tables.h"

namespace guideway::sim {
namespace {

// Ticks are rounded, and processors' clocks differ by one.
constexpr int64_t kTicksMs = 3 * ((1LL << GW_PIN_TICK_SHIFT) / 1'000'000 + 1);

}  // namespace

const char *name_of(Excuse excuse)
{
    constexpr std::array<const char *, 9> kNames{
        "no excuse",          "it had no home",  "its backend died",
        "it had been silent", "it was closing",  "its handshake took too long",
        "its SYN came again", "nothing is kept", "its client had given up"};
    return kNames.at(static_cast<size_t>(excuse));
}

bool Homes::contain(Life life) const
{
    return std::find(lives_.begin(), lives_.begin() + count_, life) != lives_.begin() + count_;
}

bool Homes::any_has_ended(const Lives &lives) const
{
    return std::any_of(lives_.begin(), lives_.begin() + count_,
                       [&](Life life) { return lives.has_ended(life); });
}

void Homes::add(Life life)
{
    if (life != kNoLife && !contain(life) && count_ < lives_.size()) {
        lives_[count_++] = life;
    }
}

void Homes::become(Life life)
{
    clear();
    add(life);
}

std::string Homes::text() const
{
    std::string text;
    for (uint8_t i = 0; i < count_; i++) {
        text += (i > 0 ? " or #" : "#") + std::to_string(lives_[i]);
    }
    return text.empty() ? "nowhere" : text;
}

Promise::Promise(const Config &config, const Lives &lives) : config_(config), lives_(lives)
{
    for (const auto &flow : config.flows) {
        flows_.push_back({.config = flow, .affinity = GW_AFFINITY_CONNECTION});
    }
}

void Promise::reset_service(uint32_t service, uint32_t affinity)
{
    for (auto &flow : flows_) {
        if (flow.config.service == service) {
            flow.affinity = affinity;
            flow.is_open = false;
            flow.homes.clear();
            flow.excuse = Excuse::none;
            flow.connection++;
            flow.disturbing = 0;
        }
    }
}

int64_t Promise::silence_max_ms(const Flow &flow) const
{
    int64_t longest = flow.affinity == GW_AFFINITY_FLOW ? config_.idle_ms : config_.learning_ms;
    if (flow.is_closing) {
        longest = std::min(longest, config_.closing_ms);
    }
    // A packet may look its pin up as long as the grace after it set out; and of two that are
    // on their way, the time of the one that set out first may be what the pin remembers.
    longest -= 2 * config_.grace_ms;
    if (!flow.is_confirmed) {
        longest = std::min(longest, config_.handshake_ms - config_.grace_ms);
    }
    return longest - kTicksMs;
}

// The one list of what is not promised.
Excuse Promise::excuse_of(const Flow &flow, int64_t now_ms) const
{
    // What a connection that came back after too long meets decides: its packets reach their
    // home, and all is well again, or its client knows that the connection is lost.
    if (flow.excuse != Excuse::none) {
        return flow.excuse;
    }
    if (flow.affinity == GW_AFFINITY_RING) {
        return Excuse::unprotected;
    }
    if (flow.homes.is_empty()) {
        return Excuse::no_home;
    }
    if (flow.homes.any_has_ended(lives_)) {
        return Excuse::home_died;
    }
    if (now_ms - flow.last_ms > silence_max_ms(flow)) {
        // Its pin, if it has one, may have been given up; without one it was not learnt from.
        return flow.is_closing      ? Excuse::closing
               : !flow.is_confirmed ? Excuse::handshake
                                    : Excuse::silent;
    }
    if (flow.syns_in_flight > 0 || flow.disturbing > 0) {
        return Excuse::overtaken;
    }
    return Excuse::none;
}

bool Promise::can_send(uint32_t index, Send send) const
{
    const Flow &flow = flows_[index];
    if (flow.config.role == Role::spoofed_syn) {
        return send == Send::syn;
    }
    if (flow.config.role == Role::stray_ack) {
        return send == Send::data;
    }
    if (flow.affinity == GW_AFFINITY_FLOW) {
        return send == Send::data || send == Send::icmp_error;
    }
    if (send == Send::syn) {
        // Nobody repeats the SYN of a connection that ends, and another connection of the same
        // ports begins when nothing of the last is on its way.
        return flow.is_open ? flow.syns_in_flight == 0 && !flow.is_closing : flow.flights == 0;
    }
    if (flow.syns_in_flight > 0 && (send == Send::fin || send == Send::rst)) {
        return false;
    }
    return flow.is_open && (flow.affinity == GW_AFFINITY_RING || !flow.homes.is_empty());
}

Passage Promise::begin(uint32_t index, Send send, int64_t now_ms)
{
    Flow &flow = flows_[index];
    Passage passage{.flow = index, .send = send, .began_ms = now_ms};
    if (flow.affinity == GW_AFFINITY_FLOW && flow.config.role != Role::client) {
        // Every datagram after the first confirms.
        flow.has_sent_more_than_syns = flow.has_sent_more_than_syns || flow.is_open;
        flow.is_open = true;
    } else if (send == Send::syn) {
        if (!flow.is_open) {
            flow.connection++;
            flow.is_open = true;
            flow.homes.clear();
            flow.excuse = Excuse::none;
            flow.disturbing = 0;
            flow.has_answered = flow.is_confirmed = flow.is_closing = false;
        } else if (now_ms - flow.last_ms > silence_max_ms(flow)) {
            // Its pin may be somebody else's by now, or in this moment.
            passage.excuse = flow.excuse = Excuse::handshake;
            flow.home_again_ms = -1;
        }
        flow.disturbing = flow.flights;
        flow.syns_in_flight++;
        flow.disturbances++;
        flow.last_syn_ms = now_ms;
    } else if (flow.config.role == Role::client) {
        passage.excuse = excuse_of(flow, now_ms);
        if (send != Send::icmp_error) {
            flow.has_answered = true;
            flow.has_sent_more_than_syns = true;
            flow.is_open = true;
            const bool lasts = passage.excuse == Excuse::silent ||
                               passage.excuse == Excuse::closing ||
                               passage.excuse == Excuse::handshake;
            if (lasts && flow.excuse == Excuse::none) {
                flow.excuse = passage.excuse;
                flow.home_again_ms = -1;
            }
        }
    } else {
        flow.has_sent_more_than_syns = true;
    }
    if (send != Send::icmp_error) {
        flow.last_ms = now_ms;
    }
    flow.is_closing = flow.is_closing || send == Send::fin || send == Send::rst;
    passage.homes = flow.homes;
    passage.connection = flow.connection;
    passage.disturbances = flow.disturbances;
    passage.is_disturbing =
        send != Send::syn && flow.config.role == Role::client &&
        (flow.syns_in_flight > 0 || flow.disturbing > 0 ||
         (flow.affinity == GW_AFFINITY_FLOW && passage.excuse != Excuse::none));
    flow.disturbing += passage.is_disturbing ? 1 : 0;
    flow.flights++;
    return passage;
}

bool Promise::is_undisturbed(const Passage &passage) const
{
    const Flow &flow = flows_[passage.flow];
    return passage.excuse == Excuse::none && !passage.homes.any_has_ended(lives_) &&
           flow.connection == passage.connection && flow.disturbances == passage.disturbances;
}

void Promise::check(const Passage &passage, const Arrival &arrival) const
{
    if (!is_undisturbed(passage) || passage.homes.contain(arrival.life)) {
        return;
    }
    throw Violation("promise",
                    "flow " + std::to_string(passage.flow) +
                        " has its connection on backend life " + passage.homes.text() +
                        ", but its packet " +
                        (arrival.life == kNoLife ? "was dropped"
                                                 : "reached #" + std::to_string(arrival.life)));
}

void Promise::end(const Passage &passage, const Arrival &arrival)
{
    Flow &flow = flows_[passage.flow];
    flow.flights--;
    if (passage.send == Send::syn && flow.syns_in_flight > 0) {
        flow.syns_in_flight--;
        flow.disturbances++;
    }
    if (flow.config.role != Role::client || flow.connection != passage.connection) {
        return;
    }
    if (passage.send == Send::syn) {
        end_syn(flow, arrival);
        return;
    }
    if (passage.is_disturbing || passage.disturbances != flow.disturbances) {
        flow.disturbing--;
    }
    check(passage, arrival);
    if (passage.send == Send::icmp_error) {
        return;
    }
    if (flow.affinity == GW_AFFINITY_FLOW) {
        end_datagram(flow, passage, arrival);
        return;
    }
    flow.is_confirmed = true;
    if (passage.is_disturbing || flow.disturbances != passage.disturbances) {
        flow.homes.add(arrival.life);
    } else if (passage.homes.contain(arrival.life)) {
        flow.homes.become(arrival.life);
        come_home(flow, passage, arrival);
    } else {
        flow.is_open = false;  // the backend that it reached answers with a reset
    }
    if (passage.send == Send::rst || flow.homes.any_has_ended(lives_)) {
        flow.is_open = false;
    }
}

// Who was about to give up its pin, and had seen it before its packet came, has done so or has
// not once the grace is over.
void Promise::come_home(Flow &flow, const Passage &passage, const Arrival &arrival) const
{
    if (flow.home_again_ms < 0) {
        flow.home_again_ms = arrival.at_ms;
    } else if (passage.began_ms >= flow.home_again_ms + config_.grace_ms) {
        flow.excuse = Excuse::none;
    }
}

// The last SYN decides. But where the client goes on with what an earlier one began, and the
// last went astray, the connection may be on either.
void Promise::end_syn(Flow &flow, const Arrival &arrival)
{
    if (arrival.life == kNoLife) {
        return;
    }
    if (!arrival.has_found_pin) {
        flow.excuse = Excuse::none;
    }
    if (flow.has_answered && !flow.homes.is_empty()) {
        flow.homes.add(arrival.life);
    } else {
        flow.homes.become(arrival.life);
    }
}

void Promise::end_datagram(Flow &flow, const Passage &passage, const Arrival &arrival) const
{
    if (passage.homes.any_has_ended(lives_)) {
        // The next decides, and not those that are still on their way.
        flow.homes.clear();
        flow.excuse = Excuse::none;
        flow.disturbing = flow.flights;
        flow.disturbances++;
    } else if (!arrival.has_found_pin && !arrival.has_made_pin) {
        flow.homes.clear();
        flow.excuse = Excuse::none;
    } else if (passage.homes.contain(arrival.life) && arrival.has_found_pin) {
        flow.is_confirmed = true;
        flow.homes.become(arrival.life);
        come_home(flow, passage, arrival);
    } else {
        // Several first ones may be on their way.
        if (!passage.homes.is_empty()) {
            flow.homes.clear();
        }
        flow.is_confirmed = false;
        flow.homes.add(arrival.life);
        flow.excuse = Excuse::none;
    }
}

}  // namespace guideway::sim
