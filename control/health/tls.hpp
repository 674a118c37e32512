// TLS for probes: contexts by trust, sessions by server, and one connection's channel.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "control/health/channel.hpp"
#include "control/health/probe.hpp"
#include "dataplane/error.hpp"

namespace guideway::health {

class TlsChannel;

// Keeps what connections have in common. Outlives its channels.
class Tls {
  public:
    using Clock = std::chrono::steady_clock;

    Tls();
    ~Tls();
    Tls(const Tls &) = delete;
    Tls &operator=(const Tls &) = delete;

    // A channel over the connected, non-blocking socket `fd`, which is not owned. Fails when
    // the trusted certificates cannot be read.
    [[nodiscard]] Result<std::unique_ptr<Channel>> open(const ProbeTarget &target, int fd);

  private:
    friend class TlsChannel;

    // What a certificate is checked against. A file is looked at again when it has changed.
    struct Trust;
    struct FreeSession {
        void operator()(SSL_SESSION *session) const { SSL_SESSION_free(session); }
    };
    struct Session {
        std::unique_ptr<SSL_SESSION, FreeSession> session;
        Clock::time_point established;  // of the handshake that looked at the certificate
    };

    [[nodiscard]] Result<Trust *> trust_for(const ProbeTarget &target);
    void keep(const std::string &server, SSL_SESSION *session, bool resumed);
    [[nodiscard]] SSL_SESSION *session_of(const std::string &server);

    std::map<std::string, std::unique_ptr<Trust>> trusts_;  // by file; "-": not verified
    std::unordered_map<std::string, Session> sessions_;
    uint64_t trusts_made_ = 0;
};

}  // namespace guideway::health
