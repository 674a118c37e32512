// The control plane's part of the world: its operations, which packets may interrupt, and its
// restarts.
#include <fmt/format.h>

#include "tests/sim/world.hpp"

namespace guideway::sim {

void World::control(std::string what, std::function<void()> work, std::function<void()> after)
{
    if (is_told()) {
        tell("control: " + what);
    }
    after_control_ = std::move(after);
    for (auto &flight : flights_) {
        flight.is_alone = false;
    }
    control_fiber_.start(std::move(work));
    if (control_fiber_.is_idle() && after_control_) {
        after_control_();
    }
}

void World::run_control()
{
    if (control_fiber_.is_idle()) {
        return;
    }
    for (auto &flight : flights_) {
        flight.is_alone = false;
    }
    control_fiber_.resume();
    if (control_fiber_.is_idle() && after_control_) {
        after_control_();
    }
}

void World::finish_control()
{
    while (!control_fiber_.is_idle()) {
        run_control();
    }
}

void World::begin_control(Operation operation, uint32_t at, uint32_t value)
{
    finish_control();
    switch (operation) {
        case Operation::sweep:
            control(fmt::format("sweeps {} buckets", value),
                    [this, value] { control_->sweep(value, control_moment()); }, {});
            return;
        case Operation::retarget:
            retarget(at, value);
            return;
        case Operation::kill:
            kill(at);
            return;
        case Operation::revive:
            revive(at);
            return;
        case Operation::retire:
            if (!backends_[at].is_retired && is_told()) {
                tell(fmt::format("backend {} is configured no more", at));
            }
            backends_[at].is_retired = true;
            return;
        case Operation::reuse:
            reuse(at);
            return;
        case Operation::remove_service:
            remove_service(at);
            return;
        case Operation::add_service:
            add_service(at, value);
            return;
    }
}

void World::retarget(uint32_t index, uint32_t code)
{
    ServiceState &service = services_[index];
    if (!service.is_present) {
        return;
    }
    owners_wanted_.clear();
    const auto may_own = [&](uint32_t owner) {
        return owner < kBackends && !backends_[owner].is_dead && !backends_[owner].is_retired;
    };
    for (uint32_t i = 0; i < service.ring_size; i++, code >>= 3) {
        uint32_t owner = code & 7;
        if (owner == kOwnerUnchanged) {
            owner = gw_slot_owner(slot(index, i));
        }
        if (owner != kOwnerNone && !may_own(owner)) {
            owner = 0;
            while (owner < kBackends && !may_own(owner)) {
                owner++;
            }
        }
        owners_wanted_.push_back(owner < kBackends ? owner : GW_OWNER_NONE);
        if (owner < kBackends) {
            service.owners.insert(backends_[owner].life);
        }
    }
    std::string owners;
    for (const uint32_t owner : owners_wanted_) {
        owners += owner == GW_OWNER_NONE ? " none" : fmt::format(" {}", owner);
    }
    control(
        fmt::format("gives the slots of service {} to{}", index, owners),
        [this, index] { control_->retarget(index, owners_wanted_, control_moment()); },
        [this, index] { check_owners(index, owners_wanted_); });
}

void World::kill(uint32_t index)
{
    Backend &backend = backends_[index];
    if (backend.is_dead) {
        return;
    }
    backend.is_dead = true;
    backend.died_at = serial_;
    lives_.end(backend.life);
    control(fmt::format("backend {} (#{}) has failed", index, backend.life),
            [this, index] { control_->kill_backend(index, control_moment()); }, {});
}

void World::revive(uint32_t index)
{
    Backend &backend = backends_[index];
    if (!backend.is_dead || backend.is_retired || !control_->revive_backend(index)) {
        return;
    }
    const Life before = backend.life;
    backend = {.life = lives_.begin()};
    for (auto &service : services_) {
        if (service.owners.contains(before)) {
            service.owners.insert(backend.life);
        }
    }
    if (is_told()) {
        tell(fmt::format("backend {} is back, as #{}", index, backend.life));
    }
}

void World::reuse(uint32_t index)
{
    if (!backends_[index].is_retired || !control_->backend_is_free(index)) {
        return;
    }
    check_unused(index);
    if (!control_->revive_backend(index)) {
        throw Violation("free", fmt::format("backend {} is free, but cannot live", index));
    }
    backends_[index] = {.life = lives_.begin()};
    if (is_told()) {
        tell(fmt::format("index {} is used for another backend, #{}", index,
                         backends_[index].life));
    }
}

void World::remove_service(uint32_t index)
{
    if (!services_[index].is_present) {
        return;
    }
    services_[index].is_present = false;
    tables_.services()[index].identity = 0;
    promise_.reset_service(index, services_[index].affinity);
    control(fmt::format("service {} is removed", index),
            [this, index] { control_->remove_service(index, control_moment()); }, {});
}

void World::add_service(uint32_t index, uint32_t value)
{
    if (services_[index].is_present || !control_->service_is_free(index)) {
        return;
    }
    for (const auto &bucket : tables_.pin_buckets()) {
        for (const auto &pin : bucket.way) {
            if ((pin.first & ~GW_PIN_OVERFLOW) != 0 &&
                (pin.second >> GW_PIN_SERVICE_SHIFT & GW_PIN_SERVICE_MASK) == index) {
                throw Violation("free", fmt::format("service {} is free, but has pins", index));
            }
        }
    }
    write_service(index, {.ring_size = 1 + value % kRingMax,
                          .affinity = config_.services[index].affinity});
    control(
        fmt::format("service {} is added, with {} slots", index, services_[index].ring_size),
        [this, index] { control_->add_service(index, control_moment()); }, {});
}

void World::restart(uint32_t value)
{
    if (!control_fiber_.is_idle()) {
        control_fiber_.abandon();
    }
    for (auto &flight : flights_) {
        flight.is_alone = false;
    }
    control_offset_ms_ = int64_t{value} * 1000 - now_ms_;
    if (is_told()) {
        tell("control: starts");
    }
    control_ = make_control(tables_,
                            {.learning_ms = config_.learning_ms, .grace_ms = config_.grace_ms},
                            control_moment());
}

void World::whole_sweep()
{
    finish_control();
    while (!control_->sweep(1, control_moment())) {
    }
}

}  // namespace guideway::sim
