#include "control/config/config.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "control/config/schema.hpp"
#include "control/config/tree.hpp"
#include "control/model/validate.hpp"

namespace guideway::config {

namespace {

// Enough for a person to see what kind of file this is.
constexpr size_t kProblemsMax = 1000;

// One line, whatever came from outside.
std::string one_line(std::string text)
{
    std::ranges::replace_if(
        text, [](char c) { return static_cast<uint8_t>(c) < ' ' || c == 0x7f; }, '?');
    return text;
}

// Whether a value at `path` was already refused: it, something around it, or inside it.
bool is_unread(const std::set<std::string> &unread, const std::string &path)
{
    if (unread.contains("") || unread.contains(path)) {
        return true;
    }
    for (size_t i = 1; i < path.size(); i++) {
        if ((path[i] == '.' || path[i] == '[') && unread.contains(path.substr(0, i))) {
            return true;
        }
    }
    const auto inside = unread.lower_bound(path);
    return inside != unread.end() && inside->starts_with(path) &&
           inside->size() > path.size() &&
           ((*inside)[path.size()] == '.' || (*inside)[path.size()] == '[');
}

// The place of `path`, or of the nearest value around it that is in the text, short of the
// whole text.
std::optional<Position> nearest(const std::map<std::string, Position> &positions,
                                std::string path)
{
    while (!path.empty()) {
        if (const auto found = positions.find(path); found != positions.end()) {
            return found->second;
        }
        const size_t cut = path.find_last_of(".[");
        path.resize(cut == std::string::npos ? 0 : cut);
    }
    return std::nullopt;
}

Position place(const std::map<std::string, Position> &positions, const std::string &path)
{
    const auto root = positions.find("");
    return nearest(positions, path)
        .value_or(root == positions.end() ? Position{} : root->second);
}

// By place; those of one place stay in the order in which they were found.
void put_in_order(std::vector<Problem> &problems)
{
    std::multimap<std::pair<int, int>, Problem> by_place;
    for (Problem &problem : problems) {
        const Position at = problem.position;
        by_place.emplace(std::pair(at.line, at.column), std::move(problem));
    }
    problems.clear();
    for (auto &[at, problem] : by_place) {
        problems.push_back(std::move(problem));
    }
}

void add_violations(const Reading &reading, std::vector<Problem> &problems)
{
    for (model::Violation &violation : model::validate(reading.desired)) {
        if (is_unread(reading.unread, violation.path) ||
            (!violation.related.empty() && is_unread(reading.unread, violation.related)) ||
            (violation.path.ends_with(".pool") && reading.unread.contains("pools")) ||
            (violation.path.starts_with("dpdk.ports") &&
             reading.unread.contains("interfaces")) ||
            (violation.path.ends_with(".health.service") &&
             reading.unread.contains("services"))) {
            continue;
        }
        Problem problem{.file = {},
                        .position = place(reading.positions, violation.path),
                        .message = std::move(violation.message),
                        .hint = std::move(violation.hint)};
        if (!violation.related.empty()) {
            problem.message +=
                " (the other is on line " +
                std::to_string(place(reading.positions, violation.related).line) + ")";
        }
        problems.push_back(std::move(problem));
    }
}

// Whether the interface is a tap that is there from when the engine runs.
bool is_made_by_engine(const model::Desired &desired, const std::string &interface)
{
    const auto &ports = desired.dpdk.ports;
    const auto port = std::ranges::find(ports, interface, &model::EnginePort::interface);
    return desired.engine == model::Engine::kDpdk && port != ports.end() &&
           model::is_owned_device(port->device);
}

}  // namespace

std::string Problem::to_string() const
{
    std::string text = file;
    if (position.line != 0) {
        text += ":" + std::to_string(position.line) + ":" + std::to_string(position.column);
    }
    text += ": " + message;
    if (!hint.empty()) {
        text += "; " + hint;
    }
    return one_line(std::move(text));
}

std::expected<Document, std::vector<Problem>> parse(std::string_view file,
                                                    std::string_view text)
{
    Tree tree = read_tree(text);
    std::vector<Problem> problems = std::move(tree.problems);
    Document document{.file = std::string(file), .desired = {}, .positions = {}};
    // A text that ends in the middle would bring a train of problems that are none.
    if (tree.is_complete) {
        Reading reading = read_schema(tree.root);
        std::ranges::move(reading.problems, std::back_inserter(problems));
        add_violations(reading, problems);
        document.desired = std::move(reading.desired);
        document.positions = std::move(reading.positions);
    }
    if (problems.empty()) {
        return document;
    }
    put_in_order(problems);
    if (problems.size() > kProblemsMax) {
        const size_t more = problems.size() - kProblemsMax;
        problems.resize(kProblemsMax);
        problems.push_back({.file = {},
                            .position = problems.back().position,
                            .message = "and " + std::to_string(more) + " more problems",
                            .hint = "mend these first"});
    }
    for (Problem &problem : problems) {
        problem.file = file;
        problem.message = one_line(std::move(problem.message));
        problem.hint = one_line(std::move(problem.hint));
    }
    return std::unexpected(std::move(problems));
}

std::vector<Problem> check_on_host(const Document &document, const model::HostFacts &host)
{
    std::vector<Problem> problems;
    const auto report = [&](const std::string &path, std::string message, std::string hint) {
        problems.push_back({document.file, place(document.positions, path), std::move(message),
                            std::move(hint)});
    };
    std::string existing;
    for (const auto &[name, index] : host.interfaces) {
        existing += (existing.empty() ? "" : ", ") + name;
    }
    for (size_t i = 0; i < document.desired.interfaces.size(); i++) {
        const std::string &name = document.desired.interfaces[i];
        if (!host.interfaces.contains(name) && !is_made_by_engine(document.desired, name)) {
            report("interfaces[" + std::to_string(i) + "]",
                   "this host has no interface " + model::quoted(name),
                   existing.empty() ? "it has none at all" : "it has: " + existing);
        }
    }
    for (size_t i = 0; i < document.desired.services.size(); i++) {
        const model::Service &service = document.desired.services[i];
        const auto local = host.local_addresses.find(service.address);
        if (local != host.local_addresses.end()) {
            report("services[" + std::to_string(i) + "].listen",
                   "service address " + service.address.to_string() +
                       " is an address of this host, on " + model::quoted(local->second),
                   "remove it there, or the local route to it: the host would take unmatched "
                   "packets and replies for "
                   "itself; service addresses are routed to this host, never configured on it");
        }
    }
    put_in_order(problems);
    return problems;
}

}  // namespace guideway::config
