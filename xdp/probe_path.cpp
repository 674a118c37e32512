#include "xdp/probe_path.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "probe.skel.h"
#include "xdp/attaching.hpp"
#include "xdp/carrier.hpp"
#include "xdp/host.hpp"
#include "xdp/instance_pins.hpp"
#include "xdp/kernel_objects.hpp"
#include "xdp/region.hpp"

namespace guideway::xdp {
namespace {

struct CloseSkeleton {
    void operator()(probe_bpf *skeleton) const { probe_bpf::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<probe_bpf, CloseSkeleton>;

bpf_tc_hook egress_of(uint32_t ifindex)
{
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = BPF_TC_EGRESS;
    return hook;
}

bpf_tc_opts our_place()
{
    bpf_tc_opts place{};
    place.sz = sizeof(place);
    place.handle = GW_PROBE_HANDLE;
    place.priority = GW_PROBE_PRIORITY;
    return place;
}

// The program in our place on an interface's egress; nothing when the place is free.
std::optional<Program> program_in_place(const Interface &interface)
{
    const Transcript silent;
    auto hook = egress_of(interface.ifindex);
    auto place = our_place();
    if (bpf_tc_query(&hook, &place) != 0) {
        return std::nullopt;
    }
    auto program = program_of_id(place.prog_id);
    return program ? std::optional(std::move(*program)) : std::nullopt;
}

bool is_ours(const Program &program, const Ownership &ownership)
{
    return program.name == GW_PROBE_PROGRAM_NAME && ownership.covers(program);
}

Result<void> take_off(const Interface &interface)
{
    const Transcript transcript;
    auto hook = egress_of(interface.ifindex);
    const auto place = our_place();
    const int result = bpf_tc_detach(&hook, &place);
    if (result != 0 && result != -ENOENT && result != -ENODEV) {
        auto error = Error::system("take the probes' program off", interface.name, -result);
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    return {};
}

// Takes ours off every interface but those of `kept`. One that fails stops none of the others.
// Returns the names of those that carried it.
Result<std::vector<std::string>> take_off_except(const std::vector<Interface> &kept,
                                                 const Ownership &ownership)
{
    auto all = all_interfaces();
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    std::vector<std::string> names;
    std::string failures;
    for (const auto &interface : *all) {
        if (std::ranges::find(kept, interface.ifindex, &Interface::ifindex) != kept.end()) {
            continue;
        }
        const auto program = program_in_place(interface);
        if (!program || !is_ours(*program, ownership)) {
            continue;
        }
        if (auto taken = take_off(interface); !taken) {
            failures += (failures.empty() ? "" : "; ") + taken.error().message;
        } else {
            names.push_back(interface.name);
        }
    }
    if (!failures.empty()) {
        return fail(failures);
    }
    return names;
}

// The program looks for the IP header behind an Ethernet header.
Result<void> check_ethernet(const Interface &interface)
{
    const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    interface.name.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
    if (ioctl(any.get(), SIOCGIFHWADDR, &request) != 0) {
        return std::unexpected(Error::system("read the kind of", interface.name));
    }
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        return fail(
            interface.name +
            " has no Ethernet headers, and probes cannot enter the tunnel from it: route "
            "the service addresses by an Ethernet interface, or probe directly");
    }
    return {};
}

}  // namespace

struct ProbePath::State {
    Skeleton skeleton;
    Ownership ownership;
    uint32_t program_id = 0;
    std::vector<Interface> carriers;

    [[nodiscard]] Result<void> put_on(const Interface &interface) const;
};

Result<void> ProbePath::State::put_on(const Interface &interface) const
{
    if (auto ethernet = check_ethernet(interface); !ethernet) {
        return ethernet;
    }
    const auto before = program_in_place(interface);
    if (before && before->id == program_id) {
        return {};
    }
    if (before && !is_ours(*before, ownership)) {
        return fail(
            interface.name + " carries '" + before->name + "' (id " +
            std::to_string(before->id) +
            ") where the probes' program belongs, perhaps of another instance: stop that "
            "one, or, if it is a leftover, 'tc filter del dev " +
            interface.name + " egress pref " + std::to_string(GW_PROBE_PRIORITY) + " handle " +
            std::to_string(GW_PROBE_HANDLE) + " bpf'");
    }
    const Transcript transcript;
    auto hook = egress_of(interface.ifindex);
    int result = bpf_tc_hook_create(&hook);
    if (result == 0 || result == -EEXIST) {
        auto place = our_place();
        place.prog_fd = bpf_program__fd(skeleton->progs.guideway_probe);
        place.flags = before ? BPF_TC_F_REPLACE : 0;
        result = bpf_tc_attach(&hook, &place);
    }
    if (result != 0) {
        auto error = Error::system("put the probes' program on", interface.name, -result);
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    return {};
}

ProbePath::ProbePath(std::unique_ptr<State> state) : state_(std::move(state)) {}
ProbePath::ProbePath(ProbePath &&) noexcept = default;
ProbePath &ProbePath::operator=(ProbePath &&) noexcept = default;
ProbePath::~ProbePath() = default;

Result<ProbePath> ProbePath::load(const Tables &tables, int region_fd)
{
    const Transcript transcript;
    const auto explained = [&](std::string_view attempted, int error_number) {
        auto error = Error::system(attempted, "the probes' program", error_number);
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    };
    auto state = std::unique_ptr<State>(new State);
    state->skeleton.reset(probe_bpf::open());
    if (!state->skeleton) {
        return explained("open", errno);
    }
    state->skeleton->rodata->gw_layout_constants = tables.layout();
    state->skeleton->rodata->gw_tick_ns_constant = tables.header().tick_ns;
    if (bpf_map__reuse_fd(state->skeleton->maps.gw_region, region_fd) != 0) {
        return explained("give the tables to", errno);
    }
    if (const int result = probe_bpf::load(state->skeleton.get()); result != 0) {
        return explained("load", -result);
    }
    state->ownership.region_map_ids = {map_id(region_fd)};
    bpf_prog_info info{};
    uint32_t info_bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(state->skeleton->progs.guideway_probe), &info,
                               &info_bytes) != 0) {
        return explained("read about", errno);
    }
    state->program_id = info.id;
    return ProbePath(std::move(state));
}

Result<void> ProbePath::attach(const std::vector<std::string> &interfaces)
{
    std::vector<Interface> carriers;
    std::string failures;
    const auto note = [&](const Error &error) {
        failures += (failures.empty() ? "" : "; ") + error.message;
    };
    for (const auto &name : interfaces) {
        auto interface = interface_of_name(name);
        if (!interface) {
            note(interface.error());
        } else if (auto put = state_->put_on(*interface); !put) {
            note(put.error());
        } else {
            carriers.push_back(std::move(*interface));
        }
    }
    state_->carriers = std::move(carriers);
    if (auto taken = take_off_except(state_->carriers, state_->ownership); !taken) {
        note(taken.error());
    }
    if (!failures.empty()) {
        return fail(failures);
    }
    return {};
}

Result<void> ProbePath::detach()
{
    return attach({});
}

Result<std::vector<std::string>> ProbePath::remove(const std::filesystem::path &pin_directory)
{
    // One who was killed while tables were replaced has left both, and the program of either.
    Ownership ownership;
    for (const auto *name : {kRegionPin, kFormerRegionPin}) {
        const auto pin = pin_directory / name;
        const Descriptor region(bpf_obj_get(pin.c_str()));
        if (region.valid()) {
            ownership.region_map_ids.insert(map_id(region.get()));
        } else if (errno != ENOENT) {
            return std::unexpected(Error::system("open the pinned tables", pin.native()));
        }
    }
    return take_off_except({}, ownership);
}

std::vector<std::string> ProbePath::interfaces() const
{
    std::vector<std::string> names;
    for (const auto &interface : state_->carriers) {
        names.push_back(interface.name);
    }
    return names;
}

bool ProbePath::intact() const
{
    return std::ranges::all_of(state_->carriers, [&](const auto &interface) {
        const auto program = program_in_place(interface);
        return program && program->id == state_->program_id &&
               if_nametoindex(interface.name.c_str()) == interface.ifindex;
    });
}

std::array<uint64_t, GW_PROBE_OUTCOMES> ProbePath::counts() const
{
    std::array<uint64_t, GW_PROBE_OUTCOMES> sums{};
    std::vector<uint64_t> areas(possible_cpus());
    const int map = bpf_map__fd(state_->skeleton->maps.probe_outcomes);
    for (uint32_t outcome = 0; outcome < sums.size(); outcome++) {
        if (bpf_map_lookup_elem(map, &outcome, areas.data()) == 0) {
            for (const uint64_t packets : areas) {
                sums[outcome] += packets;
            }
        }
    }
    return sums;
}

}  // namespace guideway::xdp
