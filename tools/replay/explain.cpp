#include "tools/replay/explain.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "control/model/limit.hpp"
#include "dataplane/core/wire.h"
#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/replay/flows.hpp"
#include "tools/replay/report.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

std::string flags_text(uint8_t flags)
{
    constexpr struct {
        uint8_t bit;
        const char *name;
    } kFlags[] = {{GW_TCP_SYN, "SYN"},
                  {GW_TCP_ACK, "ACK"},
                  {GW_TCP_FIN, "FIN"},
                  {GW_TCP_RST, "RST"},
                  {0x08, "PSH"}};
    std::string text;
    for (const auto &flag : kFlags) {
        if ((flags & flag.bit) != 0) {
            text += (text.empty() ? "" : " ") + std::string(flag.name);
        }
    }
    return text.empty() ? "no flags" : text;
}

std::string mac_text(std::span<const uint8_t> bytes)
{
    return fmt::format("{:02x}", fmt::join(bytes.begin(), bytes.end(), ":"));
}

const char *state_text(gw_slot_state state)
{
    switch (state) {
        case GW_SLOT_STABLE:
            return "stable, so nothing else is looked up";
        case GW_SLOT_MOVING:
            return "moving, so flows that are known stay where they are";
        case GW_SLOT_PINNED:
            return "pinned, so flows that are remembered stay where they are";
        case GW_SLOT_EVERY_FLOW:
            return "one that remembers every flow";
    }
    return "?";
}

// What happens to it, in the words of somebody who watches.
const char *verdict_text(const replay::Decision &decision)
{
    switch (decision.verdict) {
        case replay::Verdict::kPass:
            return "it passes to the host, unchanged";
        case replay::Verdict::kDrop:
            return "it is dropped";
        case replay::Verdict::kSend:
        case replay::Verdict::kRedirect:
            return decision.reason == GW_REASON_FORWARDED ? "it is sent to the backend"
                                                          : "an answer is sent back";
    }
    return "?";
}

const char *unusable_text(replay::Unusable unusable)
{
    switch (unusable) {
        case replay::Unusable::kShort:
            return "it has no whole Ethernet header";
        case replay::Unusable::kLong:
            return "it is longer than an engine takes";
        case replay::Unusable::kForeign:
            return "it has no Ethernet type";
        case replay::Unusable::kNo:
            break;
    }
    return "";
}

const plane::LimitView *limit_of(const std::vector<plane::LimitView> &views, uint32_t index)
{
    const auto found = std::ranges::find(views, index, &plane::LimitView::index);
    return found == views.end() ? nullptr : &*found;
}

}  // namespace

Story::Story(const World &world, const replay::Frame &frame)
    : world_(world), frame_(frame), read_(replay::dissect(frame.bytes))
{
    if (frame.unusable == replay::Unusable::kNo) {
        look_ = replay::look_at(world.tables(), frame.bytes, frame.now_ns);
    }
    for (const uint32_t limit : look_.limits) {
        excess_before_.push_back(world.tables().excess_counters(limit).packets);
    }
}

void Story::say(const char *stage, std::string words)
{
    steps_.push_back({{"stage", stage}, {"says", std::move(words)}});
}

std::string Story::backend_text(uint32_t index) const
{
    const auto *backend = world_.backend(index);
    return backend == nullptr ? "no backend"
                              : fmt::format("{}/{} at {}", backend->pool, backend->backend.name,
                                            backend->backend.address.to_string());
}

void Story::say_packet(const replay::Frames &frames, const std::string &capture)
{
    const uint64_t time = frame_.packet.timestamp_ns;
    const uint64_t first = frames.counts().first_ns;
    std::string words =
        fmt::format("{} of {}, at {}", frame_.packet.number, capture, time_text(time));
    if (frame_.packet.number > 1) {
        words += fmt::format(", {} after the first",
                             span_text(static_cast<double>(time - first) / 1e9));
    }
    say("packet", words);
}

void Story::say_frame()
{
    std::string words = fmt::format("{} bytes", grouped(frame_.packet.original_bytes));
    if (frame_.packet.bytes.size() < frame_.packet.original_bytes) {
        words += fmt::format(
            ", of which {} were captured{}", grouped(frame_.packet.bytes.size()),
            frame_.missing_bytes > 0 ? "; the rest counts as zeros" : ", not even all headers");
    }
    if (frame_.unusable != replay::Unusable::kNo) {
        say("frame", words + "; it is not replayed, for " + unusable_text(frame_.unusable));
        return;
    }
    words += fmt::format(", from {} to {}", mac_text(frame_.bytes.subspan(6, 6)),
                         mac_text(frame_.bytes.first(6)));
    for (const uint16_t vlan : read_.vlans) {
        words += fmt::format(", VLAN {}", vlan);
    }
    say("frame", words);
    if (!read_.is_ip) {
        say("reads",
            fmt::format("as no IP packet: its Ethernet type is {:#06x}", read_.ether_type));
        return;
    }
    words = replay::to_string(read_.flow);
    if (read_.tcp_flags) {
        words += ", " + flags_text(*read_.tcp_flags);
    }
    if (read_.icmp_type) {
        words += fmt::format(", type {}", *read_.icmp_type);
    }
    words += fmt::format("; an IPv{} packet of {} bytes{}", read_.flow.is_ipv6 ? 6 : 4,
                         grouped(read_.packet_bytes), read_.is_fragment ? ", a fragment" : "");
    say("reads", words);
}

void Story::say_flow(const replay::Tally &tally)
{
    for (const auto &flow : tally.flows().flows()) {
        if (flow.key == read_.flow && read_.is_ip) {
            say("flow", flow.packets == 1
                            ? std::string("this is its first packet")
                            : fmt::format("its packet {}; the first was {}",
                                          grouped(flow.packets), grouped(flow.first_packet)));
            return;
        }
    }
}

void Story::say_service(const replay::Ran &ran)
{
    if (const auto *service = world_.service(look_.service)) {
        say("service", fmt::format("{}, {}, of pool {}{}", service->service.name,
                                   listen_text(service->service), service->service.pool,
                                   look_.is_icmp_error
                                       ? "; found by the packet that this ICMP error quotes"
                                       : ""));
        return;
    }
    const gw_reason reason = look_.classified;
    say("service", reason == GW_REASON_ECHO_REPLIED
                       ? std::string("none is needed: an echo request to a service address")
                       : fmt::format("none: {}", reason_meaning(ran.decision.reason)));
}

void Story::say_policy(const replay::Ran &ran)
{
    if (look_.limits.empty()) {
        say("policy", "the service has no limits");
        return;
    }
    const auto views = world_.plane().policing().limits();
    bool is_refused = false;
    for (size_t i = 0; i < look_.limits.size() && !is_refused; i++) {
        const auto *view = limit_of(views, look_.limits[i]);
        if (view == nullptr) {
            continue;
        }
        const bool exceeds =
            world_.tables().excess_counters(look_.limits[i]).packets > excess_before_[i];
        is_refused = exceeds && view->mode == model::LimitMode::kDrop;
        const bool counts = view->of != model::LimitOf::kNewConnections ||
                            (read_.tcp_flags.value_or(0) &
                             (GW_TCP_SYN | GW_TCP_ACK | GW_TCP_RST)) == GW_TCP_SYN;
        say("policy",
            fmt::format("limit {} ({} {}, burst {}){}", view->name,
                        model::rate_text(view->rate),
                        model::kLimitOfNames[static_cast<size_t>(view->of)],
                        model::burst_text(view->of, view->burst),
                        is_refused ? ": exceeded, and refuses it"
                        : exceeds  ? ": exceeded, and only counts it"
                        : !counts  ? " counts new connections, and this packet begins none"
                                   : ": not exceeded"));
    }
    if (is_refused) {
        say("policy", reason_meaning(ran.decision.reason));
    }
}

void Story::say_slot()
{
    const auto *service = world_.service(look_.service);
    const uint32_t owner = gw_slot_owner(look_.slot);
    say("slot",
        fmt::format("{} of {}, by the hash of the flow; it belongs to {} and is {}",
                    look_.slot_index, service == nullptr ? 0 : service->service.ring_size,
                    owner == GW_OWNER_NONE ? "nobody" : backend_text(owner),
                    state_text(gw_slot_state_of(look_.slot))));
    if (look_.pinned) {
        say("slot", "the flow is remembered, with " + backend_text(*look_.pinned));
    }
}

void Story::say_leaves(const replay::Ran &ran)
{
    const auto outer = replay::dissect(ran.frame);
    if (ran.decision.reason == GW_REASON_FORWARDED) {
        say("backend", backend_text(ran.decision.backend));
        say("leaves",
            fmt::format(
                "as {} bytes, to {}: an IPv{} packet from {} to {} around the packet as "
                "it came",
                grouped(ran.frame.size()), mac_text(ran.frame.first(6)),
                outer.flow.is_ipv6 ? 6 : 4,
                replay::address_text(outer.flow.source, outer.flow.is_ipv6),
                replay::address_text(outer.flow.destination, outer.flow.is_ipv6)));
        return;
    }
    say("leaves",
        fmt::format("as {} bytes: an answer from {} to {}", grouped(ran.frame.size()),
                    replay::address_text(outer.flow.source, outer.flow.is_ipv6),
                    replay::address_text(outer.flow.destination, outer.flow.is_ipv6)));
}

json Story::tell(const std::string &capture, const replay::Frames &frames,
                 const replay::Tally &tally, const replay::Ran *ran)
{
    say_packet(frames, capture);
    say_frame();
    json story = {{"packet", frame_.packet.number},
                  {"timestamp_ns", frame_.packet.timestamp_ns},
                  {"flow", read_.is_ip ? json(replay::to_string(read_.flow)) : json()},
                  {"verdict", nullptr},
                  {"reason", nullptr},
                  {"service", nullptr},
                  {"backend", nullptr}};
    if (ran != nullptr) {
        const auto &decision = ran->decision;
        say_flow(tally);
        say_service(*ran);
        if (look_.classified == GW_REASON_FORWARDED) {
            say_policy(*ran);
            if (decision.reason != GW_REASON_DENIED && decision.reason != GW_REASON_LIMITED &&
                decision.reason != GW_REASON_SHED) {
                say_slot();
            }
        }
        if (replay::leaves(decision.verdict)) {
            say_leaves(*ran);
        }
        say("verdict",
            fmt::format("{} ({}: {})", verdict_text(decision), reason_name(decision.reason),
                        reason_meaning(decision.reason)));
        story["verdict"] = replay::name_of(decision.verdict);
        story["reason"] = reason_name(decision.reason);
        if (const auto *service = world_.service(decision.service)) {
            story["service"] = service->service.name;
        }
        if (const auto *backend = world_.backend(decision.backend)) {
            story["backend"] = backend->pool + "/" + backend->backend.name;
        }
    }
    story["steps"] = steps_;
    return story;
}

std::string story_view(const json &story, bool colours)
{
    std::string view;
    std::string before;
    for (const auto &step : array(story, "steps")) {
        const std::string stage = text(step, "stage");
        view += coloured(fmt::format("{:<10}", stage == before ? "" : stage), Colour::kFaint,
                         colours) +
                text(step, "says") + "\n";
        before = stage;
    }
    return view;
}

}  // namespace guideway::cli
