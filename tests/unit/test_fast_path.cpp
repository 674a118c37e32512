// FastPath on real interfaces: veth pairs in a network namespace of this process's own.
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
namespace {

constexpr gw_capacity kCapacity{.addresses_max = 16,
                                .services_max = 16,
                                .backends_max = 16,
                                .ring_slots_max = 1024,
                                .cpus_max = 64};
constexpr gw_hash_key kKey{};

void run(const std::string &command)
{
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// The program that `interface` carries, in a dispatcher or alone; of several the last. 0: none.
uint32_t program_on(const std::string &name, Mode mode = Mode::kNative)
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
int load_foreign_program()
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

TEST_F(FastPathTest, MakesTablesAndAttachesNatively)
{
    auto fast_path = open_or_die();
    EXPECT_FALSE(fast_path.adopted());
    EXPECT_EQ(fast_path.generation(), 0U);
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    ASSERT_EQ(fast_path.interfaces().size(), 1U);
    const auto &attached = fast_path.interfaces()[0];
    EXPECT_EQ(attached.name, "gwt0");
    EXPECT_EQ(attached.attachment == Attachment::kAlone, !attached.note.empty())
        << "alone only for a reason: " << attached.note;
    EXPECT_EQ(attached.mode, Mode::kNative);
    EXPECT_EQ(attached.program_id, program_on("gwt0", Mode::kNative));
    EXPECT_NE(attached.program_id, 0U);
    EXPECT_EQ(fast_path.generation(), 1U);
    EXPECT_TRUE(pinned("region"));
    EXPECT_TRUE(pinned("program-gwt0"));
}

TEST_F(FastPathTest, OutlivesTheDaemonAndIsAdoptedByTheNext)
{
    {
        auto fast_path = open_or_die();
        fast_path.tables().services()[3].identity = 77;
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    const uint32_t left = program_on("gwt0");
    EXPECT_NE(left, 0U);
    auto next = open_or_die();
    EXPECT_TRUE(next.adopted());
    EXPECT_EQ(next.tables().services()[3].identity, 77U);
    ASSERT_EQ(next.interfaces().size(), 1U);
    EXPECT_EQ(next.interfaces()[0].program_id, left);
    ASSERT_OK(next.attach({"gwt0"}, Mode::kNative));
    EXPECT_NE(program_on("gwt0"), left);
    EXPECT_EQ(next.generation(), 2U);
}

TEST_F(FastPathTest, RefusesASecondHolder)
{
    auto first = open_or_die();
    auto second = FastPath::open(options_);
    ASSERT_FALSE(second.has_value());
    EXPECT_NE(second.error().message.find("already runs"), std::string::npos)
        << second.error().message;
}

TEST_F(FastPathTest, RefusesAnInterfaceWithSomebodyElsesProgram)
{
    const int foreign = load_foreign_program();
    ASSERT_GE(foreign, 0);
    ASSERT_EQ(bpf_xdp_attach(static_cast<int>(if_nametoindex("gwt1")), foreign,
                             XDP_FLAGS_DRV_MODE, nullptr),
              0);
    close(foreign);
    const uint32_t theirs = program_on("gwt1");

    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    const uint32_t ours = program_on("gwt0");
    auto outcome = fast_path.attach({"gwt0", "gwt1"}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("gwt1"), std::string::npos);
    EXPECT_NE(outcome.error().message.find("somebody (id " + std::to_string(theirs)),
              std::string::npos)
        << outcome.error().message;
    EXPECT_EQ(program_on("gwt0"), ours) << "what was there goes on unchanged";
    EXPECT_EQ(program_on("gwt1"), theirs);
    EXPECT_EQ(fast_path.generation(), 1U);
}

TEST_F(FastPathTest, RefusesAnInterfaceOfAnotherInstance)
{
    auto first = open_or_die();
    ASSERT_OK(first.attach({"gwt0"}, Mode::kNative));
    auto other_options = options_;
    other_options.pin_directory += "-other";
    auto other = FastPath::open(other_options);
    ASSERT_OK(other);
    auto outcome = other->attach({"gwt0"}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("not this instance's (id "), std::string::npos)
        << outcome.error().message;
    ASSERT_OK(other->detach());
}

TEST_F(FastPathTest, RollsBackWhenALaterInterfaceFails)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    const uint32_t before = program_on("gwt0");
    // The loopback device has no native XDP.
    auto outcome = fast_path.attach({"gwt0", "gwt1", "lo"}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("generic"), std::string::npos)
        << outcome.error().message;
    EXPECT_EQ(program_on("gwt0"), before);
    EXPECT_EQ(program_on("gwt1"), 0U);
    EXPECT_EQ(fast_path.generation(), 1U);
    ASSERT_EQ(fast_path.interfaces().size(), 1U);
}

TEST_F(FastPathTest, LeavesInterfacesThatAreNoLongerListed)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
    EXPECT_NE(program_on("gwt1"), 0U);
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    EXPECT_NE(program_on("gwt0"), 0U);
    EXPECT_EQ(program_on("gwt1"), 0U);
    EXPECT_FALSE(pinned("program-gwt1"));
}

TEST_F(FastPathTest, ChangesBetweenNativeAndGeneric)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kGeneric));
    EXPECT_NE(program_on("gwt0", Mode::kGeneric), 0U);
    EXPECT_EQ(program_on("gwt0", Mode::kNative), 0U);
    EXPECT_EQ(fast_path.interfaces()[0].mode, Mode::kGeneric);
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    EXPECT_NE(program_on("gwt0", Mode::kNative), 0U);
}

TEST_F(FastPathTest, DetachRemovesProgramsAndPinsAndCanBeAttachedAgain)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
        auto names = fast_path.detach();
        ASSERT_OK(names);
        EXPECT_EQ(names->size(), 2U);
        EXPECT_EQ(program_on("gwt0"), 0U);
        EXPECT_EQ(program_on("gwt1"), 0U);
        EXPECT_FALSE(pinned("region"));
        EXPECT_FALSE(pinned("program-gwt0"));
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
        EXPECT_TRUE(pinned("region"));
        ASSERT_OK(fast_path.detach());
    }
    EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
}

TEST_F(FastPathTest, SurvivesAnInterfaceThatWentAway)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
        run("ip link del gwt0");
        auto gone = fast_path.attach({"gwt0"}, Mode::kNative);
        ASSERT_FALSE(gone.has_value());
        EXPECT_NE(gone.error().message.find("no interface gwt0"), std::string::npos);
    }
    run("ip link add gwt0 type veth peer name gwt1");
    auto next = open_or_die();
    EXPECT_TRUE(next.adopted());
    EXPECT_TRUE(next.interfaces().empty()) << "the pinned program is on no interface any more";
    ASSERT_OK(next.attach({"gwt0"}, Mode::kNative));
    EXPECT_NE(program_on("gwt0"), 0U);
}

TEST_F(FastPathTest, RecoversFromACrashBeforePinning)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    // As if killed between attaching and pinning, and again while pinning.
    std::filesystem::rename(options_.pin_directory / "program-gwt0",
                            options_.pin_directory / "pinning-program-gwt0");
    auto next = open_or_die();
    ASSERT_EQ(next.interfaces().size(), 1U);
    ASSERT_OK(next.attach({"gwt0"}, Mode::kNative));
    EXPECT_TRUE(pinned("program-gwt0"));
    EXPECT_FALSE(pinned("pinning-program-gwt0"));
}

TEST_F(FastPathTest, RecognisesItsProgramAfterTheTablesWereLost)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    std::filesystem::remove(options_.pin_directory / "region");
    auto next = open_or_die();
    EXPECT_FALSE(next.adopted());
    ASSERT_OK(next.attach({"gwt0"}, Mode::kNative));
}

TEST_F(FastPathTest, RefusesTablesOfOtherSizesAndKeys)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    auto larger = options_;
    larger.capacity.ring_slots_max *= 1024;
    auto outcome = FastPath::open(larger);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("former sizes"), std::string::npos)
        << outcome.error().message;
    auto other_key = options_;
    reinterpret_cast<uint8_t *>(&other_key.hash_key)[0] ^= 1;
    outcome = FastPath::open(other_key);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("hash key"), std::string::npos)
        << outcome.error().message;
    EXPECT_NE(program_on("gwt0"), 0U);
}

TEST_F(FastPathTest, IsRemovedWithoutADaemonWhateverItsSizes)
{
    {
        auto larger = options_;
        larger.capacity.ring_slots_max *= 2;
        auto fast_path = FastPath::open(larger);
        ASSERT_OK(fast_path);
        ASSERT_OK(fast_path->attach({"gwt0"}, Mode::kNative));
        auto refused = FastPath::remove(options_.pin_directory);
        ASSERT_FALSE(refused.has_value()) << "a daemon holds it";
    }
    std::filesystem::rename(options_.pin_directory / "program-gwt0",
                            options_.pin_directory / "pinning-program-gwt0");
    auto names = FastPath::remove(options_.pin_directory);
    ASSERT_OK(names);
    EXPECT_EQ(*names, std::vector<std::string>{"gwt0"});
    EXPECT_EQ(program_on("gwt0"), 0U);
    EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
}

TEST_F(FastPathTest, PinsInterfacesWithDotsInTheirNames)
{
    run("ip link add link gwt0 name gwt0.7 type vlan id 7 || ip link add gwt0.7 type veth");
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0.7"}, Mode::kGeneric));
    EXPECT_TRUE(pinned("program-gwt0%2e7"));
    ASSERT_OK(fast_path.detach());
}

TEST_F(FastPathTest, RefusesADirectoryOutsideABpfFileSystem)
{
    auto elsewhere = options_;
    elsewhere.pin_directory = "/tmp/guideway-test-pins";
    auto outcome = FastPath::open(elsewhere);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("BPF file system"), std::string::npos)
        << outcome.error().message;
    EXPECT_FALSE(std::filesystem::exists(elsewhere.pin_directory));
}

// Holds our program of `pin` on an interface by a BPF link, which netlink cannot remove: an
// interface that our program cannot be taken off. Destroyed, the link lets go.
class StuckProgram {
  public:
    StuckProgram(const std::filesystem::path &pin, const char *interface)
    {
        const int program = bpf_obj_get(pin.c_str());
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
        link_ = bpf_link_create(program, static_cast<int>(if_nametoindex(interface)), BPF_XDP,
                                &options);
        close(program);
        EXPECT_GE(link_, 0) << "a BPF link on " << interface;
    }
    StuckProgram(const StuckProgram &) = delete;
    StuckProgram &operator=(const StuckProgram &) = delete;
    ~StuckProgram() { close(link_); }

  private:
    int link_ = -1;
};

TEST_F(FastPathTest, KeepsWhatItCouldNotCleanUpAsRemainsAndTriesAgain)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    EXPECT_TRUE(fast_path.remains().empty());
    {
        run("ip link set dev gwt0 xdp off");
        const StuckProgram stuck(options_.pin_directory / "program-gwt0", "gwt0");
        ASSERT_OK(fast_path.attach({"gwt1"}, Mode::kNative));
        EXPECT_NE(program_on("gwt1"), 0U);
        ASSERT_EQ(fast_path.interfaces().size(), 1U);
        EXPECT_EQ(fast_path.interfaces()[0].name, "gwt1");
        ASSERT_EQ(fast_path.remains().size(), 1U);
        EXPECT_NE(fast_path.remains()[0].find("gwt0 is no longer listed"), std::string::npos)
            << fast_path.remains()[0];
        EXPECT_TRUE(pinned("program-gwt0")) << "it is still needed to recognise the program";
    }
    ASSERT_OK(fast_path.attach({"gwt1"}, Mode::kNative));
    EXPECT_TRUE(fast_path.remains().empty());
    EXPECT_EQ(program_on("gwt0"), 0U);
    EXPECT_FALSE(pinned("program-gwt0"));
}

TEST_F(FastPathTest, DetachesWhatItCanAndNamesWhatItCannot)
{
    auto fast_path = open_or_die();
    // Both orders, for the one that fails must stop neither those before nor those after it.
    for (const auto &[fails, goes] : {std::pair<const char *, const char *>{"gwt0", "gwt1"},
                                      std::pair<const char *, const char *>{"gwt1", "gwt0"}}) {
        ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
        run(std::string("ip link set dev ") + fails + " xdp off");
        const StuckProgram stuck(options_.pin_directory / (std::string("program-") + fails),
                                 fails);
        auto outcome = fast_path.detach();
        ASSERT_FALSE(outcome.has_value());
        const std::string expected =
            std::string("off ") + goes + ", and not off " + fails + ": cannot remove";
        EXPECT_NE(outcome.error().message.find(expected), std::string::npos)
            << outcome.error().message;
        EXPECT_EQ(program_on(goes), 0U);
        ASSERT_EQ(fast_path.interfaces().size(), 1U);
        EXPECT_EQ(fast_path.interfaces()[0].name, fails);
        EXPECT_TRUE(pinned("region")) << "the program left goes on with the tables";
        EXPECT_TRUE(pinned(std::string("program-") + fails));
        EXPECT_FALSE(pinned(std::string("program-") + goes));
    }
    ASSERT_OK(fast_path.detach());
    EXPECT_FALSE(pinned("region"));
}

TEST_F(FastPathTest, NoticesAndRepairsAnInterfaceThatWasMadeAnew)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
    EXPECT_TRUE(fast_path.intact());
    const uint32_t before = fast_path.interfaces()[0].ifindex;
    run("ip link del gwt0");
    EXPECT_FALSE(fast_path.intact()) << "the interfaces are gone";
    run("ip link add gwt0 type veth peer name gwt1 && ip link set gwt0 up");
    EXPECT_FALSE(fast_path.intact()) << "they have their names, and not the program";
    ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
    EXPECT_TRUE(fast_path.intact());
    EXPECT_NE(fast_path.interfaces()[0].ifindex, before);
    EXPECT_EQ(fast_path.interfaces()[0].ifindex, if_nametoindex("gwt0"));
    EXPECT_NE(program_on("gwt0"), 0U);
    EXPECT_NE(program_on("gwt1"), 0U);
    EXPECT_TRUE(fast_path.remains().empty());
}

// The program may even have been put on by hand: it is the interface's number that tells.
TEST_F(FastPathTest, NoticesANewInterfaceWithTheOldProgram)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    run("ip link del gwt0 && ip link add gwt0 type veth peer name gwt1");
    const int program = bpf_obj_get((options_.pin_directory / "program-gwt0").c_str());
    ASSERT_EQ(bpf_xdp_attach(static_cast<int>(if_nametoindex("gwt0")), program,
                             XDP_FLAGS_DRV_MODE, nullptr),
              0);
    close(program);
    EXPECT_FALSE(fast_path.intact());
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    EXPECT_TRUE(fast_path.intact());
}

TEST_F(FastPathTest, NoticesAndRepairsAProgramRemovedByHand)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
    run("ip link set dev gwt1 xdp off");
    EXPECT_FALSE(fast_path.intact());
    ASSERT_OK(fast_path.attach({"gwt0", "gwt1"}, Mode::kNative));
    EXPECT_TRUE(fast_path.intact());
    EXPECT_NE(program_on("gwt1"), 0U);
}

TEST_F(FastPathTest, NoticesAProgramOfSomebodyElseInItsPlace)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    run("ip link set dev gwt0 xdp off");
    const int foreign = load_foreign_program();
    ASSERT_EQ(bpf_xdp_attach(static_cast<int>(if_nametoindex("gwt0")), foreign,
                             XDP_FLAGS_DRV_MODE, nullptr),
              0);
    close(foreign);
    EXPECT_FALSE(fast_path.intact());
    EXPECT_FALSE(fast_path.attach({"gwt0"}, Mode::kNative).has_value());
}

TEST_F(FastPathTest, SaysHowToRemoveAProgramWhosePinsWereLost)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    std::error_code ignored;
    std::filesystem::remove_all(options_.pin_directory, ignored);
    auto next = open_or_die();
    auto outcome = next.attach({"gwt0"}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    if (!is_dispatcher((*occupant_of(*interface_of_name("gwt0")))->program)) {
        EXPECT_NE(outcome.error().message.find("'ip link set dev gwt0 xdp off'"),
                  std::string::npos)
            << outcome.error().message;
        run("ip link set dev gwt0 xdp off");
        ASSERT_OK(next.attach({"gwt0"}, Mode::kNative));
    }
}

TEST_F(FastPathTest, IsNotRemovedFromAnotherNetworkNamespace)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    std::thread([&] {
        ASSERT_EQ(unshare(CLONE_NEWNET), 0);
        run("ip link add gwt0 type veth peer name gwt1");  // names repeat
        auto outcome = FastPath::remove(options_.pin_directory);
        ASSERT_FALSE(outcome.has_value());
        EXPECT_NE(outcome.error().message.find("another network namespace, net:["),
                  std::string::npos)
            << outcome.error().message;
    }).join();
    EXPECT_TRUE(pinned("region"));
    EXPECT_TRUE(pinned("program-gwt0"));
    auto names = FastPath::remove(options_.pin_directory);
    ASSERT_OK(names);
    EXPECT_EQ(*names, std::vector<std::string>{"gwt0"});
    EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
}

// LIBXDP_OBJECT_PATH for as long as it lives.
class ObjectPath {
  public:
    explicit ObjectPath(const char *path)
    {
        if (const char *before = std::getenv(kName)) {
            before_ = before;
        }
        setenv(kName, path, 1);
    }
    ObjectPath(const ObjectPath &) = delete;
    ObjectPath &operator=(const ObjectPath &) = delete;
    ~ObjectPath() { before_.empty() ? unsetenv(kName) : setenv(kName, before_.c_str(), 1); }

  private:
    static constexpr auto kName = "LIBXDP_OBJECT_PATH";
    std::string before_;
};

TEST_F(FastPathTest, SaysInALineWhyItIsAlone)
{
    auto fast_path = open_or_die();
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    const std::string &note = fast_path.interfaces()[0].note;
    if (!note.empty()) {
        EXPECT_TRUE(note.starts_with("this kernel refuses the dispatcher (")) << note;
        EXPECT_TRUE(note.ends_with("), so other XDP programs cannot share the interface"))
            << note;
        EXPECT_LT(note.size(), 130U) << note;
    }
}

TEST_F(FastPathTest, SaysWhereTheDispatcherObjectWasLookedFor)
{
    auto fast_path = open_or_die();
    const ObjectPath nowhere("/nonexistent");
    ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    EXPECT_EQ(fast_path.interfaces()[0].note,
              "cannot open the dispatcher object /nonexistent/xdp-dispatcher.o: No such file "
              "or directory, so other XDP programs cannot share the interface");
}

TEST(Dispatcher, ThatIsOnlyOursIsNotSaidToHoldOthers)
{
    const Interface interface{.name = "eth0", .ifindex = 2};
    EXPECT_EQ(cannot_join(interface, {}, "REASON").message,
              "eth0 carries our earlier program in a dispatcher, which goes on, and this "
              "build's cannot replace it: REASON");
    std::vector<Program> others;
    others.push_back({.fd = {}, .id = 7, .name = "other", .map_ids = {}});
    EXPECT_EQ(cannot_join(interface, others, "REASON").message,
              "eth0 carries a dispatcher with other (id 7), which our program cannot join: "
              "REASON");
}

}  // namespace
}  // namespace guideway::xdp
