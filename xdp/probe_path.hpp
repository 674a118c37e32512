// The way of health probes into the tunnel: the program of xdp/probe.bpf.c on the egress of
// the interfaces by which the host's routes to the service addresses leave.
//
// A probe is a TCP connection to a service's own address from a socket with the mark
// gw_probe_mark(backend index) (xdp/probe.h). The program is a classifier on the interface's
// clsact qdisc, always with the same priority and handle, so that a newer one takes the place
// of an older one; other classifiers there are left alone. It is recognised by its name and by
// reading the instance's tables. It outlives the daemon, and does nothing to packets without
// the mark.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"
#include "xdp/probe.h"

struct probe_bpf;

namespace guideway::xdp {

class ProbePath {
  public:
    // Has the kernel verify this build's program for the tables in `region_fd`
    // (FastPath::region_fd). On no interface yet, but former ones of ours are found.
    [[nodiscard]] static Result<ProbePath> load(const Tables &tables, int region_fd);

    // Makes `interfaces` carry the program, and takes it off every other one, also where a
    // former daemon put it. An interface that fails (not there, without Ethernet headers,
    // held by another instance) stops none of the others: the error names it and why.
    // Probes that leave by an interface without the program end at the first router.
    [[nodiscard]] Result<void> attach(const std::vector<std::string> &interfaces);

    // Takes it off everywhere. The clsact qdisc stays: others may be using it.
    [[nodiscard]] Result<void> detach();

    // The same for an instance that no daemon holds; call it before FastPath::remove(), which
    // takes away the tables by which the program is recognised. Returns the interfaces' names.
    [[nodiscard]] static Result<std::vector<std::string>> remove(
        const std::filesystem::path &pin_directory);

    // The interfaces that carry this build's program.
    [[nodiscard]] std::vector<std::string> interfaces() const;

    // Whether interfaces() is still true, like FastPath::intact(). When false, attach() repairs.
    [[nodiscard]] bool intact() const;

    // Packets with the mark, by gw_probe_outcome, since load().
    [[nodiscard]] std::array<uint64_t, GW_PROBE_OUTCOMES> counts() const;

    ProbePath(ProbePath &&) noexcept;
    ProbePath &operator=(ProbePath &&) noexcept;
    ~ProbePath();  // leaves the program where it is

  private:
    struct State;
    explicit ProbePath(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace guideway::xdp
