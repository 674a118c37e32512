// Allow and deny lists, as people read them.
#include <fmt/format.h>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

std::string reason_of(const json &entry)
{
    const std::string reason = text(entry, "reason", "");
    return reason.empty() ? "" : fmt::format(" ({})", reason);
}

// "203.0.113.0/24 on the deny list 'manual' (port scans), until 2026-…"
std::string entry_text(const json &entry)
{
    std::string line = fmt::format("{} on the {} list '{}'{}", text(entry, "prefix"),
                                   text(entry, "kind"), text(entry, "list"), reason_of(entry));
    if (member(entry, "until").is_string()) {
        line += ", until " + text(entry, "until");
    }
    return line;
}

}  // namespace

std::string list_entries_view(const json &entries, bool colours)
{
    Table table({{"PREFIX"}, {"LIST"}, {"UNTIL"}, {"REASON"}});
    for (const auto &entry : array(entries, "entries")) {
        table.add({{text(entry, "prefix")},
                   {text(entry, "list")},
                   {text(entry, "until", "-")},
                   {text(entry, "reason", "")}});
    }
    std::string view = table.empty() ? fmt::format("no {} entries\n", text(entries, "kind"))
                                     : table.to_string(colours);
    if (member(entries, "next").is_string()) {
        view += fmt::format("there are more, of {} in all: --after {}\n",
                            count(entries, "total"), text(entries, "next"));
    }
    return view;
}

std::string lists_view(const json &lists, bool colours)
{
    Table table({{"LIST"}, {"ENTRIES", Align::kRight}, {"LOADED"}, {"ENDS"}, {"SOURCE"}});
    for (const auto &list : array(lists, "lists")) {
        table.add({{text(list, "name")},
                   {count(list, "entries")},
                   {text(list, "loaded", "-")},
                   {text(list, "next_end", "-")},
                   {text(list, "source", "")}});
    }
    std::string view = table.empty() ? fmt::format("no {} lists\n", text(lists, "kind"))
                                     : table.to_string(colours);
    if (const json &prefixes = member(lists, "prefixes"); prefixes.is_object()) {
        view += fmt::format("{} of {} prefixes in the tables are used, by both kinds\n",
                            count(prefixes, "used"), count(prefixes, "max"));
    }
    return view;
}

std::string list_change_view(const json &change, bool colours)
{
    const bool changed = truth(change, "changed");
    std::string view = coloured(changed ? "done" : "nothing to change",
                                changed ? Colour::kGood : Colour::kNone, colours) +
                       ": " + text(change, "summary") + "\n";
    if (const uint64_t duplicates = number(change, "duplicates"); duplicates > 0) {
        view += fmt::format("{} with a prefix that an earlier one has left out\n",
                            count_text(duplicates, "line"));
    }
    return view;
}

std::string list_test_view(const json &test, bool colours)
{
    const std::string verdict = text(test, "verdict");
    const Colour colour = verdict == "deny"    ? Colour::kBad
                          : verdict == "allow" ? Colour::kGood
                                               : Colour::kNone;
    const std::string words = verdict == "deny"    ? "denied: its packets are dropped"
                              : verdict == "allow" ? "allowed: limits do not count for it"
                                                   : "on no list";
    std::string view = text(test, "address") + " is " + coloured(words, colour, colours) + "\n";
    if (member(test, "entry").is_object()) {
        view += "by " + entry_text(member(test, "entry")) + "\n";
    }
    for (const auto &entry : array(test, "also")) {
        view += "also under " + entry_text(entry) + "\n";
    }
    if (!truth(test, "in_force")) {
        view += "the lists are not in force; see 'guideway status'\n";
    }
    return view;
}

}  // namespace guideway::cli
