#include "dataplane/replay/flow_table.hpp"

#include <bit>
#include <cstring>
#include <random>

namespace guideway::replay {
namespace {

constexpr size_t kPlacesMin = 1024;

gw_hash_key random_key()
{
    std::random_device device;
    gw_hash_key key{};
    for (auto &word : key.word) {
        word = uint64_t{device()} << 32 | device();
    }
    return key;
}

bool is_refusal(gw_reason reason)
{
    return reason == GW_REASON_DENIED || reason == GW_REASON_LIMITED ||
           reason == GW_REASON_SHED;
}

// FNV-1a, eight bytes a step; a comparison of runs, not a defence.
uint64_t digest_of(uint64_t digest, const Ran &ran)
{
    constexpr uint64_t kPrime = 0x100000001b3;
    const auto add = [&digest](uint64_t word) {
        digest = std::rotl((digest ^ word) * kPrime, 29);
    };
    add(static_cast<uint64_t>(ran.decision.verdict) << 32 | ran.decision.reason);
    if (leaves(ran.decision.verdict)) {
        add(ran.frame.size());
        for (size_t at = 0; at < ran.frame.size(); at += 8) {
            uint64_t word = 0;
            std::memcpy(&word, ran.frame.data() + at,
                        std::min<size_t>(8, ran.frame.size() - at));
            add(word);
        }
    }
    return digest;
}

}  // namespace

FlowTable::FlowTable(uint32_t lanes, uint32_t flows_max)
    : lanes_(lanes), flows_max_(flows_max), secret_(random_key()), places_(kPlacesMin)
{
}

uint64_t FlowTable::hash_of(const FlowKey &key) const
{
    uint64_t source[2];
    uint64_t destination[2];
    std::memcpy(source, key.source.data(), sizeof(source));
    std::memcpy(destination, key.destination.data(), sizeof(destination));
    const auto kind = static_cast<uint8_t>(key.protocol ^ (key.is_ipv6 ? 0x80 : 0));
    return gw_hash_ipv6(&secret_, source, destination,
                        uint32_t{key.source_port} << 16 | key.destination_port, kind);
}

// Where the flow is, or a free place for it.
size_t FlowTable::place_of(const FlowKey &key) const
{
    size_t place = hash_of(key) & (places_.size() - 1);
    while (places_[place] != 0 && flows_[places_[place] - 1].key != key) {
        place = (place + 1) & (places_.size() - 1);
    }
    return place;
}

void FlowTable::grow()
{
    places_.assign(places_.size() * 2, 0);
    for (uint32_t i = 0; i < flows_.size(); i++) {
        places_[place_of(flows_[i].key)] = i + 1;
    }
}

uint32_t FlowTable::note(const FlowKey &key, uint64_t packet)
{
    size_t place = place_of(key);
    if (places_[place] == 0) {
        if (flows_.size() >= flows_max_) {
            packets_beyond_++;
            return kNone;
        }
        if ((flows_.size() + 1) * 2 > places_.size()) {
            grow();
            place = place_of(key);
        }
        flows_.push_back({.key = key, .first_packet = packet});
        fates_.resize(fates_.size() + lanes_);
        places_[place] = static_cast<uint32_t>(flows_.size());
    }
    const uint32_t index = places_[place] - 1;
    flows_[index].packets++;
    return index;
}

void FlowTable::decide(uint32_t flow, uint32_t lane, const Ran &ran)
{
    const Decision &decision = ran.decision;
    Fate &fate = fates_[size_t{flow} * lanes_ + lane];
    fate.digest = digest_of(fate.digest, ran);
    if (fate.service == kNone) {
        fate.service = decision.service;
    }
    if (decision.reason == GW_REASON_FORWARDED) {
        fate.forwarded++;
        if (fate.backend == kNone) {
            fate.backend = decision.backend;
        } else {
            fate.moves += fate.last_backend != decision.backend ? 1 : 0;
        }
        fate.last_backend = decision.backend;
        return;
    }
    if (fate.reason == GW_REASON_COUNT) {
        fate.reason = decision.reason;
    }
    (is_refusal(decision.reason) ? fate.refused : fate.others)++;
}

}  // namespace guideway::replay
