#include "control/store/event_table.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace guideway::store {
namespace {

constexpr const char *kCreate = R"(
    CREATE TABLE IF NOT EXISTS events (
        sequence INTEGER PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        pool TEXT NOT NULL,
        backend TEXT NOT NULL,
        service TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT
)";

Result<void> insert(Database &database, const model::Event &event)
{
    auto statement = database.prepare(
        "INSERT INTO events (sequence, time_ms, kind, pool, backend, service, text) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    if (!statement) {
        return std::unexpected(std::move(statement.error()));
    }
    statement->bind(1, event.sequence);
    statement->bind(2, event.time_ms);
    statement->bind(3, event.kind);
    statement->bind(4, event.pool);
    statement->bind(5, event.backend);
    statement->bind(6, event.service);
    statement->bind(7, event.text);
    if (auto done = statement->step(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return {};
}

}  // namespace

Result<void> append_events(Database &database, std::span<const model::Event> events)
{
    auto transaction = Transaction::begin(database);
    if (!transaction) {
        return std::unexpected(std::move(transaction.error()));
    }
    if (auto created = database.execute(kCreate); !created) {
        return created;
    }
    for (const auto &event : events) {
        if (auto done = insert(database, event); !done) {
            return done;
        }
    }
    if (auto done = database.execute("DELETE FROM events WHERE sequence <= (SELECT sequence "
                                     "FROM events ORDER BY sequence DESC LIMIT 1 OFFSET " +
                                     std::to_string(kEventsKept) + ")");
        !done) {
        return done;
    }
    return transaction->commit();
}

Result<std::vector<model::Event>> newest_events(Database &database, size_t most)
{
    std::vector<model::Event> events;
    const auto exists = database.number(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'events'");
    if (!exists) {
        return std::unexpected(exists.error());
    }
    if (*exists == 0) {
        return events;
    }
    auto rows = database.prepare(
        "SELECT sequence, time_ms, kind, pool, backend, service, text FROM events "
        "ORDER BY sequence DESC LIMIT ?1");
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    rows->bind(1, static_cast<int64_t>(std::min<size_t>(most, kEventsKept)));
    while (true) {
        const auto row = rows->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            std::ranges::reverse(events);
            return events;
        }
        events.push_back({.sequence = rows->number(0),
                          .time_ms = rows->number(1),
                          .kind = rows->text(2),
                          .pool = rows->text(3),
                          .backend = rows->text(4),
                          .service = rows->text(5),
                          .text = rows->text(6)});
    }
}

}  // namespace guideway::store
