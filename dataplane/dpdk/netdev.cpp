#include "dataplane/dpdk/netdev.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace guideway::dpdk {
namespace {

ifreq request_for(const std::string &name)
{
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

bool ask(int socket, unsigned long what, ifreq &request)
{
    return ioctl(socket, what, &request) == 0;
}

uint32_t ethtool_answer(int socket, ifreq &request, uint32_t command)
{
    ethtool_value value{};
    value.cmd = command;
    request.ifr_data = reinterpret_cast<char *>(&value);
    return ask(socket, SIOCETHTOOL, request) ? value.data : 0;
}

uint32_t speed_mbps(int socket, ifreq &request)
{
    ethtool_cmd settings{};
    settings.cmd = ETHTOOL_GSET;
    request.ifr_data = reinterpret_cast<char *>(&settings);
    if (!ask(socket, SIOCETHTOOL, request)) {
        return 0;
    }
    const uint32_t speed = ethtool_cmd_speed(&settings);
    return speed == static_cast<uint32_t>(SPEED_UNKNOWN) ? 0 : speed;
}

}  // namespace

std::optional<Netdev> netdev(const std::string &name)
{
    const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = request_for(name);
    if (!ask(socket.get(), SIOCGIFINDEX, request)) {
        return std::nullopt;
    }
    Netdev found;
    found.ifindex = static_cast<uint32_t>(request.ifr_ifindex);
    if (ask(socket.get(), SIOCGIFFLAGS, request)) {
        constexpr auto kUp = IFF_UP | IFF_RUNNING;
        found.is_up = (request.ifr_flags & kUp) == kUp;
    }
    if (ask(socket.get(), SIOCGIFMTU, request)) {
        found.mtu_bytes = static_cast<uint32_t>(request.ifr_mtu);
    }
    if (ask(socket.get(), SIOCGIFHWADDR, request)) {
        std::memcpy(found.mac.data(), request.ifr_hwaddr.sa_data, found.mac.size());
    }
    found.speed_mbps = speed_mbps(socket.get(), request);
    return found;
}

bool joins_packets(const std::string &name)
{
    const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = request_for(name);
    return ethtool_answer(socket.get(), request, ETHTOOL_GGRO) != 0 ||
           (ethtool_answer(socket.get(), request, ETHTOOL_GFLAGS) & ETH_FLAG_LRO) != 0;
}

Result<Tap> Tap::open(const std::string &name)
{
    Descriptor fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) {
        return std::unexpected(Error::system("make taps:", "cannot open /dev/net/tun"));
    }
    Tap tap(std::move(fd), name);
    ifreq request = request_for(name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (!ask(tap.fd(), TUNSETIFF, request)) {
        const int error = errno;
        if (if_nametoindex(name.c_str()) != 0) {
            return fail("there is an interface " + name +
                        " already that is not this engine's tap: give the port a name that is "
                        "free, or remove that interface");
        }
        return std::unexpected(Error::system("make the tap", name, error));
    }
    return tap;
}

Result<void> Tap::bring_up(const Mac &mac, uint32_t mtu_bytes) const
{
    const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = request_for(name_);
    if (mac != Mac{}) {
        request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        std::memcpy(request.ifr_hwaddr.sa_data, mac.data(), mac.size());
        if (!ask(socket.get(), SIOCSIFHWADDR, request)) {
            return std::unexpected(Error::system("set the address of", "the tap " + name_));
        }
    }
    request = request_for(name_);
    request.ifr_mtu = static_cast<int>(mtu_bytes);
    if (!ask(socket.get(), SIOCSIFMTU, request)) {
        return std::unexpected(Error::system("set the MTU of", "the tap " + name_));
    }
    if (!ask(socket.get(), SIOCGIFFLAGS, request)) {
        return std::unexpected(Error::system("read the flags of", "the tap " + name_));
    }
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (!ask(socket.get(), SIOCSIFFLAGS, request)) {
        return std::unexpected(Error::system("bring up", "the tap " + name_));
    }
    return {};
}

Result<void> Tap::keep() const
{
    if (ioctl(fd(), TUNSETPERSIST, 1) != 0) {
        return std::unexpected(Error::system("keep the tap", name_));
    }
    return {};
}

void Tap::remove() const
{
    ioctl(fd(), TUNSETPERSIST, 0);
}

Result<void> receive_as(const std::string &from, uint32_t to_ifindex)
{
    // return bpf_redirect(to_ifindex, BPF_F_INGRESS);
    const bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K,
         .dst_reg = BPF_REG_1,
         .src_reg = 0,
         .off = 0,
         .imm = static_cast<int>(to_ifindex)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K,
         .dst_reg = BPF_REG_2,
         .src_reg = 0,
         .off = 0,
         .imm = BPF_F_INGRESS},
        {.code = BPF_JMP | BPF_CALL,
         .dst_reg = 0,
         .src_reg = 0,
         .off = 0,
         .imm = BPF_FUNC_redirect},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    const Descriptor program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "gw_receive_as", "GPL",
                                           instructions, std::size(instructions), nullptr));
    if (program.get() < 0) {
        return std::unexpected(Error::system("load the program of", "the tap " + from));
    }
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_nametoindex(from.c_str())),
                .attach_point = BPF_TC_INGRESS);
    if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
        return std::unexpected(Error::system("make a tc hook on", "the tap " + from, -error));
    }
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get(), .flags = BPF_TC_F_REPLACE,
                .handle = 1, .priority = 1);
    if (const int error = bpf_tc_attach(&hook, &options); error != 0) {
        return std::unexpected(
            Error::system("attach a tc program to", "the tap " + from, -error));
    }
    // The kernel is not to speak on it by itself.
    std::ofstream("/proc/sys/net/ipv6/conf/" + from + "/disable_ipv6") << 1;
    return {};
}

void ignore_outgoing_packets()
{
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    const sock_fprog filter{.len = std::size(code), .filter = code};
    std::error_code ignored;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
        const std::string name = entry.path().filename();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        int domain = 0;
        socklen_t bytes = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
            domain == AF_PACKET) {
            setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
        }
    }
}

}  // namespace guideway::dpdk
