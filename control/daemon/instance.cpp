#include "control/daemon/instance.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "xdp/host.hpp"

namespace guideway::daemon {
namespace {

// How long after a start the next hops found in adopted tables are believed while the
// kernel has not yet been heard on them.
constexpr auto kTrustAdopted = std::chrono::seconds(3);

constexpr const char *kDetach = "detach";  // a revision's cause

gw_hash_key to_table_key(const model::HashKey &key)
{
    gw_hash_key words{};
    static_assert(sizeof(words) == sizeof(key));
    std::memcpy(&words, key.data(), key.size());
    return words;
}

gw_capacity to_table_capacity(const model::Capacity &capacity)
{
    return {.addresses_max = capacity.addresses,
            .services_max = capacity.services,
            .backends_max = capacity.backends,
            .ring_slots_max = capacity.ring_slots,
            .cpus_max = xdp::possible_cpus()};
}

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

const char *state_name(plane::BackendState state)
{
    switch (state) {
        case plane::BackendState::kForwarding:
            return "forwarding";
        case plane::BackendState::kUnresolved:
            return "unresolved";
        case plane::BackendState::kDisabled:
            return "disabled";
        case plane::BackendState::kWeightless:
            return "weightless";
        case plane::BackendState::kUnused:
            return "unused";
    }
    return "unknown";
}

}  // namespace

Instance::Instance(boost::asio::io_context &loop, Options options, store::Store store)
    : options_(std::move(options)), store_(std::move(store)), trust_timer_(loop)
{
}

Result<std::unique_ptr<Instance>> Instance::start(boost::asio::io_context &loop,
                                                  Options options, bool idle_if_detached)
{
    auto store = store::Store::open(options.state_directory / (options.name + ".db"));
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    std::unique_ptr<Instance> instance(
        new Instance(loop, std::move(options), std::move(*store)));
    auto resolver =
        neighbour::Resolver::start(loop, [self = instance.get()] { self->reconcile(); });
    if (!resolver) {
        return std::unexpected(std::move(resolver.error()));
    }
    instance->resolver_ = std::move(*resolver);

    auto latest = instance->store_.latest();
    if (!latest) {
        return std::unexpected(std::move(latest.error()));
    }
    if (!*latest) {
        return instance;
    }
    if (idle_if_detached && (*latest)->cause == kDetach) {
        instance->revision_ = (*latest)->number;
        instance->overrides_ = (*latest)->overrides;
        return instance;
    }
    if (auto restored = instance->restore(**latest); !restored) {
        return std::unexpected(
            std::move(restored.error())
                .within("cannot restore revision " + std::to_string((*latest)->number)));
    }
    return instance;
}

// The last revision was checked when it was applied. It is not checked against the host
// again: an interface that has gone since is a reason to say so and to try again when links
// change, not to leave the operator without a daemon.
Result<void> Instance::restore(const store::Revision &revision)
{
    auto document = config::parse(revision.file_name, revision.file_text);
    if (!document) {
        return fail(document.error().front().to_string());
    }
    auto effective = model::with_overrides(document->desired, revision.overrides);
    if (!effective) {
        return std::unexpected(std::move(effective.error()));
    }
    if (auto begun = begin_serving(*effective); !begun) {
        return begun;
    }
    if (auto attached = attach(*effective); !attached) {
        attach_problem_ = attached.error().message;
        spdlog::error("{}; trying again when links change", attach_problem_);
    }
    document_ = std::move(*document);
    document_text_ = revision.file_text;
    overrides_ = revision.overrides;
    effective_ = std::move(*effective);
    revision_ = revision.number;
    note_states();
    spdlog::info("revision {} is in force: {}", revision_, summarise(effective_));
    return {};
}

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
        if (effective->capacity != effective_.capacity ||
            effective->hash_key != effective_.hash_key) {
            return refuse(
                409,
                "capacity and hash_key are fixed while the tables exist; to change "
                "them run 'guideway detach', then start the daemon with the new file");
        }
        if (auto room = plane_->fits(*effective); !room) {
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

// Attaching comes before storing, because it is what may fail; tables come last, because
// they cannot. What was in force goes on until then.
std::expected<Change, Refusal> Instance::commit(Candidate candidate, store::Revision revision)
{
    if (serving() && candidate.effective == effective_ && candidate.overrides == overrides_ &&
        revision.file_text == document_text_) {
        return Change{revision_, false, "nothing to change: " + summarise(effective_)};
    }
    const bool was_serving = serving();
    const bool moves_interfaces =
        was_serving && (candidate.effective.interfaces != effective_.interfaces ||
                        candidate.effective.xdp_mode != effective_.xdp_mode);
    if (!was_serving) {
        auto begun = begin_serving(candidate.effective);
        if (!begun) {
            return refuse(500, begun.error().message);
        }
        if (auto attached = attach(candidate.effective); !attached) {
            end_serving();
            return refuse(500, attached.error().message);
        }
    } else if (moves_interfaces) {
        if (auto attached = attach(candidate.effective); !attached) {
            return refuse(500, attached.error().message);
        }
    }

    revision.overrides = candidate.overrides;
    auto number = store_.append(revision);
    if (!number) {
        if (!was_serving) {
            end_serving();
        } else if (moves_interfaces) {
            if (auto back = attach(effective_); !back) {
                spdlog::error("cannot go back to the interfaces before: {}",
                              back.error().message);
            }
        }
        return refuse(500, number.error().message + "; what was in force goes on");
    }

    document_ = std::move(candidate.document);
    document_text_ = revision.file_text;
    overrides_ = std::move(candidate.overrides);
    effective_ = std::move(candidate.effective);
    revision_ = *number;
    attach_problem_.clear();
    watch_next_hops(effective_);
    reconcile();
    spdlog::info("revision {} is in force ({}): {}", revision_, revision.cause,
                 revision.summary);
    return Change{revision_, true, revision.summary};
}

// Fills the tables. The program comes after, so that packets are never judged by tables
// that are half filled.
Result<void> Instance::begin_serving(const model::Desired &effective)
{
    auto opened = xdp::FastPath::open({.pin_directory = options_.bpf_directory / options_.name,
                                       .capacity = to_table_capacity(effective.capacity),
                                       .hash_key = to_table_key(effective.hash_key)});
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    fast_path_ = std::make_unique<xdp::FastPath>(std::move(*opened));
    plane_ = std::make_unique<plane::Plane>(fast_path_->tables(), xdp::quiesce);
    trust_adopted_ = fast_path_->adopted();
    if (trust_adopted_) {
        trust_timer_.expires_after(kTrustAdopted);
        trust_timer_.async_wait([this](const boost::system::error_code &error) {
            if (!error) {
                trust_adopted_ = false;
                reconcile();
            }
        });
    }
    watch_next_hops(effective);
    auto applied = plane_->apply(
        effective, [this](const auto &address) { return resolver_->lookup(address); },
        trust_adopted_);
    if (!applied) {
        end_serving();
    }
    return applied;
}

void Instance::end_serving()
{
    trust_timer_.cancel();
    const bool was_there_before = fast_path_->adopted();
    if (!was_there_before) {
        if (auto detached = fast_path_->detach(); !detached) {
            spdlog::error("{}", detached.error().message);
        }
    }
    plane_.reset();
    fast_path_.reset();
    resolver_->watch({});
}

Result<void> Instance::attach(const model::Desired &desired)
{
    return fast_path_->attach(desired.interfaces, desired.xdp_mode == model::XdpMode::kGeneric
                                                      ? xdp::Mode::kGeneric
                                                      : xdp::Mode::kNative);
}

void Instance::watch_next_hops(const model::Desired &desired)
{
    std::set<model::IpAddress> addresses;
    for (const auto &pool : desired.pools) {
        for (const auto &backend : pool.backends) {
            addresses.insert(backend.address);
        }
    }
    resolver_->watch(addresses);
}

void Instance::reconcile()
{
    if (!serving()) {
        return;
    }
    if (!attach_problem_.empty()) {
        if (auto attached = attach(effective_); attached) {
            spdlog::info("attached after all");
            attach_problem_.clear();
        } else {
            attach_problem_ = attached.error().message;
        }
    }
    auto applied = plane_->apply(
        effective_, [this](const auto &address) { return resolver_->lookup(address); },
        trust_adopted_);
    if (!applied) {
        spdlog::error("the tables stay as they were: {}", applied.error().message);
        return;
    }
    note_states();
}

// Remembers since when each backend has been in its state, and logs the changes.
void Instance::note_states()
{
    const auto now = std::chrono::system_clock::now();
    std::map<std::pair<std::string, std::string>, Noted> noted;
    for (const auto &view : plane_->backends()) {
        const std::pair key{view.pool, view.backend.name};
        const auto before = noted_.find(key);
        if (before != noted_.end() && before->second.state == view.state) {
            noted.insert(*before);
            continue;
        }
        noted.emplace(key, Noted{view.state, now});
        spdlog::info("backend {}/{} is {}{}{}", view.pool, view.backend.name,
                     state_name(view.state), view.reason.empty() ? "" : ": ", view.reason);
    }
    noted_ = std::move(noted);
}

std::chrono::system_clock::time_point Instance::since(const std::string &pool,
                                                      const std::string &backend) const
{
    const auto noted = noted_.find({pool, backend});
    return noted == noted_.end() ? std::chrono::system_clock::time_point{}
                                 : noted->second.since;
}

std::vector<model::OverrideDescription> Instance::overrides() const
{
    return model::describe(document_.desired, overrides_);
}

std::vector<std::string> Instance::problems() const
{
    std::vector<std::string> problems;
    if (!serving()) {
        return problems;
    }
    if (!attach_problem_.empty()) {
        problems.push_back(attach_problem_);
    }
    for (const auto &view : plane_->backends()) {
        if (view.state == plane::BackendState::kUnresolved) {
            problems.push_back("backend " + view.pool + "/" + view.backend.name +
                               " is unresolved: " + view.reason);
        }
    }
    for (const auto &service : plane_->services()) {
        if (std::ranges::all_of(service.slots, [](const auto &s) { return s.second == 0; })) {
            problems.push_back("service " + service.service.name +
                               " has no backend that can be used; its packets are dropped");
        }
    }
    return problems;
}

Result<std::vector<std::string>> Instance::detach()
{
    if (!serving()) {
        return std::vector<std::string>{};
    }
    auto detached = fast_path_->detach();
    if (!detached) {
        return detached;
    }
    trust_timer_.cancel();
    plane_.reset();
    fast_path_.reset();
    resolver_->watch({});
    auto number = store_.append({.created_at = "",
                                 .cause = kDetach,
                                 .file_name = document_.file,
                                 .file_text = document_text_,
                                 .overrides = overrides_,
                                 .summary = "detached"});
    if (number) {
        revision_ = *number;
    } else {
        spdlog::warn("detached, but the next start will not know: {}", number.error().message);
    }
    return detached;
}

}  // namespace guideway::daemon
