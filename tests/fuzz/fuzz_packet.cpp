// Any frame at all through the native core: nothing outside the frame is touched (the
// sanitizers see to that), and what comes out agrees with the verdict.
//
// Input: one byte of headroom in front of the frame, then the frame.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "dataplane/core/types.h"
#include "dataplane/core/wire.h"
#include "tests/packets/engine.hpp"
#include "tests/packets/world.hpp"

namespace guideway::packets {
namespace {

// Services of both families on backends of both, with and without tags, as a case says it.
World make_world()
{
    World world;
    for (const std::string_view text :
         {"four tunnel 10.1.0.2 -> 10.2.0.2 next-hop 02:00:00:00:00:01 -> 02:00:00:00:00:f4"
          " entropy 0.0.255.255",
          "six tunnel fd00:1::2 -> fd00:2::2 next-hop 02:00:00:00:00:01 -> 02:00:00:00:00:f6",
          "tagged tunnel 10.1.0.2 -> 10.2.0.3 next-hop 02:00:00:00:00:01 -> 02:00:00:00:00:f5"
          " qinq 10 vlan 20 egress 7 mtu 9000 second-copy",
          "lost tunnel 10.1.0.2 -> 10.2.0.4 next-hop 02:00:00:00:00:01 -> 02:00:00:00:00:f7"
          " unresolved"}) {
        Words words(text);
        world.backends.push_back(parse_backend(words));
        if (words.error()) {
            std::abort();
        }
    }
    for (const std::string_view text :
         {"web4 tcp 203.0.113.10 443 ring four six tagged lost none",
          "dns4 udp 203.0.113.11 53 ring six tagged four",
          "web6 tcp 2001:db8::10 443 ring four six tagged lost none",
          "dns6 udp 2001:db8::11 53 ring tagged four six"}) {
        Words words(text);
        world.services.push_back(parse_service(words));
        if (words.error()) {
            std::abort();
        }
    }
    Words pass("203.0.113.11");
    world.unmatched_pass.push_back(pass.address("an address"));
    return world;
}

void require(bool holds, const char *what)
{
    if (!holds) {
        std::fprintf(stderr, "fuzz_packet: not so: %s\n", what);
        std::abort();
    }
}

// Every packet ends with one reason, and `forwarded` is counted with its service.
uint64_t packets_counted(Tables &tables)
{
    const gw_counters_area &area = tables.counters_area(0);
    uint64_t sum = std::accumulate(std::begin(area.reason), std::end(area.reason), uint64_t{0});
    const auto *services = reinterpret_cast<const gw_traffic *>(&area + 1);
    for (size_t i = 0; i < tables.services().size(); i++) {
        sum += services[i].packets;
    }
    return sum;
}

std::unique_ptr<Engine> make_engine()
{
    auto engine = native_engine();
    require(engine.has_value(), "an engine can be made");
    require(write_world((*engine)->tables(), make_world()).has_value(),
            "the services fit into the tables");
    return std::move(*engine);
}

// What leaves has an IP header whose length is in the frame and, in IPv4, whose checksum is
// right; and it either carries the packet that came in, unchanged, or answers it.
void check_sent(const Bytes &in, const Bytes &out)
{
    const IpRange received = ip_range(in);
    const IpRange sent = ip_range(out);
    const bool is_ipv6 = sent.end > sent.begin && out[sent.begin] >> 4 == 6;
    const size_t header_bytes = is_ipv6 ? GW_IPV6_BYTES : GW_IPV4_BYTES;
    require(sent.end >= sent.begin + header_bytes, "a frame that leaves has headers");
    const uint8_t *ip = &out[sent.begin];
    if (!is_ipv6) {
        const size_t total = static_cast<size_t>(ip[2]) << 8 | ip[3];
        require(total == sent.end - sent.begin, "its length is in the frame");
        require(internet_checksum(internet_sum(ip, GW_IPV4_BYTES)) == 0,
                "its header's checksum is right");
    }
    const uint8_t carried = ip[is_ipv6 ? 6 : 9];
    if (carried == GW_PROTO_IPIP || carried == GW_PROTO_IPV6) {
        const size_t inner = sent.begin + header_bytes;
        require(std::equal(in.begin() + static_cast<ptrdiff_t>(received.begin), in.end(),
                           out.begin() + static_cast<ptrdiff_t>(inner), out.end()),
                "the inner packet is unchanged");
        require(sent.end - inner == received.end - received.begin,
                "the outer length is the inner one and a header");
    } else {
        require(carried == (is_ipv6 ? GW_PROTO_ICMPV6 : GW_PROTO_ICMP),
                "what is not carried is answered with ICMP");
    }
}

void check(const Bytes &frame, uint32_t headroom_bytes)
{
    static const std::unique_ptr<Engine> engine = make_engine();
    const uint64_t before = packets_counted(engine->tables());
    const auto ran = engine->run(frame, headroom_bytes);
    require(ran.has_value(), "the native engine takes every frame");
    require(packets_counted(engine->tables()) == before + 1, "one packet, one reason");
    switch (ran->verdict) {
        case Verdict::kPass:
            require(ran->frame == frame, "a packet that passes is not changed");
            break;
        case Verdict::kSend:
        case Verdict::kRedirect:
            check_sent(frame, ran->frame);
            break;
        case Verdict::kDrop:
            break;
    }
}

}  // namespace
}  // namespace guideway::packets

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        guideway::packets::check({data + 1, data + size}, data[0]);
    }
    return 0;
}
