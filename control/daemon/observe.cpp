// What an instance notices of itself, and tells.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {
namespace {

constexpr auto kLookAround = std::chrono::seconds(1);
constexpr auto kTellRefusals = std::chrono::minutes(1);

}  // namespace

int64_t unix_now()
{
    return std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
}

// Remembers since when each backend has been in its state, and tells of changes. What is found
// at a start is no change.
void Instance::note_states()
{
    const auto now = std::chrono::system_clock::now();
    const bool is_first = noted_.empty();
    std::map<std::pair<std::string, std::string>, Noted> noted;
    for (const auto &view : plane_->backends()) {
        const std::pair key{view.pool, view.backend.name};
        if (noted.contains(key)) {
            continue;  // of a former address, and leaving
        }
        const auto before = noted_.find(key);
        if (before != noted_.end() && before->second.state == view.state) {
            noted.insert(*before);
            continue;
        }
        noted.emplace(key, Noted{view.state, now});
        const std::string text = std::string(plane::name_of(view.state)) +
                                 (view.reason.empty() ? "" : ": " + view.reason);
        spdlog::info("backend {}/{} is {}", view.pool, view.backend.name, text);
        if (!is_first) {
            events_.record({.kind = "backend_state",
                            .pool = view.pool,
                            .backend = view.backend.name,
                            .service = "",
                            .text = text});
        }
    }
    noted_ = std::move(noted);
    note_drains();
}

void Instance::note_drains()
{
    for (auto &event : drains_.note(*plane_, unix_now())) {
        spdlog::info("backend {}/{}: {}", event.pool, event.backend, event.text);
        events_.record(std::move(event));
    }
}

// Refused pins make a move take longer. Packets refuse them, so that many are one event.
void Instance::note_refusals()
{
    const auto now = std::chrono::steady_clock::now();
    if (now < refusals_told_at_ + kTellRefusals) {
        return;
    }
    const bool is_first = refusals_told_at_ == decltype(refusals_told_at_){};
    refusals_told_at_ = now;
    const uint64_t refused = fast_path_->tables().counters().events[GW_EVENT_PIN_REFUSED];
    if (!is_first && refused > refusals_told_) {
        const std::string text =
            std::to_string(refused - refusals_told_) +
            " packets found no room for a pin in the last minute; where slots were moving, "
            "their learning period began again. 'capacity: pins' is the room";
        spdlog::warn("{}", text);
        events_.record({.kind = "pins_refused", .text = text});
    }
    refusals_told_ = refused;
}

// What changes by time alone, once a second.
void Instance::look_around()
{
    const auto now = std::chrono::steady_clock::now();
    if (now < looked_around_ + kLookAround) {
        return;
    }
    looked_around_ = now;
    if (drains_.is_due(unix_now())) {
        reconcile();
    } else {
        note_drains();
    }
    note_refusals();
    sight_->look();
    remember_health();
}

std::chrono::system_clock::time_point Instance::since(const std::string &pool,
                                                      const std::string &backend) const
{
    const auto noted = noted_.find({pool, backend});
    return noted == noted_.end() ? std::chrono::system_clock::time_point{}
                                 : noted->second.since;
}

std::string Instance::failure(const std::string &pool, const std::string &name) const
{
    if (const auto *health = checks_->pool(pool)) {
        for (const auto &[address, member] : health->members()) {
            if (member.name == name) {
                return member.health.reason();
            }
        }
    }
    return "";
}

void Instance::add_problems_of_health(std::vector<std::string> &problems) const
{
    for (const auto &pool : effective_.pools) {
        const auto *health = checks_->pool(pool.name);
        if (health != nullptr && health->is_panic()) {
            problems.push_back("pool " + pool.name +
                               " is in panic: too few of its backends look healthy, so all "
                               "are used");
        }
    }
    for (const auto &view : plane_->backends()) {
        const std::string name = "backend " + view.pool + "/" + view.backend.name;
        if (view.state == plane::BackendState::kUnresolved) {
            problems.push_back(name + " is unresolved: " + view.reason);
        } else if (view.state == plane::BackendState::kFailed) {
            problems.push_back(name + " is failed: " + failure(view.pool, view.backend.name));
        }
    }
}

bool Instance::cut_leaving(const model::BackendId &id)
{
    if (!serving()) {
        return false;
    }
    bool is_leaving = false;  // perhaps more than once, of former addresses
    for (const auto &view : plane_->backends()) {
        if (view.state == plane::BackendState::kLeaving && view.pool == id.pool &&
            view.backend.name == id.name && view.index) {
            plane_->cut(*view.index, moment());
            is_leaving = true;
        }
    }
    if (is_leaving) {
        note_drains();
    }
    return is_leaving;
}

Result<std::vector<model::Event>> Instance::history(size_t most) const
{
    auto events = store_.events(most);
    if (!events) {
        return events;
    }
    const auto unsaved = events_.unsaved();
    events->insert(events->end(), unsaved.begin(), unsaved.end());
    if (events->size() > most) {
        events->erase(events->begin(), events->end() - static_cast<std::ptrdiff_t>(most));
    }
    return events;
}

}  // namespace guideway::daemon
