// Packets through the real guideway-dpdk, over devices that need no hardware.
#include <sys/ioctl.h>

#include <algorithm>
#include <array>

#include "tests/unit/dpdk_fixture.hpp"

namespace guideway::dpdk {
namespace {

class DpdkEngine : public DpdkTest {
  protected:
    // In a running engine, from 1500 to `mtu` and with a frame nearly as long.
    void expect_frames_of_an_mtu_that_grows(const std::string &device, uint32_t mtu)
    {
        pin_tables("gwd0");
        for (auto &encapsulation : fast_path_->tables().backends()[0].encapsulation) {
            encapsulation.inner_bytes_max = static_cast<uint16_t>(mtu - 20);
        }
        start({"--port", "gwd0=" + device});
        const std::string size = " mtu " + std::to_string(mtu);
        xdp::run("ip link set gwd0" + size + " && ip link set gwd1" + size);
        ASSERT_TRUE(comes_true([&] { return page().port[0].mtu_bytes == mtu; }))
            << engine_->said();
        const Wire wire("gwd1");
        const Bytes large = frame(
            "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 192.0.2.1 -> "
            "203.0.113.10 df / tcp 40000 -> 443 ACK / payload " +
            std::to_string(mtu - 100));
        wire.send(large);
        EXPECT_TRUE(wire.brings(forwarded(large))) << engine_->said();
        EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    }
};

void write_pcap(const std::filesystem::path &path, const std::vector<Bytes> &frames)
{
    std::ofstream file(path, std::ios::binary);
    const auto put32 = [&file](uint32_t value) {
        file.write(reinterpret_cast<const char *>(&value), sizeof(value));
    };
    // Magic, version 2.4, zone, accuracy, longest frame, Ethernet.
    for (const uint32_t word : {0xa1b2c3d4U, 0x00040002U, 0U, 0U, 65535U, 1U}) {
        put32(word);
    }
    for (const auto &each : frames) {
        const auto bytes = static_cast<uint32_t>(each.size());
        for (const uint32_t word : {0U, 0U, bytes, bytes}) {
            put32(word);
        }
        file.write(reinterpret_cast<const char *>(each.data()), bytes);
    }
}

std::vector<Bytes> read_pcap(const std::filesystem::path &path)
{
    std::ifstream file(path, std::ios::binary);
    file.ignore(24);
    std::vector<Bytes> frames;
    std::array<uint32_t, 4> head{};
    while (file.read(reinterpret_cast<char *>(head.data()), sizeof(head))) {
        Bytes bytes(head[2]);
        file.read(reinterpret_cast<char *>(bytes.data()), head[2]);
        frames.push_back(bytes);
    }
    return frames;
}

TEST_F(DpdkEngine, ForwardsByPacketSockets)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_packet"});
    const Wire wire("gwd1");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
    ASSERT_TRUE(comes_true([&] { return page().port[0].tx_packets >= 1; }));
    const auto now = page();
    EXPECT_EQ(now.ports, 1U);
    EXPECT_EQ(now.workers, 1U);
    EXPECT_EQ(std::string(now.port[0].interface.data()), "gwd0");
    EXPECT_EQ(now.port[0].kind, PortKind::kShared);
    EXPECT_EQ(now.port[0].is_up, 1U);
    EXPECT_EQ(now.port[0].mtu_bytes, 1500U);
    EXPECT_GE(now.worker[0].packets, 1U);
    EXPECT_GE(now.worker[0].busy_ns, 1U);
    EXPECT_GT(now.buffers, 1000U);
    EXPECT_GT(now.buffers_free, 1000U);
    EXPECT_EQ(fast_path_->tables().counters().services[0].packets, 1U);

    const auto asked = std::chrono::steady_clock::now();
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    EXPECT_LT(std::chrono::steady_clock::now() - asked, 5s);
    EXPECT_EQ(page().state, EngineState::kEnded);
}

TEST_F(DpdkEngine, ForwardsToTheInterfaceThatTheNextHopIsBehind)
{
    xdp::run(
        "ip link add gwp0 type veth peer name gwp1 && ip link set gwp0 up && "
        "ip link set gwp1 up");
    pin_tables("gwp0");
    start({"--port", "gwd0=net_af_packet", "--port", "gwp0=net_af_packet", "--workers", "2"});
    const Wire in("gwd1");
    const Wire out("gwp1");
    in.send(request());
    EXPECT_TRUE(out.brings(forwarded(request()))) << engine_->said();
}

TEST_F(DpdkEngine, SpreadsFlowsOverQueues)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_packet", "--workers", "2"});
    ASSERT_EQ(page().port[0].rx_queues, 2U);
    const Wire wire("gwd1");
    constexpr uint64_t kFlows = 64;
    for (uint64_t flow = 0; flow < kFlows; flow++) {
        wire.send(request("tcp " + std::to_string(1000 + flow) + " -> 443 ACK"));
    }
    EXPECT_TRUE(comes_true(
        [&] { return fast_path_->tables().counters().services[0].packets == kFlows; }));
    EXPECT_TRUE(comes_true([&] {
        const auto now = page();
        return now.worker[0].packets > 0 && now.worker[1].packets > 0;
    }));
}

TEST_F(DpdkEngine, DoesNotSeeWhatTheHostItselfSends)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_packet"});
    Wire("gwd0").send(request());
    const Wire wire("gwd1");
    wire.send(request("tcp 40001 -> 443 ACK"));
    EXPECT_TRUE(wire.brings(forwarded(request("tcp 40001 -> 443 ACK"))));
    EXPECT_EQ(fast_path_->tables().counters().services[0].packets, 1U);
}

TEST_F(DpdkEngine, GoesByTablesThatComeAfterIt)
{
    start({"--port", "gwd0=net_af_packet"}, EngineState::kWaiting);
    EXPECT_NE(engine_->said().find("waiting for the tables"), std::string::npos);
    pin_tables("gwd0");
    ASSERT_TRUE(comes_true([&] { return page().state == EngineState::kRunning; }));
    const Wire wire("gwd1");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request())));
}

// Every packet is forwarded, by the one set of tables or the other.
TEST_F(DpdkEngine, GoesByTablesThatReplaceItsWhilePacketsFlow)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_packet"});
    const Wire wire("gwd1");
    std::atomic<bool> stop = false;
    std::atomic<uint64_t> sent = 0;
    std::jthread sending([&] {
        const Bytes packet = request();
        while (!stop) {
            wire.send(packet);
            sent++;
            std::this_thread::sleep_for(200us);
        }
    });
    ASSERT_TRUE(comes_true([&] { return sent > 200; }));
    auto larger = options_.capacity;
    for (int i = 0; i < 3; i++) {
        larger.ring_slots_max *= 2;
        larger.pins_max *= 2;
        const auto resized = fast_path_->resize(larger);
        EXPECT_TRUE(resized) << resized.error().message;
        const uint64_t then = sent;
        EXPECT_TRUE(comes_true([&] { return sent > then + 200; }));
    }
    stop = true;
    sending.join();
    const Bytes wanted = forwarded(request());
    uint64_t received = 0;
    std::ignore = comes_true(
        [&] {
            while (const auto got = wire.next()) {
                received += *got == wanted ? 1 : 0;
            }
            return received >= sent;
        },
        5s);
    EXPECT_EQ(received, sent) << engine_->said();
    EXPECT_FALSE(pinned("region-former"));
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
}

TEST_F(DpdkEngine, OpensAnInterfaceAgainThatWasMadeAnew)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_packet"});
    {
        const Wire wire("gwd1");
        wire.send(request());
        EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
    }
    ASSERT_TRUE(comes_true([&] { return page().port[0].tx_packets == 1; }));
    xdp::run("ip link del gwd0");
    ASSERT_TRUE(comes_true([&] { return page().port[0].is_up == 0; }));
    xdp::run(
        "ip link add gwd0 type veth peer name gwd1 && ip link set gwd0 up && "
        "ip link set gwd1 up");
    for (auto &encapsulation : fast_path_->tables().backends()[0].encapsulation) {
        encapsulation.egress_ifindex = if_nametoindex("gwd0");
    }
    ASSERT_TRUE(comes_true([&] { return page().port[0].is_up == 1; })) << engine_->said();
    const Wire wire("gwd1");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
    EXPECT_TRUE(comes_true([&] { return page().port[0].tx_packets == 2; }))
        << page().port[0].tx_packets;
}

TEST_F(DpdkEngine, ForwardsFramesOfAnMtuThatGrows)
{
    expect_frames_of_an_mtu_that_grows("net_af_packet", 9000);
}

TEST_F(DpdkEngine, DivertsFramesOfAnMtuThatGrows)
{
    expect_frames_of_an_mtu_that_grows("net_af_xdp", 3000);
}

TEST_F(DpdkEngine, EndsWhereAPortOfAfXdpIsToBeOpenedAgain)
{
    pin_tables("gwd0");
    start({"--port", "gwd0=net_af_xdp"});
    xdp::run(
        "ip link del gwd0 && ip link add gwd0 type veth peer name gwd1 && "
        "ip link set gwd0 up && ip link set gwd1 up");
    EXPECT_EQ(engine_->wait(), 1);
    EXPECT_TRUE(engine_->said().contains("net_af_xdp opens a port once in a process"))
        << engine_->said();
    for (auto &encapsulation : fast_path_->tables().backends()[0].encapsulation) {
        encapsulation.egress_ifindex = if_nametoindex("gwd0");
    }
    start({"--port", "gwd0=net_af_xdp"});
    const Wire wire("gwd1");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
}

TEST_F(DpdkEngine, SaysWhichMtuIsTooLargeForAfXdp)
{
    xdp::run("ip link set gwd0 mtu 9000");
    launch({"--port", "gwd0=net_af_xdp"});
    EXPECT_EQ(engine_->wait(), 1);
    EXPECT_TRUE(engine_->said().contains("port gwd0: its MTU is 9000, and can be "))
        << engine_->said();
}

TEST_F(DpdkEngine, ForwardsACaptureIntoAnother)
{
    std::vector<Bytes> in;
    std::vector<Bytes> wanted;
    for (int i = 0; i < 100; i++) {
        in.push_back(request("tcp " + std::to_string(2000 + i) + " -> 443 ACK"));
        wanted.push_back(forwarded(in.back()));
    }
    in.push_back(request("tcp 3000 -> 80 ACK"));  // no such port: dropped
    write_pcap(directory_ / "in.pcap", in);
    // The tap is the interface that the backends are behind; it is there before the tables.
    const std::string device = "net_pcap0,rx_pcap=" + (directory_ / "in.pcap").string() +
                               ",tx_pcap=" + (directory_ / "out.pcap").string();
    xdp::run("ip tuntap add gwp0 mode tap");
    pin_tables("gwp0");
    start({"--port", "gwp0=" + device, "--hugepages", "off"});
    EXPECT_STREQ(page().memory.data(), "4 KiB pages");
    ASSERT_TRUE(comes_true([&] { return page().worker[0].packets == in.size(); }));
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    std::vector<Bytes> out = read_pcap(directory_ / "out.pcap");
    EXPECT_EQ(out, wanted);
    EXPECT_EQ(page().worker[0].no_port, 0U);
}

// What is for no service, in a flood: workers do not wait for the kernel.
TEST_F(DpdkEngine, GoesOnWhenTheKernelTakesLess)
{
    pin_tables("gwd0");
    start({"--port", "gwp0=net_null0", "--idle", "poll"});
    EXPECT_TRUE(comes_true([&] {
        const auto now = page();
        return now.worker[0].packets > 100'000 && now.port[0].kernel_dropped > 0;
    })) << engine_->said();
    EXPECT_EQ(page().port[0].kind, PortKind::kOwned);
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
}

Bytes arp_request(const std::string &target)
{
    packets::Words words(target);
    const auto address = words.address("the target");
    Bytes bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0xaa, 0x08,
                   0x06, 0,    1,    8,    0,    6,    4, 0, 1, 2, 0, 0,    0,
                   0,    0xaa, 10,   9,    0,    1,    0, 0, 0, 0, 0, 0};
    bytes.insert(bytes.end(), address.bytes.begin(), address.bytes.begin() + 4);
    bytes.resize(60);
    return bytes;
}

// Whether somebody answers on the wire that he has the address.
bool answers_arp(const Wire &wire, const std::string &target)
{
    wire.send(arp_request(target));
    return comes_true([&] {
        while (const auto got = wire.next()) {
            if (got->size() >= 42 && (*got)[12] == 8 && (*got)[13] == 6 && (*got)[21] == 2) {
                return true;
            }
        }
        return false;
    });
}

TEST_F(DpdkEngine, LetsTheHostAnswerThroughATapOfItsOwn)
{
    pin_tables("gwd0");
    // The other end of DPDK's tap device is the wire.
    start({"--port", "gwp0=net_tap0,iface=gww0"});
    xdp::run("ip address add 10.9.0.2/24 dev gwp0");
    xdp::run("ip link set gww0 up");
    const Wire wire("gww0");
    EXPECT_TRUE(answers_arp(wire, "10.9.0.2")) << engine_->said();
    ASSERT_TRUE(comes_true([&] { return page().port[0].from_kernel >= 1; }));
    EXPECT_GE(page().port[0].to_kernel, 1U);

    // The tap outlives the engine with its address, and another engine takes it over.
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    xdp::run("ip address show dev gwp0 | grep -q 10.9.0.2");
    start({"--port", "gwp0=net_tap0,iface=gww0"});
    xdp::run("ip link set gww0 up");
    const Wire again("gww0");
    EXPECT_TRUE(answers_arp(again, "10.9.0.2")) << engine_->said();
}

// Another engine, without tables, is the wire: what it receives goes to its tap, and back.
TEST_F(DpdkEngine, ForwardsOverSharedMemory)
{
    const std::string memory = ",socket=" + (directory_ / "memif").string();
    xdp::run("ip tuntap add gwp0 mode tap");
    pin_tables("gwp0");
    start({"--port", "gwp0=net_memif0,role=server,socket-abstract=no" + memory, "--memory",
           "32"});
    Engine other(
        directory_ / "other",
        {"--instance", "other", "--bpffs", bpf_directory_, "--run-dir", directory_, "--memory",
         "32", "--port", "gww0=net_memif0,role=client,socket-abstract=no" + memory});
    ASSERT_TRUE(comes_true([&] { return page().port[0].is_up == 1; })) << other.said();
    ASSERT_TRUE(comes_true([&] { return if_nametoindex("gww0") != 0; })) << other.said();
    const Wire wire("gww0");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said() << other.said();
    EXPECT_EQ(other.end(SIGTERM), 0) << other.said();
    EXPECT_TRUE(comes_true([&] { return page().port[0].is_up == 0; }));
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
}

TEST_F(DpdkEngine, TakesItsTapsAwayWhenToldSo)
{
    start({"--port", "gwp0=net_null0,no-rx=1"}, EngineState::kWaiting);
    ASSERT_NE(if_nametoindex("gwp0"), 0U);
    const int fd = open((directory_ / "test.dpdk").c_str(), O_RDWR | O_CLOEXEC);
    const uint32_t one = 1;
    ASSERT_EQ(pwrite(fd, &one, sizeof(one), offsetof(EnginePage, remove_taps)), sizeof(one));
    close(fd);
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    EXPECT_EQ(if_nametoindex("gwp0"), 0U);
}

TEST_F(DpdkEngine, DivertsPacketsOfServicesAndPutsOthersBack)
{
    pin_tables("gwd0");
    xdp::run("ip address add 10.9.0.2/24 dev gwd0");
    start({"--port", "gwd0=net_af_xdp"});
    {
        const Wire wire("gwd1");
        wire.send(request());
        EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
        EXPECT_TRUE(answers_arp(wire, "10.9.0.2")) << engine_->said();
    }
    EXPECT_TRUE(comes_true([&] { return page().port[0].to_kernel >= 1; }));
    EXPECT_EQ(page().port[0].kind, PortKind::kDiverted);
    // Killed, it leaves a program on the interface, which lets packets pass, and the next one in.
    EXPECT_EQ(engine_->end(SIGKILL), -1);
    EXPECT_TRUE(answers_arp(Wire("gwd1"), "10.9.0.2"));
    start({"--port", "gwd0=net_af_xdp"});
    const Wire wire("gwd1");
    wire.send(request());
    EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
    EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    EXPECT_EQ(xdp::program_on("gwd0"), 0U);
}

}  // namespace
}  // namespace guideway::dpdk
