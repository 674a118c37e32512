// SQLite with RAII and with errors in an operator's words.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/error.hpp"

namespace guideway::store {

class Statement {
  public:
    // Parameters count from 1 and columns from 0, as SQLite has it. `text` must live until
    // the last step().
    void bind(int parameter, std::string_view text);
    void bind(int parameter, int64_t number);

    // True when there is a row to read.
    [[nodiscard]] Result<bool> step();
    [[nodiscard]] int64_t number(int column) const;
    [[nodiscard]] std::string text(int column) const;

  private:
    friend class Database;
    struct Finalize {
        void operator()(sqlite3_stmt *statement) const { sqlite3_finalize(statement); }
    };
    Statement(sqlite3_stmt *statement, std::string_view path)
        : statement_(statement), path_(path)
    {
    }

    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    std::string path_;
};

class Database {
  public:
    // An existing file, for reading and, where the file allows it, writing.
    [[nodiscard]] static Result<Database> open(const std::filesystem::path &path);

    [[nodiscard]] Result<void> execute(const std::string &statements);
    [[nodiscard]] Result<Statement> prepare(std::string_view statement);
    // The single number that a query or pragma answers with.
    [[nodiscard]] Result<int64_t> number(std::string_view query);
    [[nodiscard]] bool is_read_only() const;
    [[nodiscard]] int64_t last_insert_rowid() const;

  private:
    struct Close {
        void operator()(sqlite3 *handle) const { sqlite3_close_v2(handle); }
    };
    Database(sqlite3 *handle, std::string path) : handle_(handle), path_(std::move(path)) {}

    std::unique_ptr<sqlite3, Close> handle_;
    std::string path_;
};

// A transaction that is rolled back unless it was committed.
class Transaction {
  public:
    [[nodiscard]] static Result<Transaction> begin(Database &database);
    Transaction(Transaction &&other) noexcept
        : database_(std::exchange(other.database_, nullptr))
    {
    }
    Transaction &operator=(Transaction &&) = delete;
    ~Transaction();
    [[nodiscard]] Result<void> commit();

  private:
    explicit Transaction(Database &database) : database_(&database) {}
    Database *database_;
};

}  // namespace guideway::store
