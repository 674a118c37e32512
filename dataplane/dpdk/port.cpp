#include "dataplane/dpdk/port.hpp"

#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "dataplane/dpdk/eal.hpp"
#include "dataplane/dpdk/page_file.hpp"

namespace guideway::dpdk {
namespace {

constexpr uint16_t kDescriptors = 1024;
constexpr uint32_t kRingFrames = 512;  // to and from the kernel
constexpr uint64_t kSpreadBy = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

std::string tap_name(PortKind kind, const std::string &interface, uint32_t ifindex)
{
    return kind == PortKind::kOwned ? interface : "gwx" + std::to_string(ifindex);
}

// The value of `key` among a device's arguments; empty where it is not given.
std::string value_of(const std::string &devargs, const std::string &key)
{
    const std::string wanted = "," + key + "=";
    const auto at = devargs.find(wanted);
    if (at == std::string::npos) {
        return {};
    }
    const auto begin = at + wanted.size();
    return devargs.substr(begin, devargs.find(',', begin) - begin);
}

// A server's socket that one left which was killed, and that would keep the next from starting.
void remove_stale_socket(const Device &device)
{
    const bool is_memif = device.name.starts_with("net_memif");
    const std::string path = value_of(device.devargs, is_memif ? "socket" : "iface");
    struct stat file{};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if ((!is_memif && !device.name.starts_with("net_vhost")) || path.empty() ||
        path.size() >= sizeof(address.sun_path) || lstat(path.c_str(), &file) != 0 ||
        !S_ISSOCK(file.st_mode)) {
        return;
    }
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // With somebody behind it, it would be taken, or be of another type.
    if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0 &&
        errno == ECONNREFUSED) {
        unlink(path.c_str());
    }
    close(fd);
}

}  // namespace

// DPDK's own words where it has some; its codes are often -1.
Error Port::error(std::string_view attempted, int code) const
{
    const int positive = code < 0 ? -code : code;
    const std::string reason = dpdk_reason();
    return {"port " + interface_ + "=" + given_ + ": cannot " + std::string(attempted) + ": " +
            (reason.empty() ? rte_strerror(positive) : reason)};
}

// Why there is no device, in an operator's words.
Error Port::probe_error(const Device &device) const
{
    const std::string where = "port " + interface_ + "=" + given_ + ": ";
    const std::string reason = dpdk_reason();
    if (reason.contains("failed to parse device")) {
        return {
            where + "DPDK has no driver for " + device.name +
            ": a device is a driver with a number, such as net_af_packet0, or a PCI address"};
    }
    if (reason.contains("Cannot find device")) {
        return {where + "there is no device " + device.name +
                ", or it is not bound to vfio-pci: 'dpdk-devbind.py --status' lists devices"};
    }
    if (reason.empty() || reason.contains("Driver cannot attach")) {
        return {where + "the driver refuses its arguments, " + device.devargs +
                ": see what DPDK's documentation of this driver allows"};
    }
    return {where + "cannot open " + device.devargs + ": " + reason};
}

Result<std::unique_ptr<Port>> Port::open(const PortOption &option, uint32_t index,
                                         uint32_t workers, uint32_t queues)
{
    std::unique_ptr<Port> port(new Port);
    const uint32_t wanted = queues == 0 ? workers : queues;
    Device device = device_of(option, index, wanted);
    port->interface_ = option.interface;
    port->given_ = option.devargs;
    port->kind_ = device.kind;
    port->index_ = index;
    if (device.kind != PortKind::kOwned) {
        const auto found = netdev(option.interface);
        if (!found) {
            return fail("port " + option.interface + "=" + option.devargs +
                        ": there is no interface " + option.interface +
                        " in this network namespace; 'ip link' lists those that there are");
        }
        port->ifindex_ = found->ifindex;
        port->room_bytes_ = frame_room_bytes(found->mtu_bytes);
        device = device_of(option, index, wanted, found->mtu_bytes);
    }
    if (auto probed = port->probe(device, workers, queues); !probed) {
        return std::unexpected(std::move(probed.error()));
    }
    return port;
}

Result<void> Port::probe(const Device &device, uint32_t workers, uint32_t queues)
{
    std::ignore = dpdk_reason();
    remove_stale_socket(device);
    // A PCI device was probed when EAL started, unless it was closed since.
    if (!device.is_pci || rte_eth_dev_get_port_by_name(device.name.c_str(), &id_) != 0) {
        if (rte_dev_probe(device.devargs.c_str()) != 0) {
            id_ = 0xffff;
            return std::unexpected(probe_error(device));
        }
    }
    if (const int code = rte_eth_dev_get_port_by_name(device.name.c_str(), &id_); code != 0) {
        id_ = 0xffff;
        return std::unexpected(error("find a network port in the device", code));
    }
    if (device.kind == PortKind::kShared) {
        ignore_outgoing_packets();
    }
    rte_eth_dev_info info{};
    if (const int code = rte_eth_dev_info_get(id_, &info); code != 0) {
        return std::unexpected(error("ask the device what it can do", code));
    }
    driver_ = info.driver_name == nullptr ? "" : info.driver_name;
    if (queues > info.max_rx_queues) {
        return fail("port " + interface_ + "=" + given_ + ": the device has " +
                    std::to_string(info.max_rx_queues) + " receive queues and --queues is " +
                    std::to_string(queues) + ": lower it, or leave it out");
    }
    const uint32_t wanted = queues == 0 ? workers : queues;
    rx_queues_ = static_cast<uint16_t>(
        std::clamp<uint32_t>(wanted, 1, std::max<uint16_t>(info.max_rx_queues, 1)));
    tx_queues_ = static_cast<uint16_t>(
        std::clamp<uint32_t>(workers, 1, std::max<uint16_t>(info.max_tx_queues, 1)));
    is_tx_shared_ = tx_queues_ < workers;
    tx_locks_ = std::make_unique<Lock[]>(tx_queues_);
    rx_descriptors_ = tx_descriptors_ = kDescriptors;
    uint16_t mtu = 0;
    if (kind_ != PortKind::kOwned) {
        const auto found = netdev(interface_);
        mtu_bytes_ = found ? found->mtu_bytes : mtu_bytes_;
    } else if (rte_eth_dev_get_mtu(id_, &mtu) == 0 && mtu != 0) {
        mtu_bytes_ = mtu;
    }
    return {};
}

uint32_t Port::buffers() const
{
    // A packet socket's queues are the kernel's; frames are copied.
    if (kind_ == PortKind::kShared) {
        return 0;
    }
    return uint32_t{rx_queues_} * rx_descriptors_ + uint32_t{tx_queues_} * tx_descriptors_ +
           2 * kRingFrames;
}

Result<void> Port::start(rte_mempool *buffers)
{
    if (auto set_up = set_up_queues(buffers); !set_up) {
        return set_up;
    }
    if (kind_ != PortKind::kShared) {
        if (auto set_up = set_up_tap(index_); !set_up) {
            return set_up;
        }
    }
    if (kind_ == PortKind::kOwned) {
        // The kernel's neighbour discovery; few virtual devices filter at all.
        rte_eth_allmulticast_enable(id_);
    } else if (joins_packets(interface_)) {
        spdlog::warn(
            "{}: the interface joins packets before they get here (GRO or LRO), and joined "
            "ones "
            "may be too long to be forwarded: ethtool -K {} gro off lro off",
            interface_, interface_);
    }
    if (const int code = rte_eth_dev_start(id_); code != 0) {
        return std::unexpected(error("start the device", code));
    }
    is_started_ = true;
    std::ignore = look_again();
    return {};
}

Result<void> Port::set_up_queues(rte_mempool *buffers)
{
    rte_eth_dev_info info{};
    if (const int code = rte_eth_dev_info_get(id_, &info); code != 0) {
        return std::unexpected(error("ask the device what it can do", code));
    }
    rte_eth_conf configuration{};
    const uint64_t spread_by = info.flow_type_rss_offloads & kSpreadBy;
    if (rx_queues_ > 1 && spread_by != 0) {
        configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        configuration.rx_adv_conf.rss_conf.rss_hf = spread_by;
    }
    configuration.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    if (kind_ == PortKind::kOwned) {
        configuration.rxmode.mtu = mtu_bytes_;
    }
    if (const int code = rte_eth_dev_configure(id_, rx_queues_, tx_queues_, &configuration);
        code != 0) {
        return std::unexpected(error("configure the device", code));
    }
    if (const int code =
            rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_descriptors_, &tx_descriptors_);
        code != 0) {
        return std::unexpected(error("size the device's queues", code));
    }
    const auto socket = static_cast<unsigned>(SOCKET_ID_ANY);
    for (uint16_t queue = 0; queue < rx_queues_; queue++) {
        rte_eth_rxconf how = info.default_rxconf;
        how.offloads = 0;
        if (const int code =
                rte_eth_rx_queue_setup(id_, queue, rx_descriptors_, socket, &how, buffers);
            code != 0) {
            return std::unexpected(error("set up a receive queue", code));
        }
    }
    for (uint16_t queue = 0; queue < tx_queues_; queue++) {
        rte_eth_txconf how = info.default_txconf;
        how.offloads = configuration.txmode.offloads;
        if (const int code = rte_eth_tx_queue_setup(id_, queue, tx_descriptors_, socket, &how);
            code != 0) {
            return std::unexpected(error("set up a transmit queue", code));
        }
    }
    return {};
}

Result<void> Port::set_up_tap(uint32_t index)
{
    rte_ether_addr address{};
    if (rte_eth_macaddr_get(id_, &address) == 0 && rte_is_valid_assigned_ether_addr(&address)) {
        std::memcpy(mac_.data(), address.addr_bytes, mac_.size());
    }
    const bool is_owned = kind_ == PortKind::kOwned;
    auto tap = Tap::open(tap_name(kind_, interface_, ifindex()));
    if (!tap) {
        return std::unexpected(std::move(tap.error()).within("port " + interface_));
    }
    tap_.emplace(std::move(*tap));
    if (!is_owned) {
        if (auto received = receive_as(tap_->name(), ifindex()); !received) {
            return received;
        }
    }
    if (auto up = tap_->bring_up(is_owned ? mac_ : Mac{}, mtu_bytes_); !up) {
        return std::unexpected(std::move(up.error()).within("port " + interface_));
    }
    const auto number = std::to_string(index);
    to_kernel_ = rte_ring_create(("gw-to-kernel-" + number).c_str(), kRingFrames, SOCKET_ID_ANY,
                                 RING_F_SC_DEQ);
    from_kernel_ = rte_ring_create(("gw-from-kernel-" + number).c_str(), kRingFrames,
                                   SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (to_kernel_ == nullptr || from_kernel_ == nullptr) {
        return std::unexpected(error("make the rings to the kernel", rte_errno));
    }
    return {};
}

void Port::send(uint32_t worker, rte_mbuf **frames, uint32_t count)
{
    const auto queue = static_cast<uint16_t>(worker % tx_queues_);
    uint16_t taken = 0;
    if (is_tx_shared_) {
        auto &lock = tx_locks_[queue].taken;
        while (lock.test_and_set(std::memory_order_acquire)) {
            rte_pause();
        }
        taken = rte_eth_tx_burst(id_, queue, frames, static_cast<uint16_t>(count));
        lock.clear(std::memory_order_release);
    } else {
        taken = rte_eth_tx_burst(id_, queue, frames, static_cast<uint16_t>(count));
    }
    if (taken < count) {
        tx_full_.fetch_add(count - taken, std::memory_order_relaxed);
        rte_pktmbuf_free_bulk(frames + taken, count - taken);
    }
}

bool Port::look_again()
{
    const auto found = netdev(interface_);
    const uint32_t before = ifindex();
    if (is_started_ && tap_ && if_nametoindex(tap_->name().c_str()) == 0) {
        return false;  // somebody has taken the tap away, and with it the way to the kernel
    }
    if (!found) {
        is_up_ = false;
        return true;
    }
    const bool has_outgrown =
        kind_ == PortKind::kShared && frame_room_bytes(found->mtu_bytes) > room_bytes_;
    if (kind_ != PortKind::kOwned && (before != found->ifindex || has_outgrown)) {
        return false;
    }
    if (kind_ == PortKind::kOwned) {
        rte_eth_link link{};
        ifindex_ = found->ifindex;
        is_up_ = rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status != 0;
        speed_mbps_ = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
    } else {
        is_up_ = found->is_up;
        speed_mbps_ = found->speed_mbps;
        mtu_bytes_ = found->mtu_bytes;
    }
    mac_ = found->mac;
    return true;
}

void Port::describe(PortPage &page) const
{
    put_text(page.interface, interface_);
    put_text(page.device, given_);
    put_text(page.driver, driver_);
    page.kind = kind_;
    page.is_up = is_up_ ? 1 : 0;
    page.speed_mbps = speed_mbps_;
    page.mtu_bytes = mtu_bytes_;
    page.rx_queues = rx_queues_;
    page.tx_queues = tx_queues_;
    page.mac = mac_;
    rte_eth_stats stats{};
    if (is_started_ && rte_eth_stats_get(id_, &stats) == 0) {
        page.rx_packets = stats.ipackets;
        page.rx_bytes = stats.ibytes;
        page.tx_packets = stats.opackets;
        page.tx_bytes = stats.obytes;
        page.rx_missed = stats.imissed;
        page.rx_errors = stats.ierrors;
        page.rx_no_buffer = stats.rx_nombuf;
        page.tx_errors = stats.oerrors;
    }
    page.tx_full = tx_full_;
    page.to_kernel = sent_to_kernel;
    page.from_kernel = received_from_kernel;
    page.kernel_dropped = kernel_dropped;
}

Port::~Port()
{
    for (rte_ring *ring : {to_kernel_, from_kernel_}) {
        void *frame = nullptr;
        while (ring != nullptr && rte_ring_dequeue(ring, &frame) == 0) {
            rte_pktmbuf_free(static_cast<rte_mbuf *>(frame));
        }
        rte_ring_free(ring);
    }
    if (id_ == 0xffff) {
        return;
    }
    if (is_started_) {
        rte_eth_dev_stop(id_);
    }
    rte_eth_dev_info info{};
    const bool is_known = rte_eth_dev_info_get(id_, &info) == 0;
    rte_eth_dev_close(id_);
    if (is_known && info.device != nullptr) {
        rte_dev_remove(info.device);
    }
}

}  // namespace guideway::dpdk
