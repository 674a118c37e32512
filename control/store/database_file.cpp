#include "control/store/database_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace guideway::store {
namespace {

// The smallest page that SQLite knows. It takes a file of a byte or none for a new database.
constexpr off_t kDatabaseBytesMin = 512;

Result<void> sync_directory(const std::filesystem::path &directory)
{
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return std::unexpected(Error::system("open the directory", directory.string()));
    }
    const int result = ::fsync(fd);
    const int error_number = errno;
    ::close(fd);
    if (result != 0) {
        return std::unexpected(
            Error::system("write to disk the directory", directory.string(), error_number));
    }
    return {};
}

// A database with a schema and no revision, under a name of its own.
Result<void> create_empty(const std::filesystem::path &path, const DatabaseFormat &format)
{
    // Not for everyone's eyes: a configuration can hold the key of the flow hash. SQLite
    // gives its journal the same mode.
    const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return std::unexpected(Error::system("create", path.string()));
    }
    ::close(fd);
    auto database = Database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    return database->execute(
        "BEGIN IMMEDIATE;" + std::string(format.schema) +
        "PRAGMA application_id = " + std::to_string(format.application_id) +
        "; PRAGMA user_version = " + std::to_string(format.version) + "; COMMIT");
}

// Creates the database beside its place and moves it there when it is whole. So a file at
// `path` that is empty or half-written is damage, never a creation that was cut short.
Result<void> create(const std::filesystem::path &path, const DatabaseFormat &format)
{
    const std::filesystem::path directory =
        path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
        return std::unexpected(
            Error::system("create the directory", directory.string(), error.value()));
    }
    // SQLite would take a journal left by another database for this one's, and undo this
    // one with it.
    if (const auto journal = path.string() + "-journal";
        std::filesystem::exists(journal, error)) {
        return fail("cannot create " + path.string() + ": the journal " + journal +
                    " of an earlier database is there; put that database back, or move the "
                    "journal away too");
    }
    const std::string fresh = path.string() + ".new";
    for (const auto &left_over : {fresh, fresh + "-journal"}) {
        if (::unlink(left_over.c_str()) != 0 && errno != ENOENT) {
            return std::unexpected(Error::system("remove", left_over));
        }
    }
    auto created = create_empty(fresh, format);
    if (created &&
        ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
        created = std::unexpected(Error::system("create", path.string()));
    }
    if (!created) {
        ::unlink(fresh.c_str());
        return std::unexpected(std::move(created.error()));
    }
    return sync_directory(directory);
}

Result<void> check_identity(Database &database, const std::string &path,
                            const DatabaseFormat &format)
{
    const auto application = database.number("PRAGMA application_id");
    if (!application) {
        return std::unexpected(application.error());
    }
    if (*application != format.application_id) {
        return fail("cannot use " + path +
                    ": it is an SQLite database, but not one of guidewayd; name another file, "
                    "or move this one away");
    }
    const auto version = database.number("PRAGMA user_version");
    if (!version) {
        return std::unexpected(version.error());
    }
    if (*version > format.version) {
        return fail("cannot use " + path + ": a newer guidewayd wrote it (format " +
                    std::to_string(*version) + ", this version knows up to " +
                    std::to_string(format.version) +
                    "); run that version, or restore the copy made before the upgrade");
    }
    if (*version < format.version) {
        return std::unexpected(
            damaged(path, "its format is " + std::to_string(*version) + ", which never was"));
    }
    return {};
}

Result<void> check_structure(Database &database, const std::string &path)
{
    auto statement = database.prepare("PRAGMA integrity_check(1)");
    if (!statement) {
        return std::unexpected(std::move(statement.error()));
    }
    const auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    if (const auto verdict = *row ? statement->text(0) : "no answer"; verdict != "ok") {
        return std::unexpected(damaged(path, verdict.substr(0, verdict.find('\n'))));
    }
    return {};
}

}  // namespace

Error damaged(std::string_view path, std::string_view how)
{
    return {"cannot use " + std::string(path) + ": " + std::string(how) +
            "; the file is damaged: restore it from a backup, or move it away to start "
            "without what it holds"};
}

Result<Database> open_database_file(const std::filesystem::path &path,
                                    const DatabaseFormat &format)
{
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno != ENOENT) {
            return std::unexpected(Error::system("open", path.string()));
        }
        if (auto created = create(path, format); !created) {
            return std::unexpected(std::move(created.error()));
        }
    } else if (!S_ISREG(status.st_mode)) {
        return fail("cannot use " + path.string() + ": it is not a file");
    } else if (status.st_size < kDatabaseBytesMin) {
        return std::unexpected(damaged(
            path.string(), "it is cut off after " + std::to_string(status.st_size) + " bytes"));
    }

    auto database = Database::open(path);
    if (!database) {
        return database;
    }
    if (auto good = check_identity(*database, path.string(), format); !good) {
        return std::unexpected(std::move(good.error()));
    }
    if (auto good = check_structure(*database, path.string()); !good) {
        return std::unexpected(std::move(good.error()));
    }
    return database;
}

}  // namespace guideway::store
