// Allow and deny lists on disk: an SQLite database of their own.
//
// Not in the store's, because a list may be of megabytes: it is written by another thread than
// the event loop's, which must never wait for that one to let go of its database.
#pragma once

#include <filesystem>

#include "control/model/policy_list.hpp"
#include "control/store/database.hpp"
#include "dataplane/error.hpp"

namespace guideway::store {

class ListStore {
  public:
    // Creates the database if need be; its directory is there. Refuses one that a newer version
    // wrote and one that is damaged, saying what to do; never deletes anything.
    [[nodiscard]] static Result<ListStore> open(const std::filesystem::path &path);

    // All lists. Fails when a single one cannot be read: to go on without it would let through,
    // or stop, what nobody meant to.
    [[nodiscard]] Result<model::PolicyLists> load();

    // Makes what is stored `after`, when it was `before`. One transaction, on disk when it
    // returns; a failure leaves what was there.
    [[nodiscard]] Result<void> save(const model::PolicyLists &before,
                                    const model::PolicyLists &after);

  private:
    ListStore(Database database, std::string path)
        : database_(std::move(database)), path_(std::move(path))
    {
    }

    Database database_;
    std::string path_;
};

}  // namespace guideway::store
