// What the probes inside another kernel share: a veth pair, a stranger's XDP program, and
// traffic of which every packet is accounted for.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "xdp/fast_path.hpp"

struct other_bpf;

namespace guideway::probe {

inline constexpr auto kEdge = "gwp0";  // carries our program
inline constexpr auto kPeer = "gwp1";  // the other end of its cable

#define ASSERT_OK(expression)                                          \
    do {                                                               \
        const auto &outcome_ = (expression);                           \
        ASSERT_TRUE(outcome_.has_value()) << outcome_.error().message; \
    } while (false)

void run(const std::string &command);

// The program of other.bpf.c.
class OtherProgram {
  public:
    OtherProgram();
    ~OtherProgram();
    void attach_alone(const std::string &interface);
    // Through libxdp, as any tool would. Programs run in the order of their priorities; the
    // default is 50.
    void join(const std::string &interface, unsigned priority);
    void leave();
    [[nodiscard]] uint64_t frames() const;
    [[nodiscard]] uint64_t encapsulated_frames() const;
    [[nodiscard]] uint32_t id() const;

  private:
    struct Joined;
    std::unique_ptr<other_bpf, void (*)(other_bpf *)> skeleton_;
    std::unique_ptr<Joined> joined_;
};

// Names of the programs in the dispatcher of `interface`, in order; one for a program that
// is alone.
std::vector<std::string> programs_on(const std::string &interface);

// Writes tables in which UDP to one address is a service with one backend behind kPeer.
void write_one_service(Tables &tables);

// Sends frames for that service into the edge from the peer's end, from two threads, never
// more under way than fit into the queues on the way: a frame that does not come back
// encapsulated was lost, and stops the traffic for good.
class Traffic {
  public:
    // `returned` counts the frames that come back.
    explicit Traffic(const OtherProgram &returned);
    ~Traffic();

    // Stops sending, waits for what is under way, and returns how many never came back.
    [[nodiscard]] uint64_t stop();
    [[nodiscard]] uint64_t sent() const { return sent_; }
    // Returns when `frames` more have been sent, or traffic stalled for some seconds.
    void await(uint64_t frames) const;

  private:
    void send();

    const OtherProgram &returned_;
    uint64_t returned_before_;
    std::atomic<uint64_t> sent_ = 0;
    std::atomic<bool> stopping_ = false;
    std::vector<std::thread> senders_;
};

// A network namespace and a veth pair of this test's own, and a pin directory.
class Probe : public ::testing::Test {
  protected:
    static void SetUpTestSuite();
    void SetUp() override;
    void TearDown() override;
    static void SetUpInterfaces();
    static void TearDownInterfaces();

    [[nodiscard]] Result<xdp::FastPath> open() const { return xdp::FastPath::open(options_); }

    xdp::FastPath::Options options_;
};

}  // namespace guideway::probe
