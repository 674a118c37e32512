// What guideway-dpdk is started with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dpdk/engine_page.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

enum class Hugepages { kAuto, kRequire, kOff };
enum class Idle { kSleep, kPoll };
enum class LogFormat { kText, kJson };

// INTERFACE=DEVARGS. The interface is what the kernel calls the port, or is to call it.
struct PortOption {
    std::string interface;
    std::string devargs;
};

struct Options {
    std::string instance;
    std::filesystem::path bpf_directory = "/sys/fs/bpf";
    std::filesystem::path run_directory = "/run/guideway";
    std::vector<std::string> port_texts;
    std::vector<PortOption> ports;
    uint32_t workers = 1;
    std::string cores_text;
    std::vector<uint32_t> cores;  // none: workers are not bound
    uint32_t queues = 0;       // of each port; 0: as many as workers, where the port has them
    uint32_t memory_mib = 64;  // of packet buffers
    Hugepages hugepages = Hugepages::kAuto;
    Idle idle = Idle::kSleep;
    LogFormat log_format = LogFormat::kText;
    std::string log_level = "info";

    [[nodiscard]] std::filesystem::path pin_directory() const
    {
        return bpf_directory / "guideway" / instance;
    }
    [[nodiscard]] std::filesystem::path page_path() const
    {
        return run_directory / (instance + ".dpdk");
    }
};

[[nodiscard]] Result<PortOption> parse_port(std::string_view text);
// "2,3" or "2-5,8": each once.
[[nodiscard]] Result<std::vector<uint32_t>> parse_cores(std::string_view text);
// Reads the texts among the options, and fails where they do not go together.
[[nodiscard]] Result<void> complete(Options &options);

// A port as DPDK is asked for it.
struct Device {
    PortKind kind = PortKind::kOwned;
    bool is_pci = false;
    std::string name;     // as DPDK calls it: net_af_packet0, 0000:01:00.0
    std::string devargs;  // of that name, with what the interface and the queues imply
};

// `index` of the port tells ports of one driver apart that were not given numbers.
[[nodiscard]] Device device_of(const PortOption &port, uint32_t index, uint32_t queues,
                               uint32_t mtu_bytes = 1500);

// Of a buffer for one frame of an interface with that MTU: Ethernet, tags and what packet sockets
// put in front of them, at most kBesideMtu, included. A power of two. Larger MTUs than kMtuMost are
// not served.
inline constexpr uint32_t kMtuMost = 16'000;
inline constexpr uint32_t kBesideMtu = 128;
[[nodiscard]] uint32_t frame_room_bytes(uint32_t mtu_bytes);

}  // namespace guideway::dpdk
