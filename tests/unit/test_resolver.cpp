// The resolver against the real kernel, in network namespaces of its own. Each test has a
// host (where the resolver is) and a peer, joined by the veth pair up0 - peer0.
#include "control/neighbour/resolver.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdlib>
#include <map>
#include <thread>

namespace guideway::neighbour {
namespace {

using namespace std::chrono_literals;
using model::IpAddress;

IpAddress ip(std::string_view text)
{
    return IpAddress::parse(text).value();
}

// A network namespace that lives as long as its descriptor.
class Namespace {
  public:
    Namespace()
    {
        std::thread([this] {
            if (::unshare(CLONE_NEWNET) == 0) {
                fd_ = ::open("/proc/thread-self/ns/net", O_RDONLY);
            }
        }).join();
    }
    ~Namespace() { ::close(fd_); }
    Namespace(const Namespace &) = delete;
    Namespace &operator=(const Namespace &) = delete;
    [[nodiscard]] bool exists() const { return fd_ >= 0; }
    [[nodiscard]] std::string path() const
    {
        return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_);
    }
    void enter() const { ASSERT_EQ(::setns(fd_, CLONE_NEWNET), 0); }

  private:
    int fd_ = -1;
};

bool run(const std::string &command)
{
    return std::system(command.c_str()) == 0;
}

class KernelRoutes : public testing::Test {
  protected:
    void SetUp() override
    {
        home_ = ::open("/proc/thread-self/ns/net", O_RDONLY);
        if (!host_.exists() || !peer_.exists()) {
            GTEST_SKIP() << "needs the privilege to create network namespaces";
        }
        host_.enter();
        host("ip link set lo up");
        peer("ip link set lo up");
        host(
            "ip link add up0 address 02:00:00:00:00:01 type veth peer name peer0 address "
            "02:00:00:00:00:02 netns " +
            peer_.path());
        // Duplicate address detection would hold back the IPv6 addresses for a second.
        host("sysctl -qw net.ipv6.conf.up0.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
        peer("sysctl -qw net.ipv6.conf.peer0.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
        host(
            "ip link set up0 up && ip addr add 10.1.0.2/24 dev up0 && "
            "ip -6 addr add 2001:db8:1::2/64 dev up0 nodad");
        peer(
            "ip link set peer0 up && ip addr add 10.1.0.1/24 dev peer0 && "
            "ip -6 addr add 2001:db8:1::1/64 dev peer0 nodad");
    }
    void TearDown() override
    {
        resolver_.reset();
        ::setns(home_, CLONE_NEWNET);
        ::close(home_);
    }

    static void host(const std::string &command) { ASSERT_TRUE(run(command)) << command; }
    void peer(const std::string &command) const
    {
        const auto quoted = "nsenter --net=" + peer_.path() + " sh -c '" + command + "'";
        ASSERT_TRUE(run(quoted)) << quoted;
    }

    void start(const std::set<IpAddress> &addresses)
    {
        auto resolver = Resolver::start(loop_, [this] { ++changes_; });
        ASSERT_TRUE(resolver) << resolver.error().message;
        resolver_ = std::move(*resolver);
        resolver_->watch(addresses);
    }
    // Runs the loop until the answer satisfies `good`; the last answer as words.
    template <typename Good>
    std::string wait(std::string_view address, Good good)
    {
        const auto end = std::chrono::steady_clock::now() + 12s;
        auto answer = resolver_->lookup(ip(address));
        while (!good(answer) && std::chrono::steady_clock::now() < end) {
            loop_.run_for(20ms);
            loop_.restart();
            answer = resolver_->lookup(ip(address));
        }
        EXPECT_TRUE(good(answer)) << address << ": " << words(answer);
        return words(answer);
    }
    std::string wait_resolved(std::string_view address)
    {
        return wait(address, [](const auto &answer) { return answer.has_value(); });
    }
    std::string wait_error(std::string_view address, std::string_view part)
    {
        return wait(address, [&](const auto &answer) {
            return !answer && answer.error().message.contains(part);
        });
    }
    static std::string words(const Result<NextHop> &answer)
    {
        if (!answer) {
            return answer.error().message;
        }
        char mac[18];
        const auto &m = answer->destination;
        std::snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
                      m[4], m[5]);
        return answer->interface + " " + mac + " via " + answer->via.to_string() + " mtu " +
               std::to_string(answer->mtu_bytes);
    }
    // Lets the loop settle without a condition.
    void idle(std::chrono::milliseconds time)
    {
        loop_.run_for(time);
        loop_.restart();
    }

    Namespace host_;
    Namespace peer_;
    int home_ = -1;
    boost::asio::io_context loop_;
    std::unique_ptr<Resolver> resolver_;
    int changes_ = 0;
};

TEST_F(KernelRoutes, ResolvesNeighboursOnTheLinkAndBehindAGateway)
{
    host("ip route add 10.2.0.0/16 via 10.1.0.1");
    host("ip -6 route add 2001:db8:2::/64 via 2001:db8:1::1");
    start({ip("10.1.0.1"), ip("10.2.0.9"), ip("2001:db8:1::1"), ip("2001:db8:2::9")});
    EXPECT_EQ(wait_resolved("10.1.0.1"), "up0 02:00:00:00:00:02 via 10.1.0.1 mtu 1500");
    EXPECT_EQ(wait_resolved("10.2.0.9"), "up0 02:00:00:00:00:02 via 10.1.0.1 mtu 1500");
    EXPECT_EQ(wait_resolved("2001:db8:1::1"),
              "up0 02:00:00:00:00:02 via 2001:db8:1::1 mtu 1500");
    EXPECT_EQ(wait_resolved("2001:db8:2::9"),
              "up0 02:00:00:00:00:02 via 2001:db8:1::1 mtu 1500");
    const auto hop = resolver_->lookup(ip("10.1.0.1")).value();
    EXPECT_EQ(hop.source, (Mac{2, 0, 0, 0, 0, 1}));
    EXPECT_EQ(hop.egress_ifindex, ::if_nametoindex("up0"));
    EXPECT_TRUE(hop.tags.empty());
    EXPECT_GT(changes_, 0);
}

TEST_F(KernelRoutes, ResolvesIpv4ByWayOfAnIpv6Gateway)
{
    host("ip route add 10.2.0.0/16 via inet6 2001:db8:1::1 dev up0");
    start({ip("10.2.0.9")});
    EXPECT_EQ(wait_resolved("10.2.0.9"), "up0 02:00:00:00:00:02 via 2001:db8:1::1 mtu 1500");
}

TEST_F(KernelRoutes, KeepsNeighboursManagedAndLetsThemGo)
{
    start({ip("10.1.0.1")});
    wait_resolved("10.1.0.1");
    EXPECT_TRUE(run("ip neigh show 10.1.0.1 dev up0 | grep -q managed"));
    resolver_->watch({});
    EXPECT_TRUE(run("ip neigh show 10.1.0.1 dev up0 | grep -qv managed"));
    EXPECT_EQ(words(resolver_->lookup(ip("10.1.0.1"))), "10.1.0.1 is not watched");
}

TEST_F(KernelRoutes, AsksAgainForANeighbourThatSomebodyDeleted)
{
    start({ip("10.1.0.1")});
    wait_resolved("10.1.0.1");
    host("ip neigh del 10.1.0.1 dev up0");
    idle(200ms);
    wait_resolved("10.1.0.1");
    idle(1500ms);
    EXPECT_TRUE(run("ip neigh show 10.1.0.1 dev up0 | grep -q managed"));
}

TEST_F(KernelRoutes, LeavesPermanentNeighboursAlone)
{
    host("ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:77 nud permanent dev up0");
    start({ip("10.1.0.7")});
    EXPECT_EQ(wait_resolved("10.1.0.7"), "up0 02:00:00:00:00:77 via 10.1.0.7 mtu 1500");
    idle(200ms);
    EXPECT_TRUE(run("ip neigh show 10.1.0.7 dev up0 | grep -q PERMANENT"));
    EXPECT_FALSE(run("ip neigh show 10.1.0.7 dev up0 | grep -q managed"));
}

TEST_F(KernelRoutes, FollowsANeighbourThatMovesDisappearsAndComesBack)
{
    start({ip("10.1.0.1")});
    wait_resolved("10.1.0.1");
    peer("ip link set peer0 address 02:00:00:00:00:03");
    host("ip neigh replace 10.1.0.1 lladdr 02:00:00:00:00:03 nud reachable dev up0");
    wait("10.1.0.1", [](const auto &answer) {
        return answer && answer->destination == Mac{2, 0, 0, 0, 0, 3};
    });
    peer("ip addr del 10.1.0.1/24 dev peer0");
    host("ip neigh flush dev up0");
    EXPECT_EQ(wait_error("10.1.0.1", "does not answer"), "10.1.0.1 on up0 does not answer ARP");
    peer("ip addr add 10.1.0.1/24 dev peer0");
    wait_resolved("10.1.0.1");
}

TEST_F(KernelRoutes, FollowsRouteChanges)
{
    peer("ip addr add 10.1.0.8/24 dev peer0");
    start({ip("10.2.0.9")});
    EXPECT_EQ(words(resolver_->lookup(ip("10.2.0.9"))), "no route to 10.2.0.9");
    host("ip route add 10.2.0.0/16 via 10.1.0.1");
    wait_resolved("10.2.0.9");
    host("ip route change 10.2.0.0/16 via 10.1.0.8 mtu 1400");
    EXPECT_EQ(wait("10.2.0.9",
                   [](const auto &answer) { return answer && answer->mtu_bytes == 1400; }),
              "up0 02:00:00:00:00:02 via 10.1.0.8 mtu 1400");
    host("ip route add 10.2.0.9/32 via 10.1.0.1");
    wait("10.2.0.9",
         [](const auto &answer) { return answer && answer->via == ip("10.1.0.1"); });
    host("ip route del 10.2.0.9/32 && ip route del 10.2.0.0/16");
    wait_error("10.2.0.9", "no route to 10.2.0.9");
    host("ip route add blackhole 10.2.0.0/16");
    wait_error("10.2.0.9", "refuses packets");
}

TEST_F(KernelRoutes, FollowsNextHopObjectsAndRules)
{
    peer("ip addr add 10.1.0.8/24 dev peer0");
    host("ip nexthop add id 7 via 10.1.0.1 dev up0 && ip route add 10.2.0.0/16 nhid 7");
    start({ip("10.2.0.9")});
    wait_resolved("10.2.0.9");
    host("ip nexthop replace id 7 via 10.1.0.8 dev up0");
    wait("10.2.0.9",
         [](const auto &answer) { return answer && answer->via == ip("10.1.0.8"); });
    host("ip rule add to 10.2.0.9 prohibit");
    wait_error("10.2.0.9", "refuses packets");
    host("ip rule del to 10.2.0.9 prohibit");
    wait_resolved("10.2.0.9");
}

TEST_F(KernelRoutes, TakesOneOfSeveralPathsAndStaysWithIt)
{
    peer("ip addr add 10.1.0.8/24 dev peer0");
    host("ip route add 10.2.0.0/16 nexthop via 10.1.0.1 nexthop via 10.1.0.8");
    start({ip("10.2.0.9")});
    const auto first = wait_resolved("10.2.0.9");
    for (int i = 0; i < 5; ++i) {
        host("ip route add 10.9." + std::to_string(i) + ".0/24 via 10.1.0.1");
        idle(100ms);
        EXPECT_EQ(words(resolver_->lookup(ip("10.2.0.9"))), first);
    }
}

TEST_F(KernelRoutes, FollowsTheLink)
{
    start({ip("10.1.0.1")});
    wait_resolved("10.1.0.1");
    host("ip link set up0 mtu 1280");
    wait("10.1.0.1", [](const auto &answer) { return answer && answer->mtu_bytes == 1280; });
    host("ip link set up0 address 02:00:00:00:00:aa");
    wait("10.1.0.1", [](const auto &answer) {
        return answer && answer->source == Mac{2, 0, 0, 0, 0, 0xaa};
    });
    host("ip link set up0 name up1");
    host("ip link set up1 up");
    wait("10.1.0.1", [](const auto &answer) { return answer && answer->interface == "up1"; });
    peer("ip link set peer0 down");
    EXPECT_EQ(wait_error("10.1.0.1", "carrier"), "up1 has no carrier");
    peer("ip link set peer0 up");
    wait_resolved("10.1.0.1");
    host("ip link set up1 down");
    wait_error("10.1.0.1", "no route to 10.1.0.1");
    host("ip link set up1 up");
    wait_resolved("10.1.0.1");
    host("ip link del up1");
    wait_error("10.1.0.1", "no route to 10.1.0.1");
}

TEST_F(KernelRoutes, SaysWhyAnAddressIsNoNextHop)
{
    host(
        "ip tuntap add tun7 mode tun && ip link set tun7 up && ip route add 10.7.0.0/16 dev "
        "tun7");
    host(
        "ip link add tap7 type veth peer name tap8 && ip link set tap7 arp off && "
        "ip link set tap8 up && ip link set tap7 up && ip route add 10.8.0.0/16 dev tap7");
    start({ip("10.1.0.2"), ip("127.0.0.1"), ip("10.1.0.255"), ip("224.0.0.9"), ip("10.7.0.1"),
           ip("10.8.0.1"), ip("2001:db8:1::2"), ip("2001:db8:ffff::1"), ip("10.1.0.99")});
    EXPECT_EQ(words(resolver_->lookup(ip("10.1.0.2"))), "10.1.0.2 is this host");
    EXPECT_EQ(words(resolver_->lookup(ip("127.0.0.1"))), "127.0.0.1 is this host");
    EXPECT_EQ(words(resolver_->lookup(ip("2001:db8:1::2"))), "2001:db8:1::2 is this host");
    EXPECT_EQ(words(resolver_->lookup(ip("10.1.0.255"))),
              "10.1.0.255 is not the address of a single host");
    EXPECT_EQ(words(resolver_->lookup(ip("2001:db8:ffff::1"))), "no route to 2001:db8:ffff::1");
    EXPECT_TRUE(words(resolver_->lookup(ip("10.7.0.1"))).contains("tun7 has no Ethernet"));
    EXPECT_TRUE(words(resolver_->lookup(ip("10.8.0.1"))).contains("tap7 does not use ARP"));
    EXPECT_EQ(words(resolver_->lookup(ip("10.1.0.99"))),
              "waiting for 10.1.0.99 on up0 to answer ARP");
    wait_error("10.1.0.99", "does not answer ARP");
    host("ip neigh add 10.8.0.1 lladdr 02:00:00:00:00:08 nud permanent dev tap7");
    EXPECT_EQ(wait_resolved("10.8.0.1"), "tap7 02:00:00:00:00:08 via 10.8.0.1 mtu 1500");
}

TEST_F(KernelRoutes, SaysThatABridgeTakesNoFramesFromXdp)
{
    if (!run("ip link add br7 type bridge 2>/dev/null")) {
        GTEST_SKIP() << "this kernel has no bridges";
    }
    host("ip link add port7 type veth peer name port8 && ip link set port7 master br7");
    host(
        "ip link set port8 up && ip link set port7 up && ip link set br7 up && "
        "ip addr add 10.7.0.2/24 dev br7");
    host("ip neigh add 10.7.0.1 lladdr 02:00:00:00:00:07 nud permanent dev br7");
    start({ip("10.7.0.1")});
    wait_error("10.7.0.1", "br7 is of kind bridge, which takes no frames from XDP");
}

TEST_F(KernelRoutes, TellsOfABurstOnceAndOfNothingNever)
{
    host("ip route add 10.2.0.0/16 via 10.1.0.1");
    start({ip("10.2.0.1"), ip("10.2.0.2"), ip("10.2.0.3"), ip("10.2.0.4")});
    wait_resolved("10.2.0.4");
    idle(300ms);
    changes_ = 0;
    host(
        "for i in $(seq 100); do echo route add 10.66.$i.0/24 via 10.1.0.1; done | ip -batch "
        "-");
    idle(500ms);
    EXPECT_EQ(changes_, 0);
    host(
        "for i in 1 2 3 4; do echo route add 10.2.0.$i via 10.1.0.1 mtu 1300; done | "
        "ip -batch -");
    idle(500ms);
    EXPECT_EQ(resolver_->lookup(ip("10.2.0.4")).value().mtu_bytes, 1300U);
    EXPECT_EQ(changes_, 1);
}

TEST_F(KernelRoutes, ReadsEverythingAgainWhenMessagesWereLost)
{
    host("ip route add 10.2.0.0/16 via 10.1.0.1");
    start({ip("10.2.0.9")});
    wait_resolved("10.2.0.9");
    // More than the socket's buffer, while nobody reads; the last change is among the lost.
    host(
        "for i in $(seq 60000); do echo route add 11.$((i / 250)).$((i % 250)).0/24 via "
        "10.1.0.1; done | ip -batch -");
    // Routes are asked for again anyway; a link is known only from its messages.
    host("ip link set up0 mtu 1333");
    wait("10.2.0.9", [](const auto &answer) { return answer && answer->mtu_bytes == 1333; });
}

TEST_F(KernelRoutes, FactsNameInterfacesAndLocalAddresses)
{
    host("ip route add local 203.0.113.10/32 dev lo");
    host("ip link add down0 type veth peer name down1 && ip addr add 10.5.0.1/24 dev down0");
    host("ip -6 addr add 2001:db8:5::1/64 dev down0");
    const auto facts =
        host_facts({ip("10.1.0.2"), ip("2001:db8:1::2"), ip("127.0.0.1"), ip("203.0.113.10"),
                    ip("10.5.0.1"), ip("2001:db8:5::1"), ip("10.1.0.1"), ip("2001:db8:1::1"),
                    ip("192.0.2.1"), ip("2001:db8:ffff::1")})
            .value();
    EXPECT_EQ(facts.interfaces.at("up0"), ::if_nametoindex("up0"));
    EXPECT_EQ(facts.local_addresses,
              (std::map<IpAddress, std::string>{{ip("10.1.0.2"), "up0"},
                                                {ip("2001:db8:1::2"), "up0"},
                                                {ip("127.0.0.1"), "lo"},
                                                {ip("203.0.113.10"), "lo"},
                                                {ip("10.5.0.1"), "down0"},
                                                {ip("2001:db8:5::1"), "down0"}}));
}

TEST_F(KernelRoutes, FactsKnowLocalPrefixesAndOnlyTheAddressesAskedAbout)
{
    host("ip route add default via 10.1.0.1 && ip -6 route add default via 2001:db8:1::1");
    host(
        "ip route add local 203.0.113.0/24 dev lo && ip -6 route add local 2001:db8:10::/48 "
        "dev lo");
    host("ip route add blackhole 192.0.2.0/24 && ip route add prohibit 198.51.100.0/24");
    host("ip -6 route add blackhole 2001:db8:20::/48");
    const auto facts = host_facts({ip("203.0.113.77"), ip("2001:db8:10::77"), ip("10.1.0.255"),
                                   ip("192.0.2.1"), ip("198.51.100.1"), ip("2001:db8:20::1"),
                                   ip("10.9.9.9"), ip("2001:db8:30::1")})
                           .value();
    EXPECT_EQ(facts.local_addresses,
              (std::map<IpAddress, std::string>{{ip("203.0.113.77"), "lo"},
                                                {ip("2001:db8:10::77"), "lo"},
                                                {ip("10.1.0.255"), "up0"}}));
    EXPECT_TRUE(host_facts({}).value().local_addresses.empty());
}

TEST_F(KernelRoutes, KnowsEveryInterfaceTowardsAnAddress)
{
    using Names = std::set<std::string>;
    const auto towards = [](std::string_view address) {
        return interfaces_towards(ip(address)).value();
    };
    EXPECT_EQ(towards("203.0.113.10"), Names{}) << "no route";
    EXPECT_EQ(towards("2001:db8:f::10"), Names{});
    EXPECT_EQ(towards("10.1.0.2"), Names{}) << "the host's own";
    host("ip route add default via 10.1.0.1 && ip -6 route add default via 2001:db8:1::1");
    EXPECT_EQ(towards("203.0.113.10"), Names{"up0"});
    EXPECT_EQ(towards("2001:db8:f::10"), Names{"up0"});
    EXPECT_EQ(towards("10.1.0.77"), Names{"up0"}) << "no neighbour";
    host(
        "ip link add up1 type veth peer name up2 && ip link set up1 up && ip link set up2 up"
        " && ip address add 10.3.0.2/24 dev up1 && ip -6 address add 2001:db8:3::2/64 dev up1 "
        "nodad"
        " && ip route replace default nexthop via 10.1.0.1 nexthop via 10.3.0.1"
        " && ip -6 route del default && ip -6 route add default nexthop via 2001:db8:1::1"
        " nexthop via 2001:db8:3::1");
    EXPECT_EQ(towards("203.0.113.10"), (Names{"up0", "up1"}));
    EXPECT_EQ(towards("2001:db8:f::10"), (Names{"up0", "up1"}));
    host("ip route add blackhole 203.0.113.0/24 && ip -6 route add prohibit 2001:db8:f::/48");
    EXPECT_EQ(towards("203.0.113.10"), Names{});
    EXPECT_EQ(towards("2001:db8:f::10"), Names{});
}

}  // namespace
}  // namespace guideway::neighbour
