// FastPath when something is in its way: what it keeps, says and repairs.
#include "tests/unit/fast_path_fixture.hpp"

namespace guideway::xdp {
namespace {

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
