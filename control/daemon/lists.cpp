#include "control/daemon/lists.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::daemon {
namespace {

using model::ListId;
using model::ListKind;
using model::PolicyEntry;
using model::PolicyLists;

// Also for when the clock is set: the end of an entry is a time of day and year.
constexpr int64_t kExpiryPauseMax = 30;  // s
// Single entries that end in the same second, in the history.
constexpr size_t kEndsTold = 20;

std::string count(size_t number, const std::string &noun)
{
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string prefixes(size_t number)
{
    return std::to_string(number) + (number == 1 ? " prefix" : " prefixes");
}

std::string participle(ListKind kind)
{
    return kind == ListKind::kDeny ? "denied" : "allowed";
}

std::string until_text(int64_t until)
{
    return until == 0 ? "" : " until " + model::utc_text(until);
}

std::string reason_text(const std::string &reason)
{
    return reason.empty() ? "" : ": " + reason;
}

model::Event event(ListKind kind, const std::string &what, std::string text)
{
    return {.kind = std::string(to_string(kind)) + "_" + what,
            .pool = "",
            .backend = "",
            .service = "",
            .text = std::move(text)};
}

Refusal refusal(unsigned status, std::string error)
{
    return {.status = status, .error = std::move(error), .problems = {}};
}

// As the tables have them.
std::vector<ListedPrefix> listed(const PolicyLists &lists)
{
    std::vector<ListedPrefix> all;
    for (const auto &verdict : lists.verdicts()) {
        all.push_back(
            {.address = verdict.prefix.address.bytes,
             .length_bits = static_cast<uint8_t>(verdict.prefix.length_bits),
             .is_ipv6 = verdict.prefix.address.is_ipv6(),
             .verdict = verdict.kind == ListKind::kDeny ? GW_LIST_DENY : GW_LIST_ALLOW});
    }
    return all;
}

Refusal refused_file(const Lists::File &file, const model::ListFileProblems &found)
{
    Refusal refused = refusal(422, "the list is refused: " + count(found.total, "bad line") +
                                       "; nothing was changed");
    for (const auto &problem : found.first) {
        refused.problems.push_back(
            {.file = file.source,
             .position = {.line = static_cast<int>(problem.line), .column = 1},
             .message = problem.message,
             .hint = problem.hint});
    }
    return refused;
}

}  // namespace

Result<std::unique_ptr<Lists>> Lists::start(boost::asio::io_context &loop,
                                            const std::filesystem::path &path, World world)
{
    auto store = store::ListStore::open(path);
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    auto stored = store->load();
    if (!stored) {
        return std::unexpected(std::move(stored.error()));
    }
    return std::unique_ptr<Lists>(
        new Lists(loop, std::move(world), std::move(*store), std::move(*stored)));
}

Lists::Lists(boost::asio::io_context &loop, World world, store::ListStore store,
             PolicyLists lists)
    : loop_(loop),
      world_(std::move(world)),
      lists_(std::move(lists)),
      expiry_(loop),
      store_(std::move(store))
{
    expire_later();
}

Lists::~Lists()
{
    *alive_ = false;
}

void Lists::add(ListKind kind, PolicyEntry entry, Reply reply)
{
    enqueue(
        [kind, entry](const PolicyLists &lists) -> std::expected<Edited, Refusal> {
            const std::string text = entry.prefix.to_string() + " is " + participle(kind) +
                                     until_text(entry.until) + reason_text(entry.reason);
            const auto *singles = lists.find({kind, std::string(model::kSingleEntries)});
            const auto *present = singles == nullptr ? nullptr : singles->find(entry.prefix);
            if (present != nullptr && *present == entry) {
                return Edited{lists, {.changed = false, .summary = text + ", as before"}, {}};
            }
            auto next = lists.with_entry(kind, entry);
            if (!next) {
                return std::unexpected(refusal(409, next.error().message));
            }
            return Edited{std::move(*next),
                          {.changed = true, .summary = text},
                          {event(kind, "added", text)}};
        },
        std::move(reply));
}

void Lists::remove(ListKind kind, const model::Prefix &prefix, Reply reply)
{
    enqueue(
        [kind, prefix](const PolicyLists &lists) -> std::expected<Edited, Refusal> {
            auto next = lists.without_entry(kind, prefix);
            if (!next) {
                return std::unexpected(refusal(404, next.error().message));
            }
            std::string text = prefix.to_string() + " is not " + participle(kind) + " any more";
            for (const auto &match : next->covering(prefix)) {
                text = prefix.to_string() + " is removed; " + match.entry.prefix.to_string() +
                       " on " + model::describe(match.list) + " covers it";
                break;
            }
            return Edited{std::move(*next),
                          {.changed = true, .summary = text},
                          {event(kind, "removed", text)}};
        },
        std::move(reply));
}

void Lists::load(File file, Reply reply)
{
    if (files_waiting_ >= kFilesWaitingMax) {
        reply(std::unexpected(refusal(503, "already " + std::to_string(files_waiting_) +
                                               " lists wait to be loaded; try again")));
        return;
    }
    files_waiting_++;
    // Shared: a function is copied, and the file may be of megabytes.
    const auto given = std::make_shared<const File>(std::move(file));
    enqueue(
        [given,
         now = world_.now()](const PolicyLists &lists) -> std::expected<Edited, Refusal> {
            auto read = model::parse_list_file(given->text, given->reason, given->until);
            if (!read) {
                return std::unexpected(refused_file(*given, read.error()));
            }
            // Most likely a file that could not be fetched.
            if (read->entries.empty()) {
                return std::unexpected(
                    refusal(422, "the list is refused: there is no prefix in it; 'guideway " +
                                     std::string(to_string(given->id.kind)) + " clear --list " +
                                     given->id.name + "' empties a list"));
            }
            const auto *present = lists.find(given->id);
            const size_t before = present == nullptr ? 0 : present->entries().size();
            Change change{.changed = true,
                          .summary = "",
                          .entries = read->entries.size(),
                          .duplicates = read->duplicates};
            change.summary = model::describe(given->id) + " has " + prefixes(change.entries) +
                             until_text(given->until) + "; before, " + std::to_string(before);
            auto next =
                lists.with_list({given->id, std::move(read->entries), given->source, now});
            if (!next) {
                return std::unexpected(refusal(409, next.error().message));
            }
            return Edited{
                std::move(*next), change, {event(given->id.kind, "loaded", change.summary)}};
        },
        [this, reply = std::move(reply)](std::expected<Change, Refusal> done) {
            files_waiting_--;
            reply(std::move(done));
        });
}

void Lists::clear(const ListId &id, Reply reply)
{
    enqueue(
        [id](const PolicyLists &lists) -> std::expected<Edited, Refusal> {
            auto next = lists.without_list(id);
            if (!next) {
                return std::unexpected(refusal(404, next.error().message));
            }
            Change change{
                .changed = true, .summary = "", .entries = lists.find(id)->entries().size()};
            change.summary = model::describe(id) + " is cleared of " + prefixes(change.entries);
            return Edited{
                std::move(*next), change, {event(id.kind, "cleared", change.summary)}};
        },
        std::move(reply));
}

void Lists::enqueue(Edit edit, Reply reply)
{
    if (waiting_.size() >= kWaitingMax) {
        reply(std::unexpected(refusal(503, "already " + std::to_string(waiting_.size()) +
                                               " changes of lists wait; try again")));
        return;
    }
    waiting_.push_back({std::move(edit), std::move(reply)});
    begin_next();
}

void Lists::begin_next()
{
    if (is_busy_ || waiting_.empty()) {
        return;
    }
    is_busy_ = true;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    worker_.begin([this, alive = alive_, job = std::move(job), before = lists_,
                   room = world_.room(), &loop = loop_] {
        auto made = std::make_shared<Made>(
            Made{.edited = std::unexpected(refusal(500, "")), .room = room, .image = {}});
        try {
            made->edited = job.edit(before);
            if (made->edited && made->edited->change.changed) {
                // What does not fit is not stored.
                if (room) {
                    auto image = build_lists(*room, listed(made->edited->lists));
                    if (image) {
                        made->image = std::move(*image);
                    } else {
                        made->edited = std::unexpected(refusal(409, image.error().message));
                    }
                }
                if (made->edited) {
                    if (auto saved = store_.save(before, made->edited->lists); !saved) {
                        made->edited = std::unexpected(refusal(500, saved.error().message));
                    } else {
                        // Here, as the loop may end before it hears of it.
                        for (const auto &one : made->edited->events) {
                            spdlog::info("{}: {}", one.kind, one.text);
                        }
                    }
                }
            }
        } catch (const std::exception &error) {  // memory that is not there
            made->edited = std::unexpected(
                refusal(500, std::string("cannot change the lists: ") + error.what()));
        }
        boost::asio::post(loop, [this, alive, made, reply = job.reply] {
            if (*alive) {
                finish(std::move(*made), reply);
            }
        });
    });
}

void Lists::finish(Made made, const Reply &reply)
{
    is_busy_ = false;
    if (!made.edited) {
        reply(std::unexpected(std::move(made.edited.error())));
    } else {
        lists_ = std::move(made.edited->lists);
        const bool changed = made.edited->change.changed;
        const auto room = world_.room();
        if (made.image && room && *made.room == *room) {
            put(*made.image);
        } else if (changed) {
            put_all();  // into tables that were made meanwhile
        }
        for (auto &one : made.edited->events) {
            world_.record(std::move(one));
        }
        expire_later();
        if (changed && !problem_.empty()) {
            reply(std::unexpected(refusal(500, "stored, but not in force: " + problem_)));
        } else {
            reply(std::move(made.edited->change));
        }
    }
    begin_next();
}

void Lists::put(const ListsImage &image)
{
    world_.put(image);
    in_force_ = image.prefixes;
    problem_.clear();
}

void Lists::put_all()
{
    const auto room = world_.room();
    if (!room) {
        in_force_ = 0;
        problem_.clear();
        return;
    }
    if (const auto image = build_lists(*room, listed(lists_))) {
        put(*image);
    } else {
        problem_ = "packets are not judged by the present lists: " + image.error().message;
        spdlog::error("{}", problem_);
    }
}

Result<void> Lists::fit(const ListsRoom &room) const
{
    if (lists_.empty()) {
        return {};
    }
    if (auto image = build_lists(room, listed(lists_)); !image) {
        return std::unexpected(std::move(image.error()));
    }
    return {};
}

bool Lists::is_over(int64_t end) const
{
    return end != 0 && end <= world_.now();
}

void Lists::note_expiry_problem(std::string problem)
{
    if (problem != expiry_problem_) {
        spdlog::error("{}", problem);
    }
    expiry_problem_ = std::move(problem);
}

void Lists::expire_later()
{
    const int64_t end = lists_.next_end();
    if (!is_over(end)) {
        expiry_problem_.clear();
    }
    if (end == 0 || is_expiring_) {
        expiry_.cancel();
        return;
    }
    expiry_.expires_after(
        std::chrono::seconds(std::clamp<int64_t>(end - world_.now(), 0, kExpiryPauseMax)));
    expiry_.async_wait([this, alive = alive_](const boost::system::error_code &error) {
        if (error || !*alive) {
            return;
        }
        if (!is_over(lists_.next_end())) {
            return expire_later();
        }
        is_expiring_ = true;
        enqueue(
            [now = world_.now()](const PolicyLists &lists) -> std::expected<Edited, Refusal> {
                PolicyLists::Removed removed;
                Edited edited{.lists = lists.without_ended(now, removed),
                              .change = {.changed = true, .summary = ""},
                              .events = {}};
                for (size_t i = 0; i < std::min(kEndsTold, removed.entries.size()); i++) {
                    const auto &[list, entry] = removed.entries[i];
                    edited.events.push_back(
                        event(list.kind, "expired",
                              entry.prefix.to_string() + " is not " + participle(list.kind) +
                                  " any more, its time is over" + reason_text(entry.reason)));
                }
                if (removed.entries.size() > kEndsTold) {
                    edited.events.push_back(event(
                        removed.entries.back().list.kind, "expired",
                        "and " + std::to_string(removed.entries.size() - kEndsTold) + " more"));
                }
                for (const auto &[id, entries] : removed.loaded) {
                    edited.events.push_back(event(id.kind, "expired",
                                                  model::describe(id) + " of " +
                                                      prefixes(entries) +
                                                      " is no more, its time is over"));
                }
                edited.change.changed = !edited.events.empty();
                return edited;
            },
            [this](const std::expected<Change, Refusal> &done) {
                is_expiring_ = false;
                if (!done && is_over(lists_.next_end())) {
                    note_expiry_problem("entries whose time is over stay: " +
                                        done.error().error);
                }
                // After a failure, in a while.
                expiry_.expires_after(std::chrono::seconds(done ? 0 : kExpiryPauseMax));
                expiry_.async_wait([this, alive = alive_](const boost::system::error_code &e) {
                    if (!e && *alive) {
                        expire_later();
                    }
                });
            });
    });
}

}  // namespace guideway::daemon
