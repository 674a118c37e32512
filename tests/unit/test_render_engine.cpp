// The DPDK engine in the API's answers, and as the command line shows them.
#include "control/daemon/render_engine.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tools/guideway/views.hpp"

namespace guideway::daemon {
namespace {

using nlohmann::json;

template <typename Array>
void put(Array &array, const std::string &text)
{
    std::memcpy(array.data(), text.data(), text.size());
}

const model::Desired kDesired{
    .interfaces = {"gw-none0", "gw-none1"},
    .engine = model::Engine::kDpdk,
    .dpdk = {.ports = {{.interface = "gw-none0", .device = "net_af_packet"},
                       {.interface = "gw-none1", .device = "net_memif"}}}};

dpdk::EnginePage page()
{
    dpdk::EnginePage page{};
    page.state = dpdk::EngineState::kRunning;
    page.pid = 4712;
    page.started_unix = 1769860800;
    put(page.build, "0.1.0");
    put(page.memory, "2 MiB hugepages");
    page.buffers = 32768;
    page.buffers_free = 31000;
    page.workers = 2;
    page.worker[0] = {.cpu = 3, .packets = 1000, .bursts = 40, .no_port = 5};
    page.worker[1].cpu = 0xffffffff;
    page.ports = 1;
    auto &port = page.port[0];
    put(port.interface, "gw-none0");
    put(port.device, "net_af_packet0,iface=gw-none0");
    put(port.driver, "net_af_packet");
    port.is_up = 1;
    port.speed_mbps = 25000;
    port.mtu_bytes = 1500;
    port.rx_queues = 2;
    port.tx_queues = 2;
    port.mac = {2, 0, 0, 0, 0, 0x1f};
    port.rx_packets = 1234567;
    port.rx_no_buffer = 7;
    port.tx_full = 3;
    return page;
}

TEST(RenderEngine, TellsOfTheProcessItsBuffersAndItsWorkers)
{
    const json engine = render_engine(page(), kDesired.dpdk, {0.25});
    EXPECT_EQ(engine["state"], "running");
    EXPECT_EQ(engine["start"], "daemon");
    EXPECT_EQ(engine["pid"], 4712);
    EXPECT_EQ(engine["since"], "2026-01-31T12:00:00Z");
    EXPECT_EQ(engine["build"], "0.1.0");
    EXPECT_EQ(engine["memory"], "2 MiB hugepages");
    EXPECT_EQ(engine["buffers"], (json{{"total", 32768}, {"free", 31000}}));
    ASSERT_EQ(engine["workers"].size(), 2U);
    EXPECT_EQ(engine["workers"][0]["cpu"], 3);
    EXPECT_EQ(engine["workers"][0]["packets"], 1000);
    EXPECT_EQ(engine["workers"][0]["no_port"], 5);
    EXPECT_EQ(engine["workers"][0]["busy_share"], 0.25);
    EXPECT_TRUE(engine["workers"][1]["cpu"].is_null());
}

TEST(RenderEngine, TellsOfPortsWhereTheEngineHasThem)
{
    const json ports = render_ports(page(), kDesired);
    ASSERT_EQ(ports.size(), 2U);
    EXPECT_EQ(ports[0]["name"], "gw-none0");
    EXPECT_EQ(ports[0]["mode"], "dpdk");
    EXPECT_EQ(ports[0]["device"], "net_af_packet0,iface=gw-none0");
    EXPECT_EQ(ports[0]["kind"], "shared");
    EXPECT_EQ(ports[0]["link"], "up");
    EXPECT_EQ(ports[0]["speed_mbps"], 25000);
    EXPECT_EQ(ports[0]["mac"], "02:00:00:00:00:1f");
    EXPECT_EQ(ports[0]["queues"], (json{{"rx", 2}, {"tx", 2}}));
    EXPECT_EQ(ports[0]["rx_no_buffer"], 7);
    EXPECT_EQ(ports[1]["name"], "gw-none1");
    EXPECT_EQ(ports[1]["device"], "net_memif");
    EXPECT_TRUE(ports[1]["link"].is_null());
    EXPECT_FALSE(ports[1].contains("rx_packets"));
}

TEST(RenderEngine, SaysThatNoneRuns)
{
    const json engine = render_engine(std::nullopt, kDesired.dpdk, {});
    EXPECT_EQ(engine["state"], "not running");
    EXPECT_TRUE(engine["pid"].is_null());
    EXPECT_EQ(engine["workers"], json::array());
    EXPECT_EQ(render_ports(std::nullopt, kDesired).size(), 2U);
    EXPECT_EQ(render_port_counters(std::nullopt), json::array());
}

TEST(RenderEngine, CountsWhatIsLostAtPorts)
{
    const json rows = render_port_counters(page());
    uint64_t lost = 0;
    for (const auto &row : rows) {
        EXPECT_EQ(row["port"], "gw-none0");
        EXPECT_NE(row["meaning"], "");
        lost += row["name"] == "rx_no_buffer" || row["name"] == "tx_full"
                    ? row["count"].get<uint64_t>()
                    : 0;
    }
    EXPECT_EQ(lost, 10U);
}

TEST(RenderEngine, IsShownByTheCommandLine)
{
    const json status = {{"instance", "e"},
                         {"state", "serving"},
                         {"engine", "dpdk"},
                         {"dpdk", render_engine(page(), kDesired.dpdk, {0.25})},
                         {"interfaces", render_ports(page(), kDesired)}};
    const std::string view = cli::status_view(status, false);
    for (const auto *part :
         {"gw-none0", "net_af_packet0,iface=gw-none0", "shared", "25Gbit/s", "1,234,567",
          "running since 2026-01-31T12:00:00Z", "pid 4712",
          "31,000 of 32,768 free, in 2 MiB hugepages", "CPU 3 1,000 packets"}) {
        EXPECT_NE(view.find(part), std::string::npos) << part << "\n" << view;
    }
    const std::string counters =
        cli::counters_view({{"ports", render_port_counters(page())}}, false, false);
    EXPECT_NE(counters.find("rx_no_buffer"), std::string::npos) << counters;
    EXPECT_EQ(counters.find("rx_missed"), std::string::npos) << "of zero";
}

TEST(RenderEngine, IsShownByTheCommandLineWhenItDoesNotRun)
{
    const json status = {{"instance", "e"},
                         {"state", "serving"},
                         {"engine", "dpdk"},
                         {"dpdk", render_engine(std::nullopt, kDesired.dpdk, {})},
                         {"interfaces", render_ports(std::nullopt, kDesired)}};
    const std::string view = cli::status_view(status, false);
    EXPECT_NE(view.find("dpdk, not running"), std::string::npos) << view;
}

}  // namespace
}  // namespace guideway::daemon
