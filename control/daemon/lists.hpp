// The allow and deny lists of an instance: held in memory, kept in their store, put into the
// tables.
//
// Reading a long list, building what packets look up and writing it to disk take a good part of
// a second, in which the event loop must go on: a thread of its own does it, one change after
// the other. What it has made is taken over by the loop, which alone writes tables. A change is
// answered when it is on disk and in force.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/daemon/refusal.hpp"
#include "control/daemon/worker.hpp"
#include "control/model/event.hpp"
#include "control/model/policy_list.hpp"
#include "control/store/list_store.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/lists.hpp"

namespace guideway::daemon {

class Lists {
  public:
    // What lists need of their instance.
    struct World {
        // Of the tables in force; nothing while there are none.
        std::function<std::optional<ListsRoom>()> room;
        std::function<void(const ListsImage &)> put;  // into those tables
        std::function<void(model::Event)> record;
        std::function<int64_t()> now;  // Unix time, s
    };

    struct Change {
        bool changed = false;  // false: it was so already
        std::string summary;
        size_t entries = 0;     // of the list that was loaded or cleared
        size_t duplicates = 0;  // lines of its file that were left out
    };
    using Reply = std::function<void(std::expected<Change, Refusal>)>;

    // What may wait; further changes are refused. A file may be of megabytes.
    static constexpr size_t kWaitingMax = 64;
    static constexpr size_t kFilesWaitingMax = 4;

    struct File {
        model::ListId id;
        std::string source;  // its name, for people
        std::string text;
        std::string reason;  // of entries that have none
        int64_t until = 0;
    };

    // With the lists that are stored at `path`. Nothing is put into tables yet.
    [[nodiscard]] static Result<std::unique_ptr<Lists>> start(boost::asio::io_context &loop,
                                                              const std::filesystem::path &path,
                                                              World world);
    Lists(const Lists &) = delete;
    Lists &operator=(const Lists &) = delete;
    ~Lists();  // a change that is under way is brought to disk

    void add(model::ListKind kind, model::PolicyEntry entry, Reply reply);
    void remove(model::ListKind kind, const model::Prefix &prefix, Reply reply);
    void load(File file, Reply reply);  // in place of the list of that name
    void clear(const model::ListId &id, Reply reply);

    [[nodiscard]] const model::PolicyLists &lists() const { return lists_; }

    // Whether a change is under way, for the room that there was when it began.
    [[nodiscard]] bool is_busy() const { return is_busy_; }
    // Whether tables of that room could hold the lists.
    [[nodiscard]] Result<void> fit(const ListsRoom &room) const;
    // Puts the lists into the tables in force, which are new ones or none. Takes its time.
    void put_all();
    // Distinct prefixes in the tables.
    [[nodiscard]] size_t prefixes_in_force() const { return in_force_; }
    // Why packets are not judged by these lists; empty: they are, or there are no tables.
    [[nodiscard]] const std::string &problem() const { return problem_; }
    // Why entries whose time is over still count; empty: none does.
    [[nodiscard]] const std::string &expiry_problem() const { return expiry_problem_; }

  private:
    struct Edited {
        model::PolicyLists lists;
        Change change;
        std::vector<model::Event> events;
    };
    // Called on the worker's thread.
    using Edit = std::function<std::expected<Edited, Refusal>(const model::PolicyLists &)>;

    struct Job {
        Edit edit;
        Reply reply;
    };
    struct Made {
        std::expected<Edited, Refusal> edited;
        std::optional<ListsRoom> room;
        std::optional<ListsImage> image;
    };

    Lists(boost::asio::io_context &loop, World world, store::ListStore store,
          model::PolicyLists lists);
    void enqueue(Edit edit, Reply reply);
    void begin_next();
    void finish(Made made, const Reply &reply);
    void put(const ListsImage &image);
    [[nodiscard]] bool is_over(int64_t end) const;
    void note_expiry_problem(std::string problem);
    void expire_later();

    boost::asio::io_context &loop_;
    World world_;
    model::PolicyLists lists_;
    size_t in_force_ = 0;
    std::string problem_;
    std::string expiry_problem_;
    std::deque<Job> waiting_;
    size_t files_waiting_ = 0;
    bool is_busy_ = false;
    bool is_expiring_ = false;
    boost::asio::steady_timer expiry_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    store::ListStore store_;  // the worker's
    Worker worker_;           // ends first
};

}  // namespace guideway::daemon
