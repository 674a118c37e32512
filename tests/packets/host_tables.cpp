#include "tests/packets/host_tables.hpp"

#include <utility>

#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

Result<Tables> make_tables(const World &world)
{
    return Tables::anonymous(case_capacity(2, world), gw_hash_key{});
}

}  // namespace

Result<HostTables> HostTables::make()
{
    auto tables = make_tables(World{});
    if (!tables) {
        return std::unexpected(std::move(tables.error()));
    }
    return HostTables(std::move(*tables));
}

Result<void> HostTables::load(const World &world)
{
    if (world.pins_max != tables_.capacity().pins_max ||
        world.sources_max != tables_.capacity().sources_max) {
        auto tables = make_tables(world);
        if (!tables) {
            return std::unexpected(std::move(tables.error()));
        }
        tables_ = std::move(*tables);
    }
    return write_world(tables_, world, kHostTicks);
}

Ran ran_of(const gw_outcome &outcome, Bytes frame)
{
    switch (outcome.verdict) {
        case GW_PASS:
            return {.verdict = Verdict::kPass, .frame = std::move(frame)};
        case GW_SEND:
            return {.verdict = Verdict::kSend, .frame = std::move(frame)};
        case GW_REDIRECT:
            return {.verdict = Verdict::kRedirect,
                    .egress_ifindex = outcome.egress_ifindex,
                    .frame = std::move(frame)};
        case GW_DROP:
            break;
    }
    return {.verdict = Verdict::kDrop, .frame = {}};
}

}  // namespace guideway::packets
