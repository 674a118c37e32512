// One running instance: desired state and what is observed, reconciled into the tables.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/daemon/checks.hpp"
#include "control/daemon/drains.hpp"
#include "control/daemon/engine.hpp"
#include "control/daemon/events.hpp"
#include "control/daemon/lists.hpp"
#include "control/daemon/refusal.hpp"
#include "control/daemon/sight.hpp"
#include "control/model/desired.hpp"
#include "control/model/overrides.hpp"
#include "control/neighbour/resolver.hpp"
#include "control/plane/plane.hpp"
#include "control/store/store.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/workers.hpp"
#include "xdp/clock.hpp"
#include "xdp/fast_path.hpp"
#include "xdp/probe_path.hpp"

namespace guideway::daemon {

struct Change {
    int64_t revision = 0;
    bool changed = true;  // false: this was in force already, and no revision was made
    std::string summary;
};

struct ApplyRequest {
    std::string file;
    std::string text;
    bool reset_overrides = false;
    std::optional<int64_t> if_revision;
};

[[nodiscard]] int64_t unix_now();

// Makes new overrides out of the file's state and the present ones.
using OverrideEdit =
    std::function<Result<model::Overrides>(const model::Desired &file, model::Overrides)>;

// Takes away what the daemon of an instance has left in the kernel. The interfaces it was on.
[[nodiscard]] Result<std::vector<std::string>> remove_fast_path(
    const std::filesystem::path &pin_directory);

class Instance {
  public:
    struct Options {
        std::string name;
        std::filesystem::path state_directory;
        std::filesystem::path bpf_directory;  // of all instances, in bpffs
        EnginePlace engine;
    };
    // The cause of the revision that a detach makes.
    static constexpr const char *kDetach = "detach";

    // Opens the store and, where a revision was applied before, puts it in force. With
    // `idle_if_detached` it stays idle when the last thing that was done is a detach, so
    // that what is fixed while tables exist can be changed then.
    [[nodiscard]] static Result<std::unique_ptr<Instance>> start(boost::asio::io_context &loop,
                                                                 Options options,
                                                                 bool idle_if_detached);

    [[nodiscard]] std::expected<Change, Refusal> check(const std::string &file,
                                                       const std::string &text) const;
    [[nodiscard]] std::expected<Change, Refusal> apply(const ApplyRequest &request);
    [[nodiscard]] std::expected<Change, Refusal> override_backends(const std::string &cause,
                                                                   const std::string &summary,
                                                                   const OverrideEdit &edit);

    // Gives up the connections that a removed backend still has; false when it has none.
    [[nodiscard]] bool cut_leaving(const model::BackendId &id);

    // Takes the XDP program or the engine, and the pins away. Nothing is in force afterwards.
    [[nodiscard]] Result<std::vector<std::string>> detach();

    [[nodiscard]] const std::string &name() const { return options_.name; }
    [[nodiscard]] bool serving() const { return plane_ != nullptr; }
    [[nodiscard]] int64_t revision() const { return revision_; }
    [[nodiscard]] std::chrono::system_clock::time_point since(const std::string &pool,
                                                              const std::string &backend) const;
    [[nodiscard]] std::vector<model::OverrideDescription> overrides() const;
    [[nodiscard]] const model::Overrides &raw_overrides() const { return overrides_; }
    [[nodiscard]] Events &events() { return events_; }
    [[nodiscard]] Lists &lists() const { return *lists_; }
    [[nodiscard]] Sight &sight() const { return *sight_; }
    // The newest `most` events that are remembered, oldest first.
    [[nodiscard]] Result<std::vector<model::Event>> history(size_t most) const;
    // The next four only while serving().
    [[nodiscard]] const model::Desired &effective() const { return effective_; }
    [[nodiscard]] const plane::Plane &plane() const { return *plane_; }
    [[nodiscard]] xdp::FastPath &fast_path() const { return *fast_path_; }
    [[nodiscard]] const Engine &engine() const { return *engine_; }
    [[nodiscard]] const Checks &checks() const { return *checks_; }
    // Why a backend is failed, by its health; empty: nothing is known.
    [[nodiscard]] std::string failure(const std::string &pool, const std::string &name) const;
    [[nodiscard]] std::vector<std::string> problems() const;

  private:
    // Desired state that has passed every check, not yet in force.
    struct Candidate {
        config::Document document;
        model::Overrides overrides;
        model::Desired effective;
    };

    Instance(boost::asio::io_context &loop, Options options, store::Store store);

    [[nodiscard]] std::expected<config::Document, Refusal> read(const std::string &file,
                                                                const std::string &text) const;
    [[nodiscard]] std::expected<Candidate, Refusal> candidate(config::Document document,
                                                              model::Overrides overrides) const;
    [[nodiscard]] Result<void> restore(const store::Revision &revision);
    [[nodiscard]] std::expected<Change, Refusal> commit(Candidate candidate,
                                                        store::Revision revision);
    [[nodiscard]] std::expected<Change, Refusal> commit_first(Candidate candidate,
                                                              store::Revision revision);
    void put_in_force(Candidate candidate, const store::Revision &revision, int64_t number);
    [[nodiscard]] Result<void> open_tables(const model::Desired &effective);
    void make_plane(const model::Desired &effective);
    void trust_next_hops();
    [[nodiscard]] Result<void> fits(const model::Desired &desired) const;
    [[nodiscard]] Result<void> resize(const model::Capacity &capacity);
    void fill_tables(const model::Desired &effective);
    void begin_forwarding();
    void wait_for_first_round(std::chrono::steady_clock::time_point until);
    void forget_fast_path();
    void end_serving();
    [[nodiscard]] Result<void> attach(const model::Desired &desired);
    [[nodiscard]] Result<void> attach(const std::vector<std::string> &interfaces,
                                      model::XdpMode mode);
    [[nodiscard]] Result<void> attach_engine(const model::Desired &desired);
    void attach_what_exists(bool anew);
    void keep_engine(bool anew);
    void end_unwanted_engine();
    void note_engine();
    void settle_workers(const TablesView &tables);
    void supervise();
    [[nodiscard]] std::filesystem::path pin_directory() const;
    void watch_next_hops(const model::Desired &desired);
    void reconcile();
    void note_states();
    void note_drains();
    void note_refusals();
    void look_around();
    [[nodiscard]] plane::Moment moment();
    [[nodiscard]] model::Condition condition(const std::string &pool,
                                             const model::Backend &backend) const;
    [[nodiscard]] Checks::World world_of_checks();
    [[nodiscard]] std::filesystem::path health_file() const;
    void begin_checks(boost::asio::io_context &loop);
    [[nodiscard]] Result<void> begin_lists(boost::asio::io_context &loop);
    void begin_sight(boost::asio::io_context &loop);
    void remember_health();
    void add_problems_of_health(std::vector<std::string> &problems) const;
    void lay_probe_path();
    [[nodiscard]] Result<void> lay_probe_path(const std::vector<std::string> &interfaces);
    void set_connection_times(const model::Connections &connections);
    void sweep();

    Options options_;
    store::Store store_;
    Events events_;  // saves into the store
    std::unique_ptr<neighbour::Resolver> resolver_;
    boost::asio::steady_timer trust_timer_;
    boost::asio::steady_timer sweep_timer_;
    boost::asio::steady_timer supervision_timer_;
    std::unique_ptr<Engine> engine_;  // which forwards where the configuration says so

    int64_t revision_ = 0;
    config::Document document_;  // as last applied, and its text
    std::string document_text_;
    model::Overrides overrides_;
    model::Desired effective_;

    // All, or none.
    std::unique_ptr<xdp::FastPath> fast_path_;
    std::unique_ptr<xdp::PinClock> pin_clock_;
    uint32_t pin_ticks_ = 0;  // its last reading
    std::unique_ptr<plane::Plane> plane_;
    bool trust_adopted_ = false;
    std::unique_ptr<Lists> lists_;
    std::unique_ptr<Checks> checks_;
    std::unique_ptr<xdp::ProbePath> probe_path_;  // where probes go through the tunnel
    std::string probe_problem_;                   // why some cannot; empty: all can
    bool health_changed_ = false;                 // since it was last remembered
    std::string memory_problem_;                  // why it is not; empty: it is

    std::string attach_problem_;  // why the program is not where it should be; empty: it is

    struct Noted {
        plane::BackendState state{};
        std::chrono::system_clock::time_point since;
    };
    std::map<std::pair<std::string, std::string>, Noted> noted_;
    Drains drains_;
    std::chrono::steady_clock::time_point looked_around_;
    uint64_t refusals_told_ = 0;  // of pins
    std::chrono::steady_clock::time_point refusals_told_at_;
    std::unique_ptr<Sight> sight_;  // goes first: it uses the tables and the plane
};

}  // namespace guideway::daemon
