// Connections, drains and events.
#include <fmt/format.h>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

std::string connections_of_service(const json &service, bool colours)
{
    const json &slots = member(service, "slots");
    std::string view =
        fmt::format("\n{}  {} of slots not stable: {} stable, {} moving, {} pinned",
                    text(service, "name"), percent_text(real(slots, "share_not_stable")),
                    count(slots, "stable"), count(slots, "moving"), count(slots, "pinned"));
    if (number(slots, "every_flow") > 0) {
        view += fmt::format("; {} pin every flow", count(slots, "every_flow"));
    }
    Table table({{"BACKEND"},
                 {"STATE"},
                 {"SLOTS", Align::kRight},
                 {"SEEN", Align::kRight},
                 {"CONFIRMED", Align::kRight},
                 {"ELSEWHERE", Align::kRight},
                 {"LEARNING UNTIL"}});
    for (const auto &backend : array(service, "backends")) {
        const std::string state = text(backend, "state");
        table.add({{backend_name(backend, "name")},
                   {state, colour_of_state(state)},
                   {count(backend, "slots")},
                   {count(backend, "connections")},
                   {count(backend, "confirmed")},
                   {count(backend, "elsewhere")},
                   {text(backend, "learning_until", "")}});
    }
    return view + "\n" + (table.empty() ? "no backends\n" : table.to_string(colours));
}

}  // namespace

std::string connections_view(const json &connections, bool colours)
{
    const json &pins = member(connections, "pins");
    std::string view = fmt::format("{} of {} pins in use, by the last sweep\n",
                                   count(pins, "used"), count(pins, "max"));
    const auto &services = array(connections, "services");
    for (const auto &service : services) {
        view += connections_of_service(service, colours);
    }
    return services.empty() ? "no services\n" : view;
}

std::string drain_text(const json &drain)
{
    if (truth(drain, "done")) {
        return "no connection is left";
    }
    if (truth(drain, "cut")) {
        return "its connections are cut";
    }
    const std::string learning = text(drain, "learning_until", "");
    std::string line = count_text(number(drain, "connections"), "connection") + " seen";
    line +=
        learning.empty() ? ", done when none is left" : ", done no earlier than " + learning;
    const std::string deadline = text(drain, "deadline", "");
    return deadline.empty() ? line : line + ", cut at " + deadline;
}

std::string event_line(const json &event, bool colours)
{
    const std::string kind = text(event, "kind");
    const bool is_bad = kind == "attach_problem" || kind == "pins_refused" ||
                        kind == "engine_ended" || kind == "link_down";
    std::string line = fmt::format(
        "{}  {}", text(event, "time"),
        coloured(fmt::format("{:<13}", kind), is_bad ? Colour::kBad : Colour::kNone, colours));
    if (!text(event, "backend", "").empty()) {
        line += "  " + backend_name(event, "backend") + ":";
    } else if (const auto service = text(event, "service", ""); !service.empty()) {
        line += "  service " + service + ":";
    } else {
        line += " ";
    }
    return line + " " + text(event, "text");
}

std::string history_view(const json &history, bool colours)
{
    std::string view;
    for (const auto &event : array(history, "events")) {
        view += event_line(event, colours) + "\n";
    }
    return view.empty() ? "no events\n" : view;
}

}  // namespace guideway::cli
