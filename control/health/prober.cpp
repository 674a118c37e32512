#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "control/health/answer.hpp"
#include "control/health/channel.hpp"
#include "control/health/probe.hpp"
#include "control/health/tls.hpp"

namespace guideway::health {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Descriptor = asio::posix::stream_descriptor;

// As in xdp/probe.h, which says why.
constexpr int kTunnelHops = 1;
constexpr int kTunnelSegmentBytes = 1200;

class Attempt;
// Everything under way, by deadline.
using Attempts = std::multimap<Clock::time_point, std::shared_ptr<Attempt>>;

socklen_t to_socket_address(const ProbeTarget &target, sockaddr_storage &storage)
{
    if (target.address.is_ipv6()) {
        auto &six = reinterpret_cast<sockaddr_in6 &>(storage);
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(target.port);
        std::memcpy(&six.sin6_addr, target.address.bytes.data(), sizeof(six.sin6_addr));
        return sizeof(six);
    }
    auto &four = reinterpret_cast<sockaddr_in &>(storage);
    four.sin_family = AF_INET;
    four.sin_port = htons(target.port);
    std::memcpy(&four.sin_addr, target.address.bytes.data(), sizeof(four.sin_addr));
    return sizeof(four);
}

template <typename Value>
bool set_option(int fd, int level, int name, const Value &value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

std::string in_words(std::chrono::milliseconds duration)
{
    const auto count = duration.count();
    return count % 1000 == 0 ? std::to_string(count / 1000) + " s"
                             : std::to_string(count) + " ms";
}

ProbeResult not_probed(std::string reason)
{
    return {.outcome = ProbeOutcome::kNotProbed, .reason = std::move(reason)};
}

ProbeResult bad(std::string reason)
{
    return {.outcome = ProbeOutcome::kBad, .reason = std::move(reason)};
}

// A connect() that failed at once did so on this host: nothing has been sent.
ProbeResult refused_here(const ProbeTarget &target, int error_number)
{
    const auto address = target.address.to_string();
    switch (error_number) {
        case ECONNREFUSED:
        case ECONNRESET:
            return bad(words_for(error_number));
        case ENETUNREACH:
        case EHOSTUNREACH:
            return not_probed("the host has no route to " + address +
                              (target.mark != 0 ? "; probes through the tunnel need one, such "
                                                  "as a default route"
                                                : ""));
        case EACCES:
        case EPERM:
            return not_probed("the host forbids connections to " + address +
                              ", by a route or its firewall");
        case EADDRNOTAVAIL:
            return not_probed(
                "the host has no source port or address left for a connection to " + address);
        default:
            return not_probed("cannot connect to " + address + ": " + words_for(error_number));
    }
}

}  // namespace

struct Prober::State : std::enable_shared_from_this<Prober::State> {
    explicit State(asio::io_context &run_by) : loop(run_by), timer(run_by) {}

    void enter(const std::shared_ptr<Attempt> &attempt, std::chrono::milliseconds timeout);
    void leave(Attempts::iterator place) { attempts.erase(place); }
    void arm(Clock::time_point deadline);
    void on_timer();
    void abandon();

    asio::io_context &loop;
    asio::steady_timer timer;
    std::optional<Clock::time_point> armed_for;
    Attempts attempts;
    Tls tls;
    std::array<char, 16384> scratch{};  // what is being received; no attempt waits with it
    bool abandoned = false;
};

namespace {

// One probe: connect, shake hands, send, receive, each as far as it goes without waiting.
class Attempt : public std::enable_shared_from_this<Attempt> {
  public:
    Attempt(Prober::State &prober, ProbeTarget target, Prober::Done done)
        : prober_(&prober),
          target_(std::move(target)),
          done_(std::move(done)),
          descriptor_(prober.loop),
          began_(Clock::now())
    {
    }

    void begin();
    void time_out();
    void abandon()
    {
        prober_ = nullptr;
        close();
    }
    void set_place(Attempts::iterator place) { place_ = place; }
    [[nodiscard]] Clock::time_point began() const { return began_; }

  private:
    enum class Step : uint8_t { kConnect, kHandshake, kSend, kReceive };

    [[nodiscard]] std::optional<ProbeResult> connect();
    [[nodiscard]] std::optional<ProbeResult> set_options(int fd) const;
    [[nodiscard]] std::optional<ProbeResult> connected();
    [[nodiscard]] std::optional<ProbeResult> receive();
    void advance();
    void wait(Descriptor::wait_type until);
    void finish(ProbeResult result);
    void close()
    {
        channel_.reset();
        error_code ignored;
        descriptor_.close(ignored);
    }

    Prober::State *prober_;  // null once nobody wants to know
    ProbeTarget target_;
    Prober::Done done_;
    Descriptor descriptor_;
    Clock::time_point began_;
    Attempts::iterator place_;
    Step step_ = Step::kConnect;
    std::unique_ptr<Channel> channel_;
    std::string request_;
    size_t sent_bytes_ = 0;
    std::optional<HttpAnswer> answer_;
};

void Attempt::begin()
{
    if (auto failed = connect()) {
        // Not from within the caller's probe().
        asio::post(prober_->loop, [self = shared_from_this(), result = std::move(*failed)] {
            if (self->prober_ != nullptr) {
                self->finish(result);
            }
        });
        return;
    }
    wait(Descriptor::wait_write);
}

std::optional<ProbeResult> Attempt::set_options(int fd) const
{
    // Reset on close; see probe.hpp.
    set_option(fd, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
    if (target_.kind != ProbeKind::kTcp) {
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
    if (target_.mark == 0) {
        return std::nullopt;
    }
    const bool hops = target_.address.is_ipv6()
                          ? set_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, kTunnelHops)
                          : set_option(fd, IPPROTO_IP, IP_TTL, kTunnelHops);
    if (!hops || !set_option(fd, IPPROTO_TCP, TCP_MAXSEG, kTunnelSegmentBytes) ||
        !set_option(fd, SOL_SOCKET, SO_MARK, target_.mark)) {
        return not_probed("cannot mark a socket for the tunnel: " + words_for(errno));
    }
    return std::nullopt;
}

std::optional<ProbeResult> Attempt::connect()
{
    if (target_.kind != ProbeKind::kTcp) {
        auto request = http_request(target_);
        if (!request) {
            return not_probed(
                "path and host must be without spaces and control characters, and "
                "the path begin with '/'");
        }
        request_ = std::move(*request);
    }
    sockaddr_storage storage{};
    const socklen_t bytes = to_socket_address(target_, storage);
    const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return not_probed("cannot open a socket: " + words_for(errno));
    }
    error_code error;
    descriptor_.assign(fd, error);
    if (error) {
        ::close(fd);
        return not_probed("cannot wait for a socket: " + error.message());
    }
    if (auto failed = set_options(fd)) {
        return failed;
    }
    if (::connect(fd, reinterpret_cast<const sockaddr *>(&storage), bytes) != 0 &&
        errno != EINPROGRESS) {
        return refused_here(target_, errno);
    }
    return std::nullopt;
}

void Attempt::wait(Descriptor::wait_type until)
{
    descriptor_.async_wait(until, [self = shared_from_this()](error_code error) {
        if (self->prober_ == nullptr || error == asio::error::operation_aborted) {
            return;
        }
        if (error) {
            self->finish(not_probed("cannot wait for a socket: " + error.message()));
            return;
        }
        self->advance();
    });
}

// The connection stands, or has failed. A result when that is the end of it.
std::optional<ProbeResult> Attempt::connected()
{
    const int fd = descriptor_.native_handle();
    int error_number = 0;
    socklen_t bytes = sizeof(error_number);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes);
    if (error_number != 0) {
        return bad(words_for(error_number));
    }
    switch (target_.kind) {
        case ProbeKind::kTcp:
            return ProbeResult{.outcome = ProbeOutcome::kGood};
        case ProbeKind::kHttp:
            channel_ = plain_channel(fd);
            break;
        case ProbeKind::kHttps: {
            auto opened = prober_->tls.open(target_, fd);
            if (!opened) {
                return not_probed(std::move(opened.error().message));
            }
            channel_ = std::move(*opened);
            break;
        }
    }
    answer_.emplace(target_);
    step_ = Step::kHandshake;
    return std::nullopt;
}

void Attempt::advance()
{
    if (step_ == Step::kConnect) {
        if (auto result = connected()) {
            return finish(std::move(*result));
        }
    }
    while (true) {
        // A server that never stops sending would keep the timer from being served.
        if (Clock::now() >= began_ + target_.timeout) {
            return time_out();
        }
        Progress progress;
        switch (step_) {
            case Step::kHandshake:
                progress = channel_->handshake();
                break;
            case Step::kSend:
                progress = channel_->send(std::string_view(request_).substr(sent_bytes_));
                break;
            default:
                progress = channel_->receive(prober_->scratch);
                break;
        }
        switch (progress.kind) {
            case Progress::Kind::kWaitRead:
                return wait(Descriptor::wait_read);
            case Progress::Kind::kWaitWrite:
                return wait(Descriptor::wait_write);
            case Progress::Kind::kFailed:
                return finish(bad(std::move(progress.reason)));
            default:
                break;
        }
        if (step_ == Step::kHandshake) {
            step_ = Step::kSend;
        } else if (step_ == Step::kSend) {
            sent_bytes_ += progress.bytes;
            if (sent_bytes_ == request_.size()) {
                step_ = Step::kReceive;
                // The answer is not there yet.
                return wait(Descriptor::wait_read);
            }
        } else {
            const bool known =
                progress.kind == Progress::Kind::kEnd
                    ? answer_->end()
                    : answer_->take(std::string_view(prober_->scratch.data(), progress.bytes));
            if (known) {
                return finish(answer_->good() ? ProbeResult{.outcome = ProbeOutcome::kGood}
                                              : bad(answer_->reason()));
            }
        }
    }
}

void Attempt::time_out()
{
    const auto within = " within " + in_words(target_.timeout);
    switch (step_) {
        case Step::kConnect:
            return finish(bad("no answer" + within));
        case Step::kHandshake:
            return finish(bad("connected, but no TLS handshake" + within));
        default:
            return finish(bad("connected, but no whole HTTP answer" + within));
    }
}

void Attempt::finish(ProbeResult result)
{
    const auto self = shared_from_this();  // beyond leave()
    result.latency =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
    close();
    std::exchange(prober_, nullptr)->leave(place_);
    const auto done = std::move(done_);
    done(std::move(result));
}

}  // namespace

void Prober::State::enter(const std::shared_ptr<Attempt> &attempt,
                          std::chrono::milliseconds timeout)
{
    const auto deadline = attempt->began() + timeout;
    attempt->set_place(attempts.emplace(deadline, attempt));
    if (!armed_for || deadline < *armed_for) {
        arm(deadline);
    }
}

// One timer for all: most probes end long before their deadline, and cost nothing here.
void Prober::State::arm(Clock::time_point deadline)
{
    armed_for = deadline;
    timer.expires_at(deadline);
    timer.async_wait([weak = weak_from_this()](error_code error) {
        if (const auto self = weak.lock(); self && !error && !self->abandoned) {
            self->on_timer();
        }
    });
}

void Prober::State::on_timer()
{
    const auto self = shared_from_this();  // a probe that is told may destroy the prober
    armed_for.reset();
    const auto now = Clock::now();
    while (!abandoned && !attempts.empty() && attempts.begin()->first <= now) {
        attempts.begin()->second->time_out();
    }
    if (!abandoned && !attempts.empty() && !armed_for) {
        arm(attempts.begin()->first);
    }
}

void Prober::State::abandon()
{
    abandoned = true;
    timer.cancel();
    for (const auto &[deadline, attempt] : std::exchange(attempts, {})) {
        attempt->abandon();
    }
}

Prober::Prober(asio::io_context &loop) : state_(std::make_shared<State>(loop)) {}

Prober::~Prober()
{
    state_->abandon();
}

void Prober::probe(ProbeTarget target, Done done)
{
    const auto timeout = target.timeout;
    const auto attempt = std::make_shared<Attempt>(*state_, std::move(target), std::move(done));
    state_->enter(attempt, timeout);
    attempt->begin();
}

size_t Prober::under_way() const
{
    return state_->attempts.size();
}

}  // namespace guideway::health
