// FastPath on real interfaces: attaching, adopting, detaching.
#include "tests/unit/fast_path_fixture.hpp"

namespace guideway::xdp {
namespace {

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

TEST_F(FastPathTest, RefusesTablesOfOtherKeys)
{
    {
        auto fast_path = open_or_die();
        ASSERT_OK(fast_path.attach({"gwt0"}, Mode::kNative));
    }
    auto other_key = options_;
    reinterpret_cast<uint8_t *>(&other_key.hash_key)[0] ^= 1;
    auto outcome = FastPath::open(other_key);
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

}  // namespace
}  // namespace guideway::xdp
