// The real guideway-dpdk in a network namespace of the test process's own, with tables that a
// daemon could have pinned.
#pragma once

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/core/wire.h"
#include "dataplane/dpdk/engine_page.hpp"
#include "tests/packets/notation.hpp"
#include "tests/packets/world.hpp"
#include "tests/unit/fast_path_fixture.hpp"

#ifndef GUIDEWAY_DPDK
#define GUIDEWAY_DPDK "guideway-dpdk"  // the build names the one that it made
#endif

namespace guideway::dpdk {

using packets::Bytes;
using namespace std::chrono_literals;

inline constexpr auto kPatience = 20s;  // for what takes milliseconds

inline bool comes_true(const std::function<bool()> &condition,
                       std::chrono::milliseconds patience = kPatience)
{
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= until) {
            return false;
        }
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

inline Bytes frame(const std::string &text, const Bytes &received = {})
{
    auto bytes = packets::frame_from_text(text, received);
    EXPECT_TRUE(bytes) << bytes.error().message;
    return bytes.value_or(Bytes{});
}

// Sees and sends what is on the wire of one interface.
class Wire {
  public:
    explicit Wire(const std::string &interface)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    {
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_protocol = gw_to_be16(ETH_P_ALL).raw;
        to.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr *>(&to), sizeof(to)), 0) << interface;
        const int bytes = 16 << 20;
        setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    }
    Wire(const Wire &) = delete;
    Wire &operator=(const Wire &) = delete;
    ~Wire() { close(fd_); }

    void send(const Bytes &bytes) const
    {
        EXPECT_EQ(write(fd_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()))
            << std::strerror(errno);
    }
    // The next frame that came in from elsewhere.
    [[nodiscard]] std::optional<Bytes> next() const
    {
        Bytes bytes(65536);
        sockaddr_ll from{};
        socklen_t from_bytes = sizeof(from);
        while (true) {
            const auto got = recvfrom(fd_, bytes.data(), bytes.size(), 0,
                                      reinterpret_cast<sockaddr *>(&from), &from_bytes);
            if (got < 0) {
                return std::nullopt;
            }
            if (from.sll_pkttype != PACKET_OUTGOING) {
                bytes.resize(static_cast<size_t>(got));
                return bytes;
            }
        }
    }
    [[nodiscard]] bool brings(const Bytes &wanted) const
    {
        return comes_true([&] {
            while (const auto got = next()) {
                if (*got == wanted) {
                    return true;
                }
            }
            return false;
        });
    }

  private:
    int fd_;
};

// One process of guideway-dpdk.
class Engine {
  public:
    Engine(std::filesystem::path log, const std::vector<std::string> &arguments)
        : log_(std::move(log))
    {
        std::vector<std::string> words = {GUIDEWAY_DPDK};
        words.insert(words.end(), arguments.begin(), arguments.end());
        pid_ = fork();
        if (pid_ == 0) {
            const int fd = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
            dup2(fd, STDOUT_FILENO);
            dup2(fd, STDERR_FILENO);
            std::vector<char *> argv;
            for (auto &word : words) {
                argv.push_back(word.data());
            }
            argv.push_back(nullptr);
            execv(argv[0], argv.data());
            _exit(127);
        }
    }
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    ~Engine()
    {
        if (pid_ > 0) {
            end(SIGKILL);
        }
    }

    // Its exit code; -1 when it was killed, or does not end.
    int wait()
    {
        int status = 0;
        const bool ended = comes_true([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
        EXPECT_TRUE(ended) << "guideway-dpdk does not end; it said " << said();
        if (!ended) {
            return -1;
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    int end(int signal)
    {
        kill(pid_, signal);
        return wait();
    }
    [[nodiscard]] std::string said() const
    {
        std::ifstream file(log_);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    std::filesystem::path log_;
    pid_t pid_ = -1;
};

class DpdkTest : public xdp::FastPathTest {
  protected:
    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "packet sockets and taps need root";
        }
        std::string pattern = std::filesystem::temp_directory_path() / "gw-dpdk-XXXXXX";
        directory_ = mkdtemp(pattern.data());
        bpf_directory_ = "/sys/fs/bpf/guideway-test-" + std::to_string(getpid());
        options_.pin_directory = bpf_directory_ / "guideway" / "test";
        options_.capacity = xdp::kCapacity;
        options_.hash_key = packets::World{}.hash_key;
        xdp::run(
            "ip link add gwd0 type veth peer name gwd1 && ip link set gwd0 up && "
            "ip link set gwd1 up && ip link set lo up");
        // The kernel forwards nothing of its own, and says as little as it can.
        xdp::run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.disable_ipv6=1");
    }
    void TearDown() override
    {
        if (geteuid() == 0) {
            engine_.reset();
            std::system(
                "for name in gwd0 gwp0 gww0; do ip link del $name 2>/dev/null; done; true");
            std::error_code ignored;
            std::filesystem::remove_all(bpf_directory_, ignored);
            std::filesystem::remove_all(directory_, ignored);
        }
    }

    [[nodiscard]] std::vector<std::string> arguments(const std::vector<std::string> &more) const
    {
        std::vector<std::string> all = {"--instance",   "test",      "--bpffs",
                                        bpf_directory_, "--run-dir", directory_};
        if (std::ranges::find(more, "--memory") == more.end()) {
            all.insert(all.end(), {"--memory", "16"});
        }
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    void launch(const std::vector<std::string> &more)
    {
        engine_.emplace(directory_ / "log", arguments(more));
    }
    void start(const std::vector<std::string> &more, EngineState state = EngineState::kRunning)
    {
        launch(more);
        const pid_t pid = engine_->pid();
        ASSERT_TRUE(comes_true([&] {
            const auto page = read_page();
            return page && page->pid == static_cast<uint32_t>(pid) && page->state == state;
        })) << engine_->said();
    }
    // What it says of itself, read as the daemon would.
    [[nodiscard]] std::optional<EnginePage> read_page() const
    {
        std::ifstream file(directory_ / "test.dpdk", std::ios::binary);
        EnginePage page{};
        if (!file.read(reinterpret_cast<char *>(&page), sizeof(page)) ||
            page.magic != kEnginePageMagic || page.sequence % 2 != 0) {
            return std::nullopt;
        }
        return page;
    }
    [[nodiscard]] EnginePage page() const
    {
        std::optional<EnginePage> page;
        EXPECT_TRUE(comes_true([&] { return (page = read_page()).has_value(); }));
        return page.value_or(EnginePage{});
    }

    // One service, 203.0.113.10:443, whose one backend is behind `egress`.
    void pin_tables(const std::string &egress)
    {
        packets::Words words(
            "four tunnel 10.1.0.2 -> 10.2.0.2 next-hop 02:00:00:00:00:01 -> 02:00:00:00:00:fe "
            "egress " +
            std::to_string(if_nametoindex(egress.c_str())));
        packets::World world;
        world.backends.push_back(packets::parse_backend(words));
        packets::Words service("web tcp 203.0.113.10 443 ring four");
        world.services.push_back(packets::parse_service(service));
        ASSERT_FALSE(words.error() || service.error());
        fast_path_.emplace(open_or_die());
        auto &tables = fast_path_->tables();
        ASSERT_OK(packets::write_world(tables, world));
        auto &entry = tables.services()[0];
        entry.address = {.high = GW_IPV4_TAG, .low = 0x0a7100cb};
        entry.protocol = GW_PROTO_TCP;
        entry.port_raw = gw_to_be16(443).raw;
    }
    static Bytes request(const std::string &tcp = "tcp 40000 -> 443 ACK")
    {
        return frame(
            "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 192.0.2.1 -> 203.0.113.10 "
            "/ " +
            tcp + " / payload 20");
    }
    static Bytes forwarded(const Bytes &request)
    {
        return frame(
            "ethernet 02:00:00:00:00:01 -> 02:00:00:00:00:fe / ipv4 10.1.0.2 -> 10.2.0.2 df / "
            "inner",
            request);
    }

    std::filesystem::path directory_;
    std::filesystem::path bpf_directory_;
    std::optional<xdp::FastPath> fast_path_;
    std::optional<Engine> engine_;
};

}  // namespace guideway::dpdk
