// A limit in the real XDP program, with packets on two processors at once and the kernel's clocks.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "dataplane/core/wire.h"
#include "dataplane/tables/directory.hpp"
#include "dataplane/tables/tables.hpp"
#include "xdp/clock.hpp"
#include "xdp/host.hpp"
#include "xdp/kernel_objects.hpp"
#include "xdp/loaded_program.hpp"

namespace guideway::xdp {
namespace {

constexpr uint32_t kLimit = 5;
constexpr uint64_t kSecond = 1'000'000'000;

uint64_t clock_ns(clockid_t clock)
{
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

// A service without backends: what policy lets through is counted as no_backend, and the frame
// stays as it is, so that the kernel can run the program over it again and again.
class LimitsInTheKernel : public testing::Test {
  protected:
    void SetUp() override
    {
        const gw_capacity capacity{.addresses_max = 4,
                                   .services_max = 4,
                                   .backends_max = 4,
                                   .ring_slots_max = 16,
                                   .cpus_max = possible_cpus() + 1,
                                   .pins_max = 64,
                                   .sources_max = 1024,
                                   .prefixes_max = 64};
        const auto layout = tables_layout(capacity);
        ASSERT_TRUE(layout);
        LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
        region_ = Descriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY, "gw_region", 4,
                                            layout->total_bytes, 1, &options));
        ASSERT_TRUE(region_.valid()) << "needs root";
        auto tables = Tables::map(region_.get(), capacity, "the tables under test");
        ASSERT_TRUE(tables) << tables.error().message;
        tables_ = std::move(*tables);
        tables_->initialise(gw_hash_key{{1, 2, 3, 4}});
        const auto ahead = clock_ahead_ns(tables_->header().tick_ns);
        ASSERT_TRUE(ahead) << ahead.error().message;
        tables_->header().clock_ahead_ns = *ahead;
        auto coarse_clock = PinClock::open(tables_->header().tick_ns);
        ASSERT_TRUE(coarse_clock) << coarse_clock.error().message;
        coarse_clock_.emplace(std::move(*coarse_clock));
        tables_->header().active_generation = 1;
        const DirectoryEntry entry{.address = {GW_IPV4_TAG, 0x0a00cb0a},
                                   .protocol = GW_PROTO_TCP,
                                   .port_raw = GW_BE16(443),
                                   .service = 1};
        const auto directory = build_directory(tables_->layout(), {entry});
        ASSERT_TRUE(directory);
        write_idle_directory(*tables_, *directory);
        activate_idle_directory(*tables_);
        service() = {.identity = 1, .ring_offset = 0, .ring_size = 1};
        service().limits[0] = kLimit + 1;
        service().policy = GW_POLICY_LIMITS;
        auto program = LoadedProgram::open(*tables_, region_.get(), 1);
        ASSERT_TRUE(program) << program.error().message;
        const auto loaded = program->load();
        ASSERT_TRUE(loaded) << loaded.error().message;
        program_.emplace(std::move(*program));
    }

    [[nodiscard]] gw_service &service() const { return tables_->services()[1]; }

    void limit(uint64_t interval_ns, uint64_t burst, uint8_t flags) const
    {
        auto &record = reinterpret_cast<gw_limit *>(tables_->base() +
                                                    tables_->layout().limits_offset)[kLimit];
        record = {.identity = 1,
                  .seed = 77,
                  .interval = interval_ns << GW_INTERVAL_SHIFT,
                  .tolerance = (burst - 1) * interval_ns << GW_ARRIVAL_SHIFT,
                  .kind = GW_LIMIT_PACKETS,
                  .flags = flags,
                  .ipv4_bits = 32,
                  .ipv6_bits = 64};
    }

    [[nodiscard]] uint64_t counted(gw_reason reason) const
    {
        uint64_t sum = 0;
        for (uint32_t cpu = 0; cpu < tables_->capacity().cpus_max; cpu++) {
            sum += std::atomic_ref(tables_->counters_area(cpu).reason[reason])
                       .load(std::memory_order_relaxed);
        }
        return sum;
    }

    // What a limit with `flags` reads: the kernel's coarse clock falls behind while a virtual
    // machine does not run, and catches up.
    [[nodiscard]] uint64_t clock_of(uint8_t flags) const
    {
        return (flags & GW_LIMIT_EXACT_CLOCK) != 0 ? clock_ns(CLOCK_MONOTONIC)
                                                   : coarse_clock_->coarse_ns().value();
    }

    // The program over the same packet, again and again, on `cpu`, until told to stop.
    void flood(unsigned cpu, const std::atomic<bool> &stop) const
    {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one);
        std::array<uint8_t, 64> frame{};
        frame[12] = 0x08;
        frame[14] = GW_IPV4_VERSION_IHL;
        frame[17] = 50;
        frame[22] = 64;
        frame[23] = GW_PROTO_TCP;
        const uint8_t addresses[] = {198, 51, 100, 7, 10, 203, 0, 10};
        // As the directory's entry: 10.203.0.10.
        std::memcpy(&frame[26], addresses, sizeof(addresses));
        frame[36] = 443 >> 8;
        frame[37] = 443 & 0xff;
        frame[46] = 0x50;
        frame[47] = GW_TCP_ACK;
        while (!stop.load(std::memory_order_relaxed)) {
            LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                        .data_size_in = frame.size(), .repeat = 10'000);
            if (bpf_prog_test_run_opts(program_->fd(), &options) != 0) {
                ADD_FAILURE() << "cannot run the program: " << std::strerror(errno);
                return;
            }
        }
    }

    // Waits until the source is refused as a rule: its burst is used up.
    void wait_until_limited() const
    {
        uint64_t refused = counted(GW_REASON_LIMITED);
        uint64_t passed = counted(GW_REASON_NO_BACKEND);
        while (true) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            const uint64_t refused_now = counted(GW_REASON_LIMITED);
            const uint64_t passed_now = counted(GW_REASON_NO_BACKEND);
            if (refused_now - refused > 4 * (passed_now - passed)) {
                return;
            }
            refused = refused_now;
            passed = passed_now;
        }
    }

    Descriptor region_;
    std::optional<Tables> tables_;
    std::optional<LoadedProgram> program_;
    std::optional<PinClock> coarse_clock_;
};

// Over two seconds, from one moment in which the burst is used up to another.
void expect_rate(uint64_t admitted, uint64_t elapsed_ns, uint64_t interval_ns)
{
    const double expected = static_cast<double>(elapsed_ns) / static_cast<double>(interval_ns);
    EXPECT_NEAR(static_cast<double>(admitted), expected, expected / 100);
}

TEST_F(LimitsInTheKernel, AdmitTheirRateWithPacketsOnTwoProcessorsAtOnce)
{
    for (const uint8_t flags : {uint8_t{0}, uint8_t{GW_LIMIT_EXACT_CLOCK}}) {
        // A second's burst, so that a machine that stops for a while loses nothing.
        constexpr uint64_t kInterval = 20'000;
        limit(kInterval, kSecond / kInterval, flags);
        std::atomic<bool> stop = false;
        const uint64_t began_ns = clock_of(flags);
        const uint64_t before_all = counted(GW_REASON_NO_BACKEND);
        std::vector<std::jthread> floods;
        for (unsigned cpu = 0; cpu < 2; cpu++) {
            floods.emplace_back([this, cpu, &stop] { flood(cpu, stop); });
        }
        wait_until_limited();
        const uint64_t start_ns = clock_of(flags);
        const uint64_t before = counted(GW_REASON_NO_BACKEND);
        std::this_thread::sleep_for(std::chrono::seconds(2));
        wait_until_limited();
        const uint64_t end_ns = clock_of(flags);
        const uint64_t admitted = counted(GW_REASON_NO_BACKEND) - before;
        stop = true;
        floods.clear();
        const uint64_t all = counted(GW_REASON_NO_BACKEND) - before_all;
        const uint64_t ended_ns = clock_of(flags);
        expect_rate(admitted, end_ns - start_ns, kInterval);
        // Never more than the burst over it, but for a tick of the coarse clock.
        EXPECT_LE(all, (ended_ns - began_ns + tables_->header().tick_ns) / kInterval +
                           kSecond / kInterval + 1);
    }
}

// A limit that goes from one clock to the other: its source is neither refilled nor blocked.
TEST_F(LimitsInTheKernel, KeepTheirStateWhenTheirClockChanges)
{
    constexpr uint64_t kInterval = kSecond / 2;
    limit(kInterval, 10, 0);
    std::atomic<bool> stop = false;
    std::jthread flooding([this, &stop] { flood(0, stop); });
    wait_until_limited();
    for (const uint8_t flags : {uint8_t{GW_LIMIT_EXACT_CLOCK}, uint8_t{0}}) {
        const uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
        const uint64_t before = counted(GW_REASON_NO_BACKEND);
        limit(kInterval, 10, flags);
        std::this_thread::sleep_for(std::chrono::milliseconds(1700));
        const uint64_t admitted = counted(GW_REASON_NO_BACKEND) - before;
        const uint64_t due = (clock_ns(CLOCK_MONOTONIC) - start_ns) / kInterval;
        EXPECT_GE(admitted + 1, due);
        EXPECT_LE(admitted, due + 1);
    }
    stop = true;
}

}  // namespace
}  // namespace guideway::xdp
