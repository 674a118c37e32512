// The keeper of the engine, with real processes: tests/unit/fake_engine.cpp.
#include "control/daemon/engine.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace guideway::daemon {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class EngineTest : public ::testing::Test {
  protected:
    EngineTest()
        : directory_(std::filesystem::temp_directory_path() /
                     ("engine." + std::to_string(getpid()) + "." +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name()))
    {
        std::filesystem::create_directories(directory_);
        engine_ = made();
    }

    // No engine outlives its test.
    ~EngineTest() override
    {
        engine_.reset();
        const EngineFile file(directory_ / "e.dpdk");
        for (int i = 0; i < 50 && file.is_held(); i++) {
            if (const auto process = running()) {
                process->kill();
            }
        }
        std::filesystem::remove_all(directory_);
    }

    std::unique_ptr<Engine> made()
    {
        return std::make_unique<Engine>(
            loop_, EnginePlace{.program = GUIDEWAY_FAKE_ENGINE, .run_directory = directory_},
            "e",
            Engine::World{
                .record = [this](const model::Event &event) { events_.push_back(event); },
                .begins = [this] { begins_++; },
                .changed = [this] { changes_++; }});
    }

    [[nodiscard]] EngineWish wish(const std::vector<std::string> &words = {}) const
    {
        EngineWish wish{.arguments = {"--run-dir=" + directory_.native()},
                        .interfaces = {"eth0"}};
        wish.arguments.insert(wish.arguments.end(), words.begin(), words.end());
        return wish;
    }

    [[nodiscard]] EngineWish external() const
    {
        auto of_service_manager = wish();
        of_service_manager.is_external = true;
        return of_service_manager;
    }

    // Whoever holds the lock.
    [[nodiscard]] std::optional<EngineProcess> running() const
    {
        const EngineFile file(directory_ / "e.dpdk");
        const auto page = file.read();
        return file.is_held() && page ? EngineProcess::find(static_cast<pid_t>(page->pid))
                                      : std::nullopt;
    }

    [[nodiscard]] pid_t pid() const
    {
        const auto process = running();
        return process ? process->pid() : 0;
    }

    template <typename Condition>
    bool eventually(Condition condition)
    {
        const auto until = Clock::now() + 20s;
        while (!condition()) {
            if (Clock::now() > until) {
                return false;
            }
            loop_.restart();
            loop_.run_for(10ms);
        }
        return true;
    }

    [[nodiscard]] size_t count(const std::string &kind) const
    {
        return static_cast<size_t>(std::ranges::count(events_, kind, &model::Event::kind));
    }

    std::filesystem::path directory_;
    boost::asio::io_context loop_;
    std::vector<model::Event> events_;
    int begins_ = 0;
    int changes_ = 0;
    std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, IsStartedAndTellsOfItself)
{
    const auto runs = engine_->require(wish(), true);
    ASSERT_TRUE(runs) << runs.error().message;
    EXPECT_TRUE(engine_->is_running());
    EXPECT_TRUE(engine_->may_be_at_work());
    EXPECT_EQ(engine_->problem(), "");
    const auto page = engine_->page();
    ASSERT_TRUE(page);
    EXPECT_EQ(static_cast<pid_t>(page->pid), pid());
    EXPECT_EQ(count("engine_started"), 1U);
    ASSERT_TRUE(running());
    EXPECT_TRUE(running()->is_a_daemons());
    EXPECT_EQ(getsid(pid()), pid()) << "a session of its own";
}

TEST_F(EngineTest, SaysWhatTheEngineSaysThatCannotStart)
{
    const auto begun = Clock::now();
    const auto runs = engine_->require(wish({"--fail=port eth9: no such device"}), true);
    ASSERT_FALSE(runs);
    EXPECT_EQ(runs.error().message, "the engine does not run: port eth9: no such device");
    EXPECT_LT(Clock::now() - begun, 4s) << "not a time-out";
    EXPECT_FALSE(engine_->is_wanted());
    EXPECT_EQ(pid(), 0);
}

TEST_F(EngineTest, IsRefusedWhenTheProgramIsMissing)
{
    Engine engine(loop_,
                  {.program = directory_ / "no-such-program", .run_directory = directory_}, "e",
                  {.record = [](const auto &) {}, .begins = [] {}, .changed = [] {}});
    const auto runs = engine.require(wish(), true);
    ASSERT_FALSE(runs);
    EXPECT_NE(runs.error().message.find("no-such-program: No such file"), std::string::npos)
        << runs.error().message;
}

TEST_F(EngineTest, IsGivenUpWhenItHangsAtItsStart)
{
    const auto runs = engine_->require(wish({"--hang"}), true);
    ASSERT_FALSE(runs);
    EXPECT_NE(runs.error().message.find("does not come up within 5 s"), std::string::npos);
    EXPECT_EQ(pid(), 0) << "and none is left";
}

TEST_F(EngineTest, OutlivesItsDaemonAndIsAdoptedByTheNext)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    EXPECT_EQ(begins_, 1);
    const pid_t first = pid();
    engine_.reset();
    EXPECT_EQ(pid(), first);
    engine_ = made();
    ASSERT_TRUE(engine_->require(wish({"--log-level=debug"}), true))
        << "how it logs does not matter";
    EXPECT_EQ(pid(), first);
    EXPECT_EQ(begins_, 1) << "neighbours are as they were";
}

TEST_F(EngineTest, IsStartedAnewWhenItIsToRunOtherwise)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    const pid_t first = pid();
    ASSERT_TRUE(engine_->require(wish({"--workers=2"}), true));
    EXPECT_NE(pid(), first);
    const pid_t second = pid();
    engine_.reset();
    engine_ = made();  // by the next daemon too
    ASSERT_TRUE(engine_->require(wish({"--workers=1"}), true));
    EXPECT_NE(pid(), second);
}

TEST_F(EngineTest, OfAnotherBuildIsStartedAnew)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    const pid_t first = pid();
    engine_.reset();
    std::fstream page(directory_ / "e.dpdk", std::ios::in | std::ios::out | std::ios::binary);
    page.seekp(offsetof(dpdk::EnginePage, build));
    page << "0.0.1-before";
    page.close();
    engine_ = made();
    ASSERT_TRUE(engine_->require(wish(), true));
    EXPECT_NE(pid(), first);
}

TEST_F(EngineTest, ThatCrashesIsStartedAgain)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    const pid_t first = pid();
    ASSERT_TRUE(running());
    running()->kill();
    ASSERT_TRUE(eventually([&] { return !engine_->is_running(); }));
    EXPECT_NE(engine_->problem().find("was ended by signal 9 (Killed)"), std::string::npos)
        << engine_->problem();
    EXPECT_EQ(count("engine_ended"), 1U);
    EXPECT_FALSE(engine_->may_be_at_work());
    const auto ended = Clock::now();
    ASSERT_TRUE(eventually([&] { return engine_->is_running(); }));
    EXPECT_GT(Clock::now() - ended, 700ms) << "not at once";
    EXPECT_NE(pid(), first);
    EXPECT_EQ(changes_, 2);
    EXPECT_EQ(count("engine_started"), 2U);
    EXPECT_EQ(engine_->problem(), "");
}

TEST_F(EngineTest, ThatFailsAgainAndAgainIsTriedMoreSeldom)
{
    engine_->want(wish({"--fail=no memory"}));
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(directory_ / "starts"); }));
    loop_.restart();
    loop_.run_for(4500ms);  // at 0, 1 and 3 s
    const auto starts = std::filesystem::file_size(directory_ / "starts");
    EXPECT_GE(starts, 2U);
    EXPECT_LE(starts, 3U);
    EXPECT_EQ(count("engine_ended"), 1U) << "told of once";
    EXPECT_NE(engine_->problem().find("no memory"), std::string::npos) << engine_->problem();
}

TEST_F(EngineTest, IsEndedWithItsTapsOrWithout)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    engine_->release(true);
    EXPECT_EQ(pid(), 0);
    EXPECT_TRUE(std::filesystem::exists(directory_ / "taps-removed"));
    std::filesystem::remove(directory_ / "taps-removed");
    ASSERT_TRUE(engine_->require(wish(), true));
    engine_->release(false);
    EXPECT_EQ(pid(), 0);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "taps-removed"));
}

TEST_F(EngineTest, IsKilledWhenItDoesNotEnd)
{
    ASSERT_TRUE(engine_->require(wish({"--stubborn"}), true));
    const auto begun = Clock::now();
    engine_->release(false);
    EXPECT_GT(Clock::now() - begun, 2s) << "it had time to end";
    EXPECT_EQ(pid(), 0);
}

TEST_F(EngineTest, ThatHangsIsKilled)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    engine_->end_hanging();
    EXPECT_FALSE(engine_->may_be_at_work());
    ASSERT_TRUE(eventually([&] { return count("engine_ended") == 1; }));
}

// The one of these tests writes its page once, as one that is stopped.
TEST_F(EngineTest, ThatSaysNothingMoreIsAProblemAndThenKilled)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    const pid_t silent = pid();
    EXPECT_TRUE(eventually(
        [&] { return engine_->problem().find("hangs or is stopped") != std::string::npos; }));
    EXPECT_EQ(pid(), silent);
    EXPECT_TRUE(eventually([&] { return pid() != 0 && pid() != silent; }));
    EXPECT_EQ(count("engine_ended"), 1U);
}

TEST_F(EngineTest, TellsOfLinks)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    kill(pid(), SIGUSR1);
    ASSERT_TRUE(eventually([&] { return count("link_down") == 1; }));
    EXPECT_NE(events_.back().text.find("eth0"), std::string::npos);
    kill(pid(), SIGUSR1);
    ASSERT_TRUE(eventually([&] { return count("link_up") == 1; }));
}

TEST_F(EngineTest, OfAServiceManagerIsNeitherStartedNorEnded)
{
    ASSERT_TRUE(engine_->require(external(), false));
    EXPECT_EQ(pid(), 0);
    EXPECT_NE(engine_->problem().find("for the service manager to start"), std::string::npos);
    const auto must = engine_->require(external(), true);
    ASSERT_FALSE(must);
    EXPECT_NE(must.error().message.find("no engine runs"), std::string::npos);

    ASSERT_TRUE(engine_->require(external(), false));
    const auto begun = EngineProcess::begin(GUIDEWAY_FAKE_ENGINE, wish({"--other"}).arguments);
    ASSERT_TRUE(begun);
    ASSERT_TRUE(eventually([&] { return engine_->is_running(); }));
    EXPECT_EQ(engine_->problem(), "") << "its arguments are not ours to judge";
    engine_->release(true);
    EXPECT_EQ(pid(), begun->pid());
    EXPECT_FALSE(begun->has_ended());
}

TEST_F(EngineTest, OfAServiceManagerWithOtherPortsIsAProblem)
{
    auto two = external();
    two.interfaces.push_back("eth1");
    engine_->want(two);
    const auto begun = EngineProcess::begin(GUIDEWAY_FAKE_ENGINE, wish().arguments);
    ASSERT_TRUE(begun);
    ASSERT_TRUE(eventually([&] { return engine_->is_running(); }));
    EXPECT_NE(engine_->problem().find("other ports"), std::string::npos) << engine_->problem();
}

TEST_F(EngineTest, LeftByAnEarlierDaemonIsEndedWhereNoneIsWanted)
{
    ASSERT_TRUE(engine_->require(wish(), true));
    engine_.reset();
    engine_ = made();
    engine_->end_left_over();
    EXPECT_EQ(pid(), 0);
}

TEST(EngineWishes, AreTheArgumentsOfTheProgram)
{
    const model::Desired desired{
        .instance = "e",
        .interfaces = {"eth0", "eth1"},
        .engine = model::Engine::kDpdk,
        .dpdk = {.workers = 2,
                 .cores = {2, 3},
                 .queues = 1,
                 .memory_mib = 128,
                 .hugepages = model::Hugepages::kOff,
                 .idle = model::Idle::kPoll,
                 .ports = {{.interface = "eth1", .device = "0000:01:00.0"},
                           {.interface = "eth0", .device = "net_af_packet"}}}};
    const auto wish =
        engine_wish(desired, {.program = "p", .run_directory = "/run/g", .bpf_mount = "/b"});
    EXPECT_EQ(wish.arguments,
              (std::vector<std::string>{"--instance=e", "--bpffs=/b", "--run-dir=/run/g",
                                        "--port=eth0=net_af_packet", "--port=eth1=0000:01:00.0",
                                        "--workers=2", "--cores=2,3", "--queues=1",
                                        "--memory=128", "--hugepages=off", "--idle=poll",
                                        "--log-format=text", "--log-level=info"}));
    EXPECT_FALSE(wish.is_external);
}

TEST(EngineFiles, ThatAreDamagedAreNoPages)
{
    const auto path =
        std::filesystem::temp_directory_path() / ("engine-page." + std::to_string(getpid()));
    const EngineFile file(path);
    std::filesystem::remove(path);
    EXPECT_FALSE(file.read());
    EXPECT_FALSE(file.is_held());
    std::ofstream(path) << "short";
    EXPECT_FALSE(file.read());
    dpdk::EnginePage page{.magic = dpdk::kEnginePageMagic,
                          .version = dpdk::kEnginePageVersion,
                          .page_bytes = sizeof(dpdk::EnginePage)};
    page.workers = 0xffffffff;
    page.ports = 0xffffffff;
    page.message.fill('x');  // without an end
    const auto write = [&] {
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char *>(&page), sizeof(page));
    };
    write();
    auto read = file.read();
    ASSERT_TRUE(read);
    EXPECT_EQ(read->workers, dpdk::kWorkersMax);
    EXPECT_EQ(read->ports, dpdk::kPortsMax);
    EXPECT_EQ(page_text(read->message).size(), page.message.size());
    page.sequence = 7;  // whoever wrote it was killed at that
    write();
    EXPECT_FALSE(file.read());
    page.sequence = 8;
    page.pid = 17;
    page.version++;
    write();
    EXPECT_FALSE(file.read());
    EXPECT_EQ(file.pid(), 17U) << "of whatever version";
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace guideway::daemon
