#include "control/daemon/sight.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <tuple>
#include <utility>

namespace guideway::daemon {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(50);

// The first bits of a word, as they are in memory.
uint64_t prefix_mask(int bits)
{
    return bits <= 0    ? 0
           : bits >= 64 ? ~uint64_t{0}
                        : __builtin_bswap64(~uint64_t{0} << (64 - bits));
}

// What rows and limited sources are compared by: the part that is in both.
using Shared = std::tuple<uint32_t, uint64_t, uint64_t>;  // limit, address

Shared shared_part(uint32_t index, const LimitedSources::Limit &limit, const gw_address &source)
{
    if (source.high == GW_IPV4_TAG) {
        const auto mask = static_cast<uint32_t>(prefix_mask(limit.ipv4_bits));
        return {index, source.high, source.low & mask};
    }
    return {index, source.high & prefix_mask(limit.ipv6_bits), 0};
}

void set_mask(const Tables &tables, uint32_t mask)
{
    std::atomic_ref(tables.header().sample_mask).store(mask, std::memory_order_relaxed);
}

}  // namespace

Sight::Sight(boost::asio::io_context &loop, World world)
    : world_(std::move(world)), timer_(loop)
{
}

Sight::~Sight()
{
    *alive_ = false;
    switch_off();
}

void Sight::begin()
{
    switch_off();
    if (!watches_.empty()) {
        switch_on();
    }
}

void Sight::end()
{
    switch_off();
    told_ = {};
    for (auto &[id, watch] : std::exchange(watches_, {})) {
        watch.reply(fail("cannot see who sends most: nothing is in force any more"));
    }
}

void Sight::look()
{
    const Tables *tables = world_.tables();
    if (tables == nullptr) {
        return;
    }
    for (auto &event : told_.note(*tables, world_.names, world_.now_ns())) {
        spdlog::info("{}: {}", event.kind, event.text);
        world_.record(std::move(event));
    }
}

std::shared_ptr<void> Sight::watch(std::chrono::milliseconds time, TopBy by, size_t count,
                                   Reply reply)
{
    if (watches_.size() >= kWatchesMax) {
        return nullptr;
    }
    if (watches_.empty()) {
        switch_on();
    } else {
        poll();  // what was sampled before is of the others only
    }
    const auto now = Clock::now();
    const uint64_t id = ++watches_made_;
    watches_.emplace(id, Watch{.top = TopSources(by),
                               .count = std::min(count, kRowsMax),
                               .begun = now,
                               .until = now + time,
                               .samples = 0,
                               .reply = std::move(reply)});
    return {this, [id, alive = alive_](Sight *sight) {
                if (*alive) {
                    sight->drop(id);
                }
            }};
}

void Sight::drop(uint64_t watch)
{
    if (watches_.erase(watch) != 0 && watches_.empty()) {
        switch_off();
    }
}

void Sight::switch_on()
{
    if (const Tables *tables = world_.tables()) {
        reader_.emplace(*tables);
        set_mask(*tables, 0);
        world_.sample(true);
        poll_later();
    }
}

void Sight::switch_off()
{
    timer_.cancel();
    reader_.reset();
    if (const Tables *tables = world_.tables()) {
        world_.sample(false);
        set_mask(*tables, 0);
    }
}

void Sight::poll_later()
{
    timer_.expires_after(kPoll);
    timer_.async_wait([this, alive = alive_](const boost::system::error_code &error) {
        if (error || !*alive || !reader_) {
            return;
        }
        poll();
        answer_due();
        if (!watches_.empty() && reader_) {
            poll_later();
        }
    });
}

void Sight::poll()
{
    const Tables *tables = world_.tables();
    if (tables == nullptr || !reader_) {
        return;
    }
    const auto polled = reader_->poll(*tables, [this](const gw_sample &sample, double packets) {
        for (auto &[id, watch] : watches_) {
            watch.top.add(sample, packets);
            watch.samples++;
        }
    });
    const uint32_t mask = tables->header().sample_mask;
    if (const uint32_t next = next_sample_mask(mask, polled); next != mask) {
        set_mask(*tables, next);
    }
}

void Sight::answer_due()
{
    const auto now = Clock::now();
    std::vector<uint64_t> due;
    for (const auto &[id, watch] : watches_) {
        if (watch.until <= now) {
            due.push_back(id);
        }
    }
    for (const uint64_t id : due) {
        // Out of the list first: the reply drops its ticket.
        if (auto node = watches_.extract(id)) {
            node.mapped().reply(make_top(node.mapped()));
        }
    }
    if (watches_.empty()) {
        switch_off();
    }
}

Sight::Top Sight::make_top(const Watch &watch) const
{
    Top top{.seconds = std::chrono::duration<double>(Clock::now() - watch.begun).count(),
            .rows = {},
            .packets = watch.top.packets(),
            .bytes = watch.top.bytes(),
            .connections = watch.top.connections(),
            .sources = watch.top.sources(),
            .left_out = watch.top.left_out_most(),
            .samples = watch.samples};
    const auto names = world_.names();
    std::set<Shared> exceeding;
    for (const auto &source : limited()) {
        if (const auto limit = names.limits.find(source.limit); limit != names.limits.end()) {
            exceeding.insert(shared_part(limit->first, limit->second, source.source));
        }
    }
    const Tables *tables = world_.tables();
    for (const auto &sums : watch.top.best(watch.count)) {
        Row row{.sums = sums, .service = "", .exceeds = {}, .verdict = GW_LIST_NONE};
        for (const auto &[index, limit] : names.limits) {
            if (exceeding.contains(shared_part(index, limit, sums.source))) {
                row.exceeds.push_back(limit.name);
            }
        }
        if (const auto service = names.services.find(sums.service);
            service != names.services.end()) {
            row.service = service->second;
        }
        if (tables != nullptr) {
            row.verdict = verdict_on(*tables, sums.source);
        }
        top.rows.push_back(std::move(row));
    }
    return top;
}

std::vector<LimitedSource> Sight::limited() const
{
    const Tables *tables = world_.tables();
    if (tables == nullptr) {
        return {};
    }
    auto sources = limited_sources(*tables);
    std::erase_if(sources, [tables](const LimitedSource &source) {
        return !is_of_present_limit(*tables, source);
    });
    return sources;
}

double Sight::seconds_since(uint64_t then_ns) const
{
    const uint64_t now = world_.now_ns();
    return now > then_ns ? static_cast<double>(now - then_ns) / 1e9 : 0;
}

}  // namespace guideway::daemon
