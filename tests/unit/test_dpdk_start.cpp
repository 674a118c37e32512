// How guideway-dpdk starts, or does not: one clear error, and nothing left behind.
#include <algorithm>

#include "tests/unit/dpdk_fixture.hpp"

namespace guideway::dpdk {
namespace {

class DpdkStart : public DpdkTest {
  protected:
    // Ends with exit code 1 and one line on standard error that has all of `words` in it.
    void expect_refused(const std::vector<std::string> &more,
                        const std::vector<std::string> &words)
    {
        launch(more);
        EXPECT_EQ(engine_->wait(), 1);
        const std::string said = engine_->said();
        EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
        for (const auto &word : words) {
            EXPECT_NE(said.find(word), std::string::npos) << "no '" << word << "' in: " << said;
        }
        for (const char *name : {"gwp0", "gwq0"}) {
            EXPECT_EQ(if_nametoindex(name), 0U) << said;
        }
    }
};

TEST_F(DpdkStart, ErrorsSayWhatIsWrongAndLeaveNothingBehind)
{
    expect_refused({"--port", "gwd0=net_af_packet,colour=red"},
                   {"port gwd0", "refuses its arguments", "colour=red"});
    expect_refused({"--port", "gwp0=net_af_paket0"},
                   {"port gwp0", "no driver", "net_af_paket0"});
    expect_refused({"--port", "gwd7=net_af_packet"}, {"there is no interface gwd7"});
    expect_refused({"--port", "gwp0=0000:99:00.0"}, {"no device 0000:99:00.0", "vfio-pci"});
    expect_refused({"--port", "gwp0=net_pcap0,rx_pcap=/none,tx_pcap=/none"},
                   {"port gwp0", "/none"});
    expect_refused({"--port", "gwp0=net_null0", "--port", "gwd0=net_null1"},
                   {"an interface gwd0 already", "not this engine's tap"});
    expect_refused({"--port", "gwd0=net_af_packet", "--cores", "1023"},
                   {"--cores 1023", "no CPU 1023"});
    expect_refused({"--port", "gwd0=net_af_packet", "--queues", "2"},
                   {"--queues 2", "--workers"});
    expect_refused({"--port", "gwp0=net_null0,no-rx=1", "--memory", "1"},
                   {"--memory 1", "give at least"});
    expect_refused({"--port", "gwp0=net_null0", "--memory", "900000", "--hugepages", "require"},
                   {"--hugepages require", "are needed", "vm.nr_hugepages"});
    EXPECT_EQ(page().state, EngineState::kFailed);
    EXPECT_NE(std::string(page().message.data()).find("--hugepages require"),
              std::string::npos);
}

TEST_F(DpdkStart, ASecondEngineOfTheInstanceIsRefused)
{
    start({"--port", "gwd0=net_af_packet"}, EngineState::kWaiting);
    Engine second(directory_ / "second", arguments({"--port", "gwd0=net_af_packet"}));
    EXPECT_EQ(second.wait(), 1);
    EXPECT_NE(second.said().find("has a running engine already, process " +
                                 std::to_string(engine_->pid())),
              std::string::npos)
        << second.said();
    EXPECT_EQ(page().state, EngineState::kWaiting);
    EXPECT_EQ(page().pid, static_cast<uint32_t>(engine_->pid()));
}

TEST_F(DpdkStart, AKilledOneStopsNothing)
{
    pin_tables("gwd0");
    for (int i = 0; i < 3; i++) {
        start({"--port", "gwd0=net_af_packet", "--port", "gwp0=net_null0,no-rx=1"});
        const Wire wire("gwd1");
        wire.send(request());
        EXPECT_TRUE(wire.brings(forwarded(request()))) << engine_->said();
        // As one that has died in the middle of a burst.
        auto &epoch = fast_path_->tables().counters_area(0).epoch;
        EXPECT_EQ(engine_->end(SIGKILL), -1);
        epoch |= 1;
    }
    start({"--port", "gwd0=net_af_packet", "--port", "gwp0=net_null0,no-rx=1"});
    EXPECT_EQ(fast_path_->tables().counters_area(0).epoch % 2, 0U);
    EXPECT_EQ(engine_->end(SIGTERM), 0);
}

TEST_F(DpdkStart, AKilledServersSocketIsTakenOver)
{
    const std::string path = (directory_ / "socket").string();
    const std::vector<std::string> devices = {
        "net_vhost0,iface=" + path, "net_memif0,role=server,socket-abstract=no,socket=" + path};
    for (const auto &device : devices) {
        for (int i = 0; i < 2; i++) {
            start({"--port", "gwp0=" + device}, EngineState::kWaiting);
            EXPECT_TRUE(std::filesystem::is_socket(path));
            EXPECT_EQ(engine_->end(SIGKILL), -1);
        }
        xdp::run("ip link del gwp0");
        // Somebody else's is left alone.
        std::filesystem::remove(path);
        Engine other(directory_ / "other",
                     {"--instance", "other", "--bpffs", bpf_directory_, "--run-dir", directory_,
                      "--memory", "16", "--port", "gww0=" + device});
        ASSERT_TRUE(comes_true([&] { return std::filesystem::is_socket(path); }));
        expect_refused({"--port", "gwd0=net_af_packet", "--port", "gwq0=" + device},
                       {"Address already in use"});
        EXPECT_EQ(other.end(SIGTERM), 0) << other.said();
        std::filesystem::remove(path);
    }
}

TEST_F(DpdkStart, PacketBuffersFitIntoOrdinaryPagesToo)
{
    for (const std::string memory : {"64", "100"}) {
        start({"--port", "gwp0=net_null0,no-rx=1", "--memory", memory, "--hugepages", "off"},
              EngineState::kWaiting);
        EXPECT_EQ(page().memory.data(), std::string("4 KiB pages"));
        EXPECT_GT(page().buffers, 400 * std::stoul(memory));
        EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
        start({"--port", "gwd0=net_af_xdp", "--memory", memory, "--hugepages", "off"},
              EngineState::kWaiting);
        EXPECT_GT(page().buffers, 200 * std::stoul(memory));
        EXPECT_EQ(engine_->end(SIGTERM), 0) << engine_->said();
    }
}

TEST_F(DpdkStart, TellsWhatItWasStartedWith)
{
    start({"--port=gwp0=net_null0,no-rx=1", "--hugepages=off", "--log-level=error"},
          EngineState::kWaiting);
    const std::string wanted =
        "--instance\ntest\n--bpffs\n" + bpf_directory_.string() + "\n--run-dir\n" +
        directory_.string() +
        "\n--memory\n16\n--port=gwp0=net_null0,no-rx=1\n--hugepages=off\n"
        "--log-level=error";
    EXPECT_EQ(std::string(page().arguments.data()), wanted);
    EXPECT_STREQ(page().memory.data(), "4 KiB pages");
    EXPECT_EQ(engine_->end(SIGINT), 0);
    EXPECT_EQ(engine_->said(), "");
}

TEST_F(DpdkStart, TablesOfAnotherBuildAreRefused)
{
    pin_tables("gwd0");
    fast_path_->tables().header().layout.pins_offset += 64;
    launch({"--port", "gwd0=net_af_packet"});
    EXPECT_EQ(engine_->wait(), 1);
    EXPECT_NE(engine_->said().find("made by another build"), std::string::npos)
        << engine_->said();
}

}  // namespace
}  // namespace guideway::dpdk
