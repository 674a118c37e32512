// What moves the packets, and how the DPDK engine is to be run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace guideway::model {

enum class Engine : uint8_t { kXdp, kDpdk };
enum class Hugepages : uint8_t { kAuto, kRequire, kOff };
enum class Idle : uint8_t { kSleep, kPoll };  // what a worker does that finds no packets
enum class EngineStart : uint8_t { kDaemon, kExternal };  // who starts the engine

// In the order of their values, as files and command lines write them.
inline constexpr std::string_view kEngineNames[] = {"xdp", "dpdk"};
inline constexpr std::string_view kHugepagesNames[] = {"auto", "require", "off"};
inline constexpr std::string_view kIdleNames[] = {"sleep", "poll"};
inline constexpr std::string_view kEngineStartNames[] = {"daemon", "external"};

inline constexpr std::string_view kDeviceDefault = "net_af_packet";
inline constexpr uint32_t kEngineWorkersMax = 127;
inline constexpr uint32_t kEnginePortsMax = 16;
inline constexpr uint32_t kEngineMemoryMinMib = 16;
inline constexpr uint32_t kEngineMemoryMaxMib = 65536;
inline constexpr uint32_t kCoreMax = 1023;
inline constexpr size_t kDeviceBytesMax = 255;

// How an interface is reached: a port of DPDK's by its device arguments.
struct EnginePort {
    std::string interface;
    std::string device = std::string(kDeviceDefault);

    auto operator<=>(const EnginePort &) const = default;
};

struct Dpdk {
    uint32_t workers = 1;
    std::vector<uint32_t> cores;  // that workers are bound to: none, or one each
    uint32_t queues = 0;          // of each port; 0: one a worker, where the port has them
    uint32_t memory_mib = 64;     // packet buffers
    Hugepages hugepages = Hugepages::kAuto;
    Idle idle = Idle::kSleep;
    EngineStart start = EngineStart::kDaemon;
    std::vector<EnginePort> ports;  // one for each interface, once a file has been read

    auto operator<=>(const Dpdk &) const = default;
};

// Whether the kernel knows the port only as a tap that the engine makes: of such an interface
// nothing need be there before the engine is.
[[nodiscard]] inline bool is_owned_device(std::string_view device)
{
    return !device.starts_with("net_af_packet") && !device.starts_with("net_af_xdp");
}

// Whether the engine takes the packets from a kernel interface, which then can carry no XDP
// program of ours.
[[nodiscard]] inline bool is_diverted_device(std::string_view device)
{
    return device.starts_with("net_af_xdp");
}

}  // namespace guideway::model
