// Answers of the API that come later, and clients that do not wait for them.
#include <atomic>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>

#include "control/api/request.hpp"
#include "tests/unit/api_fixture.hpp"

namespace guideway::api {
namespace {

using namespace std::chrono_literals;

// A handler whose answers to /later come when the test sends them.
class LaterAnswers {
  public:
    Response operator()(const Request &request)
    {
        if (request.path != std::vector<std::string>{"later"}) {
            return echo(request);
        }
        Response response;
        response.later = [this](Response::Reply reply) {
            reply_ = std::move(reply);
            asked++;
            return std::shared_ptr<void>(this, [this](void *) { dropped++; });
        };
        return response;
    }
    void send(boost::asio::io_context &loop)
    {
        boost::asio::post(loop, [this] { reply_({200, {{"told", true}}}); });
    }
    static bool reaches(const std::atomic<int> &number, int value)
    {
        for (int i = 0; i < 250 && number < value; ++i) {
            std::this_thread::sleep_for(20ms);
        }
        return number == value;
    }

    std::atomic<int> asked = 0;
    std::atomic<int> dropped = 0;

  private:
    Response::Reply reply_;
};

TEST_F(ApiServer, SendsAnAnswerThatComesLater)
{
    LaterAnswers answers;
    start({.request_timeout = 200ms}, std::ref(answers));
    Client client(path_);
    client.send("GET /later?after=7 HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(LaterAnswers::reaches(answers.asked, 1));
    EXPECT_TRUE(ask(get("/other")).contains(" 200 OK")) << "others are served meanwhile";
    std::this_thread::sleep_for(400ms);  // longer than a request may take
    EXPECT_EQ(answers.dropped, 0);
    answers.send(loop_);
    EXPECT_TRUE(client.receive("}\n").contains(R"({"told":true})"));
    EXPECT_EQ(answers.dropped, 1);
    // The connection goes on, also with a request that was sent while the first waited.
    client.send("GET /later HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(LaterAnswers::reaches(answers.asked, 2));
    client.send(get("/next"));
    std::this_thread::sleep_for(50ms);
    answers.send(loop_);
    const auto both = client.receive();
    EXPECT_TRUE(both.contains("told") && both.contains(R"("path":["next"])")) << both;
}

TEST_F(ApiServer, ForgetsAClientThatGoesBeforeItsAnswer)
{
    LaterAnswers answers;
    start({.connections_max = 4}, std::ref(answers));
    for (int i = 1; i <= 20; ++i) {
        Client(path_).send("GET /later HTTP/1.1\r\n\r\n");
        ASSERT_TRUE(LaterAnswers::reaches(answers.dropped, i)) << i;
    }
    answers.send(loop_);
    EXPECT_TRUE(ask(get("/")).contains(" 200 OK"));
}

TEST_F(ApiServer, CutsOffAClientThatTalksOnInsteadOfWaiting)
{
    LaterAnswers answers;
    start({}, std::ref(answers));
    Client client(path_);
    client.send("GET /later HTTP/1.1\r\n\r\n");
    client.send(std::string(200'000, 'x'));
    EXPECT_TRUE(LaterAnswers::reaches(answers.dropped, 1));
    EXPECT_EQ(client.receive(), "");
    EXPECT_TRUE(client.closed());
}

TEST_F(ApiServer, DrainsAndEndsWithoutWaitingForLateAnswers)
{
    LaterAnswers answers;
    start({}, std::ref(answers));
    Client client(path_);
    client.send("GET /later HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(LaterAnswers::reaches(answers.asked, 1));
    boost::asio::post(loop_, [this] { server_->drain([this] { loop_.stop(); }); });
    thread_.join();
    server_.reset();
    EXPECT_EQ(answers.dropped, 1);
    EXPECT_EQ(client.receive(), "");
    EXPECT_TRUE(client.closed());
}

TEST(ApiTarget, HasAQuery)
{
    using Query = std::map<std::string, std::string>;
    EXPECT_EQ(parse_query("/v1/events").value(), Query{});
    EXPECT_EQ(parse_query("/v1/events?").value(), Query{});
    EXPECT_EQ(parse_query("/v1/events?after=7&wait=20#x?y=1").value(),
              (Query{{"after", "7"}, {"wait", "20"}}));
    EXPECT_EQ(parse_query("/?a=b%26c%3D&d&e=f=g").value(),
              (Query{{"a", "b&c="}, {"d", ""}, {"e", "f=g"}}));
    EXPECT_FALSE(parse_query("/?a=1&a=2"));
    EXPECT_FALSE(parse_query("/?a=%4"));
    EXPECT_FALSE(parse_query("/?%00"));
}

}  // namespace
}  // namespace guideway::api
