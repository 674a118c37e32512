// From links, routes and neighbours as values to next hops, without a kernel.
#include "control/neighbour/path.hpp"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <libmnl/libmnl.h>
#include <array>
#include <string>
#include <utility>

namespace guideway::neighbour {
namespace {

using model::IpAddress;
using model::Mac;

IpAddress ip(std::string_view text)
{
    return IpAddress::parse(text).value();
}

// VLAN devices as values: not every kernel that runs this test has them.

Link ethernet(uint32_t ifindex, std::string name)
{
    return {.ifindex = ifindex,
            .name = std::move(name),
            .mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(ifindex)},
            .mtu_bytes = 1500,
            .flags = IFF_UP | IFF_RUNNING,
            .hardware_type = ARPHRD_ETHER};
}

Link vlan(uint32_t ifindex, std::string name, uint32_t lower, model::VlanTag tag)
{
    auto link = ethernet(ifindex, std::move(name));
    link.kind = "vlan";
    link.lower_ifindex = lower;
    link.tag = tag;
    return link;
}

TEST(VlanStack, EndsAtTheDeviceBelowWithTheOutermostTagFirst)
{
    const Links links{{1, ethernet(1, "eth0")},
                      {2, vlan(2, "eth0.100", 1, {0x88a8, 100})},
                      {3, vlan(3, "eth0.100.7", 2, {0x8100, 7})}};
    const auto egress = egress_of(links, 3).value();
    EXPECT_EQ(egress.interface->name, "eth0.100.7");
    EXPECT_EQ(egress.device->name, "eth0");
    EXPECT_EQ(egress.tags, (std::vector<model::VlanTag>{{0x88a8, 100}, {0x8100, 7}}));
}

// The kernel takes frames from XDP of up to the device's MTU, an Ethernet header and one
// tag: a second tag is at the packet's expense, unless the device has room for it.
TEST(VlanStack, LeavesRoomForASecondTag)
{
    Links links{{1, ethernet(1, "eth0")},
                {2, vlan(2, "eth0.100", 1, {0x88a8, 100})},
                {3, vlan(3, "eth0.100.7", 2, {0x8100, 7})}};
    EXPECT_EQ(egress_of(links, 1).value().mtu_bytes, 1500U);
    EXPECT_EQ(egress_of(links, 2).value().mtu_bytes, 1500U);
    EXPECT_EQ(egress_of(links, 3).value().mtu_bytes, 1496U);
    links[1].mtu_bytes = 1502;
    EXPECT_EQ(egress_of(links, 3).value().mtu_bytes, 1498U);
    links[1].mtu_bytes = 1504;
    EXPECT_EQ(egress_of(links, 3).value().mtu_bytes, 1500U);
    links[2].mtu_bytes = 1400;
    EXPECT_EQ(egress_of(links, 3).value().mtu_bytes, 1400U);
    links[1].mtu_bytes = 3;
    EXPECT_EQ(egress_of(links, 3).value().mtu_bytes, 0U);

    const Route route{.type = RTN_UNICAST, .ifindex = 3};
    const Neighbour gateway{.state = NUD_PERMANENT, .mac = Mac{2, 0, 0, 0, 0, 9}};
    links[1].mtu_bytes = links[2].mtu_bytes = 1500;
    EXPECT_EQ(next_hop(links, route, {3, ip("10.1.0.1")}, &gateway).value().mtu_bytes, 1496U);
}

TEST(VlanStack, SaysWhatIsWrongWithIt)
{
    Links links{{1, ethernet(1, "eth0")},
                {2, vlan(2, "a", 1, {0x88a8, 100})},
                {3, vlan(3, "b", 2, {0x8100, 7})},
                {4, vlan(4, "c", 3, {0x8100, 8})}};
    EXPECT_EQ(egress_of(links, 4).error().message, "c adds more than two VLAN tags");
    links[1].flags = IFF_UP;
    EXPECT_EQ(egress_of(links, 2).error().message, "eth0 has no carrier");
    links[1].flags = 0;
    EXPECT_EQ(egress_of(links, 3).error().message, "eth0 is down");
    links.erase(1);
    EXPECT_EQ(egress_of(links, 2).error().message, "interface number 1 is gone");
    links[2].lower_is_elsewhere = true;
    EXPECT_TRUE(egress_of(links, 2).error().message.contains("another network namespace"));
    links[2] = vlan(2, "loop", 2, {0x8100, 1});
    EXPECT_EQ(egress_of(links, 2).error().message, "loop adds more than two VLAN tags");
}

TEST(VlanStack, EndsAtADeviceThatTakesFramesFromXdp)
{
    Links links{{1, ethernet(1, "port0")}, {2, vlan(2, "port0.100", 1, {0x8100, 100})}};
    for (const auto *kind : {"", "veth", "bond", "tun"}) {
        links[1].kind = kind;
        EXPECT_TRUE(egress_of(links, 1)) << kind;
        EXPECT_TRUE(egress_of(links, 2)) << kind;
    }
    for (const auto *kind : {"bridge", "macvlan", "vxlan", "macsec", "dummy"}) {
        links[1].kind = kind;
        const auto refusal = "port0 is of kind " + std::string(kind) +
                             ", which takes no frames from XDP; route by the Ethernet "
                             "interface below it";
        for (const uint32_t ifindex : {1U, 2U}) {
            const auto egress = egress_of(links, ifindex);
            ASSERT_FALSE(egress) << kind;
            EXPECT_EQ(egress.error().message, refusal);
        }
    }
}

// The message for a VLAN device as the kernel writes it.
TEST(VlanStack, IsReadFromLinkMessages)
{
    alignas(nlmsghdr) std::array<char, 512> bytes{};
    nlmsghdr *message = mnl_nlmsg_put_header(bytes.data());
    message->nlmsg_type = RTM_NEWLINK;
    auto *header =
        static_cast<ifinfomsg *>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
    header->ifi_index = 9;
    header->ifi_type = ARPHRD_ETHER;
    header->ifi_flags = IFF_UP | IFF_RUNNING;
    mnl_attr_put_strz(message, IFLA_IFNAME, "eth0.100");
    mnl_attr_put_u32(message, IFLA_MTU, 1500);
    mnl_attr_put_u32(message, IFLA_LINK, 2);
    nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "vlan");
    nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(0x88a8));
    mnl_attr_put_u16(message, IFLA_VLAN_ID, 100);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    const auto link = parse_link(*message).value();
    EXPECT_EQ(link.kind, "vlan");
    EXPECT_EQ(link.lower_ifindex, 2U);
    EXPECT_EQ(link.tag, (model::VlanTag{0x88a8, 100}));
    EXPECT_EQ(link.name, "eth0.100");

    // Cut anywhere, and with any length claimed inside, it is read without going astray.
    const uint32_t whole = message->nlmsg_len;
    for (uint32_t size = sizeof(nlmsghdr); size < whole; ++size) {
        message->nlmsg_len = size;
        [[maybe_unused]] const auto cut = parse_link(*message);
    }
    message->nlmsg_len = whole;
    for (size_t i = sizeof(nlmsghdr) + sizeof(ifinfomsg); i < whole; ++i) {
        const char before = std::exchange(bytes[i], '\xff');
        [[maybe_unused]] const auto broken = parse_link(*message);
        bytes[i] = before;
    }
}

}  // namespace
}  // namespace guideway::neighbour
