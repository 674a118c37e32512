#include "tools/guideway/views.hpp"

#include <fmt/format.h>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

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

// Packets that were lost at a port, or for want of room behind it.
uint64_t lost_at(const json &port)
{
    uint64_t lost = 0;
    for (const auto *name :
         {"rx_missed", "rx_errors", "rx_no_buffer", "tx_errors", "tx_full", "kernel_dropped"}) {
        lost += number(port, name);
    }
    return lost;
}

std::string speed_text(uint64_t mbps)
{
    return mbps == 0          ? "-"
           : mbps % 1000 == 0 ? fmt::format("{}Gbit/s", mbps / 1000)
                              : fmt::format("{}Mbit/s", mbps);
}

std::string ports_table(const json &status, bool colours)
{
    Table table({{"INTERFACE"},
                 {"DEVICE"},
                 {"KIND"},
                 {"LINK"},
                 {"SPEED"},
                 {"RECEIVED", Align::kRight},
                 {"SENT", Align::kRight},
                 {"LOST", Align::kRight}});
    for (const auto &port : array(status, "interfaces")) {
        const std::string link = text(port, "link");
        const uint64_t lost = lost_at(port);
        table.add({{text(port, "name")},
                   {text(port, "device")},
                   {text(port, "kind")},
                   {link, link == "up" ? Colour::kGood : Colour::kBad},
                   {speed_text(number(port, "speed_mbps"))},
                   {count(port, "rx_packets")},
                   {count(port, "tx_packets")},
                   {grouped(lost), lost == 0 ? Colour::kNone : Colour::kWarning}});
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

std::string workers_line(const json &engine)
{
    std::string line;
    for (const auto &worker : array(engine, "workers")) {
        const json &cpu = member(worker, "cpu");
        line += (line.empty() ? "" : "; ") +
                fmt::format("{}{} packets, {} busy",
                            cpu.is_number() ? fmt::format("CPU {} ", cpu.get<int>()) : "",
                            count(worker, "packets"), percent_text(real(worker, "busy_share")));
    }
    return line.empty() ? "" : "Workers   " + line + "\n";
}

std::string engine_lines(const json &engine, bool colours)
{
    const std::string state = text(engine, "state");
    std::string lines =
        "\nEngine    dpdk, " +
        coloured(state, state == "running" ? Colour::kGood : Colour::kBad, colours);
    if (member(engine, "pid").is_number()) {
        lines += fmt::format(" since {} (guideway-dpdk {}, pid {})\n", text(engine, "since"),
                             text(engine, "build"), number(engine, "pid"));
        const json &buffers = member(engine, "buffers");
        lines += fmt::format("Buffers   {} of {} free, in {}\n", count(buffers, "free"),
                             count(buffers, "total"), text(engine, "memory"));
        return lines + workers_line(engine);
    }
    return lines + "\n";
}

std::string interfaces_table(const json &status, bool colours)
{
    if (text(status, "engine", "xdp") == "dpdk") {
        return ports_table(status, colours) + engine_lines(member(status, "dpdk"), colours);
    }
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

// Of all services: what is remembered of single connections, and of how much of the rings.
std::string pins_line(const json &connections)
{
    const json &slots = member(connections, "slots");
    std::string line = fmt::format("{}; {} of slots not stable",
                                   used(connections, "pins", "connections remembered"),
                                   percent_text(real(slots, "share_not_stable")));
    const uint64_t moving = number(slots, "moving");
    const uint64_t pinned = number(slots, "pinned");
    if (moving + pinned > 0) {
        line += fmt::format(" ({} moving, {} pinned)", grouped(moving), grouped(pinned));
    }
    return line;
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
                      colour, colours);
    if (const uint64_t leaving = number(backends, "leaving"); leaving > 0) {
        lines += fmt::format(", {} leaving", grouped(leaving));
    }
    lines += "\n";
    if (packets.is_object()) {
        lines += fmt::format("Packets   {} forwarded, {} passed, {} replied, {} dropped\n",
                             count(packets, "forwarded"), count(packets, "passed"),
                             count(packets, "replied"), count(packets, "dropped"));
    }
    if (const json &connections = member(status, "connections"); connections.is_object()) {
        lines += "Pins      " + pins_line(connections) + "\n";
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
            table.add({{backend_name(row, "name")},
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
    Table table({{"BACKEND"},
                 {"SLOTS", Align::kRight},
                 {"SHARE", Align::kRight},
                 {"STATE"},
                 {"REMARKS"}});
    for (const auto &backend : array(service, "backends")) {
        const std::string state = text(backend, "state", "");
        table.add({{text(backend, "name")},
                   {count(backend, "slots")},
                   {percent_text(real(backend, "share"))},
                   {state, colour_of_state(state)},
                   {text(backend, "reason", "")}});
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
        if (const json &drain = member(backend, "drain"); drain.is_object()) {
            remarks += (remarks.empty() ? "" : "; ") + drain_text(drain);
        }
        if (const auto overridden = joined(array(backend, "overridden")); !overridden.empty()) {
            remarks += (remarks.empty() ? "" : "; ") + ("overridden: " + overridden);
        }
        table.add({{backend_name(backend, "name")},
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

namespace {

std::string port_counters(const json &rows, bool all, bool colours)
{
    Table table({{"PORT"}, {"COUNTER"}, {"COUNT", Align::kRight}, {"MEANING"}});
    for (const auto &row : rows) {
        if (all || number(row, "count") > 0) {
            table.add({{text(row, "port")},
                       {text(row, "name")},
                       {count(row, "count")},
                       {text(row, "meaning")}});
        }
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

}  // namespace

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
           counters_of(array(counters, "backends"), all, colours, "BACKEND") +
           port_counters(array(counters, "ports"), all, colours);
}

std::string change_view(const json &change, bool colours)
{
    const bool changed = truth(change, "changed");
    std::string view =
        fmt::format("{} {}: {}\n",
                    coloured(changed ? "revision" : "nothing to change, revision",
                             changed ? Colour::kGood : Colour::kNone, colours),
                    count(change, "revision"), text(change, "summary"));
    if (const json &drain = member(change, "drain"); drain.is_object()) {
        view += text(change, "state") + ": " + drain_text(drain) + "\n";
    }
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
