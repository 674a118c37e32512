#include "control/daemon/top_sources.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace guideway::daemon {

size_t TopSources::Hash::operator()(const gw_address &address) const
{
    return std::hash<uint64_t>()(address.high) ^
           std::hash<uint64_t>()(address.low * 0x9e3779b97f4a7c15ULL);
}

double TopSources::measure(const Entry &entry) const
{
    return by_ == TopBy::kPackets ? entry.packets
           : by_ == TopBy::kBytes ? entry.bytes
                                  : entry.connections;
}

void TopSources::add(const gw_sample &sample, double packets)
{
    const double bytes = packets * sample.bytes;
    const double connections = sample.is_syn != 0 ? packets : 0;
    packets_ += packets;
    bytes_ += bytes;
    connections_ += connections;

    const Entry part{.rank = 0, .packets = packets, .bytes = bytes, .connections = connections};
    const double measured = measure(part);
    const gw_address source{sample.high, sample.high == GW_IPV4_TAG ? sample.low : 0};
    auto at = entries_.find(source);
    if (at == entries_.end()) {
        if (measured == 0) {
            return;  // nothing to sort it by
        }
        if (entries_.size() >= kept_ * 2) {
            make_room();
        }
        at = entries_.emplace(source, Entry{}).first;
    }
    Entry &entry = at->second;
    entry.rank += measured;
    entry.packets += packets;
    entry.bytes += bytes;
    entry.connections += connections;
    // Of a sum of samples, each taken with a probability of 1 / packets.
    entry.variance += measured * measured * (1 - 1 / packets);
    // Majority vote (Boyer and Moore, 1981).
    if (entry.majority <= 0) {
        entry.service = sample.service;
    }
    entry.majority += entry.service == sample.service ? packets : -packets;
}

void TopSources::make_room()
{
    std::vector<double> ranks;
    ranks.reserve(entries_.size());
    for (const auto &[source, entry] : entries_) {
        ranks.push_back(entry.rank);
    }
    const auto first_out = ranks.begin() + static_cast<std::ptrdiff_t>(kept_);
    std::ranges::nth_element(ranks, first_out, std::greater<>());
    const double less = *first_out;
    left_out_ += less;
    for (auto &[source, entry] : entries_) {
        entry.rank -= less;
    }
    std::erase_if(entries_, [](const auto &entry) { return entry.second.rank <= 0; });
}

std::vector<TopSources::Row> TopSources::best(size_t count) const
{
    struct Ranked {
        const gw_address *source;
        const Entry *entry;
        double measured;
    };
    std::vector<Ranked> ranked;
    ranked.reserve(entries_.size());
    for (const auto &[source, entry] : entries_) {
        ranked.push_back({&source, &entry, measure(entry)});
    }
    count = std::min(count, ranked.size());
    const auto before = [](const Ranked &a, const Ranked &b) {
        return a.measured != b.measured           ? a.measured > b.measured
               : a.source->high != b.source->high ? a.source->high > b.source->high
                                                  : a.source->low < b.source->low;
    };
    std::ranges::partial_sort(ranked, ranked.begin() + static_cast<std::ptrdiff_t>(count),
                              before);
    std::vector<Row> rows;
    for (size_t i = 0; i < count; i++) {
        const Entry &entry = *ranked[i].entry;
        rows.push_back({.source = *ranked[i].source,
                        .packets = entry.packets,
                        .bytes = entry.bytes,
                        .connections = entry.connections,
                        .error = 1.96 * std::sqrt(entry.variance) / ranked[i].measured,
                        .service = entry.service});
    }
    return rows;
}

}  // namespace guideway::daemon
