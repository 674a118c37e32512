// Probes of HTTPS: real TLS, with certificates made here.
#include <fstream>

#include "tests/unit/probe_servers.hpp"

namespace guideway::health {
namespace {

using namespace std::chrono_literals;
using TlsServerContext = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX *)>;

// Two authorities, of which the tests trust the first, and certificates from them.
class HttpsProbe : public ::testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "gw-probe-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        make_authority("trusted");
        make_authority("other");
        make_certificate("good", "trusted", "DNS:api.example,IP:127.0.0.1", 30);
        make_certificate("name-only", "trusted", "DNS:api.example", 30);
        make_certificate("stranger", "other", "DNS:api.example,IP:127.0.0.1", 30);
        make_certificate("expired", "trusted", "DNS:api.example,IP:127.0.0.1", -1);
    }
    static void TearDownTestSuite() { std::filesystem::remove_all(directory_); }

    static void shell(const std::string &command)
    {
        ASSERT_EQ(std::system(
                      ("cd " + directory_.native() + " && { " + command + "; } >/dev/null 2>&1")
                          .c_str()),
                  0)
            << command;
    }

    static void make_authority(const std::string &name)
    {
        shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
            " -subj /CN=" +
            name + " -keyout " + name + ".key -out " + name + ".pem");
    }

    static void make_certificate(const std::string &name, const std::string &authority,
                                 const std::string &names, int days)
    {
        std::ofstream(directory_ / (name + ".ext")) << "subjectAltName=" << names << "\n";
        shell("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" +
              name + " -keyout " + name + ".key -out " + name +
              ".csr && openssl x509 -req -in " + name + ".csr -CA " + authority +
              ".pem -CAkey " + authority + ".key -CAcreateserial -days " +
              std::to_string(days) + " -extfile " + name + ".ext -out " + name + ".pem");
    }

    static TlsServerContext server_context(const std::string &name)
    {
        TlsServerContext context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
        EXPECT_EQ(SSL_CTX_use_certificate_file(
                      context.get(), (directory_ / (name + ".pem")).c_str(), SSL_FILETYPE_PEM),
                  1);
        EXPECT_EQ(SSL_CTX_use_PrivateKey_file(
                      context.get(), (directory_ / (name + ".key")).c_str(), SSL_FILETYPE_PEM),
                  1);
        return context;
    }

    static ProbeTarget verified(uint16_t port, const std::string &sni = "")
    {
        auto target = target_of(ProbeKind::kHttps, port);
        target.verify = true;
        target.ca_file = directory_ / "trusted.pem";
        target.sni = sni;
        return target;
    }

    // One probe, verified, of a server with this certificate.
    static ProbeResult probe_certificate(const std::string &name, const std::string &sni = "")
    {
        const auto context = server_context(name);
        const Server server(answering(http_answer(200)), context.get());
        return probe_once(verified(server.port(), sni));
    }

    static inline std::filesystem::path directory_;
};

TEST_F(HttpsProbe, IsGoodWithoutLookingAtTheCertificate)
{
    const auto context = server_context("expired");
    const Server server(answering(http_answer(200, "all is well")), context.get());
    auto target = target_of(ProbeKind::kHttps, server.port());
    target.body = "is well";
    const auto result = probe_once(target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kGood) << result.reason;
    target.statuses = {{201, 201}};
    EXPECT_EQ(probe_once(target).reason, "status 200 (expected 201)");
}

TEST_F(HttpsProbe, AcceptsACertificateForTheNameOrTheAddress)
{
    EXPECT_EQ(probe_certificate("good").reason, "");
    EXPECT_EQ(probe_certificate("good", "api.example").reason, "");
    EXPECT_EQ(probe_certificate("name-only", "api.example").reason, "");
}

TEST_F(HttpsProbe, RefusesACertificateThatIsWrong)
{
    EXPECT_EQ(probe_certificate("good", "www.example").reason,
              "certificate: hostname mismatch");
    EXPECT_EQ(probe_certificate("name-only").reason, "certificate: IP address mismatch");
    EXPECT_EQ(probe_certificate("expired").reason, "certificate: certificate has expired");
    const auto stranger = probe_certificate("stranger");
    EXPECT_EQ(stranger.outcome, ProbeOutcome::kBad);
    EXPECT_EQ(stranger.reason, "certificate: unable to get local issuer certificate");
}

TEST_F(HttpsProbe, TrustsTheSystemsStoreWhenNoFileIsNamed)
{
    const auto context = server_context("good");
    const Server server(answering(http_answer(200)), context.get());
    auto target = verified(server.port());
    target.ca_file.clear();
    const auto result = probe_once(target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kBad);
    EXPECT_TRUE(result.reason.starts_with("certificate: ")) << result.reason;
}

TEST_F(HttpsProbe, SendsTheName)
{
    const auto context = server_context("name-only");
    std::string seen;
    SSL_CTX_set_tlsext_servername_arg(context.get(), &seen);
    SSL_CTX_set_tlsext_servername_callback(
        context.get(), +[](SSL *connection, int *, void *argument) {
            const char *name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
            *static_cast<std::string *>(argument) = name != nullptr ? name : "(none)";
            return SSL_TLSEXT_ERR_OK;
        });
    const Server server(answering(http_answer(200)), context.get());
    EXPECT_EQ(probe_once(verified(server.port(), "api.example")).reason, "");
    EXPECT_EQ(seen, "api.example");
    auto by_host = verified(server.port());
    by_host.host = "api.example:8443";
    EXPECT_EQ(probe_once(by_host).reason, "");
    EXPECT_EQ(seen, "api.example");
    by_host.host = "[2001:db8::1]:8443";
    by_host.verify = false;
    EXPECT_EQ(probe_once(by_host).reason, "");
    EXPECT_EQ(seen, "(none)") << "an address is no server name (RFC 6066 section 3)";
}

void resumes(uint16_t port, const Server &server)
{
    boost::asio::io_context loop;
    Prober prober(loop);
    auto target = target_of(ProbeKind::kHttps, port);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(probe_once(loop, prober, target).reason, "");
    }
    EXPECT_EQ(server.resumed(), 3);
    target.sni = "another.example";
    EXPECT_EQ(probe_once(loop, prober, target).reason, "");
    target.sni = "";
    target.mark = 0;
    target.verify = true;
    EXPECT_NE(probe_once(loop, prober, target).reason, "") << "was not verified before";
    EXPECT_EQ(server.resumed(), 3) << "what was agreed with one is of no use for another";
}

TEST_F(HttpsProbe, ResumesSessions)
{
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const auto context = server_context("good");
        SSL_CTX_set_max_proto_version(context.get(), version);
        SSL_CTX_set_min_proto_version(context.get(), version);
        const Server server(answering(http_answer(200)), context.get());
        resumes(server.port(), server);
    }
}

TEST_F(HttpsProbe, DoesWithoutASessionThatTheServerForgot)
{
    auto context = server_context("good");
    boost::asio::io_context loop;
    Prober prober(loop);
    const Server server(answering(http_answer(200)), context.get());
    EXPECT_EQ(probe_once(loop, prober, verified(server.port())).reason, "");
    // Other keys for its tickets, as after a restart.
    std::array<unsigned char, 80> keys{};
    ASSERT_EQ(SSL_CTX_set_tlsext_ticket_keys(context.get(), keys.data(), keys.size()), 1);
    EXPECT_EQ(probe_once(loop, prober, verified(server.port())).reason, "");
    EXPECT_EQ(server.resumed(), 0);
    EXPECT_EQ(probe_once(loop, prober, verified(server.port())).reason, "");
    EXPECT_EQ(server.resumed(), 1);
}

TEST_F(HttpsProbe, LooksAgainWhenTheTrustedCertificatesChanged)
{
    const auto context = server_context("good");
    const Server server(answering(http_answer(200)), context.get());
    boost::asio::io_context loop;
    Prober prober(loop);
    auto target = verified(server.port());
    target.ca_file = directory_ / "changing.pem";
    auto result = probe_once(loop, prober, target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kNotProbed);
    EXPECT_EQ(result.reason, "cannot read trusted certificates from " + target.ca_file +
                                 ": no such file or directory");
    shell("cp trusted.pem changing.pem");
    EXPECT_EQ(probe_once(loop, prober, target).reason, "");
    shell("cp other.pem new.pem && mv new.pem changing.pem");
    EXPECT_EQ(probe_once(loop, prober, target).reason,
              "certificate: unable to get local issuer certificate");
    std::ofstream(directory_ / "changing.pem") << "no certificate\n";
    result = probe_once(loop, prober, target);
    EXPECT_EQ(result.outcome, ProbeOutcome::kNotProbed) << result.reason;
}

TEST_F(HttpsProbe, SaysWhatIsWrongWithTls)
{
    const auto reason_of = [](const Server::Serve &serve) {
        const Server server(serve);
        auto target = target_of(ProbeKind::kHttps, server.port());
        target.timeout = 300ms;
        const auto result = probe_once(target);
        EXPECT_EQ(result.outcome, ProbeOutcome::kBad);
        return result.reason;
    };
    EXPECT_EQ(reason_of([](Connection &connection, const std::atomic<bool> &stopping) {
                  connection.write(http_answer(400));
                  connection.hold(stopping);
              }),
              "TLS: wrong version number");
    EXPECT_EQ(reason_of([](Connection &connection, const std::atomic<bool> &stopping) {
                  connection.hold(stopping);
              }),
              "connected, but no TLS handshake within 300 ms");
    EXPECT_EQ(reason_of([](Connection &connection, const std::atomic<bool> &) {
                  connection.write("\x16\x03\x03");
                  std::this_thread::sleep_for(50ms);
              }),
              "connection reset by peer");
}

TEST_F(HttpsProbe, SaysThatTheServerWantsACertificate)
{
    const auto context = server_context("good");
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       nullptr);
    const Server server(answering(http_answer(200)), context.get());
    const auto result = probe_once(verified(server.port()));
    EXPECT_EQ(result.outcome, ProbeOutcome::kBad);
    EXPECT_NE(result.reason.find("certificate required"), std::string::npos) << result.reason;
}

TEST_F(HttpsProbe, TakesAnAnswerThatEndsWithoutCloseNotify)
{
    const auto context = server_context("good");
    const Server server(answering("HTTP/1.0 200 OK\r\n\r\nall is well"), context.get());
    auto target = verified(server.port());
    target.body = "well";
    EXPECT_EQ(probe_once(target).reason, "");
    target.body = "ill";
    EXPECT_EQ(probe_once(target).reason, "the expected text is not in the body");
}

}  // namespace
}  // namespace guideway::health
