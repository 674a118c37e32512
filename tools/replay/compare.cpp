#include "tools/replay/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/replay/report.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

const model::Service *find_service(const model::Desired &desired, const std::string &name)
{
    const auto found = std::ranges::find(desired.services, name, &model::Service::name);
    return found == desired.services.end() ? nullptr : &*found;
}

const model::Pool *find_pool(const model::Desired &desired, const std::string &name)
{
    const auto found = std::ranges::find(desired.pools, name, &model::Pool::name);
    return found == desired.pools.end() ? nullptr : &*found;
}

// By address: a backend of another name is the same gateway.
const model::Backend *find_backend(const model::Pool *pool, const std::string &address)
{
    if (pool == nullptr) {
        return nullptr;
    }
    const auto found = std::ranges::find_if(pool->backends, [&](const auto &backend) {
        return backend.address.to_string() == address;
    });
    return found == pool->backends.end() ? nullptr : &*found;
}

bool has_same_weights(const model::Pool &a, const model::Pool &b)
{
    return a.backends.size() == b.backends.size() &&
           std::ranges::all_of(a.backends, [&](const auto &backend) {
               const auto *other = find_backend(&b, backend.address.to_string());
               return other != nullptr && other->weight == backend.weight;
           });
}

// Both forward, to different backends.
Difference why_another_backend(const FlowResult &a, const FlowResult &b,
                               const model::Desired &before, const model::Desired &after)
{
    const auto *service_a = find_service(before, a.service);
    const auto *service_b = find_service(after, b.service);
    if (service_a == nullptr || service_b == nullptr) {
        return {"another backend", "its service is not in the configuration"};
    }
    const auto *pool_a = find_pool(before, service_a->pool);
    const auto *pool_b = find_pool(after, service_b->pool);
    const auto *left = find_backend(pool_b, a.address);
    const auto *come = find_backend(pool_a, b.address);
    if (left == nullptr) {
        return {"backend gone", service_a->pool == service_b->pool
                                    ? fmt::format("{} is not in its pool any more", a.backend)
                                    : fmt::format("{} has pool {} now, without {}", b.service,
                                                  service_b->pool, a.backend)};
    }
    if (before.hash_key != after.hash_key) {
        return {"hash key", "another hash_key: every flow is spread anew"};
    }
    if (service_a->ring_size != service_b->ring_size) {
        return {"ring size", fmt::format("the ring of {} has {} slots, and had {}", b.service,
                                         service_b->ring_size, service_a->ring_size)};
    }
    if (left->weight == 0) {
        return {"drained", fmt::format("{} has weight 0", a.backend)};
    }
    if (come == nullptr) {
        return {"backend new", fmt::format("{} is new and has taken its slot", b.backend)};
    }
    if (pool_a != nullptr && pool_b != nullptr && !has_same_weights(*pool_a, *pool_b)) {
        return {"slot moved", "its slot has moved with the backends and weights of the pool"};
    }
    return {"slot moved", "its slot belongs to another backend"};
}

std::string meaning_of(const std::string &reason)
{
    for (size_t i = 0; i < GW_REASON_COUNT; i++) {
        if (reason == reason_name(static_cast<gw_reason>(i))) {
            return reason_meaning(static_cast<gw_reason>(i));
        }
    }
    return reason;
}

bool is_refusal(const std::string &reason)
{
    return reason == "denied" || reason == "limited" || reason == "shed";
}

// The same backend, or none in both.
std::optional<Difference> difference_in_place(const FlowResult &a, const FlowResult &b)
{
    if (a.refused != b.refused) {
        return Difference{
            b.refused > a.refused ? "limited more" : "limited less",
            fmt::format("lists and limits refuse {} of its packets, and refused {}",
                        grouped(b.refused), grouped(a.refused)),
            false};
    }
    if (a.forwarded != b.forwarded || a.others != b.others) {
        return Difference{"other packets", "not the same of its packets are forwarded", false};
    }
    if (a.digest != b.digest) {
        return Difference{"other bytes", "the same place, by other headers or another answer",
                          false};
    }
    return std::nullopt;
}

}  // namespace

std::optional<Difference> difference(const FlowResult &a, const FlowResult &b,
                                     const model::Desired *before, const model::Desired *after)
{
    const bool was_forwarded = !a.backend.empty();
    const bool is_forwarded = !b.backend.empty();
    if (was_forwarded && is_forwarded) {
        if (a.address != b.address) {
            return before == nullptr || after == nullptr
                       ? Difference{"another backend", "the other build chooses this backend"}
                       : why_another_backend(a, b, *before, *after);
        }
        return a.moves != b.moves
                   ? Difference{"moves", fmt::format("it changes its backend {}, and did {}",
                                                     count_text(b.moves, "time"),
                                                     count_text(a.moves, "time"))}
                   : difference_in_place(a, b);
    }
    if (was_forwarded) {
        const std::string reason = b.reason.empty() ? "not_ours" : b.reason;
        return Difference{is_refusal(reason) ? "limited more" : "not forwarded",
                          fmt::format("{}: {}", reason, meaning_of(reason))};
    }
    if (is_forwarded) {
        return Difference{is_refusal(a.reason) ? "limited less" : "forwarded",
                          fmt::format("it was {}", a.reason.empty() ? "not_ours" : a.reason)};
    }
    if (a.reason != b.reason) {
        const std::string reason = b.reason.empty() ? "not_ours" : b.reason;
        return Difference{"another reason", fmt::format("{}: {}", reason, meaning_of(reason))};
    }
    return difference_in_place(a, b);
}

void Comparison::add(const FlowResult &a, const FlowResult &b)
{
    flows_++;
    const auto found = difference(a, b, before_, after_);
    if (!found) {
        return;
    }
    differ_++;
    elsewhere_ += found->is_elsewhere ? 1 : 0;
    Kind &kind = kinds_[found->kind];
    kind.flows++;
    kind.packets += std::max(a.packets, b.packets);
    kind.is_elsewhere = found->is_elsewhere;
    if (list_.size() < list_max_) {
        const auto place = [](const FlowResult &flow) {
            return !flow.backend.empty()  ? flow.backend
                   : !flow.reason.empty() ? flow.reason
                                          : std::string("not_ours");
        };
        list_.push_back({{"flow", a.flow},
                         {"first_packet", std::min(a.first_packet, b.first_packet)},
                         {"packets", std::max(a.packets, b.packets)},
                         {"from", place(a)},
                         {"to", place(b)},
                         {"kind", found->kind},
                         {"why", found->why}});
    }
}

// Lists that tell of the same flows in the same order keep both maps empty.
void Comparison::add_first(FlowResult a)
{
    if (const auto other = second_.extract(a.flow)) {
        add(a, other.mapped());
        return;
    }
    first_.insert_or_assign(a.flow, std::move(a));
}

void Comparison::add_second(FlowResult b)
{
    if (const auto other = first_.extract(b.flow)) {
        add(other.mapped(), b);
        return;
    }
    second_.insert_or_assign(b.flow, std::move(b));
}

void Comparison::finish()
{
    struct Pair {
        FlowResult a;
        FlowResult b;
    };
    const auto nowhere = [](const FlowResult &of) {
        return FlowResult{
            .flow = of.flow, .first_packet = of.first_packet, .packets = of.packets};
    };
    std::vector<Pair> left;
    for (const auto &[flow, a] : first_) {
        left.push_back({a, nowhere(a)});
    }
    for (const auto &[flow, b] : second_) {
        left.push_back({nowhere(b), b});
    }
    std::ranges::sort(left, {}, [](const Pair &pair) { return pair.a.first_packet; });
    for (const auto &pair : left) {
        add(pair.a, pair.b);
    }
    first_.clear();
    second_.clear();
}

json Comparison::to_json() const
{
    json kinds = json::array();
    for (const auto &[name, kind] : kinds_) {
        kinds.push_back({{"kind", name},
                         {"flows", kind.flows},
                         {"packets", kind.packets},
                         {"elsewhere", kind.is_elsewhere}});
    }
    return {{"flows", flows_},         {"differ", differ_},
            {"elsewhere", elsewhere_}, {"kinds", std::move(kinds)},
            {"list", list_},           {"left_out", differ_ - list_.size()}};
}

std::string comparison_view(const json &report, bool colours)
{
    const json &comparison = member(report, "comparison");
    std::string view = capture_view(member(report, "capture"), colours);
    view += fmt::format("compared   {} and {}, by the {} engine\n", text(report, "first"),
                        text(report, "second"), text(report, "engine"));
    const uint64_t flows = number(comparison, "flows");
    if (number(comparison, "differ") == 0) {
        view += fmt::format("flows      all {} are treated the same\n", grouped(flows));
    } else {
        view += fmt::format(
            "flows      {} of {} would go elsewhere ({}), {} more differ otherwise\n",
            count(comparison, "elsewhere"), grouped(flows),
            percent_text(static_cast<double>(number(comparison, "elsewhere")) /
                         static_cast<double>(std::max<uint64_t>(1, flows))),
            grouped(number(comparison, "differ") - number(comparison, "elsewhere")));
    }
    if (const json &apart = member(comparison, "packets_apart"); apart.is_number()) {
        view += fmt::format("packets    {} are decided differently, or leave as other bytes\n",
                            grouped(apart.get<uint64_t>()));
    }
    if (number(comparison, "packets_beyond") > 0) {
        view += fmt::format(
            "           {} packets are of flows beyond --flows-max, and not compared\n",
            count(comparison, "packets_beyond"));
    }
    Table kinds({{"DIFFERENCE"}, {"FLOWS", Align::kRight}, {"PACKETS", Align::kRight}});
    for (const auto &kind : array(comparison, "kinds")) {
        kinds.add({{text(kind, "kind")}, {count(kind, "flows")}, {count(kind, "packets")}});
    }
    Table list({{"FLOW"},
                {"FIRST", Align::kRight},
                {"PACKETS", Align::kRight},
                {"FROM"},
                {"TO"},
                {"WHY"}});
    for (const auto &flow : array(comparison, "list")) {
        list.add({{text(flow, "flow")},
                  {count(flow, "first_packet")},
                  {count(flow, "packets")},
                  {text(flow, "from")},
                  {text(flow, "to")},
                  {text(flow, "why")}});
    }
    if (!kinds.empty()) {
        view += "\n" + kinds.to_string(colours);
    }
    if (!list.empty()) {
        view += "\n" + list.to_string(colours);
    }
    if (number(comparison, "left_out") > 0) {
        view += fmt::format("and {} more; --list N lists more of them\n",
                            count(comparison, "left_out"));
    }
    return view;
}

}  // namespace guideway::cli
