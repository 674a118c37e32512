// Real interfaces for the tests of FastPath: veth pairs in a network namespace of the test
// process's own.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "xdp/attaching.hpp"
#include "xdp/carrier.hpp"
#include "xdp/dispatcher.hpp"
#include "xdp/fast_path.hpp"

namespace guideway::xdp {

inline constexpr gw_capacity kCapacity{.addresses_max = 16,
                                       .services_max = 16,
                                       .backends_max = 16,
                                       .ring_slots_max = 1024,
                                       .cpus_max = 64,
                                       .pins_max = 4096,
                                       .sources_max = 1024,
                                       .prefixes_max = 64};
inline constexpr gw_hash_key kKey{};

inline void run(const std::string &command)
{
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// The program that `interface` carries, in a dispatcher or alone; of several the last. 0: none.
inline uint32_t program_on(const std::string &name, Mode mode = Mode::kNative)
{
    auto interface = interface_of_name(name);
    if (!interface) {
        return 0;
    }
    auto occupant = occupant_of(*interface);
    if (!occupant || !*occupant || (*occupant)->mode != mode) {
        return 0;
    }
    if (!is_dispatcher((*occupant)->program)) {
        return (*occupant)->program.id;
    }
    auto members = dispatcher_members(*interface);
    return members && !members->empty() ? members->back().id : 0;
}

// A program of somebody else: XDP_PASS.
inline int load_foreign_program()
{
    const bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K,
         .dst_reg = 0,
         .src_reg = 0,
         .off = 0,
         .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    return bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody", "GPL", instructions, 2, nullptr);
}

class FastPathTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        if (geteuid() == 0) {
            ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "a network namespace of our own";
        }
    }

    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "attaching XDP programs needs root";
        }
        run("ip link add gwt0 type veth peer name gwt1 && ip link set gwt0 up && ip link set "
            "gwt1 up");
        options_.pin_directory = "/sys/fs/bpf/guideway-test-" + std::to_string(getpid());
        options_.capacity = kCapacity;
        options_.hash_key = kKey;
    }

    void TearDown() override
    {
        if (geteuid() == 0) {
            std::system("ip link del gwt0 2>/dev/null; ip link del gwt0.7 2>/dev/null");
            std::error_code ignored;
            std::filesystem::remove_all(options_.pin_directory, ignored);
        }
    }

    [[nodiscard]] FastPath open_or_die() const
    {
        auto fast_path = FastPath::open(options_);
        if (!fast_path) {
            ADD_FAILURE() << fast_path.error().message;
            std::abort();
        }
        return std::move(*fast_path);
    }

    [[nodiscard]] bool pinned(const std::string &name) const
    {
        return std::filesystem::exists(options_.pin_directory / name);
    }

    FastPath::Options options_;
};

#define ASSERT_OK(expression)                                          \
    do {                                                               \
        const auto &outcome_ = (expression);                           \
        ASSERT_TRUE(outcome_.has_value()) << outcome_.error().message; \
    } while (false)

}  // namespace guideway::xdp
