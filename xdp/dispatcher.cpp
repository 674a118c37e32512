#include "xdp/dispatcher.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xdp/libxdp.h>
#include <xdp/prog_dispatcher.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "xdp/host.hpp"

namespace guideway::xdp {
namespace {

constexpr auto kObjectName = "xdp-dispatcher.o";
constexpr auto kPinDirectory = "/sys/fs/bpf/xdp";  // libxdp's, with its lock
constexpr auto kSectionName = "xdp.frags";

struct Close {
    void operator()(bpf_object *object) const { bpf_object__close(object); }
    void operator()(bpf_link *link) const { bpf_link__destroy(link); }
    void operator()(xdp_program *program) const { xdp_program__close(program); }
    void operator()(xdp_multiprog *dispatcher) const { xdp_multiprog__close(dispatcher); }
};
template <typename T>
using Owned = std::unique_ptr<T, Close>;

std::filesystem::path object_directory()
{
    if (const char *chosen = std::getenv(XDP_OBJECT_ENVVAR)) {
        return chosen;
    }
    // Only a program of the build tree trusts the build tree, which root may not own.
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    const std::filesystem::path build(GUIDEWAY_BUILD_DIRECTORY);
    if (!error && self.native().starts_with(build.native() + "/")) {
        return build / "xdp";
    }
    return GUIDEWAY_BPF_DIRECTORY;
}

// libxdp's errors are pointers or negative numbers, of errno's.
Error libxdp_error(std::string_view attempted, const std::string &subject, long error,
                   const Transcript &transcript)
{
    auto result = Error::system(attempted, subject, static_cast<int>(-error));
    result.message += transcript.reason();
    return result;
}

xdp_attach_mode libxdp_mode(Mode mode)
{
    return mode == Mode::kNative ? XDP_MODE_NATIVE : XDP_MODE_SKB;
}

Result<Owned<xdp_multiprog>> dispatcher_of(const Interface &interface,
                                           const Transcript &transcript)
{
    auto *dispatcher = xdp_multiprog__get_from_ifindex(static_cast<int>(interface.ifindex));
    if (const long error = libxdp_get_error(dispatcher); error != 0) {
        return std::unexpected(
            libxdp_error("read the dispatcher of", interface.name, error, transcript));
    }
    return Owned<xdp_multiprog>(dispatcher);
}

// libxdp exchanges the dispatcher in one step, but then takes the programs out of the old one
// at once, while another CPU may still be walking a packet through it: that packet would find
// empty slots and go up to the host's stack. Holding the links of the old dispatcher keeps
// its programs in it until no packet can be there.
class HeldLinks {
  public:
    explicit HeldLinks(const Interface &interface)
    {
        auto occupant = occupant_of(interface);
        if (!occupant || !*occupant) {
            return;
        }
        const auto pins = std::filesystem::path(kPinDirectory) /
                          ("dispatch-" + std::to_string(interface.ifindex) + "-" +
                           std::to_string((*occupant)->program.id));
        for (int slot = 0; slot < MAX_DISPATCHER_ACTIONS; slot++) {
            const auto pin = pins / ("prog" + std::to_string(slot) + "-link");
            if (Descriptor link(bpf_obj_get(pin.c_str())); link.valid()) {
                links_.push_back(std::move(link));
            }
        }
    }
    HeldLinks(const HeldLinks &) = delete;
    HeldLinks &operator=(const HeldLinks &) = delete;
    ~HeldLinks()
    {
        if (!links_.empty()) {
            quiesce();
        }
    }

  private:
    std::vector<Descriptor> links_;
};

}  // namespace

void use_our_dispatcher_object()
{
    setenv(XDP_OBJECT_ENVVAR, object_directory().c_str(), 0);
}

namespace {

Error refused(int error_number)
{
    return {"this kernel refuses the dispatcher (" +
            std::generic_category().message(error_number) + ")"};
}

// The dispatcher, loaded with one slot in use.
Result<Owned<bpf_object>> load_dispatcher()
{
    const auto path = object_directory() / kObjectName;
    Owned<bpf_object> object(bpf_object__open_file(path.c_str(), nullptr));
    if (!object) {
        return std::unexpected(Error::system("open the dispatcher object", path.native()));
    }
    xdp_dispatcher_config config{};
    config.magic = XDP_DISPATCHER_MAGIC;
    config.dispatcher_version = XDP_DISPATCHER_VERSION;
    config.num_progs_enabled = 1;
    config.chain_call_actions[0] = 1U << XDP_PASS | 1U << XDP_DISPATCHER_RETVAL;
    bpf_map *map = nullptr;
    bpf_object__for_each_map(map, object.get())
    {
        if (std::strstr(bpf_map__name(map), ".rodata") != nullptr) {
            bpf_map__set_initial_value(map, &config, sizeof(config));
        }
    }
    if (const int result = bpf_object__load(object.get()); result != 0) {
        return std::unexpected(refused(-result));
    }
    return object;
}

}  // namespace

namespace {

Result<void> try_first_slot(LoadedProgram probe)
{
    static constexpr auto kFirstSlot = "prog0";
    auto dispatcher = load_dispatcher();
    if (!dispatcher) {
        return std::unexpected(std::move(dispatcher.error()));
    }
    const int dispatcher_fd =
        bpf_program__fd(bpf_object__find_program_by_name(dispatcher->get(), "xdp_dispatcher"));
    auto *program = bpf_object__next_program(probe.object(), nullptr);
    bpf_program__set_type(program, BPF_PROG_TYPE_EXT);
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(0));
    bpf_program__set_flags(program, bpf_program__flags(program) & ~BPF_F_XDP_HAS_FRAGS);
    int result = bpf_program__set_attach_target(program, dispatcher_fd, kFirstSlot);
    if (result == 0) {
        result = bpf_object__load(probe.object());
    }
    if (result == 0) {
        const Owned<bpf_link> link(
            bpf_program__attach_freplace(program, dispatcher_fd, kFirstSlot));
        result = link ? 0 : -errno;
    }
    if (result != 0) {
        return std::unexpected(refused(-result));
    }
    return {};
}

}  // namespace

std::optional<std::string> dispatcher_obstacle(LoadedProgram probe)
{
    const Transcript silent;  // what the libraries would print is no news for an operator
    if (auto tried = try_first_slot(std::move(probe)); !tried) {
        return tried.error().message + ", so other XDP programs cannot share the interface";
    }
    return std::nullopt;
}

bool is_dispatcher(const Program &occupant)
{
    return occupant.name == "xdp_dispatcher";
}

Result<std::vector<Program>> dispatcher_members(const Interface &interface)
{
    const Transcript transcript;
    auto dispatcher = dispatcher_of(interface, transcript);
    if (!dispatcher) {
        return std::unexpected(std::move(dispatcher.error()));
    }
    std::vector<Program> members;
    if (xdp_multiprog__is_legacy(dispatcher->get())) {
        return members;
    }
    xdp_program *member = nullptr;
    while ((member = xdp_multiprog__next_prog(member, dispatcher->get())) != nullptr) {
        auto program = program_of_id(xdp_program__id(member));
        if (!program) {
            return std::unexpected(std::move(program.error()).within(interface.name));
        }
        members.push_back(std::move(*program));
    }
    return members;
}

namespace {

// Takes ownership of `joining`, which may be one of libxdp's error pointers.
Result<void> join(const Interface &interface, xdp_program *joining, Mode mode,
                  const Transcript &transcript)
{
    if (const long error = libxdp_get_error(joining); error != 0) {
        return std::unexpected(
            libxdp_error("prepare the XDP program for", interface.name, error, transcript));
    }
    const Owned<xdp_program> owned(joining);
    const HeldLinks held(interface);
    const int result =
        xdp_program__attach(joining, static_cast<int>(interface.ifindex), libxdp_mode(mode), 0);
    if (result != 0) {
        auto error = libxdp_error(
            std::string("add the ") + mode_name(mode) + " XDP program to the dispatcher of",
            interface.name, result, transcript);
        error.message += attach_advice(-result, mode);
        return std::unexpected(std::move(error));
    }
    return {};
}

}  // namespace

Result<void> join_dispatcher(const Interface &interface, LoadedProgram &program, Mode mode)
{
    const Transcript transcript;
    return join(interface, xdp_program__from_bpf_obj(program.object(), kSectionName), mode,
                transcript);
}

Result<void> rejoin_dispatcher(const Interface &interface, const Program &program, Mode mode)
{
    const Transcript transcript;
    return join(interface, xdp_program__from_id(program.id), mode, transcript);
}

Result<void> leave_dispatcher(const Interface &interface, uint32_t program_id)
{
    const HeldLinks held(interface);
    const Transcript transcript;
    auto dispatcher = dispatcher_of(interface, transcript);
    if (!dispatcher) {
        return std::unexpected(std::move(dispatcher.error()));
    }
    xdp_program *member = nullptr;
    while ((member = xdp_multiprog__next_prog(member, dispatcher->get())) != nullptr) {
        if (xdp_program__id(member) == program_id) {
            break;
        }
    }
    if (member == nullptr) {
        return {};
    }
    const int result = xdp_program__detach(member, static_cast<int>(interface.ifindex),
                                           xdp_multiprog__attach_mode(dispatcher->get()), 0);
    if (result != 0) {
        return std::unexpected(libxdp_error("take the XDP program out of the dispatcher of",
                                            interface.name, result, transcript));
    }
    return {};
}

namespace {

// dispatch-IFINDEX-PROGRAMID
struct DispatcherPins {
    std::filesystem::path directory;
    uint32_t ifindex = 0;
    uint32_t program_id = 0;
};

std::vector<DispatcherPins> all_dispatcher_pins()
{
    std::vector<DispatcherPins> all;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(kPinDirectory, error)) {
        DispatcherPins pins{.directory = entry.path()};
        if (std::sscanf(entry.path().filename().c_str(), "dispatch-%u-%u", &pins.ifindex,
                        &pins.program_id) == 2) {
            all.push_back(std::move(pins));
        }
    }
    return all;
}

bool is_in_use(const DispatcherPins &pins)
{
    auto occupant = occupant_of({.name = pins.directory.native(), .ifindex = pins.ifindex});
    // Not knowing is no reason to remove anything.
    return !occupant || (*occupant && (*occupant)->program.id == pins.program_id);
}

bool holds_any(const DispatcherPins &pins, const std::function<bool(const Program &)> &is_ours)
{
    for (int slot = 0; slot < MAX_DISPATCHER_ACTIONS; slot++) {
        auto program =
            program_of_pin(pins.directory / ("prog" + std::to_string(slot) + "-prog"));
        if (program && is_ours(*program)) {
            return true;
        }
    }
    return false;
}

}  // namespace

void forget_lost_dispatchers(const std::function<bool(const Program &)> &is_ours)
{
    // libxdp fills the directory before the dispatcher is on its interface, under this lock.
    const Descriptor lock(open(kPinDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock.valid() || flock(lock.get(), LOCK_EX) != 0) {
        return;
    }
    for (const auto &pins : all_dispatcher_pins()) {
        // Interface numbers repeat in other network namespaces. Programs of ours are only in
        // this one, so a dispatcher that holds one and is not on its interface is on none.
        if (holds_any(pins, is_ours) && !is_in_use(pins)) {
            std::error_code ignored;
            std::filesystem::remove_all(pins.directory, ignored);
        }
    }
}

}  // namespace guideway::xdp
