// Limits, and who exceeds them or sends most.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

// 12,345 of large numbers, 3.2 of small ones.
std::string rate_text(double rate)
{
    if (!std::isfinite(rate) || rate < 0 || rate > 1e18) {
        return "?";
    }
    return rate < 10 ? fmt::format("{:.1f}", rate)
                     : grouped(static_cast<uint64_t>(std::llround(rate)));
}

std::string bit_rate_text(double bytes_per_second)
{
    constexpr std::array kUnits = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
    double rate = bytes_per_second * 8;
    if (!std::isfinite(rate) || rate < 0) {
        return "?";
    }
    size_t unit = 0;
    while (rate >= 999.95 && unit + 1 < kUnits.size()) {
        rate /= 1000;
        unit++;
    }
    return fmt::format("{:.1f} {}", rate, kUnits.at(unit));
}

std::string excess_text(const json &limit)
{
    const json &excess = member(limit, "excess");
    return count(excess, "packets");
}

bool is_admission(const json &limit)
{
    return text(limit, "kind") == "admission";
}

// How many sources exceed it; an admission knows none.
Table::Cell sources_cell(const json &limit)
{
    if (is_admission(limit)) {
        return {"-"};
    }
    return {count(limit, "sources_now"),
            number(limit, "sources_now") > 0 ? Colour::kWarning : Colour::kNone};
}

// What the lists and limits make of a source.
Table::Cell standing(const json &row)
{
    const std::string list = text(row, "list", "");
    if (list == "deny") {
        return {"denied", Colour::kBad};
    }
    const std::string limits = joined(array(row, "exceeds"));
    std::string words = list == "allow" ? "on the allow list" : "";
    if (!limits.empty()) {
        words += (words.empty() ? "exceeds " : "; exceeds ") + limits;
    }
    return {words, limits.empty() ? Colour::kNone : Colour::kWarning};
}

}  // namespace

std::string limits_view(const json &limits, bool colours)
{
    Table table({{"LIMIT"},
                 {"OF"},
                 {"PER"},
                 {"RATE"},
                 {"BURST"},
                 {"MODE"},
                 {"CLOCK"},
                 {"SOURCES NOW", Align::kRight},
                 {"PACKETS IN EXCESS", Align::kRight}});
    for (const auto &limit : array(limits, "limits")) {
        table.add({{text(limit, "name")},
                   {text(limit, "of")},
                   {is_admission(limit) ? "all sources" : text(limit, "per")},
                   {text(limit, "rate")},
                   {text(limit, "burst")},
                   {text(limit, "mode")},
                   {text(limit, "clock")},
                   sources_cell(limit),
                   {excess_text(limit)}});
    }
    return table.empty() ? "no limits\n" : table.to_string(colours);
}

std::string limit_view(const json &limit, bool colours)
{
    const std::string service = text(limit, "service", "");
    std::string view = fmt::format(
        "{}  {} {}, burst {}, per {}, of {}\n", text(limit, "name"), text(limit, "rate"),
        text(limit, "of"), text(limit, "burst"),
        is_admission(limit) ? "service" : text(limit, "per"),
        service.empty() ? "all services of the instance together" : "service " + service);
    if (is_admission(limit)) {
        const json &admission = member(limit, "admission");
        view += fmt::format(
            "  new connections that the service takes: at most {}, {} for each "
            "backend, of which {} take new ones\n",
            text(admission, "new_connections", "any number"),
            text(admission, "per_backend", "any number"), count(limit, "backends"));
    }
    view += fmt::format("  mode {}, clock {}\n  {} packets in excess ({})\n",
                        text(limit, "mode"), text(limit, "clock"), excess_text(limit),
                        bytes_text(number(member(limit, "excess"), "bytes")));
    if (is_admission(limit)) {
        return view;
    }
    Table table({{"SOURCE"},
                 {"SERVICE"},
                 {"SINCE", Align::kRight},
                 {"LAST", Align::kRight},
                 {"PACKETS IN EXCESS", Align::kRight},
                 {"BYTES", Align::kRight}});
    for (const auto &source : array(limit, "sources")) {
        table.add({{text(source, "source")},
                   {text(source, "service", "")},
                   {duration_text(real(source, "since_s")) + " ago"},
                   {duration_text(real(source, "last_s")) + " ago"},
                   {count(source, "packets")},
                   {bytes_text(number(source, "bytes"))}});
    }
    return view + "\n" +
           (table.empty() ? "no source exceeds it now\n" : table.to_string(colours));
}

std::string top_view(const json &top, bool colours)
{
    const json &total = member(top, "total");
    std::string view = fmt::format(
        "{} packets/s, {}, {} new connections/s of {} sources, in {:.1f} s; from {} samples\n",
        rate_text(real(total, "packets_per_s")), bit_rate_text(real(total, "bytes_per_s")),
        rate_text(real(total, "connections_per_s")), count(top, "sources"),
        real(top, "seconds"), count(top, "samples"));
    if (const double left_out = real(top, "left_out_per_s"); left_out > 0) {
        view += fmt::format(
            "there were more sources than are kept: each may have sent up to {} "
            "{}/s more\n",
            rate_text(left_out), text(top, "by"));
    }
    Table table({{"SOURCE"},
                 {"MOSTLY TO"},
                 {"PACKETS/S", Align::kRight},
                 {"BITS/S", Align::kRight},
                 {"NEW CONNECTIONS/S", Align::kRight},
                 {"ERROR", Align::kRight},
                 {"REMARKS"}});
    for (const auto &row : array(top, "top")) {
        const double error = real(row, "error");
        table.add(
            {{text(row, "source")},
             {text(row, "service", "")},
             {rate_text(real(row, "packets_per_s"))},
             {bit_rate_text(real(row, "bytes_per_s"))},
             {rate_text(real(row, "connections_per_s"))},
             {error > 0 ? "\xc2\xb1" + fmt::format("{:.0f} %", std::ceil(error * 100)) : ""},
             standing(row)});
    }
    return view + (table.empty() ? "no source sent any\n" : "\n" + table.to_string(colours));
}

}  // namespace guideway::cli
