// Which sources send most, out of sampled packets.
//
// Sources may be more than there is memory for. The heaviest are kept by the rule of Misra and
// Gries (Finding Repeated Elements, 1982), in the form that makes room for many at once
// (Anderson et al., A High-Performance Algorithm for Identifying Frequent Items in Data Streams,
// IMC 2017): when twice as many as are to stay have come together, what the first that does not
// stay has is taken from all. No source that has more than 1 / kKept of all is ever left out.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataplane/core/tables.h"

namespace guideway::daemon {

enum class TopBy : uint8_t { kPackets, kBytes, kConnections };

class TopSources {
  public:
    static constexpr size_t kKept = 4096;

    explicit TopSources(TopBy by, size_t kept = kKept) : by_(by), kept_(kept) {}

    // A sample that stands for so many packets (at least 1). IPv6 sources are counted by /64.
    void add(const gw_sample &sample, double packets);

    // Estimates, of what was added.
    struct Row {
        gw_address source{};
        double packets = 0;
        double bytes = 0;
        double connections = 0;
        // Of what it is sorted by: 1.96 standard deviations that sampling brings, as a share.
        double error = 0;
        uint32_t service = 0;  // that of most of its packets, if one has more than half
    };
    // The first `count`, in falling order.
    [[nodiscard]] std::vector<Row> best(size_t count) const;

    [[nodiscard]] double packets() const { return packets_; }
    [[nodiscard]] double bytes() const { return bytes_; }
    [[nodiscard]] double connections() const { return connections_; }
    [[nodiscard]] size_t sources() const { return entries_.size(); }  // that are kept
    // By how much, at most, what it is sorted by can be more than a row says, because the source
    // was left out for a while. 0: there was room for all.
    [[nodiscard]] double left_out_most() const { return left_out_; }

  private:
    struct Hash {
        size_t operator()(const gw_address &address) const;
    };
    struct Equal {
        bool operator()(const gw_address &a, const gw_address &b) const
        {
            return a.high == b.high && a.low == b.low;
        }
    };
    struct Entry {
        double rank = 0;  // what it is sorted by, less what was taken away
        double packets = 0;
        double bytes = 0;
        double connections = 0;
        double variance = 0;  // of what it is sorted by
        uint32_t service = 0;
        double majority = 0;  // packets to it, less those to others
    };

    [[nodiscard]] double measure(const Entry &entry) const;
    void make_room();

    TopBy by_;
    size_t kept_;
    std::unordered_map<gw_address, Entry, Hash, Equal> entries_;
    double packets_ = 0;
    double bytes_ = 0;
    double connections_ = 0;
    double left_out_ = 0;
};

}  // namespace guideway::daemon
