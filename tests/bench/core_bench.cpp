// What the packet path costs compiled for the host: the core by itself, without an engine.
//
// Each iteration restores the packet's place and Ethernet header, and sets its source; the
// benchmark `Harness` does only that, so that it can be subtracted.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>

#include "dataplane/core/seam_native.h"
// (the seam comes first)
#include "dataplane/core/process.h"
#include "tests/bench/bench_world.hpp"
#include "tests/packets/notation.hpp"

namespace {

using namespace guideway;

constexpr size_t kHeadroomBytes = 128;

// Pin tables: one that stays in the caches; one that does not, with room for all flows.
constexpr uint32_t kPinsFew = 1024;
constexpr uint32_t kPinsMany = 1 << 22;
constexpr uint32_t kSourcesFew = 1024;

// What is found in the pin table.
enum class Pins : uint8_t {
    kOfFlows,      // the packet's flow, once it has been met
    kReplaceable,  // others, which give their places a tick later
    kLasting,      // others, which do not
};

class Core {
  public:
    Core(uint32_t pins_max, Pins pins)
        : tables_(
              Tables::anonymous(bench::capacity(1, pins_max, kSourcesFew, 64), gw_hash_key{})
                  .value()),
          // 64 packets share a tick of the pins' clock where time is to pass.
          tick_shift_(pins == Pins::kReplaceable ? 6 : 63)
    {
        if (auto written = packets::write_world(tables_, bench::world()); !written) {
            std::cerr << "core_bench: " << written.error().message << "\n";
            std::exit(1);
        }
        bench::set_replaceable(tables_, pins == Pins::kReplaceable);
        if (pins != Pins::kOfFlows) {
            bench::fill_pins(tables_, 0);
        }
    }

    // `source_at` is the offset of four bytes that tell flows apart.
    template <bool kProcess>
    void run(benchmark::State &state, const char *text, size_t source_at)
    {
        const auto frame = packets::frame_from_text(text).value();
        packets::Bytes buffer(kHeadroomBytes + frame.size());
        std::ranges::copy(frame, buffer.begin() + kHeadroomBytes);
        const auto flows_mask = static_cast<uint32_t>(state.range(0) - 1);
        gw_packet packet{.head = buffer.data(),
                         .data = nullptr,
                         .end = buffer.data() + buffer.size(),
                         .tables = tables_.base(),
                         .layout = &tables_.layout(),
                         .now_ns = 0,
                         .ingress_ifindex = 1,
                         .cpu = 0,
                         .generation = packets::kGeneration};
        for (auto _ : state) {
            packet.data = buffer.data() + kHeadroomBytes;
            // Where the outer header was written over the frame's own.
            std::memcpy(packet.data, frame.data(), GW_ETHERNET_BYTES);
            packet.now_ns = (1 + (packets_ >> tick_shift_)) << GW_PIN_TICK_SHIFT;
            const uint32_t source = 10 | (static_cast<uint32_t>(packets_++) & flows_mask) << 8;
            std::memcpy(packet.data + source_at, &source, sizeof(source));
            if constexpr (kProcess) {
                gw_outcome outcome;
                gw_process(&packet, &outcome);
                benchmark::DoNotOptimize(outcome.verdict);
            }
            benchmark::ClobberMemory();
        }
    }

  private:
    Tables tables_;
    unsigned tick_shift_;
    uint64_t packets_ = 0;
};

Core &core()
{
    static Core instance(kPinsMany, Pins::kOfFlows);
    return instance;
}

constexpr const char *kTcpV4 =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10"
    " / tcp 40000 -> 443 ACK";
constexpr const char *kUdpV4 =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10"
    " / udp 40000 -> 443 / payload 12";
constexpr const char *kV6InV6 =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv6 2001:db8::1 -> 2001:db8::10"
    " / tcp 40000 -> 443 ACK";
constexpr const char *kV6InV4 =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv6 2001:db8::1 -> 2001:db8::11"
    " / tcp 40000 -> 443 ACK";
constexpr const char *kMovingAck =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10"
    " / tcp 40000 -> 444 ACK";
constexpr const char *kMovingSyn =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10"
    " / tcp 40000 -> 444 SYN";
constexpr const char *kNoService =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.11"
    " / tcp 40000 -> 443 ACK";
constexpr const char *kNoSuchPort =
    "ethernet 02:00:00:00:00:aa -> 02:00:00:00:00:01 / ipv4 10.0.0.1 -> 203.0.113.10"
    " / tcp 40000 -> 80 ACK";

constexpr size_t kIpv4Source = 26;
constexpr size_t kIpv6Source = 30;  // the low half of the network part

void Harness(benchmark::State &state)
{
    core().run<false>(state, kTcpV4, kIpv4Source);
}
void TcpV4(benchmark::State &state)
{
    core().run<true>(state, kTcpV4, kIpv4Source);
}
void UdpV4(benchmark::State &state)
{
    core().run<true>(state, kUdpV4, kIpv4Source);
}
void V6InV6(benchmark::State &state)
{
    core().run<true>(state, kV6InV6, kIpv6Source);
}
void V6InV4(benchmark::State &state)
{
    core().run<true>(state, kV6InV4, kIpv6Source);
}
// In a moving slot: the flow's pin is found.
void MovingHit(benchmark::State &state)
{
    core().run<true>(state, kMovingAck, kIpv4Source);
}
// A new flow is pinned, in a table that is full.
void MovingNewCached(benchmark::State &state)
{
    static Core instance(kPinsFew, Pins::kReplaceable);
    instance.run<true>(state, kMovingSyn, kIpv4Source);
}
void MovingNew(benchmark::State &state)
{
    static Core instance(kPinsMany, Pins::kReplaceable);
    instance.run<true>(state, kMovingSyn, kIpv4Source);
}
// A new flow finds no place.
void MovingRefused(benchmark::State &state)
{
    static Core instance(kPinsMany, Pins::kLasting);
    instance.run<true>(state, kMovingSyn, kIpv4Source);
}
void NoService(benchmark::State &state)
{
    core().run<true>(state, kNoService, kIpv4Source);
}
void NoSuchPort(benchmark::State &state)
{
    core().run<true>(state, kNoSuchPort, kIpv4Source);
}

BENCHMARK(Harness)->ArgName("flows")->Arg(1);
BENCHMARK(TcpV4)->ArgName("flows")->Arg(1)->Arg(1 << 10)->Arg(1 << 17)->Arg(1 << 20);
BENCHMARK(UdpV4)->ArgName("flows")->Arg(1)->Arg(1 << 20);
BENCHMARK(V6InV6)->ArgName("flows")->Arg(1)->Arg(1 << 20);
BENCHMARK(V6InV4)->ArgName("flows")->Arg(1)->Arg(1 << 20);
BENCHMARK(MovingHit)->ArgName("flows")->Arg(1)->Arg(1 << 17)->Arg(1 << 20);
BENCHMARK(MovingNewCached)->ArgName("flows")->Arg(1 << 24);
BENCHMARK(MovingNew)->ArgName("flows")->Arg(1 << 24);
BENCHMARK(MovingRefused)->ArgName("flows")->Arg(1)->Arg(1 << 17)->Arg(1 << 20);
BENCHMARK(NoService)->ArgName("flows")->Arg(1);
BENCHMARK(NoSuchPort)->ArgName("flows")->Arg(1);

}  // namespace

BENCHMARK_MAIN();
