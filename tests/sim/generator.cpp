#include "tests/sim/generator.hpp"

#include <algorithm>

namespace guideway::sim {
namespace {

constexpr uint32_t kBurstMax = 32;

}  // namespace

Generator::Generator(const Config &config)
    : config_(config), random_(config.seed), clients_(config.flows.size())
{
    const Weights &w = config.weights;
    uint32_t sum = 0;
    for (const uint32_t weight :
         {w.client, w.flood, w.step, w.clock, w.sweep, w.control_step, w.retarget, w.kill,
          w.retire, w.come_back, w.service, w.restart, w.audit}) {
        sums_.push_back(sum += weight);
    }
    for (size_t i = 0; i < config.flows.size(); i++) {
        auto &flows = config.flows[i].role == Role::client ? client_flows_ : flood_flows_;
        flows.push_back(static_cast<uint8_t>(i));
    }
    last_flow_ = client_flows_.front();
}

// The second in which a move ends is when pressure and restarts are most of a danger.
void Generator::notice_ending(const World &world)
{
    const bool is_ending = world.has_ending_slot();
    if (is_ending && !was_ending_ && !flood_flows_.empty()) {
        burst_left_ = random_.one_in(2) ? kBurstMax : 0;
        restarts_soon_ = config_.weights.restart > 0 && random_.one_in(3);
    }
    was_ending_ = is_ending;
}

Event Generator::next(const World &world)
{
    if (config_.has_bursts) {
        notice_ending(world);
    }
    if (burst_left_ > 0 && !random_.one_in(4)) {
        burst_left_--;
        return flood();
    }
    if (restarts_soon_ && random_.one_in(24)) {
        restarts_soon_ = false;
        return {.act = Act::restart, .value = static_cast<uint16_t>(random_.below(1000))};
    }
    const uint32_t at = random_.below(sums_.back());
    const auto which = std::ranges::upper_bound(sums_, at) - sums_.begin();
    switch (which) {
        case 0:
            return client(world);
        case 1:
            if (flood_flows_.empty() ||
                (config_.has_bursts && !random_.one_in(kBurstMax / 2))) {
                return client(world);
            }
            burst_left_ = config_.has_bursts ? random_.below(kBurstMax) : 0;
            return flood();
        case 2:
            return {.act = random_.one_in(8) ? Act::finish : Act::step,
                    .at = static_cast<uint8_t>(random_.below(kCpus))};
        case 3:
            return clock(world);
        case 4:
            return operation(Operation::sweep, 0, random_.one_in(3) ? config_.buckets : 1);
        case 5:
            return world.is_control_busy() ? Event{.act = Act::control_step} : client(world);
        case 6:
            return retarget(world);
        case 7:
            return operation(Operation::kill, random_.below(kBackends));
        case 8:
            return operation(Operation::retire, random_.below(kBackends));
        case 9:
            return come_back(world);
        case 10:
            return service(world);
        case 11:
            return {.act = Act::restart, .value = static_cast<uint16_t>(random_.below(1000))};
        default:
            return {.act = Act::audit};
    }
}

Event Generator::packet(size_t flow, Send send)
{
    return {.act = random_.below(100) < config_.whole_packets_percent ? Act::whole_packet
                                                                      : Act::packet,
            .at = static_cast<uint8_t>(flow),
            .what = static_cast<uint8_t>(send)};
}

Event Generator::operation(Operation what, uint32_t at, uint32_t value)
{
    return {.act = random_.below(100) < config_.whole_operations_percent ? Act::whole_control
                                                                         : Act::control,
            .at = static_cast<uint8_t>(at),
            .what = static_cast<uint8_t>(what),
            .value = static_cast<uint16_t>(value)};
}

Event Generator::client(const World &world)
{
    if (random_.below(100) >= config_.same_flow_percent) {
        last_flow_ = random_.of(client_flows_);
    }
    return packet(last_flow_, choose_send(world.promise().flows()[last_flow_], world));
}

Send Generator::choose_send(const Flow &flow, const World &world)
{
    if (flow.affinity == GW_AFFINITY_FLOW) {
        return random_.one_in(20) ? Send::icmp_error : Send::data;
    }
    if (!flow.is_open) {
        return Send::syn;
    }
    const bool may_repeat = world.now_ms() - flow.last_syn_ms >= config_.grace_ms;
    if (flow.homes.is_empty()) {
        return random_.one_in(4) ? Send::nothing_more : may_repeat ? Send::syn : Send::data;
    }
    if (may_repeat && random_.below(100) < config_.retransmission_percent &&
        (!flow.is_confirmed || random_.one_in(4))) {
        return Send::syn;
    }
    const uint32_t choice = random_.below(100);
    return choice < 85   ? Send::data
           : choice < 90 ? Send::icmp_error
           : choice < 95 ? Send::fin
           : choice < 97 ? Send::rst
                         : Send::nothing_more;
}

Event Generator::flood()
{
    const uint8_t flow = random_.of(flood_flows_);
    return packet(flow, config_.flows[flow].role == Role::spoofed_syn ? Send::syn : Send::data);
}

Generator::Due Generator::first_due(const World &world)
{
    const auto &flows = world.promise().flows();
    Due first;
    for (const uint8_t i : client_flows_) {
        const Flow &flow = flows[i];
        if (!flow.is_open || flow.homes.is_empty() ||
            (flow.excuse != Excuse::none && flow.home_again_ms < 0)) {
            continue;
        }
        Client &client = clients_[i];
        if (client.connection != flow.connection) {
            client.connection = flow.connection;
            client.is_careful = !random_.one_in(8);
        }
        if (client.decided_ms != flow.last_ms) {
            client.decided_ms = flow.last_ms;
            client.pause_percent = random_.one_in(2) ? 100 : random_.below(100);
        }
        const int64_t at =
            flow.last_ms + world.promise().silence_max_ms(flow) * client.pause_percent / 100;
        // One that is late already is so by its own choice.
        if (client.is_careful && at < first.at_ms && at >= world.now_ms()) {
            first = {i, at};
        }
    }
    return first;
}

Event Generator::clock(const World &world)
{
    // Time ends what the control plane does; let packets come between instead.
    if (world.is_control_busy() && !random_.one_in(4)) {
        return {.act = Act::control_step};
    }
    const uint32_t kind = random_.below(20);
    int64_t ms = kind < 12 ? random_.below(300) : random_.below(2000);
    if (config_.is_time_fast && kind >= 17) {
        ms = random_.below(static_cast<uint32_t>(config_.learning_ms));
    }
    const Due due = first_due(world);
    if (due.at_ms == world.now_ms()) {
        return packet(due.flow, Send::data);
    }
    return {.act = Act::clock,
            .value = static_cast<uint16_t>(std::min(ms, due.at_ms - world.now_ms()))};
}

Event Generator::retarget(const World &world)
{
    const uint32_t service = random_.below(static_cast<uint32_t>(config_.services.size()));
    uint32_t code = 0;
    for (uint32_t i = 0; i < kRingMax; i++) {
        uint32_t owner = random_.below(kBackends);
        if (random_.one_in(3)) {
            owner = kOwnerUnchanged;
        } else if (random_.one_in(20)) {
            owner = kOwnerNone;
        } else if (world.backends()[owner].is_dead || world.backends()[owner].is_retired) {
            owner = (owner + 1 + random_.below(3)) % kBackends;
        }
        code |= owner << 3 * i;
    }
    return operation(Operation::retarget, service, code);
}

Event Generator::come_back(const World &world)
{
    const uint32_t backend = random_.below(kBackends);
    const Backend &state = world.backends()[backend];
    if (state.is_retired) {
        return operation(Operation::reuse, backend);
    }
    if (state.is_dead) {
        return operation(Operation::revive, backend);
    }
    return client(world);
}

Event Generator::service(const World &world)
{
    const uint32_t service = random_.below(static_cast<uint32_t>(config_.services.size()));
    if (!world.service(service).is_present) {
        return operation(Operation::add_service, service, random_.below(kRingMax));
    }
    return random_.one_in(4) ? operation(Operation::remove_service, service) : client(world);
}

}  // namespace guideway::sim
