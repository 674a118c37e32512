#include "control/health/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

namespace guideway::health {
namespace {

constexpr auto kNotVerified = "-";
constexpr size_t kSessionsMax = 16384;  // a few KiB each
// A session's age is between half of this and all of it, by server, so that thousands of
// servers do not get their whole handshakes at once.
constexpr std::chrono::seconds kSessionAgeMax{300};

struct FreeContext {
    void operator()(SSL_CTX *context) const { SSL_CTX_free(context); }
};
struct FreeConnection {
    void operator()(SSL *connection) const { SSL_free(connection); }
};

// The reason of OpenSSL's last error, and nothing left in its queue.
std::string last_tls_error()
{
    const unsigned long error = ERR_peek_last_error();
    const char *words = error != 0 ? ERR_reason_error_string(error) : nullptr;
    ERR_clear_error();
    return words != nullptr ? words : "unknown error";
}

// Which content a file has, as far as its directory entry tells.
struct FileVersion {
    ino_t inode = 0;
    off_t bytes = 0;
    timespec changed{};

    static std::optional<FileVersion> of(const std::string &path)
    {
        struct stat facts{};
        if (stat(path.c_str(), &facts) != 0) {
            return std::nullopt;
        }
        return FileVersion{facts.st_ino, facts.st_size, facts.st_mtim};
    }
    bool operator==(const FileVersion &other) const
    {
        return inode == other.inode && bytes == other.bytes &&
               changed.tv_sec == other.changed.tv_sec &&
               changed.tv_nsec == other.changed.tv_nsec;
    }
};

// ---- A BIO over a socket that it does not own. What is written is gathered until the other
// side is needed, so that the end of a handshake and the request leave as one segment; and it
// leaves without a signal when nobody is there any more.

struct SocketEnd {
    int fd = -1;
    std::string gathered;
    bool ended = false;  // by the other side

    // False when not everything has left, with errno.
    bool flush()
    {
        const ssize_t sent = ::send(fd, gathered.data(), gathered.size(), MSG_NOSIGNAL);
        gathered.erase(0, sent > 0 ? static_cast<size_t>(sent) : 0);
        if (sent >= 0 && !gathered.empty()) {
            errno = EAGAIN;
        }
        return gathered.empty();
    }
};

SocketEnd &socket_of(BIO *bio)
{
    return *static_cast<SocketEnd *>(BIO_get_data(bio));
}

int gather(BIO *bio, const char *bytes, int count)
{
    BIO_clear_retry_flags(bio);
    socket_of(bio).gathered.append(bytes, static_cast<size_t>(count));
    return count;
}

int read_socket(BIO *bio, char *room, int count)
{
    BIO_clear_retry_flags(bio);
    auto &socket = socket_of(bio);
    if (!socket.gathered.empty()) {
        BIO_set_retry_read(bio);  // nothing can be answered yet
        return -1;
    }
    const ssize_t received = ::recv(socket.fd, room, static_cast<size_t>(count), 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(bio);
    }
    socket.ended = received == 0;
    return static_cast<int>(received);
}

long control_socket(BIO *bio, int command, long /*number*/, void * /*pointer*/)
{
    switch (command) {
        case BIO_CTRL_FLUSH:
            return 1;
        case BIO_CTRL_EOF:
            return socket_of(bio).ended ? 1 : 0;
        default:
            return 0;
    }
}

BIO_METHOD *socket_method()
{
    static BIO_METHOD *const method = [] {
        auto *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "probe socket");
        BIO_meth_set_write(made, gather);
        BIO_meth_set_read(made, read_socket);
        BIO_meth_set_ctrl(made, control_socket);
        return made;
    }();
    return method;
}

// Where a connection keeps its channel, for the callback that gets its sessions.
int channel_slot()
{
    static const int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return slot;
}

bool is_address(const std::string &name)
{
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    return inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
           inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

// The name to send and to look for in the certificate; empty when there is only an address.
std::string server_name(const ProbeTarget &target)
{
    std::string name = target.sni;
    if (name.empty() && !target.host.starts_with('[')) {
        name = target.host.substr(0, target.host.find(':'));
    }
    return is_address(name) ? "" : name;
}

}  // namespace

struct Tls::Trust {
    std::unique_ptr<SSL_CTX, FreeContext> context;
    std::optional<FileVersion> version;
    uint64_t number = 0;  // part of its sessions' names: those of a former one are not used
};

class TlsChannel : public Channel {
  public:
    TlsChannel(Tls &tls, SSL *connection, BIO *bio, int fd, std::string server)
        : tls_(tls), socket_{.fd = fd}, connection_(connection), server_(std::move(server))
    {
        BIO_set_data(bio, &socket_);
        BIO_set_init(bio, 1);
        SSL_set_bio(connection, bio, bio);
        SSL_set_ex_data(connection, channel_slot(), this);
    }
    TlsChannel(const TlsChannel &) = delete;
    TlsChannel &operator=(const TlsChannel &) = delete;

    // OpenSSL does not resume what was not shut down, as if that were an attack. The answer is
    // judged by its own length, and nothing is sent that would have to be waited for.
    ~TlsChannel() override
    {
        SSL_set_shutdown(connection_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }

    Progress handshake() override
    {
        if (auto stuck = flush()) {
            return *stuck;
        }
        ERR_clear_error();
        const int result = SSL_connect(connection_.get());
        return result == 1 ? Progress{} : outcome_of(result, true);
    }

    // Done when OpenSSL has taken the bytes and the socket too: `unsent_` are those that only
    // OpenSSL has.
    Progress send(std::string_view bytes) override
    {
        if (unsent_ == 0) {
            ERR_clear_error();
            const int result =
                SSL_write_ex(connection_.get(), bytes.data(), bytes.size(), &unsent_);
            if (result != 1) {
                return outcome_of(result, false);
            }
        }
        if (auto stuck = flush()) {
            return *stuck;
        }
        return {.bytes = std::exchange(unsent_, 0)};
    }

    Progress receive(std::span<char> room) override
    {
        if (auto stuck = flush()) {
            return *stuck;
        }
        ERR_clear_error();
        size_t received = 0;
        const int result = SSL_read_ex(connection_.get(), room.data(), room.size(), &received);
        return result == 1 ? Progress{.bytes = received} : outcome_of(result, false);
    }

    // OpenSSL has a session that can be resumed. Returns 1 when it was taken.
    static int session_ready(SSL *connection, SSL_SESSION *session)
    {
        auto *channel = static_cast<TlsChannel *>(SSL_get_ex_data(connection, channel_slot()));
        if (channel == nullptr) {
            return 0;
        }
        channel->tls_.keep(channel->server_, session, SSL_session_reused(connection) == 1);
        return 1;
    }

  private:
    // What keeps the gathered bytes from leaving, if anything does.
    std::optional<Progress> flush()
    {
        if (socket_.gathered.empty() || socket_.flush()) {
            return std::nullopt;
        }
        if (errno == EAGAIN || errno == EINTR) {
            return Progress{.kind = Progress::Kind::kWaitWrite};
        }
        return failed(words_for(errno));
    }

    Progress outcome_of(int result, bool in_handshake)
    {
        const int error_number = errno;
        switch (SSL_get_error(connection_.get(), result)) {
            case SSL_ERROR_WANT_READ:
                if (auto stuck = flush()) {
                    return *stuck;
                }
                return {.kind = Progress::Kind::kWaitRead};
            case SSL_ERROR_WANT_WRITE:
                return {.kind = Progress::Kind::kWaitWrite};
            case SSL_ERROR_ZERO_RETURN:
                return {.kind = Progress::Kind::kEnd};
            default:
                break;
        }
        const long verified = SSL_get_verify_result(connection_.get());
        if (in_handshake && verified != X509_V_OK &&
            SSL_get_verify_mode(connection_.get()) != SSL_VERIFY_NONE) {
            ERR_clear_error();
            return failed(std::string("certificate: ") +
                          X509_verify_cert_error_string(verified));
        }
        const unsigned long error = ERR_peek_last_error();
        if (error == 0 || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            // Servers that close without saying so have answered all the same.
            if (!in_handshake && error != 0) {
                return {.kind = Progress::Kind::kEnd};
            }
            return failed(error == 0 && error_number != 0
                              ? words_for(error_number)
                              : "TLS: the connection was closed during the handshake");
        }
        return failed("TLS: " + last_tls_error());
    }

    static Progress failed(std::string reason)
    {
        return {.kind = Progress::Kind::kFailed, .reason = std::move(reason)};
    }

    Tls &tls_;
    SocketEnd socket_;
    std::unique_ptr<SSL, FreeConnection> connection_;
    std::string server_;
    size_t unsent_ = 0;
};

Tls::Tls() = default;
Tls::~Tls() = default;

Result<Tls::Trust *> Tls::trust_for(const ProbeTarget &target)
{
    const std::string key = target.verify ? target.ca_file : kNotVerified;
    const bool has_file = target.verify && !target.ca_file.empty();
    const auto version = has_file ? FileVersion::of(target.ca_file) : std::nullopt;
    auto &known = trusts_[key];
    if (known && (known->version == version || !version)) {
        return known.get();  // also while the file is being exchanged
    }
    auto trust = std::make_unique<Trust>();
    trust->context.reset(SSL_CTX_new(TLS_client_method()));
    trust->version = version;
    trust->number = ++trusts_made_;
    auto *context = trust->context.get();
    if (context == nullptr) {
        return fail("cannot prepare TLS: " + last_tls_error());
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_read_ahead(context, 1);
    static constexpr unsigned char kHttp[] = "\x08http/1.1";
    SSL_CTX_set_alpn_protos(context, kHttp, sizeof(kHttp) - 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, &TlsChannel::session_ready);
    if (target.verify) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        const int loaded = has_file ? SSL_CTX_load_verify_file(context, target.ca_file.c_str())
                                    : SSL_CTX_set_default_verify_paths(context);
        if (loaded != 1) {
            const auto reason = has_file && !version ? words_for(ENOENT) : last_tls_error();
            ERR_clear_error();
            return fail("cannot read trusted certificates from " +
                        (has_file ? target.ca_file : "the system's store") + ": " + reason);
        }
    }
    known = std::move(trust);
    return known.get();
}

// A server that resumes a session may give another one for the next time. That one is as old as
// the first: no certificate was looked at.
void Tls::keep(const std::string &server, SSL_SESSION *session, bool resumed)
{
    if (sessions_.size() >= kSessionsMax && !sessions_.contains(server)) {
        sessions_.clear();  // of servers long gone, most of them; the others shake hands again
    }
    auto &kept = sessions_[server];
    kept.session.reset(session);
    if (!resumed) {
        kept.established = Clock::now();
    }
}

SSL_SESSION *Tls::session_of(const std::string &server)
{
    const auto found = sessions_.find(server);
    if (found == sessions_.end()) {
        return nullptr;
    }
    const auto spread = std::hash<std::string>{}(server) % 1000;
    const auto age_max = kSessionAgeMax / 2 + kSessionAgeMax / 2 * spread / 1000;
    if (Clock::now() - found->second.established > age_max) {
        sessions_.erase(found);
        return nullptr;
    }
    return found->second.session.get();
}

Result<std::unique_ptr<Channel>> Tls::open(const ProbeTarget &target, int fd)
{
    auto trust = trust_for(target);
    if (!trust) {
        return std::unexpected(std::move(trust.error()));
    }
    auto *connection = SSL_new((*trust)->context.get());
    auto *bio = BIO_new(socket_method());
    if (connection == nullptr || bio == nullptr) {
        SSL_free(connection);
        BIO_free(bio);
        return fail("cannot prepare TLS: " + last_tls_error());
    }
    const auto name = server_name(target);
    std::string server = std::to_string((*trust)->number) + " " + std::to_string(target.mark) +
                         " " + std::to_string(target.port) + " " + name + " ";
    server.append(reinterpret_cast<const char *>(target.address.bytes.data()),
                  target.address.bytes.size());
    auto channel = std::make_unique<TlsChannel>(*this, connection, bio, fd, server);
    if (!name.empty()) {
        SSL_set_tlsext_host_name(connection, name.c_str());
    }
    if (target.verify && !name.empty()) {
        SSL_set1_host(connection, name.c_str());
    } else if (target.verify) {
        X509_VERIFY_PARAM_set1_ip(SSL_get0_param(connection), target.address.bytes.data(),
                                  target.address.is_ipv6() ? 16 : 4);
    }
    if (auto *session = session_of(server)) {
        SSL_set_session(connection, session);
    }
    return channel;
}

}  // namespace guideway::health
