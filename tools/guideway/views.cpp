#include "tools/guideway/views.hpp"

#include <fmt/format.h>

#include <cmath>

#include "tools/guideway/text.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

const json &member(const json &object, std::string_view key)
{
    static const json nothing;
    if (!object.is_object()) {
        return nothing;
    }
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}

const json &array(const json &object, std::string_view key)
{
    static const json none = json::array();
    const json &value = member(object, key);
    return value.is_array() ? value : none;
}

std::string text(const json &object, std::string_view key, std::string_view otherwise = "?")
{
    const json &value = member(object, key);
    return value.is_string() ? printable(value.get<std::string>()) : std::string(otherwise);
}

uint64_t number(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_number_unsigned() || (value.is_number_integer() && value >= 0)
               ? value.get<uint64_t>()
               : 0;
}

double real(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_number() ? value.get<double>() : NAN;
}

bool truth(const json &object, std::string_view key)
{
    const json &value = member(object, key);
    return value.is_boolean() && value.get<bool>();
}

std::string count(const json &object, std::string_view key)
{
    return member(object, key).is_number() ? grouped(number(object, key)) : "?";
}

std::string joined(const json &strings)
{
    std::string all;
    for (const auto &item : strings) {
        if (item.is_string()) {
            all += (all.empty() ? "" : ", ") + printable(item.get<std::string>());
        }
    }
    return all;
}

Colour colour_of_state(std::string_view state)
{
    return state == "forwarding" || state == "serving" ? Colour::kGood
           : state == "unresolved" || state == "idle"  ? Colour::kBad
                                                       : Colour::kWarning;
}

std::string heading(std::string_view title, bool colours)
{
    return "\n" + coloured(title, Colour::kFaint, colours) + "\n";
}

std::string status_headline(const json &status, bool colours)
{
    const std::string state = text(status, "state");
    std::string line = fmt::format("{} is {}", text(status, "instance"),
                                   coloured(state, colour_of_state(state), colours));
    if (state == "idle") {
        line += ": no configuration is applied yet";
    } else {
        line += fmt::format(", revision {}", count(status, "revision"));
    }
    return line + fmt::format("  (guidewayd {}, pid {}, up {})\n", text(status, "version"),
                              number(status, "pid"), duration_text(real(status, "uptime_s")));
}

std::string interfaces_table(const json &status, bool colours)
{
    Table table({{"INTERFACE"}, {"XDP"}, {"ATTACHED"}, {"PROGRAM", Align::kRight}, {"NOTE"}});
    for (const auto &interface : array(status, "interfaces")) {
        const std::string mode = text(interface, "mode");
        table.add({{text(interface, "name")},
                   {mode, mode == "native" ? Colour::kGood : Colour::kWarning},
                   {text(interface, "attachment")},
                   {std::to_string(number(interface, "program_id"))},
                   {text(interface, "note", "")}});
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

std::string used(const json &tables, std::string_view key, std::string_view noun)
{
    const json &part = member(tables, key);
    return fmt::format("{} of {} {}", count(part, "used"), count(part, "max"), noun);
}

std::string status_numbers(const json &status, bool colours)
{
    const json &backends = member(status, "backends");
    const json &packets = member(status, "packets");
    const json &tables = member(status, "tables");
    const uint64_t total = number(backends, "total");
    const uint64_t forwarding = number(backends, "forwarding");
    const Colour colour = forwarding == total ? Colour::kGood
                          : forwarding == 0   ? Colour::kBad
                                              : Colour::kWarning;
    std::string lines = fmt::format("\nServices  {}\n", count(status, "services"));
    lines += "Backends  " +
             coloured(fmt::format("{} of {} forwarding", grouped(forwarding), grouped(total)),
                      colour, colours) +
             "\n";
    if (packets.is_object()) {
        lines += fmt::format("Packets   {} forwarded, {} passed, {} replied, {} dropped\n",
                             count(packets, "forwarded"), count(packets, "passed"),
                             count(packets, "replied"), count(packets, "dropped"));
    }
    if (tables.is_object()) {
        lines += fmt::format(
            "Tables    {}{}; {}, {}, {}, {}\n", bytes_text(number(tables, "bytes")),
            truth(tables, "adopted") ? " (taken over)" : "",
            used(tables, "addresses", "addresses"), used(tables, "services", "services"),
            used(tables, "backends", "backends"), used(tables, "ring_slots", "ring slots"));
    }
    return lines;
}

std::string overrides_lines(const json &overrides)
{
    std::string lines;
    for (const auto &item : overrides) {
        lines += fmt::format("  {}/{}  {}\n", text(item, "pool"), text(item, "backend"),
                             text(item, "what"));
    }
    return lines;
}

std::string next_hop_text(const json &backend)
{
    const json &hop = member(backend, "next_hop");
    if (!hop.is_object()) {
        return "-";
    }
    std::string line = text(hop, "via") + " on " + text(hop, "interface");
    for (const auto &vlan : array(hop, "vlans")) {
        line += vlan.is_number() ? fmt::format(" vlan {}", vlan.get<int>()) : "";
    }
    return line;
}

std::string counters_of(const json &rows, bool all, bool colours, std::string_view title)
{
    Table table({{std::string(title)}, {"PACKETS", Align::kRight}, {"BYTES", Align::kRight}});
    for (const auto &row : rows) {
        if (all || number(row, "packets") > 0) {
            const std::string pool = text(row, "pool", "");
            table.add({{(pool.empty() ? "" : pool + "/") + text(row, "name")},
                       {count(row, "packets")},
                       {bytes_text(number(row, "bytes"))}});
        }
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

}  // namespace

std::string status_view(const json &status, bool colours)
{
    std::string view = status_headline(status, colours);
    if (text(status, "state") != "idle") {
        view += interfaces_table(status, colours) + status_numbers(status, colours);
    }
    if (const auto &overrides = array(status, "overrides"); !overrides.empty()) {
        view += heading("OVERRIDES", colours) + overrides_lines(overrides);
    }
    if (const auto &problems = array(status, "problems"); !problems.empty()) {
        view += heading("PROBLEMS", colours);
        for (const auto &problem : problems) {
            if (problem.is_string()) {
                view += "  " +
                        coloured(printable(problem.get<std::string>()), Colour::kBad, colours) +
                        "\n";
            }
        }
    }
    return view;
}

std::string services_view(const json &services, bool colours)
{
    Table table({{"SERVICE"},
                 {"LISTEN"},
                 {"FORWARDING"},
                 {"POOL"},
                 {"BACKENDS", Align::kRight},
                 {"PACKETS", Align::kRight},
                 {"BYTES", Align::kRight}});
    for (const auto &service : array(services, "services")) {
        const uint64_t forwarding = number(service, "backends_forwarding");
        table.add({{text(service, "name")},
                   {text(service, "listen")},
                   {text(service, "forwarding")},
                   {text(service, "pool")},
                   {count(service, "backends_forwarding"),
                    forwarding == 0 ? Colour::kBad : Colour::kNone},
                   {count(service, "packets")},
                   {bytes_text(number(service, "bytes"))}});
    }
    return table.empty() ? "no services\n" : table.to_string(colours);
}

std::string service_view(const json &service, bool colours)
{
    std::string view = fmt::format(
        "{}  {}\n  forwarding {}, pool {}, ring of {} slots, unmatched packets: {}\n"
        "  {} packets, {}\n\n",
        text(service, "name"), text(service, "listen"), text(service, "forwarding"),
        text(service, "pool"), count(service, "ring_size"), text(service, "unmatched"),
        count(service, "packets"), bytes_text(number(service, "bytes")));
    Table table({{"BACKEND"}, {"SLOTS", Align::kRight}, {"SHARE", Align::kRight}});
    for (const auto &backend : array(service, "backends")) {
        table.add({{text(backend, "name")},
                   {count(backend, "slots")},
                   {percent_text(real(backend, "share"))}});
    }
    return view + (table.empty()
                       ? coloured("no backend owns a slot", Colour::kBad, colours) + "\n"
                       : table.to_string(colours));
}

std::string backends_view(const json &backends, bool colours)
{
    Table table({{"BACKEND"},
                 {"ADDRESS"},
                 {"WEIGHT", Align::kRight},
                 {"STATE"},
                 {"NEXT HOP"},
                 {"PACKETS", Align::kRight},
                 {"BYTES", Align::kRight},
                 {"REMARKS"}});
    for (const auto &backend : array(backends, "backends")) {
        const std::string state = text(backend, "state");
        std::string remarks = text(backend, "reason", "");
        if (const auto overridden = joined(array(backend, "overridden")); !overridden.empty()) {
            remarks += (remarks.empty() ? "" : "; ") + ("overridden: " + overridden);
        }
        table.add({{text(backend, "pool") + "/" + text(backend, "name")},
                   {text(backend, "address")},
                   {count(backend, "weight")},
                   {state, colour_of_state(state)},
                   {next_hop_text(backend)},
                   {count(backend, "packets")},
                   {bytes_text(number(backend, "bytes"))},
                   {remarks}});
    }
    return table.empty() ? "no backends\n" : table.to_string(colours);
}

std::string counters_view(const json &counters, bool all, bool colours)
{
    Table table({{"REASON"}, {"VERDICT"}, {"PACKETS", Align::kRight}, {"MEANING"}});
    for (const auto &reason : array(counters, "reasons")) {
        if (all || number(reason, "packets") > 0) {
            const std::string verdict = text(reason, "verdict");
            table.add({{text(reason, "name")},
                       {verdict, verdict == "drop" ? Colour::kWarning : Colour::kNone},
                       {count(reason, "packets")},
                       {text(reason, "meaning")}});
        }
    }
    for (const auto &event : array(counters, "events")) {
        if (all || number(event, "count") > 0) {
            table.add({{text(event, "name")},
                       {"event"},
                       {count(event, "count")},
                       {text(event, "meaning")}});
        }
    }
    return (table.empty() ? "no packets seen; --all lists every reason\n"
                          : table.to_string(colours)) +
           counters_of(array(counters, "services"), all, colours, "SERVICE") +
           counters_of(array(counters, "backends"), all, colours, "BACKEND");
}

std::string change_view(const json &change, bool colours)
{
    const bool changed = truth(change, "changed");
    std::string view = fmt::format("{} {}: {}\n",
                                   coloured(changed ? "revision" : "nothing changed, revision",
                                            changed ? Colour::kGood : Colour::kNone, colours),
                                   count(change, "revision"), text(change, "summary"));
    if (const auto &overrides = array(change, "overrides"); !overrides.empty()) {
        view +=
            fmt::format("{} in force (apply --reset-overrides drops them):\n{}",
                        count_text(overrides.size(), "override"), overrides_lines(overrides));
    }
    return view;
}

std::string problem_view(const json &problem)
{
    std::string line = text(problem, "file");
    if (number(problem, "line") > 0) {
        line += fmt::format(":{}:{}", number(problem, "line"), number(problem, "column"));
    }
    line += ": " + text(problem, "message");
    const std::string hint = text(problem, "hint", "");
    return hint.empty() ? line : line + "; " + hint;
}

}  // namespace guideway::cli
