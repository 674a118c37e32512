#include <fmt/format.h>

#include <ctime>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/replay/report.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

std::string rate_text(double per_second)
{
    if (per_second >= 1e6) {
        return fmt::format("{:.1f} M", per_second / 1e6);
    }
    if (per_second >= 1e4) {
        return fmt::format("{:.1f} k", per_second / 1e3);
    }
    return per_second < 10 ? fmt::format("{:.1f}", per_second)
                           : grouped(static_cast<uint64_t>(per_second));
}

// What of a capture is not as one would wish, a line each.
std::string notes(const json &capture)
{
    const json &left_out = member(capture, "not_replayed");
    const struct {
        uint64_t count;
        const char *what;
    } all[] = {
        {number(capture, "cut"),
         "cut by the capture's snapshot length: the missing bytes count as zeros"},
        {number(capture, "cut_headers"),
         "cut before their headers end: judged by what is there"},
        {number(left_out, "too_short"), "shorter than an Ethernet header: not replayed"},
        {number(left_out, "too_long"),
         "longer than an engine takes (65,319 bytes): not replayed"},
        {number(left_out, "no_ethernet_type"), "without an Ethernet type: not replayed"},
        {number(capture, "times_impossible"),
         "of a time that no packet can have: taken as the nearest that one can"},
        {number(capture, "times_back"),
         "of an earlier time than the one before: the clock stood still for them"},
        {number(capture, "times_leapt"),
         "more than 30 days after the one before: the clock went on by 30 days"},
    };
    std::string lines;
    for (const auto &note : all) {
        if (note.count > 0) {
            lines +=
                fmt::format("           {} {}\n", count_text(note.count, "packet"), note.what);
        }
    }
    return lines;
}

std::string reasons_table(const json &world, bool colours)
{
    Table table({{"REASON"},
                 {"VERDICT"},
                 {"PACKETS", Align::kRight},
                 {"SHARE", Align::kRight},
                 {"MEANING"}});
    const double all = static_cast<double>(number(world, "packets"));
    for (const auto &reason : array(world, "reasons")) {
        const std::string verdict = text(reason, "verdict");
        table.add({{text(reason, "name")},
                   {verdict, verdict == "drop" ? Colour::kWarning : Colour::kNone},
                   {count(reason, "packets")},
                   {percent_text(static_cast<double>(number(reason, "packets")) / all)},
                   {text(reason, "meaning")}});
    }
    for (const auto &event : array(world, "events")) {
        table.add({{text(event, "name")},
                   {"event"},
                   {count(event, "count")},
                   {""},
                   {text(event, "meaning")}});
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

std::string services_table(const json &world, bool colours)
{
    Table table({{"SERVICE"},
                 {"LISTEN"},
                 {"PACKETS", Align::kRight},
                 {"FORWARDED", Align::kRight},
                 {"FLOWS", Align::kRight},
                 {"NOT FORWARDED"}});
    for (const auto &service : array(world, "services")) {
        std::string why;
        for (const auto &[name, packets] : member(service, "not_forwarded").items()) {
            why += (why.empty() ? "" : ", ") + grouped(packets.get<uint64_t>()) + " " + name;
        }
        table.add({{text(service, "name")},
                   {text(service, "listen")},
                   {count(service, "packets")},
                   {count(service, "forwarded")},
                   {count(service, "flows")},
                   {why, Colour::kWarning}});
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

std::string backends_table(const json &world, bool colours)
{
    Table table({{"SERVICE"},
                 {"BACKEND"},
                 {"SLOTS", Align::kRight},
                 {"FLOWS", Align::kRight},
                 {"", Align::kRight},
                 {"PACKETS", Align::kRight},
                 {"BYTES", Align::kRight}});
    for (const auto &service : array(world, "services")) {
        if (number(service, "packets") == 0) {
            continue;
        }
        for (const auto &backend : array(service, "backends")) {
            table.add({{text(service, "name")},
                       {text(backend, "pool") + "/" + text(backend, "name")},
                       {percent_text(real(backend, "slots_share"))},
                       {count(backend, "flows")},
                       {percent_text(real(backend, "flows_share"))},
                       {count(backend, "packets")},
                       {bytes_text(number(backend, "bytes"))}});
        }
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

std::string limits_table(const json &world, bool colours)
{
    Table table({{"LIMIT"},
                 {"TERMS"},
                 {"MODE"},
                 {"EXCESS PACKETS", Align::kRight},
                 {"EXCESS BYTES", Align::kRight}});
    for (const auto &limit : array(world, "limits")) {
        const json &excess = member(limit, "excess");
        table.add({{text(limit, "name")},
                   {fmt::format("{} {}, burst {}", text(limit, "rate"), text(limit, "of"),
                                text(limit, "burst"))},
                   {text(limit, "mode")},
                   {count(excess, "packets")},
                   {bytes_text(number(excess, "bytes"))}});
    }
    return table.empty() ? "" : "\n" + table.to_string(colours);
}

bool is_corrupt(const json &damage)
{
    const json &corrupt = member(damage, "corrupt");
    return !corrupt.is_boolean() || corrupt.get<bool>();
}

std::string flows_line(const json &world)
{
    const json &flows = member(world, "flows");
    if (number(world, "packets") == 0) {
        return "flows      none: no packet was replayed\n";
    }
    if (number(flows, "count") == 0) {
        return "flows      none: no packet is for a service address of the configuration\n";
    }
    std::string line = fmt::format("flows      {} to service addresses", count(flows, "count"));
    if (number(flows, "limited") > 0) {
        line += fmt::format(", {} with packets that lists or limits refused",
                            count(flows, "limited"));
    }
    if (number(flows, "several_backends") > 0) {
        line += fmt::format(", {} that went to more than one backend",
                            count(flows, "several_backends"));
    }
    line += "\n";
    if (number(flows, "packets_beyond") > 0) {
        line += fmt::format(
            "           {} more packets are of flows beyond --flows-max {}: in no count of "
            "flows\n",
            count(flows, "packets_beyond"), count(flows, "max"));
    }
    return line;
}

}  // namespace

std::string time_text(uint64_t timestamp_ns)
{
    const auto seconds = static_cast<std::time_t>(timestamp_ns / 1'000'000'000);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    const uint64_t rest = timestamp_ns % 1'000'000'000;
    const bool is_micro = rest % 1000 == 0;
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:0{}} UTC", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                       parts.tm_sec, is_micro ? rest / 1000 : rest, is_micro ? 6 : 9);
}

std::string span_text(double seconds)
{
    if (seconds < 0.9995) {  // what is more would be rounded to 1e+03
        return fmt::format("{:.3g} ms", seconds * 1e3);
    }
    return seconds < 60 ? fmt::format("{:.3g} s", seconds) : duration_text(seconds);
}

std::string damage_text(const json &capture)
{
    const json &damage = member(capture, "damage");
    const uint64_t packet = number(damage, "packet");
    return fmt::format(
        "the capture {} {} at byte {}, in packet {}: {}; {}", text(capture, "file"),
        is_corrupt(damage) ? "is damaged" : "is not corrupt, but is not read on",
        number(damage, "offset"), grouped(packet), text(damage, "message"),
        packet == 2 ? "the packet before it was replayed"
        : packet > 2
            ? fmt::format("the {} before it were replayed", count_text(packet - 1, "packet"))
            : "nothing could be replayed");
}

std::string capture_view(const json &capture, bool colours)
{
    std::string view = fmt::format("capture    {}: {}, {}, {}\n", text(capture, "file"),
                                   count_text(number(capture, "packets"), "packet"),
                                   bytes_text(number(capture, "bytes")), text(capture, "link"));
    if (number(capture, "packets") > 0) {
        view += fmt::format("time       {}, {}", time_text(number(capture, "first_ns")),
                            span_text(real(capture, "seconds")));
        if (const json &rate = member(capture, "packets_per_second"); rate.is_number()) {
            view += fmt::format(", {} packets a second", rate_text(rate.get<double>()));
        }
        view += "\n";
    }
    view += notes(capture);
    if (const json &damage = member(capture, "damage"); damage.is_object()) {
        view += coloured(is_corrupt(damage) ? "damaged" : "unread ", Colour::kBad, colours) +
                fmt::format("    at byte {}, in packet {}; what is before it was replayed\n",
                            number(member(capture, "damage"), "offset"),
                            count(member(capture, "damage"), "packet"));
    }
    return view;
}

std::string replay_view(const json &report, bool colours)
{
    const json &world = member(report, "result");
    const json &run = member(report, "run");
    std::string view = capture_view(member(report, "capture"), colours);
    view += fmt::format("replayed   {} with {} by the {} engine, in {}",
                        count_text(number(world, "packets"), "packet"),
                        text(world, "configuration"), text(report, "engine"),
                        span_text(real(run, "seconds")));
    if (const json &rate = member(run, "packets_per_second"); rate.is_number()) {
        view += fmt::format(": {} packets a second", rate_text(rate.get<double>()));
    }
    view += "\n" + flows_line(world);
    if (const json &out = member(report, "out"); out.is_object()) {
        view += fmt::format("written    {} to {}\n",
                            count_text(number(out, "packets"), "packet"), text(out, "file"));
    }
    return view + reasons_table(world, colours) + services_table(world, colours) +
           backends_table(world, colours) + limits_table(world, colours);
}

}  // namespace guideway::cli
