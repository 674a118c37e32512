#include "control/store/store.hpp"

#include <time.h>

#include <boost/crc.hpp>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "control/store/database.hpp"
#include "control/store/database_file.hpp"
#include "control/store/event_table.hpp"
#include "control/store/overrides_json.hpp"

namespace guideway::store {

struct Store::State {
    std::string path;
    Database database;
};

namespace {

// Older revisions go, so that a script which sets weights does not fill the disk.
constexpr int64_t kRevisionsKept = 10'000;

// Most revisions change an override and not the file, so files are kept once. `crc` covers
// a revision with its file: SQLite checks its own structure, not the bytes it was given.
constexpr std::string_view kSchema = R"(
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE revisions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        created_at TEXT NOT NULL,
        cause TEXT NOT NULL,
        file INTEGER NOT NULL REFERENCES files (id),
        overrides TEXT NOT NULL,
        summary TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX revisions_by_file ON revisions (file);
)";

constexpr DatabaseFormat kFormat{
    .application_id = 0x47574159,  // "GWAY"
    .version = 1,
    .schema = kSchema,
};

constexpr std::string_view kSelectRevisions =
    "SELECT number, created_at, cause, files.name, files.text, overrides, summary, crc "
    "FROM revisions LEFT JOIN files ON files.id = revisions.file "
    "ORDER BY number DESC LIMIT ?1";

int64_t checksum(const Revision &revision, std::string_view overrides)
{
    boost::crc_32_type crc;
    for (const std::string_view field :
         {std::string_view(revision.created_at), std::string_view(revision.cause),
          std::string_view(revision.file_name), std::string_view(revision.file_text), overrides,
          std::string_view(revision.summary)}) {
        // The length too, so that bytes cannot wander from one field to the next.
        const uint64_t size = field.size();
        crc.process_bytes(&size, sizeof(size));
        crc.process_bytes(field.data(), field.size());
    }
    return crc.checksum();
}

std::string now_rfc3339()
{
    const time_t now = ::time(nullptr);
    tm parts{};
    ::gmtime_r(&now, &parts);
    char text[sizeof("9999-12-31T23:59:59Z") + 8];
    return {text, ::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Result<Revision> read_revision(const Statement &row, const std::string &path)
{
    Revision revision{.number = row.number(0),
                      .created_at = row.text(1),
                      .cause = row.text(2),
                      .file_name = row.text(3),
                      .file_text = row.text(4),
                      .summary = row.text(6)};
    const std::string overrides = row.text(5);
    const std::string which = "revision " + std::to_string(revision.number);
    if (row.number(7) != checksum(revision, overrides)) {
        return std::unexpected(damaged(path, which + " does not match its checksum"));
    }
    auto parsed = overrides_from_json(overrides);
    if (!parsed) {
        return std::unexpected(
            std::move(parsed.error()).within("cannot use " + which + " in " + path));
    }
    revision.overrides = std::move(*parsed);
    return revision;
}

// The row of the file, which most often is the newest one.
Result<int64_t> file_id(Database &database, const Revision &revision)
{
    auto same = database.prepare(
        "SELECT id FROM files WHERE id = (SELECT max(id) FROM files) AND name = ?1 AND text = "
        "?2");
    if (!same) {
        return std::unexpected(std::move(same.error()));
    }
    same->bind(1, revision.file_name);
    same->bind(2, revision.file_text);
    auto found = same->step();
    if (!found) {
        return std::unexpected(std::move(found.error()));
    }
    if (*found) {
        return same->number(0);
    }
    auto insert = database.prepare("INSERT INTO files (name, text) VALUES (?1, ?2)");
    if (!insert) {
        return std::unexpected(std::move(insert.error()));
    }
    insert->bind(1, revision.file_name);
    insert->bind(2, revision.file_text);
    if (auto done = insert->step(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return database.last_insert_rowid();
}

Result<int64_t> insert_revision(Database &database, const Revision &revision, int64_t file)
{
    auto insert = database.prepare(
        "INSERT INTO revisions (created_at, cause, file, overrides, summary, crc) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    if (!insert) {
        return std::unexpected(std::move(insert.error()));
    }
    const std::string overrides = overrides_to_json(revision.overrides);
    insert->bind(1, revision.created_at);
    insert->bind(2, revision.cause);
    insert->bind(3, file);
    insert->bind(4, overrides);
    insert->bind(5, revision.summary);
    insert->bind(6, checksum(revision, overrides));
    if (auto done = insert->step(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return database.last_insert_rowid();
}

Result<void> forget_old(Database &database, int64_t newest)
{
    if (newest <= kRevisionsKept) {
        return {};
    }
    return database.execute(
        "DELETE FROM revisions WHERE number <= " + std::to_string(newest - kRevisionsKept) +
        "; DELETE FROM files WHERE id NOT IN (SELECT file FROM revisions)");
}

}  // namespace

Result<Store> Store::open(const std::filesystem::path &path)
{
    auto database = open_database_file(path, kFormat);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    Store store(std::make_unique<State>(State{path.string(), std::move(*database)}));
    // What the daemon would start from must be readable now, not when it is needed.
    if (auto newest = store.latest(); !newest) {
        return std::unexpected(std::move(newest.error()));
    }
    return store;
}

Result<std::optional<Revision>> Store::latest() const
{
    auto newest = history(1);
    if (!newest) {
        return std::unexpected(std::move(newest.error()));
    }
    return newest->empty() ? std::nullopt : std::optional(std::move(newest->front()));
}

Result<std::vector<Revision>> Store::history(size_t most) const
{
    auto rows = state_->database.prepare(kSelectRevisions);
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    rows->bind(1, static_cast<int64_t>(std::min<size_t>(most, INT64_MAX)));
    std::vector<Revision> revisions;
    while (true) {
        const auto row = rows->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return revisions;
        }
        auto revision = read_revision(*rows, state_->path);
        if (!revision) {
            return std::unexpected(std::move(revision.error()));
        }
        revisions.push_back(std::move(*revision));
    }
}

Result<int64_t> Store::append(const Revision &revision)
{
    Database &database = state_->database;
    Revision dated = revision;
    dated.created_at = now_rfc3339();
    auto transaction = Transaction::begin(database);
    if (!transaction) {
        return std::unexpected(std::move(transaction.error()));
    }
    const auto file = file_id(database, dated);
    if (!file) {
        return file;
    }
    const auto number = insert_revision(database, dated, *file);
    if (!number) {
        return number;
    }
    if (auto done = forget_old(database, *number); !done) {
        return std::unexpected(std::move(done.error()));
    }
    if (auto done = transaction->commit(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return *number;
}

Result<void> Store::append_events(std::span<const model::Event> events)
{
    return store::append_events(state_->database, events);
}

Result<std::vector<model::Event>> Store::events(size_t most) const
{
    return newest_events(state_->database, most);
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store &&) noexcept = default;
Store &Store::operator=(Store &&) noexcept = default;
Store::~Store() = default;

}  // namespace guideway::store
