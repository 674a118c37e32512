#include "control/store/database.hpp"

#include <utility>

namespace guideway::store {
namespace {

constexpr int kBusyTimeoutMs = 1000;

// What to do about it; SQLite's own words say only what happened.
std::string_view advice(int code)
{
    switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return "; the file is damaged: restore it from a backup, or move it away to start "
                   "without what it holds";
        case SQLITE_FULL:
            return "; free some space and try again, nothing was changed";
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return "; another program holds it";
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return "; check the permissions of the file and of its directory";
        case SQLITE_IOERR:
            return "; check the disk and the kernel's log";
        default:
            return "";
    }
}

Error explain(sqlite3 *handle, std::string_view attempted, std::string_view path)
{
    const int code = sqlite3_extended_errcode(handle);
    return {"cannot " + std::string(attempted) + " " + std::string(path) + ": " +
            sqlite3_errmsg(handle) + std::string(advice(code))};
}

}  // namespace

void Statement::bind(int parameter, std::string_view text)
{
    sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(), SQLITE_STATIC,
                        SQLITE_UTF8);
}

void Statement::bind(int parameter, int64_t number)
{
    sqlite3_bind_int64(statement_.get(), parameter, number);
}

Result<bool> Statement::step()
{
    switch (sqlite3_step(statement_.get())) {
        case SQLITE_ROW:
            return true;
        case SQLITE_DONE:
            return false;
        default: {
            const bool reads = sqlite3_stmt_readonly(statement_.get()) != 0;
            return std::unexpected(explain(sqlite3_db_handle(statement_.get()),
                                           reads ? "read" : "write to", path_));
        }
    }
}

int64_t Statement::number(int column) const
{
    return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const
{
    const auto *bytes =
        static_cast<const char *>(sqlite3_column_blob(statement_.get(), column));
    const int size = sqlite3_column_bytes(statement_.get(), column);
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<size_t>(size));
}

Result<Database> Database::open(const std::filesystem::path &path)
{
    sqlite3 *handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, nullptr);
    // The handle exists even when opening failed, to carry the error.
    Database database(handle, path.string());
    if (code != SQLITE_OK) {
        return std::unexpected(explain(handle, "open", database.path_));
    }
    sqlite3_busy_timeout(handle, kBusyTimeoutMs);
    // The file may have been tampered with: nothing in its schema is run as code, and
    // pages are checked before they are believed.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    // A rollback journal rather than a write-ahead log: there is one writer that writes
    // seldom, the whole state is one file that can be copied, and nothing needs to be
    // written to read it. EXTRA also syncs the directory when the journal is removed, which
    // is the moment that commits.
    for (const char *pragma : {"PRAGMA cell_size_check = ON", "PRAGMA foreign_keys = ON",
                               "PRAGMA synchronous = EXTRA"}) {
        if (auto done = database.execute(pragma); !done) {
            return std::unexpected(std::move(done.error()));
        }
    }
    return database;
}

Result<void> Database::execute(const std::string &statements)
{
    if (sqlite3_exec(handle_.get(), statements.c_str(), nullptr, nullptr, nullptr) !=
        SQLITE_OK) {
        return std::unexpected(explain(handle_.get(), "use", path_));
    }
    return {};
}

Result<Statement> Database::prepare(std::string_view statement)
{
    sqlite3_stmt *prepared = nullptr;
    if (sqlite3_prepare_v2(handle_.get(), statement.data(), static_cast<int>(statement.size()),
                           &prepared, nullptr) != SQLITE_OK) {
        return std::unexpected(explain(handle_.get(), "use", path_));
    }
    return Statement(prepared, path_);
}

Result<int64_t> Database::number(std::string_view query)
{
    auto statement = prepare(query);
    if (!statement) {
        return std::unexpected(std::move(statement.error()));
    }
    auto row = statement->step();
    if (!row) {
        return std::unexpected(std::move(row.error()));
    }
    return *row ? statement->number(0) : 0;
}

bool Database::is_read_only() const
{
    return sqlite3_db_readonly(handle_.get(), "main") == 1;
}

int64_t Database::last_insert_rowid() const
{
    return sqlite3_last_insert_rowid(handle_.get());
}

Result<Transaction> Transaction::begin(Database &database)
{
    // IMMEDIATE takes the write lock now, so that nothing fails half-way for want of it.
    if (auto begun = database.execute("BEGIN IMMEDIATE"); !begun) {
        return std::unexpected(std::move(begun.error()));
    }
    return Transaction(database);
}

Transaction::~Transaction()
{
    if (database_ != nullptr) {
        // An error has rolled back already; there is nothing else to do about one here.
        [[maybe_unused]] const auto ignored = database_->execute("ROLLBACK");
    }
}

Result<void> Transaction::commit()
{
    auto committed = database_->execute("COMMIT");
    if (committed) {
        database_ = nullptr;
    }
    return committed;
}

}  // namespace guideway::store
