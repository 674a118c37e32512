#include "xdp/carrier.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <cerrno>
#include <memory>

namespace guideway::xdp {
namespace {

uint32_t mode_flag(Mode mode)
{
    return mode == Mode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

// libbpf gives both ENODEV and ENXIO for an interface that went away.
bool is_gone(int error_number)
{
    return error_number == ENODEV || error_number == ENXIO;
}

Result<void> attach(const Interface &interface, int program_fd, Mode mode, int replaced_fd)
{
    const Transcript transcript;
    LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = replaced_fd);
    const bool replace = replaced_fd >= 0;
    const uint32_t flags =
        mode_flag(mode) | (replace ? XDP_FLAGS_REPLACE : XDP_FLAGS_UPDATE_IF_NOEXIST);
    const int result = bpf_xdp_attach(static_cast<int>(interface.ifindex), program_fd, flags,
                                      replace ? &options : nullptr);
    if (result != 0) {
        auto error =
            Error::system(std::string("attach the ") + mode_name(mode) + " XDP program to",
                          interface.name, -result);
        error.message += transcript.reason() + attach_advice(-result, mode);
        return std::unexpected(std::move(error));
    }
    return {};
}

}  // namespace

std::string attach_advice(int error_number, Mode mode)
{
    if (error_number == EOPNOTSUPP && mode == Mode::kNative) {
        return "; the driver has no native XDP: ask for generic mode";
    }
    if (error_number == EBUSY || error_number == EEXIST) {
        return "; somebody changed the interface's program at the same time: try again";
    }
    return "";
}

const char *mode_name(Mode mode)
{
    return mode == Mode::kNative ? "native" : "generic";
}

Result<Interface> interface_of_name(const std::string &name)
{
    const uint32_t ifindex = if_nametoindex(name.c_str());
    if (ifindex == 0) {
        return fail("there is no interface " + name + " in this network namespace");
    }
    return Interface{name, ifindex};
}

Result<std::vector<Interface>> all_interfaces()
{
    const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex *)> list(
        if_nameindex(), if_freenameindex);
    if (!list) {
        return std::unexpected(Error::system("list", "the network interfaces"));
    }
    std::vector<Interface> interfaces;
    for (const auto *entry = list.get(); entry->if_index != 0; entry++) {
        interfaces.push_back({entry->if_name, entry->if_index});
    }
    return interfaces;
}

namespace {

Result<std::optional<Occupant>> ask_for_occupant(const Interface &interface)
{
    const Transcript transcript;
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    const int result = bpf_xdp_query(static_cast<int>(interface.ifindex), 0, &query);
    if (result != 0) {
        if (is_gone(-result)) {
            return std::nullopt;
        }
        return std::unexpected(
            Error::system("ask for the XDP program of", interface.name, -result));
    }
    // A native program hides a generic one; hardware offload is not ours to judge but it
    // occupies the interface all the same.
    const uint32_t native = query.drv_prog_id != 0 ? query.drv_prog_id : query.hw_prog_id;
    const uint32_t id = native != 0 ? native : query.skb_prog_id;
    if (id == 0) {
        return std::nullopt;
    }
    auto program = program_of_id(id);
    if (!program) {
        return std::unexpected(std::move(program.error()).within(interface.name));
    }
    return Occupant{std::move(*program), native != 0 ? Mode::kNative : Mode::kGeneric};
}

}  // namespace

Result<std::optional<Occupant>> occupant_of(const Interface &interface)
{
    // The program may be exchanged between learning its number and opening it.
    auto occupant = ask_for_occupant(interface);
    for (int again = 0; again < 3 && !occupant; again++) {
        occupant = ask_for_occupant(interface);
    }
    return occupant;
}

Result<void> put_alone(const Interface &interface, int program_fd, Mode mode,
                       const std::optional<Occupant> &before)
{
    if (!before) {
        return attach(interface, program_fd, mode, -1);
    }
    if (before->mode == mode) {
        return attach(interface, program_fd, mode, before->program.fd.get());
    }
    if (auto removed = remove_alone(interface, *before); !removed) {
        return removed;
    }
    auto attached = attach(interface, program_fd, mode, -1);
    if (!attached) {
        if (auto undone = attach(interface, before->program.fd.get(), before->mode, -1);
            !undone) {
            attached.error().message += "; and " + undone.error().message;
        }
    }
    return attached;
}

Result<void> remove_alone(const Interface &interface, const Occupant &occupant)
{
    const Transcript transcript;
    LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = occupant.program.fd.get());
    const int result = bpf_xdp_detach(static_cast<int>(interface.ifindex),
                                      mode_flag(occupant.mode) | XDP_FLAGS_REPLACE, &options);
    if (result != 0 && !is_gone(-result)) {
        auto error = Error::system("remove the XDP program from", interface.name, -result);
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    return {};
}

}  // namespace guideway::xdp
