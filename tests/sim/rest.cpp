// How a world comes to rest once clients and changes have stopped.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/world.hpp"

namespace guideway::sim {

void World::come_to_rest()
{
    finish_flights();
    finish_control();
    for (uint32_t i = 0; i < services_.size(); i++) {
        retarget(i, 0777);  // away from what is dead or not configured
        finish_control();
    }
    const auto sweep_after = [this](int64_t ms) {
        pass_time(ms);
        whole_sweep();
    };
    const int64_t grace = config_.grace_ms + 100;
    whole_sweep();
    sweep_after(grace);                        // refused pins of late are heard of
    sweep_after(config_.learning_ms + grace);  // nothing is moving
    sweep_after(grace);                        // and no packet was late
    sweep_after(config_.idle_ms + 2 * grace);  // no pin is left
    sweep_after(grace);
    sweep_after(grace);  // and none is missed
    audit();
    for (uint32_t service = 0; service < services_.size(); service++) {
        for (uint32_t i = 0; services_[service].is_present && i < services_[service].ring_size;
             i++) {
            const auto state = gw_slot_state_of(slot(service, i));
            if (state == GW_SLOT_MOVING || state == GW_SLOT_PINNED) {
                throw Violation("rest", fmt::format("slot {} of service {} stays {}", i,
                                                    service, text_of(slot(service, i))));
            }
        }
        if (!services_[service].is_present && !control_->service_is_free(service)) {
            throw Violation("rest", fmt::format("service {} does not become free", service));
        }
    }
    for (const auto &bucket : tables_.pin_buckets()) {
        for (const auto &pin : bucket.way) {
            if ((pin.first & ~GW_PIN_OVERFLOW) != 0) {
                throw Violation("rest", "a pin stays though every client is silent");
            }
        }
    }
    for (uint32_t i = 0; i < kBackends; i++) {
        bool is_owner = false;
        for (uint32_t service = 0; service < services_.size(); service++) {
            for (uint32_t at = 0;
                 services_[service].is_present && at < services_[service].ring_size; at++) {
                is_owner = is_owner || gw_slot_owner(slot(service, at)) == i;
            }
        }
        if (control_->backend_is_free(i) == is_owner) {
            throw Violation("rest", fmt::format("backend {} {}", i,
                                                is_owner ? "owns slots, and is free"
                                                         : "does not become free"));
        }
    }
    // Where every flow has a pin, the next may come at any time.
    const bool may_have_pins = std::ranges::any_of(services_, [](const ServiceState &service) {
        return service.is_present && service.affinity == GW_AFFINITY_FLOW;
    });
    if (control_->has_work() && !may_have_pins) {
        throw Violation("rest", "the sweep believes that there is work");
    }
}

}  // namespace guideway::sim
