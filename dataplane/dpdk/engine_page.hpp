// The engine page: what guideway-dpdk tells of itself, in a file of the run directory that it and
// the daemon both map (INSTANCE.dpdk). Whoever holds the file's flock(2) is the running engine;
// what the page says of an engine is true only while somebody holds it, except for the message
// of one that failed.
#pragma once

#include <array>
#include <cstdint>

namespace guideway::dpdk {

inline constexpr uint64_t kEnginePageMagic = 0x4b44504479617767ULL;
inline constexpr uint32_t kEnginePageVersion = 1;
inline constexpr uint32_t kPortsMax = 16;
inline constexpr uint32_t kWorkersMax = 128;

enum class EngineState : uint32_t {
    kNone = 0,
    kStarting,
    kWaiting,  // for tables
    kRunning,
    kFailed,  // message says why
    kEnded,   // by a signal
};

// Who the packets of a port are shared with.
enum class PortKind : uint32_t {
    kShared = 0,    // the kernel sees every packet itself
    kDiverted = 1,  // packets are taken from a kernel interface; those not for us are put back
    kOwned = 2,     // the kernel knows the port as a tap that the engine has made
};

// Texts end with a zero byte. Counts go on from the engine's start.
struct PortPage {
    std::array<char, 16> interface;
    std::array<char, 256> device;  // devargs, as given
    std::array<char, 32> driver;
    PortKind kind;
    uint32_t is_up;
    uint32_t speed_mbps;  // 0: unknown
    uint32_t mtu_bytes;
    uint32_t rx_queues;
    uint32_t tx_queues;
    std::array<uint8_t, 6> mac;
    std::array<uint8_t, 2> reserved;
    uint64_t rx_packets;
    uint64_t rx_bytes;
    uint64_t tx_packets;
    uint64_t tx_bytes;
    uint64_t rx_missed;  // the device had no room
    uint64_t rx_errors;
    uint64_t rx_no_buffer;  // there was no packet buffer left
    uint64_t tx_errors;
    uint64_t tx_full;  // dropped: the device took no more
    uint64_t to_kernel;
    uint64_t from_kernel;
    uint64_t kernel_dropped;  // of either direction, for want of room
};

struct WorkerPage {
    uint32_t cpu;  // 0xffffffff: not bound to one
    uint32_t reserved;
    uint64_t packets;
    uint64_t bursts;       // that were not empty
    uint64_t empty_polls;  // rounds over all queues that found nothing
    uint64_t busy_ns;      // in bursts
    uint64_t no_port;      // dropped: redirected to an interface that is no port of this engine
    uint64_t unusable;     // dropped: frames in pieces that no buffer holds
};

// Magic and pid stay where they are in all versions.
struct EnginePage {
    uint64_t magic;
    uint32_t version;
    uint32_t page_bytes;  // sizeof of the writer's
    uint32_t sequence;    // odd while the engine writes
    uint32_t pid;
    EngineState state;
    uint32_t remove_taps;  // written by the daemon: 1: the taps go when the engine is ended
    uint64_t started_unix;
    std::array<char, 32> build;
    std::array<char, 1024> message;
    std::array<char, 4096> arguments;  // what it was started with, one a line
    std::array<char, 64> memory;       // "2 MiB hugepages" or "4 KiB pages"
    uint64_t buffers;
    uint64_t buffers_free;
    uint32_t workers;
    uint32_t ports;
    std::array<WorkerPage, kWorkersMax> worker;
    std::array<PortPage, kPortsMax> port;
};

}  // namespace guideway::dpdk
