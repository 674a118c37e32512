#include "control/store/list_store.hpp"

#include <algorithm>
#include <boost/crc.hpp>
#include <utility>

#include "control/store/database_file.hpp"

namespace guideway::store {
namespace {

using model::ListId;
using model::ListKind;
using model::PolicyEntry;
using model::PolicyList;
using model::PolicyLists;

// A loaded list is one row, replaced as a whole; `entries` are lines as in a list's file. `crc`
// covers a row: SQLite checks its own structure, not the bytes it was given.
constexpr std::string_view kSchema = R"(
    CREATE TABLE lists (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        source TEXT NOT NULL,
        loaded_at INTEGER NOT NULL,
        until INTEGER NOT NULL,
        entries TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT;
    CREATE TABLE single_entries (
        kind TEXT NOT NULL,
        prefix TEXT NOT NULL,
        until INTEGER NOT NULL,
        reason TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (kind, prefix)
    ) STRICT, WITHOUT ROWID;
)";

constexpr DatabaseFormat kFormat{
    .application_id = 0x47574c53,  // "GWLS"
    .version = 1,
    .schema = kSchema,
};

class Checksum {
  public:
    Checksum &add(std::string_view text)
    {
        // The length too, so that bytes cannot wander from one field to the next.
        add(static_cast<int64_t>(text.size()));
        crc_.process_bytes(text.data(), text.size());
        return *this;
    }
    Checksum &add(int64_t number)
    {
        crc_.process_bytes(&number, sizeof(number));
        return *this;
    }
    [[nodiscard]] int64_t value() const { return crc_.checksum(); }

  private:
    boost::crc_32_type crc_;
};

std::optional<ListKind> kind_of(std::string_view text)
{
    for (const auto kind : {ListKind::kDeny, ListKind::kAllow}) {
        if (text == to_string(kind)) {
            return kind;
        }
    }
    return std::nullopt;
}

Result<void> finish(Result<Statement> &statement)
{
    if (!statement) {
        return std::unexpected(std::move(statement.error()));
    }
    if (auto done = statement->step(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return {};
}

// ---- Loaded lists.

int64_t until_of(const PolicyList &list)
{
    return list.entries().empty() ? 0 : list.entries().front().until;
}

Result<void> remove_list(Database &database, const ListId &id)
{
    const std::string kind(to_string(id.kind));
    auto statement = database.prepare("DELETE FROM lists WHERE kind = ?1 AND name = ?2");
    if (statement) {
        statement->bind(1, kind);
        statement->bind(2, id.name);
    }
    return finish(statement);
}

Result<void> put_list(Database &database, const PolicyList &list)
{
    const std::string kind(to_string(list.id().kind));
    const std::string text = model::emit_list_file(list.entries());
    auto statement = database.prepare(
        "INSERT OR REPLACE INTO lists (kind, name, source, loaded_at, until, entries, crc) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    if (statement) {
        statement->bind(1, kind);
        statement->bind(2, list.id().name);
        statement->bind(3, list.source());
        statement->bind(4, list.loaded_at());
        statement->bind(5, until_of(list));
        statement->bind(6, text);
        statement->bind(7, Checksum()
                               .add(kind)
                               .add(list.id().name)
                               .add(list.source())
                               .add(list.loaded_at())
                               .add(until_of(list))
                               .add(text)
                               .value());
    }
    return finish(statement);
}

Result<PolicyList> read_list(const Statement &row, const std::string &path)
{
    const std::string kind = row.text(0);
    const std::string name = row.text(1);
    const std::string text = row.text(5);
    const int64_t crc = Checksum()
                            .add(kind)
                            .add(name)
                            .add(row.text(2))
                            .add(row.number(3))
                            .add(row.number(4))
                            .add(text)
                            .value();
    const auto known = kind_of(kind);
    if (crc != row.number(6) || !known) {
        return std::unexpected(damaged(path, "a list does not match its checksum"));
    }
    auto file = model::parse_list_file(text, "", row.number(4));
    if (!file) {
        const auto &problem = file.error().first.front();
        return std::unexpected(
            damaged(path, model::describe({*known, name}) + " cannot be read, in line " +
                              std::to_string(problem.line) + ": " + problem.message));
    }
    return PolicyList({*known, name}, std::move(file->entries), row.text(2), row.number(3));
}

// ---- Single entries.

Result<void> remove_entry(Database &database, ListKind of, const PolicyEntry &entry)
{
    const std::string kind(to_string(of));
    const std::string prefix = entry.prefix.to_string();
    auto statement =
        database.prepare("DELETE FROM single_entries WHERE kind = ?1 AND prefix = ?2");
    if (statement) {
        statement->bind(1, kind);
        statement->bind(2, prefix);
    }
    return finish(statement);
}

Result<void> put_entry(Database &database, ListKind of, const PolicyEntry &entry)
{
    const std::string kind(to_string(of));
    const std::string prefix = entry.prefix.to_string();
    auto statement = database.prepare(
        "INSERT OR REPLACE INTO single_entries (kind, prefix, until, reason, crc) "
        "VALUES (?1, ?2, ?3, ?4, ?5)");
    if (statement) {
        statement->bind(1, kind);
        statement->bind(2, prefix);
        statement->bind(3, entry.until);
        statement->bind(4, entry.reason);
        statement->bind(
            5, Checksum().add(kind).add(prefix).add(entry.until).add(entry.reason).value());
    }
    return finish(statement);
}

struct SingleEntry {
    ListKind kind = ListKind::kDeny;
    PolicyEntry entry;
};

Result<SingleEntry> read_entry(const Statement &row, const std::string &path)
{
    const std::string kind = row.text(0);
    const std::string text = row.text(1);
    const auto known = kind_of(kind);
    const auto prefix = model::parse_source_prefix(text);
    if (Checksum().add(kind).add(text).add(row.number(2)).add(row.text(3)).value() !=
            row.number(4) ||
        !known || !prefix) {
        return std::unexpected(damaged(path, "a single entry does not match its checksum"));
    }
    return SingleEntry{*known,
                       {.prefix = *prefix, .until = row.number(2), .reason = row.text(3)}};
}

// Writes what differs between two values of the list of single entries.
Result<void> save_entries(Database &database, ListKind kind, const PolicyList *before,
                          const PolicyList *after)
{
    const auto entries = [](const PolicyList *list) {
        return list == nullptr ? std::span<const PolicyEntry>() : list->entries();
    };
    for (const auto &entry : entries(before)) {
        if (after == nullptr || after->find(entry.prefix) == nullptr) {
            if (auto done = remove_entry(database, kind, entry); !done) {
                return done;
            }
        }
    }
    for (const auto &entry : entries(after)) {
        const auto *present = before == nullptr ? nullptr : before->find(entry.prefix);
        if (present == nullptr || *present != entry) {
            if (auto done = put_entry(database, kind, entry); !done) {
                return done;
            }
        }
    }
    return {};
}

Result<void> save_list(Database &database, const ListId &id, const PolicyList *before,
                       const PolicyList *after)
{
    if (id.name == model::kSingleEntries) {
        return save_entries(database, id.kind, before, after);
    }
    return after == nullptr ? remove_list(database, id) : put_list(database, *after);
}

}  // namespace

Result<ListStore> ListStore::open(const std::filesystem::path &path)
{
    auto database = open_database_file(path, kFormat);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    return ListStore(std::move(*database), path.string());
}

Result<PolicyLists> ListStore::load()
{
    PolicyLists lists;
    auto rows = database_.prepare(
        "SELECT kind, name, source, loaded_at, until, entries, crc FROM lists");
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    for (auto row = rows->step();; row = rows->step()) {
        if (!row) {
            return std::unexpected(std::move(row.error()));
        }
        if (!*row) {
            break;
        }
        auto list = read_list(*rows, path_);
        if (!list) {
            return std::unexpected(std::move(list.error()));
        }
        lists.restore(std::move(*list));
    }
    std::map<ListKind, std::vector<PolicyEntry>> single;
    auto entries =
        database_.prepare("SELECT kind, prefix, until, reason, crc FROM single_entries");
    if (!entries) {
        return std::unexpected(std::move(entries.error()));
    }
    for (auto row = entries->step();; row = entries->step()) {
        if (!row) {
            return std::unexpected(std::move(row.error()));
        }
        if (!*row) {
            break;
        }
        auto entry = read_entry(*entries, path_);
        if (!entry) {
            return std::unexpected(std::move(entry.error()));
        }
        single[entry->kind].push_back(std::move(entry->entry));
    }
    for (auto &[kind, all] : single) {
        lists.restore({{kind, std::string(model::kSingleEntries)}, std::move(all)});
    }
    return lists;
}

Result<void> ListStore::save(const PolicyLists &before, const PolicyLists &after)
{
    auto transaction = Transaction::begin(database_);
    if (!transaction) {
        return std::unexpected(std::move(transaction.error()));
    }
    for (const auto &[id, list] : before.lists()) {
        if (after.find(id) == nullptr) {
            if (auto done = save_list(database_, id, list.get(), nullptr); !done) {
                return done;
            }
        }
    }
    for (const auto &[id, list] : after.lists()) {
        const PolicyList *present = before.find(id);
        if (present != list.get()) {  // lists do not change
            if (auto done = save_list(database_, id, present, list.get()); !done) {
                return done;
            }
        }
    }
    return transaction->commit();
}

}  // namespace guideway::store
