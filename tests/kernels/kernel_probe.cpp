// Runs inside another kernel: what attaching promises there. See tests/kernels/run.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/kernels/probe.hpp"
#include "xdp/attaching.hpp"
#include "xdp/loaded_program.hpp"
#include "xdp/probe_path.hpp"
#include "xdp/region.hpp"
#include "xdp/replay_engine.hpp"

namespace guideway::probe {
namespace {

using xdp::Attachment;
using xdp::Mode;
using Names = std::vector<std::string>;

constexpr int kReplacements = 5;
constexpr uint64_t kFramesBetween = 500;
constexpr gw_capacity kDefaultCapacity{.addresses_max = 256,
                                       .services_max = 256,
                                       .backends_max = 4096,
                                       .ring_slots_max = 4194304,
                                       .cpus_max = 16,
                                       .pins_max = 4096,
                                       .sources_max = 1024,
                                       .prefixes_max = 64};

void print_verified(const std::string &object, const std::string &program, int fd)
{
    bpf_prog_info info{};
    uint32_t bytes = sizeof(info);
    ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &bytes), 0);
    std::printf("VERIFIED %s %s %u instructions, %u bytes of machine code\n", object.c_str(),
                program.c_str(), info.verified_insns, info.jited_prog_len);
}

// The directory with the objects is the first argument of the program.
std::filesystem::path objects_directory;

TEST(Objects, EveryOneIsAcceptedByThisKernel)
{
    int objects = 0;
    for (const auto &entry : std::filesystem::directory_iterator(objects_directory)) {
        const auto name = entry.path().filename().native();
        if (!name.ends_with(".o") || name == "guideway.bpf.o" || name == "probe.bpf.o" ||
            name == "replay.bpf.o") {
            continue;  // their constants depend on the tables: see the next tests
        }
        objects++;
        bpf_object *object = bpf_object__open_file(entry.path().c_str(), nullptr);
        ASSERT_NE(object, nullptr) << name;
        EXPECT_EQ(bpf_object__load(object), 0) << name;
        bpf_program *program = nullptr;
        bpf_object__for_each_program(program, object)
        {
            print_verified(name, bpf_program__name(program), bpf_program__fd(program));
        }
        bpf_object__close(object);
    }
    EXPECT_GE(objects, 2) << "the dispatcher and the decapsulator, at least";
}

TEST(Objects, TheFastPathAndTheProbesAreAcceptedWithTheDefaultSizes)
{
    auto layout = tables_layout(kDefaultCapacity);
    ASSERT_OK(layout);
    auto tables = Tables::anonymous(kDefaultCapacity, {});
    ASSERT_OK(tables);
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    const int region =
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "gw_region", 4, layout->total_bytes, 1, &options);
    ASSERT_GE(region, 0);
    auto program = xdp::LoadedProgram::open(*tables, region, 1);
    ASSERT_OK(program);
    ASSERT_OK(program->load());
    print_verified("guideway.bpf.o", "guideway", program->fd());
    const xdp::LoadedProgram::FormerPins former{.region_fd = region,
                                                .offset = layout->pins_offset,
                                                .buckets = layout->pin_buckets_mask + 1};
    auto reading_through = xdp::LoadedProgram::open(*tables, region, 1, &former);
    ASSERT_OK(reading_through);
    ASSERT_OK(reading_through->load());
    print_verified("guideway.bpf.o", "guideway, with former pins", reading_through->fd());
    ASSERT_OK(xdp::ProbePath::load(*tables, region));
    close(region);
}

// In a process of its own: it stays in a network namespace that it makes.
TEST(Objects, TheReplayedProgramIsAccepted)
{
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const auto engine = xdp::replay_engine(kDefaultCapacity, {});
        if (!engine) {
            std::printf("%s\n", engine.error().message.c_str());
            std::fflush(stdout);
        }
        _exit(engine ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

// The same promises with and without a dispatcher. The finer ones are those of
// tests/unit/test_fast_path.cpp, which is run here as well.
class Attaching : public Probe, public ::testing::WithParamInterface<Attachment> {
  protected:
    void SetUp() override
    {
        Probe::SetUp();
        if (GetParam() == Attachment::kAlone) {
            setenv("LIBXDP_OBJECT_PATH", "/nonexistent", 1);
        } else {
            setenv("LIBXDP_OBJECT_PATH", objects_directory.c_str(), 1);
        }
    }
};

TEST_P(Attaching, IsAsThisKernelAllows)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    const auto &attached = fast_path->interfaces().at(0);
    EXPECT_EQ(attached.attachment, GetParam()) << attached.note;
    EXPECT_EQ(attached.note.empty(), GetParam() == Attachment::kDispatcher);
    EXPECT_NE(attached.program_id, 0U);
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(fast_path->detach());
    EXPECT_EQ(programs_on(kEdge), Names{});
}

TEST_P(Attaching, IsKeptAndReplacedAcrossDaemons)
{
    uint32_t first_id = 0;
    {
        auto fast_path = open();
        ASSERT_OK(fast_path);
        ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
        first_id = fast_path->interfaces().at(0).program_id;
    }
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    auto next = open();
    ASSERT_OK(next);
    ASSERT_EQ(next->interfaces().size(), 1U);
    EXPECT_EQ(next->interfaces()[0].program_id, first_id);
    EXPECT_EQ(next->interfaces()[0].attachment, GetParam());
    ASSERT_OK(next->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    EXPECT_NE(next->interfaces()[0].program_id, first_id);
    ASSERT_OK(next->detach());
}

TEST_P(Attaching, ReplacesUnderTrafficWithoutLosingAPacket)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    write_one_service(fast_path->tables());
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    OtherProgram returned;
    returned.attach_alone(kPeer);
    Traffic traffic(returned);
    for (int i = 0; i < kReplacements; i++) {
        traffic.await(kFramesBetween);
        ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
        ASSERT_EQ(fast_path->interfaces().at(0).attachment, GetParam());
    }
    traffic.await(kFramesBetween);
    const uint64_t lost = traffic.stop();
    EXPECT_EQ(lost, 0U) << "of " << traffic.sent();
    EXPECT_GT(traffic.sent(), kReplacements * kFramesBetween);
    EXPECT_EQ(fast_path->generation(), kReplacements + 1U);
    std::printf("TRAFFIC %s: %d replacements, %lu frames, %lu lost\n",
                GetParam() == Attachment::kAlone ? "alone" : "dispatcher", kReplacements,
                static_cast<unsigned long>(traffic.sent()), static_cast<unsigned long>(lost));
    ASSERT_OK(fast_path->detach());
}

INSTANTIATE_TEST_SUITE_P(Kernel, Attaching,
                         ::testing::Values(Attachment::kDispatcher, Attachment::kAlone),
                         [](const auto &each) {
                             return each.param == Attachment::kAlone
                                        ? std::string("Alone")
                                        : std::string("Dispatcher");
                         });

class Sharing : public Probe {
  protected:
    void SetUp() override
    {
        Probe::SetUp();
        setenv("LIBXDP_OBJECT_PATH", objects_directory.c_str(), 1);
    }

    // As far as a daemon comes that is killed halfway: the new program is in place and not
    // pinned, and the generation word is as it was.
    void put_without_letting_it_act(uint32_t generation) const
    {
        auto region = xdp::region_of_pin(options_.pin_directory / "region");
        ASSERT_OK(region);
        ASSERT_TRUE(region->has_value());
        auto tables = Tables::map((*region)->fd.get(), options_.capacity, "region");
        ASSERT_OK(tables);
        tables->header().last_generation = generation;
        auto edge = xdp::interface_of_name(kEdge);
        ASSERT_OK(edge);
        const std::optional<std::string> obstacle;
        auto exchange = xdp::Exchange::prepare(
            {*edge}, {.region_map_ids = {(*region)->map_id}, .pinned_ids = {}},
            {.mode = Mode::kNative,
             .generation = generation,
             .open =
                 [&](uint32_t opened) {
                     return xdp::LoadedProgram::open(*tables, (*region)->fd.get(), opened);
                 },
             .obstacle = [&]() -> const auto & { return obstacle; }});
        ASSERT_OK(exchange);
        ASSERT_OK(exchange->put());
    }
};

TEST_F(Sharing, JoinsAProgramThatWasThereAndLeavesItThere)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    OtherProgram other;
    other.join(kEdge, 10);
    write_one_service(fast_path->tables());
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(programs_on(kEdge), (Names{"other", "guideway"}));
    OtherProgram returned;
    returned.attach_alone(kPeer);
    Traffic traffic(returned);
    for (int i = 0; i < 3; i++) {
        traffic.await(kFramesBetween);
        ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    }
    EXPECT_EQ(traffic.stop(), 0U);
    EXPECT_GE(other.frames(), traffic.sent()) << "it sees every frame, before us";
    ASSERT_OK(fast_path->detach());
    EXPECT_EQ(programs_on(kEdge), Names{"other"});
    other.leave();
}

TEST_F(Sharing, LetsOthersComeAndGoUnderTraffic)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    write_one_service(fast_path->tables());
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    OtherProgram returned;
    returned.attach_alone(kPeer);
    OtherProgram other;
    other.join(kEdge, 90);
    EXPECT_EQ(programs_on(kEdge), (Names{"guideway", "other"}));
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(programs_on(kEdge), (Names{"guideway", "other"}));
    Traffic traffic(returned);
    traffic.await(kFramesBetween);
    EXPECT_EQ(traffic.stop(), 0U);
    EXPECT_LT(other.frames(), traffic.sent()) << "what we sent on does not reach it";
    other.leave();
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(fast_path->detach());
}

int dispatchers_kept()
{
    std::error_code error;
    const std::filesystem::directory_iterator kept("/sys/fs/bpf/xdp", error);
    return error ? 0 : static_cast<int>(std::distance(begin(kept), end(kept)));
}

TEST_F(Sharing, ForgetsDispatchersOfInterfacesThatWentAway)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    const int kept = dispatchers_kept();
    EXPECT_GE(kept, 1);
    TearDownInterfaces();
    EXPECT_EQ(dispatchers_kept(), kept) << "the kernel does not clean up by itself";
    SetUpInterfaces();
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(dispatchers_kept(), kept);
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    // As somebody may do by hand.
    run(std::string("ip link set dev ") + kEdge + " xdp off");
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(dispatchers_kept(), kept);
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(fast_path->detach());
    EXPECT_EQ(dispatchers_kept(), kept - 1);
}

TEST_F(Sharing, PutsEverythingBackWhenOneInterfaceFails)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    const uint32_t before = fast_path->interfaces().at(0).program_id;
    auto outcome = fast_path->attach({kEdge, kPeer, "lo"}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("lo"), std::string::npos);
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    EXPECT_EQ(programs_on(kPeer), Names{});
    EXPECT_EQ(fast_path->generation(), 1U);
    EXPECT_EQ(fast_path->interfaces().at(0).program_id, before);
    ASSERT_OK(fast_path->detach());
}

TEST_F(Sharing, ChangesBetweenNativeAndGeneric)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kGeneric));
    EXPECT_EQ(fast_path->interfaces().at(0).mode, Mode::kGeneric);
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(fast_path->detach());
}

TEST_F(Sharing, RecoversWhenTheDaemonWasKilledBeforeTheNewProgramActed)
{
    {
        auto fast_path = open();
        ASSERT_OK(fast_path);
        ASSERT_OK(fast_path->attach({kEdge}, Mode::kNative));
    }
    put_without_letting_it_act(2);
    EXPECT_EQ(programs_on(kEdge), (Names{"guideway", "guideway"}));

    auto next = open();
    ASSERT_OK(next);
    EXPECT_EQ(next->generation(), 1U);
    write_one_service(next->tables());
    OtherProgram returned;
    returned.attach_alone(kPeer);
    Traffic traffic(returned);
    traffic.await(kFramesBetween);
    ASSERT_OK(next->attach({kEdge}, Mode::kNative));
    traffic.await(kFramesBetween);
    EXPECT_EQ(traffic.stop(), 0U);
    EXPECT_EQ(next->generation(), 3U) << "a number that the one left behind does not have";
    EXPECT_EQ(programs_on(kEdge), Names{"guideway"});
    ASSERT_OK(next->detach());
}

TEST_F(Sharing, RefusesAProgramThatIsNotInADispatcher)
{
    OtherProgram other;
    other.attach_alone(kEdge);
    auto fast_path = open();
    ASSERT_OK(fast_path);
    auto outcome = fast_path->attach({kEdge}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("other (id "), std::string::npos)
        << outcome.error().message;
    EXPECT_EQ(programs_on(kEdge), Names{"other"});
}

TEST_F(Sharing, RefusesADispatcherItCannotJoin)
{
    auto fast_path = open();
    ASSERT_OK(fast_path);
    OtherProgram other;
    other.join(kEdge, 10);
    setenv("LIBXDP_OBJECT_PATH", "/nonexistent", 1);
    auto outcome = fast_path->attach({kEdge}, Mode::kNative);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().message.find("cannot join"), std::string::npos)
        << outcome.error().message;
    EXPECT_EQ(programs_on(kEdge), Names{"other"});
    setenv("LIBXDP_OBJECT_PATH", objects_directory.c_str(), 1);
    other.leave();
}

}  // namespace
}  // namespace guideway::probe

int main(int argc, char **argv)
{
    ::testing::InitGoogleTest(&argc, argv);
    if (argc != 2) {
        std::fprintf(stderr, "usage: kernel_probe DIRECTORY-WITH-BPF-OBJECTS\n");
        return 2;
    }
    guideway::probe::objects_directory = argv[1];
    return RUN_ALL_TESTS();
}
