// What guideway-dpdk is asked for, and the page that it tells of itself in.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "dataplane/dpdk/options.hpp"
#include "dataplane/dpdk/page_file.hpp"

namespace guideway::dpdk {
namespace {

Options options(const std::vector<std::string> &ports)
{
    Options options;
    options.instance = "edge-1";
    options.port_texts = ports;
    return options;
}

std::string problem(Options options)
{
    const auto completed = complete(options);
    return completed ? "" : completed.error().message;
}

TEST(DpdkOptions, AreReadFromTheirTexts)
{
    Options read = options({"eth0=net_af_packet,blocksz=4096", "dpdk0=0000:01:00.0"});
    read.workers = 4;
    read.cores_text = "2,4-6";
    ASSERT_EQ(problem(read), "");
    ASSERT_TRUE(complete(read));
    ASSERT_EQ(read.ports.size(), 2U);
    EXPECT_EQ(read.ports[0].interface, "eth0");
    EXPECT_EQ(read.ports[0].devargs, "net_af_packet,blocksz=4096");
    EXPECT_EQ(read.cores, (std::vector<uint32_t>{2, 4, 5, 6}));
    EXPECT_EQ(read.page_path(), "/run/guideway/edge-1.dpdk");
    EXPECT_EQ(read.pin_directory(), "/sys/fs/bpf/guideway/edge-1");
}

TEST(DpdkOptions, AreRefusedWithWhatWouldBeRight)
{
    for (const std::string port : {"eth0", "eth0=", "=net_null", "a/b=net_null", "eth0=,x=1",
                                   "eth0=net_null x", "sixteen-letters-=net_null"}) {
        const std::string said = problem(options({port}));
        EXPECT_TRUE(said.starts_with("--port " + port + ": ")) << said;
    }
    EXPECT_NE(problem(options({"e=" + std::string(256, 'x')})).find("up to 255"),
              std::string::npos);
    EXPECT_NE(problem(options({})).find("no port is given"), std::string::npos);
    EXPECT_NE(problem(options({"e=net_null", "e=net_null1"})).find("e is given already"),
              std::string::npos);
    EXPECT_NE(problem(options(std::vector<std::string>(17, "e=x"))).find("at most 16"),
              std::string::npos);
    auto wrong = options({"e=net_null"});
    wrong.instance = "../etc";
    EXPECT_NE(problem(wrong).find("cannot be the name of an instance"), std::string::npos);
    for (const std::string cores : {"", "x", "1,", "2-1", "1,1", "1-3,2", "-1", "9999", "1-"}) {
        EXPECT_FALSE(parse_cores(cores)) << cores;
    }
    wrong = options({"e=net_null"});
    wrong.cores_text = "1,2";
    EXPECT_NE(problem(wrong).find("names 2 CPUs for 1 workers"), std::string::npos);
    wrong.cores_text = "";
    wrong.queues = 2;
    EXPECT_NE(problem(wrong).find("--queues 2: more than --workers"), std::string::npos);
    wrong.queues = 0;
    wrong.memory_mib = 0;
    EXPECT_NE(problem(wrong).find("--memory 0"), std::string::npos);
    wrong.memory_mib = 64;
    wrong.workers = 128;
    EXPECT_NE(problem(wrong).find("--workers 128"), std::string::npos);
}

Device device(const std::string &devargs, uint32_t index = 0, uint32_t queues = 1)
{
    return device_of({"eth0", devargs}, index, queues);
}

TEST(DpdkOptions, DevicesAreNamedAndToldWhatTheInterfaceImplies)
{
    EXPECT_EQ(device("net_af_packet").devargs, "net_af_packet0,iface=eth0,framecnt=4096");
    EXPECT_EQ(device("net_af_packet", 3, 2).devargs,
              "net_af_packet3,iface=eth0,qpairs=2,framecnt=4096");
    EXPECT_EQ(device("net_af_packet7,iface=other,qpairs=1,framecnt=64", 3, 2).devargs,
              "net_af_packet7,iface=other,qpairs=1,framecnt=64");
    EXPECT_EQ(device_of({"eth0", "net_af_packet"}, 0, 1, 9000).devargs,
              "net_af_packet0,iface=eth0,framecnt=512,framesz=16384,blocksz=16384");
    EXPECT_EQ(device_of({"eth0", "net_af_packet"}, 0, 1, 2000).devargs,
              "net_af_packet0,iface=eth0,framecnt=2048,framesz=4096,blocksz=4096");
    EXPECT_EQ(device_of({"eth0", "net_af_packet,framesz=2048"}, 0, 1, 9000).devargs,
              "net_af_packet0,framesz=2048,iface=eth0");
    EXPECT_EQ(device("net_af_xdp,start_queue=1").devargs,
              "net_af_xdp0,start_queue=1,iface=eth0");
    EXPECT_EQ(device("vdev:net_null,size=64", 1).devargs, "net_null1,size=64");
    EXPECT_EQ(device("net_memif,role=server").devargs, "net_memif0,role=server");
}

TEST(DpdkOptions, DevicesAreSharedWithTheKernelByTheirKind)
{
    EXPECT_EQ(device("net_af_packet").kind, PortKind::kShared);
    EXPECT_EQ(device("eth_af_packet2").kind, PortKind::kShared);
    EXPECT_EQ(device("net_af_xdp").kind, PortKind::kDiverted);
    for (const std::string owned :
         {"net_tap,iface=x", "net_memif", "net_vhost0", "net_pcap", "net_null", "net_ring",
          "0000:01:00.0", "pci:0000:01:00.0,x=1", "01:00.7"}) {
        EXPECT_EQ(device(owned).kind, PortKind::kOwned) << owned;
    }
    EXPECT_TRUE(device("0000:01:00.0").is_pci);
    EXPECT_TRUE(device("pci:0000:af:00.1,x=1").is_pci);
    EXPECT_EQ(device("pci:0000:af:00.1,x=1").devargs, "0000:af:00.1,x=1");
    EXPECT_TRUE(device("01:00.7").is_pci);
    for (const std::string other : {"net_null0", "01:00.8", "x1:00.0", "0.0", "a:b:c:d.0"}) {
        EXPECT_FALSE(device(other).is_pci) << other;
    }
}

class DpdkPage : public testing::Test {
  protected:
    DpdkPage()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "gw-page-XXXXXX";
        directory_ = mkdtemp(pattern.data());
        path_ = directory_ / "run" / "edge.dpdk";
    }
    ~DpdkPage() override { std::filesystem::remove_all(directory_); }
    std::filesystem::path directory_;
    std::filesystem::path path_;
};

TEST_F(DpdkPage, BeginsEmptyAndGoesOnWithTheSequenceOfTheOneBefore)
{
    uint32_t sequence = 0;
    {
        auto page = PageFile::open(path_, "edge");
        ASSERT_TRUE(page) << page.error().message;
        EXPECT_EQ(page->page().state, EngineState::kStarting);
        EXPECT_EQ(page->page().magic, kEnginePageMagic);
        EXPECT_EQ(page->page().page_bytes, sizeof(EnginePage));
        EXPECT_EQ(page->page().pid, static_cast<uint32_t>(getpid()));
        page->update([](EnginePage &of) {
            EXPECT_EQ(of.sequence % 2, 1U);
            of.remove_taps = 1;
            put_text(of.message, std::string(2000, 'x'));
        });
        EXPECT_EQ(page->page().sequence % 2, 0U);
        EXPECT_EQ(page->page().message.back(), '\0');
        EXPECT_EQ(std::string(page->page().message.data()), std::string(1023, 'x'));
        sequence = page->page().sequence;
    }
    auto page = PageFile::open(path_, "edge");
    ASSERT_TRUE(page);
    EXPECT_GT(page->page().sequence, sequence);
    EXPECT_EQ(page->page().sequence % 2, 0U);
    EXPECT_EQ(page->page().remove_taps, 0U);
    EXPECT_STREQ(page->page().message.data(), "");
}

TEST_F(DpdkPage, IsRefusedToASecondProcess)
{
    auto page = PageFile::open(path_, "edge");
    ASSERT_TRUE(page);
    const auto second = PageFile::open(path_, "edge");
    ASSERT_FALSE(second);
    EXPECT_NE(
        second.error().message.find("instance edge has a running engine already, process " +
                                    std::to_string(getpid())),
        std::string::npos)
        << second.error().message;
    EXPECT_EQ(page->page().state, EngineState::kStarting);
}

}  // namespace
}  // namespace guideway::dpdk
