// Health probes: one TCP connection, HTTP or HTTPS request each, judged.
//
// This is the input and output of health checking, for one event loop. When to probe, and what
// follows from the results, is decided elsewhere.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/model/address.hpp"

namespace guideway::health {

enum class ProbeKind : uint8_t { kTcp, kHttp, kHttps };

struct ProbeTarget {
    ProbeKind kind = ProbeKind::kTcp;
    model::IpAddress address;
    uint16_t port = 0;
    // For a probe through the tunnel, the mark that names the backend (gw_probe_mark); such a
    // connection is to the service's address, with one hop and small segments, for the program
    // that encapsulates it (xdp/probe.h). Setting a mark needs CAP_NET_ADMIN. 0: none, a
    // probe directly to `address`.
    uint32_t mark = 0;
    std::chrono::milliseconds timeout{1000};  // of everything together

    // HTTP and HTTPS.
    std::string path = "/";
    std::string host;  // of the request; empty: address and port
    // First and last of the ranges that are good; empty: 200-399.
    std::vector<std::pair<uint16_t, uint16_t>> statuses;
    std::string body;  // must occur in the first 64 KiB of the body; empty: not looked at

    // HTTPS. The server's name, sent to it and looked for in its certificate; empty: the name
    // in `host`. Where that is none either, the certificate must be for the address.
    std::string sni;
    bool verify = false;  // the certificate; a session resumed is one checked before
    std::string ca_file;  // trusted certificates, PEM; empty: those of the system
};

enum class ProbeOutcome : uint8_t {
    kGood,
    kBad,        // the backend's doing, as far as can be known
    kNotProbed,  // this host's or the configuration's: it says nothing about the backend
};

struct ProbeResult {
    ProbeOutcome outcome = ProbeOutcome::kNotProbed;
    // For an operator, without the target: "connection refused", "no answer within 1 s",
    // "status 500 (expected 200-399)", "certificate: self-signed certificate". Empty when good.
    std::string reason;
    std::chrono::microseconds latency{};  // until the outcome was known
};

// Connections are closed with a reset (SO_LINGER of zero): thousands of probes leave no
// TIME_WAIT behind here or on the backend, and a server that has accepted one sees a connection
// that was aborted. What a server sends is read up to what is needed for the outcome, at most
// 16 KiB of header and 64 KiB of body.
//
// TLS sessions are resumed, so that a probe costs no public-key operation on either side's
// certificate. A whole handshake, which also looks at the certificate again, is made at least
// every five minutes, when a session is refused, and when `ca_file` has changed.
class Prober {
  public:
    using Done = std::function<void(ProbeResult)>;

    // `loop` must be run by one thread only, which is also the one that calls.
    explicit Prober(boost::asio::io_context &loop);

    // Cancels what is under way: no `done` is called any more.
    ~Prober();
    Prober(const Prober &) = delete;
    Prober &operator=(const Prober &) = delete;

    // `done` is called once, from the loop, never from within this call. It may probe again,
    // and may destroy the prober.
    void probe(ProbeTarget target, Done done);

    [[nodiscard]] size_t under_way() const;

    struct State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace guideway::health
