// A database's file: made whole or not at all, and known again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "control/store/database.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

// What a database of ours is known by.
struct DatabaseFormat {
    int64_t application_id = 0;
    int64_t version = 0;      // of the schema; grows
    std::string_view schema;  // statements that make an empty one
};

// Opens the database at `path`; makes it, and its directory, when there is none. Fails, saying
// what to do, for a file that is not of this format, that a newer version wrote or that is
// damaged; never deletes anything.
[[nodiscard]] Result<Database> open_database_file(const std::filesystem::path &path,
                                                  const DatabaseFormat &format);

// Says that a file's content is not what was written.
[[nodiscard]] Error damaged(std::string_view path, std::string_view how);

}  // namespace guideway::store
