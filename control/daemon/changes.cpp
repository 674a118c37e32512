// How a change becomes desired state in force: read, checked, stored, written.
#include <spdlog/spdlog.h>

#include <set>

#include "control/daemon/instance.hpp"

namespace guideway::daemon {
namespace {

std::string count(size_t number, const std::string &noun)
{
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string summarise(const model::Desired &desired)
{
    size_t backends = 0;
    for (const auto &pool : desired.pools) {
        backends += pool.backends.size();
    }
    return count(desired.services.size(), "service") + ", " +
           count(desired.pools.size(), "pool") + ", " + count(backends, "backend") + " on " +
           count(desired.interfaces.size(), "interface");
}

std::unexpected<Refusal> refuse(unsigned status, std::string error)
{
    return std::unexpected(Refusal{status, std::move(error), {}});
}

std::unexpected<Refusal> refuse_configuration(std::vector<config::Problem> problems)
{
    return std::unexpected(Refusal{422, "the configuration is refused", std::move(problems)});
}

}  // namespace

std::expected<config::Document, Refusal> Instance::read(const std::string &file,
                                                        const std::string &text) const
{
    auto document = config::parse(file, text);
    if (!document) {
        return refuse_configuration(std::move(document.error()));
    }
    if (document->desired.instance != options_.name) {
        const auto at = document->positions.find("instance");
        return refuse_configuration(
            {{.file = file,
              .position = at == document->positions.end() ? config::Position{} : at->second,
              .message =
                  "this is the configuration of instance '" + document->desired.instance + "'",
              .hint = "the daemon runs instance '" + options_.name + "'"}});
    }
    std::set<model::IpAddress> addresses;
    for (const auto &service : document->desired.services) {
        addresses.insert(service.address);
    }
    auto host = neighbour::host_facts(addresses);
    if (!host) {
        return refuse(500, host.error().message);
    }
    if (auto problems = config::check_on_host(*document, *host); !problems.empty()) {
        return refuse_configuration(std::move(problems));
    }
    return std::move(*document);
}

std::expected<Instance::Candidate, Refusal> Instance::candidate(
    config::Document document, model::Overrides overrides) const
{
    auto effective = model::with_overrides(document.desired, overrides);
    if (!effective) {
        return refuse(409, effective.error().message);
    }
    if (serving()) {
        if (effective->hash_key != effective_.hash_key) {
            return refuse(409,
                          "hash_key is fixed while the tables exist, because another moves "
                          "nearly every flow; to change it run 'guideway detach', then start "
                          "the daemon with the new file");
        }
        // What is being stored was found to fit into tables of the present sizes.
        if (effective->capacity != effective_.capacity && lists_->is_busy()) {
            return refuse(
                409, "the lists of sources are being changed; try again when that is done");
        }
        if (auto room = fits(*effective); !room) {
            return refuse(409, room.error().message);
        }
    }
    return Candidate{std::move(document), std::move(overrides), std::move(*effective)};
}

std::expected<Change, Refusal> Instance::check(const std::string &file,
                                               const std::string &text) const
{
    auto document = read(file, text);
    if (!document) {
        return std::unexpected(std::move(document.error()));
    }
    auto checked = candidate(std::move(*document), overrides_);
    if (!checked) {
        return std::unexpected(std::move(checked.error()));
    }
    return Change{revision_, checked->effective != effective_, summarise(checked->effective)};
}

std::expected<Change, Refusal> Instance::apply(const ApplyRequest &request)
{
    if (request.if_revision && *request.if_revision != revision_) {
        return refuse(409, "the revision is " + std::to_string(revision_) + ", not " +
                               std::to_string(*request.if_revision) +
                               ": somebody else changed it; look at 'guideway export' and "
                               "try again");
    }
    auto document = read(request.file, request.text);
    if (!document) {
        return std::unexpected(std::move(document.error()));
    }
    auto next = candidate(std::move(*document),
                          request.reset_overrides ? model::Overrides{} : overrides_);
    if (!next) {
        return std::unexpected(std::move(next.error()));
    }
    const std::string summary = summarise(next->effective);
    return commit(std::move(*next), {.created_at = "",
                                     .cause = "apply",
                                     .file_name = request.file,
                                     .file_text = request.text,
                                     .overrides = {},
                                     .summary = summary});
}

std::expected<Change, Refusal> Instance::override_backends(const std::string &cause,
                                                           const std::string &summary,
                                                           const OverrideEdit &edit)
{
    if (!serving()) {
        return refuse(409, "no configuration is applied yet; run 'guideway apply FILE' first");
    }
    auto overrides = edit(document_.desired, overrides_);
    if (!overrides) {
        return refuse(409, overrides.error().message);
    }
    auto next = candidate(document_, std::move(*overrides));
    if (!next) {
        return std::unexpected(std::move(next.error()));
    }
    // The new state must also be one that a file could ask for.
    auto parsed =
        config::parse("the configuration with this change", config::emit(next->effective));
    if (!parsed) {
        return refuse(409, parsed.error().front().message + "; " + parsed.error().front().hint);
    }
    return commit(std::move(*next), {.created_at = "",
                                     .cause = cause,
                                     .file_name = document_.file,
                                     .file_text = document_text_,
                                     .overrides = {},
                                     .summary = summary});
}

// What may fail comes first, what cannot comes last: attach, store, write the tables. What
// was in force goes on until then.
std::expected<Change, Refusal> Instance::commit(Candidate candidate, store::Revision revision)
{
    if (!serving()) {
        return commit_first(std::move(candidate), std::move(revision));
    }
    const bool is_same = candidate.effective == effective_ &&
                         candidate.overrides == overrides_ &&
                         revision.file_text == document_text_;
    const bool attaches = candidate.effective.interfaces != effective_.interfaces ||
                          candidate.effective.xdp_mode != effective_.xdp_mode ||
                          candidate.effective.engine != effective_.engine ||
                          candidate.effective.dpdk != effective_.dpdk;
    const bool resizes = candidate.effective.capacity != effective_.capacity;
    const bool engine_was_wanted = effective_.engine == model::Engine::kDpdk;
    const auto go_back = [&] {
        if (resizes) {
            if (auto back = resize(effective_.capacity); !back) {
                spdlog::error("cannot go back to the sizes before: {}", back.error().message);
            }
        }
        if (auto back = attach(effective_); !back) {
            spdlog::error("cannot go back to the interfaces before: {}", back.error().message);
        }
        end_unwanted_engine();
        if (resizes) {
            reconcile();
            lay_probe_path();
        }
    };
    if (resizes) {
        if (auto resized = resize(candidate.effective.capacity); !resized) {
            return refuse(500, resized.error().message);
        }
    }
    if (attaches) {
        if (auto attached = attach(candidate.effective); !attached) {
            // Of XDP programs those before go on; an engine may have been ended for another.
            if (resizes || engine_was_wanted) {
                go_back();
            }
            return refuse(500, attached.error().message);
        }
    }
    if (is_same) {
        attach_what_exists(false);
        return Change{revision_, false, summarise(effective_)};
    }
    revision.overrides = candidate.overrides;
    auto number = store_.append(revision);
    if (!number) {
        if (attaches || resizes) {
            go_back();
        }
        return refuse(500, number.error().message + "; what was in force goes on");
    }
    put_in_force(std::move(candidate), revision, *number);
    if (attaches) {
        end_unwanted_engine();
    } else if (resizes) {
        attach_what_exists(true);
    }
    reconcile();
    return Change{revision_, true, revision.summary};
}

// Nothing was in force. Tables that a lost daemon has left may be forwarding, so they are
// not written before the revision is stored; new tables are filled before packets are judged
// by them.
std::expected<Change, Refusal> Instance::commit_first(Candidate candidate,
                                                      store::Revision revision)
{
    if (auto opened = open_tables(candidate.effective); !opened) {
        return refuse(500, opened.error().message);
    }
    if (auto room = plane_->fits(candidate.effective); !room) {
        end_serving();
        return refuse(409, room.error().message);
    }
    if (const std::string problem = lists_->problem(); !problem.empty()) {
        end_serving();
        return refuse(409, problem);
    }
    const bool adopted = fast_path_->adopted();
    if (!adopted) {
        checks_->configure(candidate.effective);
        fill_tables(candidate.effective);
        if (auto attached = attach(candidate.effective); !attached) {
            end_serving();
            return refuse(500, attached.error().message);
        }
    }
    revision.overrides = candidate.overrides;
    auto number = store_.append(revision);
    if (!number) {
        end_serving();
        return refuse(500, number.error().message + "; nothing was changed");
    }
    put_in_force(std::move(candidate), revision, *number);
    if (adopted) {
        fill_tables(effective_);
        attach_what_exists(true);
    }
    supervise();
    note_states();
    return Change{revision_, true, revision.summary};
}

void Instance::put_in_force(Candidate candidate, const store::Revision &revision,
                            int64_t number)
{
    document_ = std::move(candidate.document);
    document_text_ = revision.file_text;
    overrides_ = std::move(candidate.overrides);
    effective_ = std::move(candidate.effective);
    revision_ = number;
    set_connection_times(effective_.connections);
    checks_->configure(effective_);
    health_changed_ = true;
    lay_probe_path();
    spdlog::info("revision {} is in force ({}): {}", revision_, revision.cause,
                 revision.summary);
    events_.record({.kind = "revision",
                    .text = "revision " + std::to_string(revision_) + " is in force (" +
                            revision.cause + "): " + revision.summary});
}

}  // namespace guideway::daemon
