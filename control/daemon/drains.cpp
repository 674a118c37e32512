#include "control/daemon/drains.hpp"

#include <algorithm>

#include "control/model/validate.hpp"

namespace guideway::daemon {
namespace {

model::Event event_of(const Drains::Key &backend, const char *kind, std::string text)
{
    return {.kind = kind,
            .pool = backend.first,
            .backend = backend.second,
            .service = "",
            .text = std::move(text)};
}

bool drains(const plane::BackendView &view)
{
    return view.index && (view.state == plane::BackendState::kDraining ||
                          view.state == plane::BackendState::kLeaving);
}

std::string words_of_beginning(const plane::BackendView &view)
{
    if (view.state == plane::BackendState::kLeaving) {
        return "removed; it keeps the connections it has until they end";
    }
    std::string text = "gets no new connections and keeps those it has";
    if (view.backend.drain_deadline != 0) {
        text += " until " + model::utc_text(view.backend.drain_deadline);
    }
    return text;
}

}  // namespace

void Drains::set_deadlines(const model::Desired &desired, int64_t now)
{
    deadlines_.clear();
    next_due_ = INT64_MAX;
    for (const auto &pool : desired.pools) {
        for (const auto &backend : pool.backends) {
            if (!backend.drained || backend.drain_deadline == 0) {
                continue;
            }
            deadlines_[{pool.name, backend.name}] = backend.drain_deadline;
            if (backend.drain_deadline > now) {
                next_due_ = std::min(next_due_, backend.drain_deadline);
            }
        }
    }
}

bool Drains::is_over(const Key &backend, int64_t now) const
{
    const auto deadline = deadlines_.find(backend);
    return deadline != deadlines_.end() && now >= deadline->second;
}

std::vector<model::Event> Drains::note(const plane::Plane &plane, int64_t now)
{
    std::vector<model::Event> events;
    std::map<uint32_t, Known> before = std::exchange(known_, {});
    for (const auto &view : plane.backends()) {
        if (!drains(view)) {
            continue;
        }
        const uint32_t index = *view.index;
        const bool is_leaving = view.state == plane::BackendState::kLeaving;
        const Key backend{view.pool, view.backend.name};
        Known known{.backend = backend, .is_leaving = is_leaving, .is_told = !is_first_};
        if (const auto found = before.find(index); found != before.end()) {
            known = found->second;
            known.backend = backend;
            before.erase(found);
        } else if (!is_first_) {
            events.push_back(event_of(backend, "drain_begun", words_of_beginning(view)));
        }
        if (is_leaving && !known.is_leaving) {
            known.is_leaving = true;
            known.is_told = true;
        }
        note_progress(plane, index, known, now, events);
        known_.emplace(index, std::move(known));
    }
    for (const auto &[index, known] : before) {
        if (known.is_leaving && !known.is_done) {
            events.push_back(event_of(known.backend, "drain_done", "no connection is left"));
        } else if (!known.is_leaving) {
            events.push_back(event_of(known.backend, "drain_ended", "does not drain any more"));
        }
    }
    is_first_ = false;
    return events;
}

void Drains::note_progress(const plane::Plane &plane, uint32_t index, Known &known, int64_t now,
                           std::vector<model::Event> &events) const
{
    const auto &selection = plane.selection();
    if (!known.is_told && selection.pins_of_backend(index).pins > 0) {
        known.is_told = true;  // of an earlier daemon's time, and its end still to come
    }
    const bool is_cut = selection.backend_is_dead(index);
    if (is_cut && !known.is_cut && known.is_told) {
        events.push_back(
            event_of(known.backend, "drain_cut",
                     is_over(known.backend, now)
                         ? "the deadline of its drain is over: its connections are "
                           "cut"
                         : "its connections are cut"));
    }
    known.is_cut = is_cut;
    const bool is_done = selection.backend_is_free(index);
    if (is_done && !known.is_done && known.is_told) {
        events.push_back(event_of(known.backend, "drain_done", "no connection is left"));
    }
    known.is_done = is_done;
}

void Drains::forget()
{
    known_.clear();
    is_first_ = true;
}

}  // namespace guideway::daemon
