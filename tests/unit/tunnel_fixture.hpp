// An edge host and a backend in two network namespaces, for what goes through the tunnel.
//
//   this process's namespace (the edge)                    the backend's
//   +--------------------------------------+              +------------------------------+
//   |  gpr0 192.0.2.2, 2001:db8:1::2       |              |  lo 203.0.113.10,            |
//   |   | default route, by a router       |              |     2001:db8:f::10           |
//   |   | that does not exist              |              |  decapsulator                |
//   |  gpr1                                |              |                              |
//   |  gpt0 10.9.0.1, fd09::1  ============|==============|  gpt1 10.9.0.2, fd09::2      |
//   +--------------------------------------+              +------------------------------+
//
// A probe to a service address leaves by gpr0 and ends there, unless the program on gpr0's
// egress puts it into the tunnel and sends it by gpt0. Tests attach the decapsulator.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "control/model/next_hop.hpp"
#include "control/plane/encapsulation.hpp"
#include "tests/unit/fast_path_fixture.hpp"
#include "xdp/probe_path.hpp"

namespace guideway::xdp {

inline constexpr auto kService4 = "203.0.113.10";
inline constexpr auto kService6 = "2001:db8:f::10";

inline constexpr model::Mac kEdgeMac{2, 0, 0, 0, 9, 1};
inline constexpr model::Mac kBackendMac{2, 0, 0, 0, 9, 2};

inline model::IpAddress address(std::string_view text)
{
    return model::IpAddress::parse(text).value();
}

// What leaves by `interface`, as it will be on the wire: a tag that the kernel keeps beside the
// frame is put where it belongs.
class Wire {
  public:
    explicit Wire(const std::string &interface)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)))
    {
        sockaddr_ll where{};
        where.sll_family = AF_PACKET;
        where.sll_protocol = htons(ETH_P_ALL);
        where.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        const int on = 1;
        const timeval patience{.tv_sec = 2, .tv_usec = 0};
        EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr *>(&where), sizeof(where)), 0);
        setsockopt(fd_.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on));
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    }

    [[nodiscard]] std::string next() const
    {
        std::string frame(2048, 0);
        alignas(cmsghdr) std::array<char, 128> control{};
        iovec part{.iov_base = frame.data(), .iov_len = frame.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t bytes = recvmsg(fd_.get(), &message, 0);
        frame.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
        for (auto *item = CMSG_FIRSTHDR(&message); item != nullptr;
             item = CMSG_NXTHDR(&message, item)) {
            tpacket_auxdata beside{};
            std::memcpy(&beside, CMSG_DATA(item), sizeof(beside));
            if ((beside.tp_status & TP_STATUS_VLAN_VALID) != 0) {
                const uint16_t tag[2] = {htons(beside.tp_vlan_tpid), htons(beside.tp_vlan_tci)};
                frame.insert(12, reinterpret_cast<const char *>(tag), sizeof(tag));
            }
        }
        return frame;
    }

  private:
    Descriptor fd_;
};

class TunnelTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        if (geteuid() != 0) {
            return;
        }
        ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "a network namespace of our own";
        backend_name_ = "gw-probe-backend-" + std::to_string(getpid());
        run("ip netns add " + backend_name_);
        run("ip link set lo up"
            " && ip link add gpr0 type veth peer name gpr1"
            " && ip link add gpt0 address 02:00:00:00:09:01 type veth"
            " peer name gpt1 address 02:00:00:00:09:02 netns " +
            backend_name_ +
            " && ip link set gpr0 up && ip link set gpr1 up && ip link set gpt0 up"
            " && ip address add 192.0.2.2/24 dev gpr0"
            " && ip address add 2001:db8:1::2/64 dev gpr0 nodad"
            " && ip address add 10.9.0.1/24 dev gpt0"
            " && ip address add fd09::1/64 dev gpt0 nodad"
            " && ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev gpr0"
            " && ip neighbour add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev gpr0"
            " && ip route add default via 192.0.2.1"
            " && ip -6 route add default via 2001:db8:1::1");
        in_backend(
            "ip link set lo up && ip link set gpt1 up"
            " && ip address add 10.9.0.2/24 dev gpt1 && ip address add fd09::2/64 dev gpt1 "
            "nodad"
            " && ip address add 203.0.113.10/32 dev lo"
            " && ip address add 2001:db8:f::10/128 dev lo nodad"
            " && ip neighbour add 10.9.0.1 lladdr 02:00:00:00:09:01 dev gpt1"
            " && ip neighbour add fd09::1 lladdr 02:00:00:00:09:01 dev gpt1"
            " && ip route add default via 10.9.0.1 && ip -6 route add default via fd09::1");
    }

    static void TearDownTestSuite()
    {
        if (geteuid() == 0) {
            run("ip netns del " + backend_name_);
        }
    }

    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "network namespaces and BPF programs need root";
        }
        FastPath::Options options{
            .pin_directory = "/sys/fs/bpf/guideway-probe-test-" + std::to_string(getpid()),
            .capacity = kCapacity,
            .hash_key = kKey};
        auto opened = FastPath::open(options);
        ASSERT_OK(opened);
        fast_path_.emplace(std::move(*opened));
        pin_directory_ = options.pin_directory;
    }

    void TearDown() override
    {
        if (geteuid() != 0) {
            return;
        }
        std::system(
            "tc qdisc del dev gpr0 clsact 2>/dev/null;"
            "tc qdisc del dev gpt0 clsact 2>/dev/null");
        fast_path_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(pin_directory_, ignored);
        std::filesystem::remove_all(pin_directory_.native() + "-other", ignored);
    }

    static void in_backend(const std::string &command)
    {
        run("nsenter --net=/run/netns/" + backend_name_ + " sh -c '" + command + "'");
    }

    // Backend `index` of the tables is `backend`, on the other end of gpt0.
    void write_backend(uint32_t index, const std::string &backend,
                       std::vector<model::VlanTag> tags = {}, uint32_t mtu_bytes = 1500)
    {
        const model::NextHop next_hop{.egress_ifindex = if_nametoindex("gpt0"),
                                      .interface = "gpt0",
                                      .source = kEdgeMac,
                                      .destination = kBackendMac,
                                      .tags = std::move(tags),
                                      .mtu_bytes = mtu_bytes,
                                      .via = address(backend)};
        const bool is_ipv6 = next_hop.via.is_ipv6();
        const auto source = model::Prefix::parse(is_ipv6 ? "fd09::1" : "10.9.0.1").value();
        const auto built = plane::prebuild_ipip(next_hop.via, source, next_hop);
        auto &record = fast_path_->tables().backends()[index];
        record.identity = 100 + index;
        record.encapsulation[1] = built.encapsulation;
        std::ranges::copy(built.outer, record.outer[1]);
        record.state = GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED | GW_BACKEND_COPY;
    }

    // Runs `step` in a thread that is in the backend's namespace; what it opens stays there.
    template <typename Step>
    static void as_backend(Step step)
    {
        std::thread([&] {
            const int fd = open(("/run/netns/" + backend_name_).c_str(), O_RDONLY | O_CLOEXEC);
            ASSERT_GE(fd, 0);
            ASSERT_EQ(setns(fd, CLONE_NEWNET), 0);
            close(fd);
            step();
        }).join();
    }

    static inline std::string backend_name_;
    std::optional<FastPath> fast_path_;
    std::filesystem::path pin_directory_;
};

}  // namespace guideway::xdp
