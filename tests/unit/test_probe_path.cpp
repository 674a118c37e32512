// Marked connections through the tunnel to a real decapsulator, and where the program is.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include "control/health/probe.hpp"
#include "dataplane/core/checksum.h"
#include "dataplane/core/wire.h"
#include "tests/unit/tunnel_fixture.hpp"

namespace guideway::xdp {
namespace {

constexpr uint16_t kPort = 8080;
constexpr int kPatienceMs = 700;

sockaddr_in6 any_socket_address(const std::string &text, uint16_t port)
{
    sockaddr_in6 result{};
    auto &four = reinterpret_cast<sockaddr_in &>(result);
    if (inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        four.sin_port = htons(port);
    } else {
        result.sin6_family = AF_INET6;
        result.sin6_port = htons(port);
        inet_pton(AF_INET6, text.c_str(), &result.sin6_addr);
    }
    return result;
}

// Sends back what it is sent, once, and closes.
class EchoServer {
  public:
    EchoServer() = default;
    EchoServer(const EchoServer &) = delete;
    EchoServer &operator=(const EchoServer &) = delete;
    ~EchoServer()
    {
        stopping_ = true;
        for (auto &thread : threads_) {
            thread.join();
        }
        for (const int fd : listening_) {
            close(fd);
        }
    }

    void listen_on(const std::string &text)
    {
        const auto where = any_socket_address(text, kPort);
        const int fd = socket(where.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr *>(&where), sizeof(where)), 0);
        ASSERT_EQ(listen(fd, 16), 0);
        listening_.push_back(fd);
        threads_.emplace_back([this, fd] { serve(fd); });
    }

  private:
    void serve(int fd)
    {
        while (!stopping_) {
            pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
            if (poll(&waiting, 1, 20) != 1) {
                continue;
            }
            const int client = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
            const timeval patience{.tv_sec = 2, .tv_usec = 0};
            setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            std::array<char, 65536> bytes{};
            size_t there = 0;
            for (ssize_t more = 0; there < bytes.size(); there += static_cast<size_t>(more)) {
                more = recv(client, bytes.data() + there, bytes.size() - there, 0);
                if (more <= 0 || bytes[there + static_cast<size_t>(more) - 1] == '\n') {
                    there += more > 0 ? static_cast<size_t>(more) : 0;
                    break;
                }
            }
            send(client, bytes.data(), there, MSG_NOSIGNAL);
            close(client);
        }
    }

    std::atomic<bool> stopping_ = false;
    std::vector<int> listening_;
    std::vector<std::thread> threads_;
};

// Connects with `mark`, sends `text` and returns what came back; "" when there was no answer.
std::string exchange(const std::string &service, uint32_t mark, const std::string &text)
{
    const auto where = any_socket_address(service, kPort);
    const Descriptor fd(
        socket(where.sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int hops = GW_PROBE_HOPS_OUTSIDE;
    const int segment_bytes = GW_PROBE_SEGMENT_BYTES;
    const linger reset{.l_onoff = 1, .l_linger = 0};  // nothing is sent after the test
    setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
    if (where.sin6_family == AF_INET) {
        setsockopt(fd.get(), IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
    } else {
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops));
    }
    setsockopt(fd.get(), IPPROTO_TCP, TCP_MAXSEG, &segment_bytes, sizeof(segment_bytes));
    const int connected =
        connect(fd.get(), reinterpret_cast<const sockaddr *>(&where), sizeof(where));
    EXPECT_TRUE(connected == 0 || errno == EINPROGRESS || errno == ENETUNREACH) << errno;
    pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    if (poll(&waiting, 1, kPatienceMs) != 1 || (waiting.revents & POLLERR) != 0) {
        return "";
    }
    send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    std::string back;
    for (waiting.events = POLLIN; poll(&waiting, 1, kPatienceMs) == 1;) {
        std::array<char, 4096> bytes{};
        const ssize_t count = recv(fd.get(), bytes.data(), bytes.size(), 0);
        if (count <= 0) {
            break;
        }
        back.append(bytes.data(), static_cast<size_t>(count));
    }
    return back;
}

// 0xffff when the header's checksum is right.
uint16_t sum_of(const gw_ipv4 &header)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof(header); i += 2) {
        sum += gw_load16(reinterpret_cast<const uint8_t *>(&header) + i);
    }
    return gw_sum_fold(sum);
}

class ProbePathTest : public TunnelTest {
  protected:
    static void SetUpTestSuite()
    {
        TunnelTest::SetUpTestSuite();
        if (geteuid() == 0) {
            in_backend(GUIDEWAY_DECAP " attach gpt1 >/dev/null");
        }
    }

    void SetUp() override
    {
        TunnelTest::SetUp();
        if (IsSkipped()) {
            return;
        }
        as_backend([&] {
            server_.listen_on(kService4);
            server_.listen_on(kService6);
        });
        write_backend(1, "10.9.0.2");
        write_backend(2, "fd09::2");
        auto loaded = ProbePath::load(fast_path_->tables(), fast_path_->region_fd());
        ASSERT_OK(loaded);
        path_.emplace(std::move(*loaded));
    }

    [[nodiscard]] uint64_t count(gw_probe_outcome outcome) const
    {
        return path_->counts()[outcome];
    }

    EchoServer server_;
    std::optional<ProbePath> path_;
};

TEST_F(ProbePathTest, CarriesConnectionsInAllFourCombinationsOfFamilies)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    for (const auto *service : {kService4, kService6}) {
        for (const uint32_t backend : {1U, 2U}) {
            EXPECT_EQ(exchange(service, gw_probe_mark(backend), "hello\n"), "hello\n")
                << service << " by backend " << backend;
        }
    }
    EXPECT_GE(count(GW_PROBE_SENT), 4U * 3U);
    for (uint32_t other = GW_PROBE_SENT + 1; other < GW_PROBE_OUTCOMES; other++) {
        EXPECT_EQ(path_->counts()[other], 0U) << other;
    }
}

TEST_F(ProbePathTest, CarriesTheProbersProbes)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    boost::asio::io_context loop;
    health::Prober prober(loop);
    for (const auto *service : {kService4, kService6}) {
        health::ProbeTarget target{
            .address = address(service), .port = kPort, .timeout = std::chrono::seconds(1)};
        std::vector<std::string> reasons;
        for (const uint32_t backend : {1U, 2U, 7U}) {
            target.mark = gw_probe_mark(backend);
            prober.probe(target, [&](const health::ProbeResult &result) {
                reasons.push_back(result.reason);
            });
        }
        // Several segments, to a server that sends back what it is sent up to the end of a line.
        target.kind = health::ProbeKind::kHttp;
        target.path = "/" + std::string(4000, 'x');
        target.mark = gw_probe_mark(2);
        prober.probe(target, [&](const health::ProbeResult &result) {
            EXPECT_TRUE(result.reason.starts_with("the answer is not HTTP")) << result.reason;
        });
        while (prober.under_way() > 0) {
            loop.run_one();
        }
        EXPECT_EQ(reasons, (std::vector<std::string>{"", "", "no answer within 1 s"}));
    }
    // Without the program, what leaves ends at the first router.
    ASSERT_OK(path_->detach());
    const Wire wire("gpr0");
    health::ProbeTarget target{.address = address(kService4),
                               .port = kPort,
                               .mark = gw_probe_mark(1),
                               .timeout = std::chrono::milliseconds(300)};
    prober.probe(target, [](const health::ProbeResult &result) {
        EXPECT_EQ(result.reason, "no answer within 300 ms");
    });
    loop.restart();
    loop.run();
    const auto frame = wire.next();
    ASSERT_GT(frame.size(), 34U);
    EXPECT_EQ(reinterpret_cast<const gw_ipv4 *>(frame.data() + 14)->ttl, GW_PROBE_HOPS_OUTSIDE);
}

TEST_F(ProbePathTest, CarriesThemFromTheInterfaceThatLeadsToTheBackendToo)
{
    run("ip route add 203.0.113.10 via 10.9.0.77 dev gpt0 onlink"
        " && ip neighbour replace 10.9.0.77 lladdr 02:00:00:00:00:02 dev gpt0");
    ASSERT_OK(path_->attach({"gpr0", "gpt0"}));
    EXPECT_EQ(exchange(kService4, gw_probe_mark(1), "hello\n"), "hello\n");
    EXPECT_EQ(exchange(kService6, gw_probe_mark(1), "hello\n"), "hello\n")
        << "leaves by gpr0, then meets the program on gpt0";
    run("ip route del 203.0.113.10");
}

TEST_F(ProbePathTest, CarriesRequestsOfSeveralSegments)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    std::string request(9000, 'x');
    request += '\n';
    for (const auto *service : {kService4, kService6}) {
        for (const uint32_t backend : {1U, 2U}) {
            EXPECT_EQ(exchange(service, gw_probe_mark(backend), request), request)
                << service << " by backend " << backend;
        }
    }
}

TEST_F(ProbePathTest, WritesTheFrameThatTheBackendsRecordHolds)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    using Tags = std::vector<model::VlanTag>;
    const Wire wire("gpt0");
    for (const auto *backend : {"10.9.0.2", "fd09::2"}) {
        for (const auto &tags :
             {Tags{}, Tags{{.protocol = 0x8100, .id = 7}},
              Tags{{.protocol = 0x88a8, .id = 5}, {.protocol = 0x8100, .id = 6}}}) {
            write_backend(3, backend, tags);
            const auto &record = fast_path_->tables().backends()[3];
            const size_t l2_bytes = GW_ETHERNET_BYTES + tags.size() * GW_VLAN_BYTES;
            const std::string l2(
                reinterpret_cast<const char *>(record.outer[1]) + GW_OUTER_L3_OFFSET - l2_bytes,
                l2_bytes);
            exchange(kService4, gw_probe_mark(3), "");
            std::string frame;
            do {
                frame = wire.next();
            } while (frame.size() > 14 && !frame.starts_with(l2));
            ASSERT_TRUE(frame.starts_with(l2)) << backend << ", tags: " << tags.size();
            const bool is_ipv6 = record.encapsulation[1].l3_bytes == GW_IPV6_BYTES;
            const auto *inner = reinterpret_cast<const gw_ipv4 *>(
                frame.data() + l2_bytes + record.encapsulation[1].l3_bytes);
            EXPECT_EQ(inner->ttl, GW_PROBE_HOPS);
            EXPECT_EQ(sum_of(*inner), 0xffff);
            const size_t inner_bytes = frame.size() - l2_bytes - (is_ipv6 ? 40 : 20);
            EXPECT_EQ(gw_from_be16(inner->total_bytes), inner_bytes);
            if (is_ipv6) {
                const auto &outer = *reinterpret_cast<const gw_ipv6 *>(frame.data() + l2_bytes);
                EXPECT_EQ(gw_from_be16(outer.payload_bytes), inner_bytes);
                EXPECT_EQ(outer.next_header, GW_PROTO_IPIP);
            } else {
                const auto &outer = *reinterpret_cast<const gw_ipv4 *>(frame.data() + l2_bytes);
                EXPECT_EQ(sum_of(outer), 0xffff);
                EXPECT_EQ(gw_from_be16(outer.total_bytes), inner_bytes + 20);
                EXPECT_EQ(outer.protocol, GW_PROTO_IPIP);
            }
        }
    }
}

TEST_F(ProbePathTest, DropsWhatHasNoWayToItsBackend)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    const Wire wire("gpr0");
    EXPECT_EQ(exchange(kService4, gw_probe_mark(7), "hello\n"), "");
    EXPECT_EQ(count(GW_PROBE_NO_SUCH_BACKEND), 1U);
    EXPECT_EQ(exchange(kService4, gw_probe_mark(kCapacity.backends_max + 1), "hello\n"), "");
    EXPECT_EQ(count(GW_PROBE_NO_SUCH_BACKEND), 2U) << "beyond the tables";
    fast_path_->tables().backends()[1].state = GW_BACKEND_IN_USE | GW_BACKEND_COPY;
    EXPECT_EQ(exchange(kService4, gw_probe_mark(1), "hello\n"), "");
    EXPECT_EQ(count(GW_PROBE_UNRESOLVED), 1U);
    write_backend(1, "10.9.0.2", {}, 60);
    EXPECT_EQ(exchange(kService4, gw_probe_mark(1), "hello\n"), "");
    EXPECT_EQ(count(GW_PROBE_TOO_BIG), 1U);
    EXPECT_EQ(count(GW_PROBE_SENT), 0U);
    // The last thing that the wire saw must be what is sent now.
    const std::string last(100, 'x');
    const Descriptor plain(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto where = any_socket_address("192.0.2.1", kPort);
    sendto(plain.get(), last.data(), last.size(), 0, reinterpret_cast<const sockaddr *>(&where),
           sizeof(where));
    std::string frame;
    do {
        frame = wire.next();
        ASSERT_FALSE(frame.empty());
        const auto &ip = *reinterpret_cast<const gw_ipv4 *>(frame.data() + GW_ETHERNET_BYTES);
        EXPECT_NE(ip.protocol, GW_PROTO_TCP) << "a probe left outside the tunnel";
    } while (!frame.ends_with(last));
}

TEST_F(ProbePathTest, LeavesPacketsWithoutTheMarkAlone)
{
    ASSERT_OK(path_->attach({"gpt0"}));
    for (const uint32_t mark : {0U, 0x47560001U, 1U}) {
        EXPECT_EQ(exchange("10.9.0.2", mark, ""), "");
    }
    as_backend([&] { server_.listen_on("10.9.0.2"); });
    for (const uint32_t mark : {0U, 0x47560001U, 1U}) {
        EXPECT_EQ(exchange("10.9.0.2", mark, "hello\n"), "hello\n") << mark;
    }
    EXPECT_EQ(path_->counts(), (std::array<uint64_t, GW_PROBE_OUTCOMES>{}));
}

std::string filters_on(const std::string &interface)
{
    FILE *shown = popen(("tc filter show dev " + interface + " egress").c_str(), "r");
    std::string text;
    std::array<char, 512> line{};
    while (fgets(line.data(), line.size(), shown) != nullptr) {
        text += line.data();
    }
    pclose(shown);
    return text;
}

int programs_in(const std::string &filters)
{
    const std::string name = " name " GW_PROBE_PROGRAM_NAME;
    int programs = 0;
    for (size_t at = 0; (at = filters.find(name, at)) != std::string::npos; at++) {
        programs++;
    }
    return programs;
}

// A classifier of somebody else, which has nothing to say.
void attach_foreign_classifier(const std::string &interface, uint32_t handle)
{
    const bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    const Descriptor program(
        bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "somebody", "GPL", instructions, 2, nullptr));
    ASSERT_TRUE(program.valid());
    LIBBPF_OPTS(bpf_tc_hook, hook,
                .ifindex = static_cast<int>(if_nametoindex(interface.c_str())),
                .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, place, .prog_fd = program.get(), .handle = handle,
                .priority = GW_PROBE_PRIORITY);
    ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
    ASSERT_EQ(bpf_tc_attach(&hook, &place), 0);
}

TEST_F(ProbePathTest, TakesThePlaceOfAnOlderProgramAndLeavesOthers)
{
    attach_foreign_classifier("gpr0", 9);
    ASSERT_OK(path_->attach({"gpr0", "gpr1"}));
    EXPECT_EQ(path_->interfaces(), (std::vector<std::string>{"gpr0", "gpr1"}));
    EXPECT_TRUE(path_->intact());
    auto next = ProbePath::load(fast_path_->tables(), fast_path_->region_fd());
    ASSERT_OK(next);
    ASSERT_OK(next->attach({"gpr0"}));
    EXPECT_EQ(programs_in(filters_on("gpr0")), 1) << filters_on("gpr0");
    EXPECT_EQ(programs_in(filters_on("gpr1")), 0) << "no longer listed";
    EXPECT_FALSE(path_->intact());
    EXPECT_TRUE(next->intact());
    EXPECT_EQ(exchange(kService4, gw_probe_mark(1), "hello\n"), "hello\n");
    ASSERT_OK(next->detach());
    EXPECT_EQ(programs_in(filters_on("gpr0")), 0);
    EXPECT_NE(filters_on("gpr0").find("handle 0x9"), std::string::npos) << filters_on("gpr0");
}

TEST_F(ProbePathTest, FindsWhatAKilledDaemonLeft)
{
    ASSERT_OK(path_->attach({"gpr0", "gpr1"}));
    path_.reset();
    EXPECT_EQ(programs_in(filters_on("gpr1")), 1) << "as a daemon that was killed leaves it";
    auto next = ProbePath::load(fast_path_->tables(), fast_path_->region_fd());
    ASSERT_OK(next);
    ASSERT_OK(next->attach({"gpr0"}));
    EXPECT_EQ(programs_in(filters_on("gpr1")), 0);
    auto removed = ProbePath::remove(pin_directory_);
    ASSERT_OK(removed);
    EXPECT_EQ(*removed, std::vector<std::string>{"gpr0"});
    EXPECT_EQ(programs_in(filters_on("gpr0")), 0);
    EXPECT_FALSE(next->intact());
}

TEST_F(ProbePathTest, RefusesTheInterfaceOfAnotherInstance)
{
    ASSERT_OK(path_->attach({"gpr0"}));
    FastPath::Options options{.pin_directory = pin_directory_.native() + "-other",
                              .capacity = kCapacity,
                              .hash_key = kKey};
    auto other = FastPath::open(options);
    ASSERT_OK(other);
    auto other_path = ProbePath::load(other->tables(), other->region_fd());
    ASSERT_OK(other_path);
    const auto refused = other_path->attach({"gpr0", "gpr1"});
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message.find("gpr0 carries 'guideway_probe'"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(other_path->interfaces(), std::vector<std::string>{"gpr1"}) << "the others are";
    EXPECT_EQ(exchange(kService4, gw_probe_mark(1), "hello\n"), "hello\n");
    // The command that the refusal names does what it says.
    run("tc filter del dev gpr0 egress pref 1 handle " + std::to_string(GW_PROBE_HANDLE) +
        " bpf");
    ASSERT_OK(other_path->attach({"gpr0"}));
    ASSERT_OK(other_path->detach());
    ASSERT_OK(other->detach());
}

TEST_F(ProbePathTest, SaysWhatAnInterfaceLacks)
{
    const auto refused = path_->attach({"lo0", "gpr0", "gptun"});
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message.find("lo0"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(path_->interfaces(), std::vector<std::string>{"gpr0"});
    run("ip tuntap add gptun mode tun");
    const auto without = path_->attach({"gptun"});
    run("ip link del gptun");
    ASSERT_FALSE(without.has_value());
    EXPECT_NE(without.error().message.find("gptun has no Ethernet headers"), std::string::npos)
        << without.error().message;
}

}  // namespace
}  // namespace guideway::xdp
