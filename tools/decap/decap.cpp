#include "tools/decap/decap.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "dataplane/descriptor.hpp"
#include "decap.skel.h"

namespace guideway::decap {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

using Skeleton = std::unique_ptr<decap_bpf, decltype(&decap_bpf__destroy)>;

// What is on a device: a program, with the descriptors of its tables if it is ours.
struct Installed {
    uint32_t id = 0;
    Mode mode = Mode::kNative;
    std::string name;
    Descriptor program;
    Descriptor addresses;
    Descriptor outcomes;

    [[nodiscard]] bool is_ours() const { return name == DECAP_PROGRAM_NAME; }
};

std::string foreign(const std::string &device, const Installed &installed)
{
    return "device '" + device + "' carries another XDP program, '" + installed.name +
           "' (id " + std::to_string(installed.id) + ")";
}

Result<uint32_t> device_index(const std::string &device)
{
    uint32_t index = if_nametoindex(device.c_str());
    if (index == 0) {
        return fail("there is no network device '" + device + "' in this network namespace");
    }
    return index;
}

// The kernel lists a program's maps by id; the names tell which is which.
void open_maps(Installed &installed, const bpf_prog_info &info, const uint32_t *ids)
{
    for (uint32_t i = 0; i < info.nr_map_ids; i++) {
        Descriptor map(bpf_map_get_fd_by_id(ids[i]));
        bpf_map_info map_info{};
        uint32_t bytes = sizeof(map_info);
        if (map.get() < 0 || bpf_obj_get_info_by_fd(map.get(), &map_info, &bytes) != 0) {
            continue;
        }
        if (std::string_view(map_info.name) == DECAP_ADDRESSES_NAME) {
            installed.addresses = std::move(map);
        } else if (std::string_view(map_info.name) == DECAP_OUTCOMES_NAME &&
                   map_info.max_entries == DECAP_OUTCOMES) {
            installed.outcomes = std::move(map);
        }
    }
}

Result<Installed> open_program(uint32_t id)
{
    Installed installed;
    installed.id = id;
    installed.program = Descriptor(bpf_prog_get_fd_by_id(id));
    if (installed.program.get() < 0) {
        return std::unexpected(Error::system("open", "XDP program " + std::to_string(id)));
    }
    uint32_t map_ids[8] = {};
    bpf_prog_info info{};
    info.map_ids = reinterpret_cast<uintptr_t>(map_ids);
    info.nr_map_ids = std::size(map_ids);
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(installed.program.get(), &info, &bytes) != 0) {
        return std::unexpected(Error::system("inspect", "XDP program " + std::to_string(id)));
    }
    installed.name = info.name;
    if (installed.is_ours()) {
        info.nr_map_ids = std::min<uint32_t>(info.nr_map_ids, std::size(map_ids));
        open_maps(installed, info, map_ids);
    }
    return installed;
}

// What `device` carries; nothing when it carries no XDP program.
Result<std::optional<Installed>> installed_on(const std::string &device, uint32_t index)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    int error = bpf_xdp_query(static_cast<int>(index), 0, &query);
    if (error != 0) {
        return std::unexpected(Error::system("ask for the XDP program of", device, -error));
    }
    uint32_t id = query.prog_id;
    if (id == 0) {
        id = query.drv_prog_id != 0 ? query.drv_prog_id : query.skb_prog_id;
    }
    if (id == 0) {
        return std::nullopt;
    }
    auto installed = open_program(id);
    if (!installed) {
        return std::unexpected(std::move(installed.error()).within("device '" + device + "'"));
    }
    bool is_generic = id == query.skb_prog_id || query.attach_mode == XDP_ATTACHED_SKB;
    installed->mode = is_generic ? Mode::kGeneric : Mode::kNative;
    return std::move(*installed);
}

Result<Installed> ours_on(const std::string &device)
{
    auto index = device_index(device);
    if (!index) {
        return std::unexpected(index.error());
    }
    auto installed = installed_on(device, *index);
    if (!installed) {
        return std::unexpected(installed.error());
    }
    if (!installed->has_value()) {
        return fail("device '" + device + "' carries no decapsulator");
    }
    if (!(*installed)->is_ours()) {
        return fail(foreign(device, **installed) + ", not the decapsulator");
    }
    return std::move(**installed);
}

Result<std::set<Address>> device_addresses(const std::string &device)
{
    ifaddrs *list = nullptr;
    if (getifaddrs(&list) != 0) {
        return std::unexpected(Error::system("list the addresses of", device));
    }
    std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> guard(list, &freeifaddrs);
    std::set<Address> addresses;
    for (const ifaddrs *entry = list; entry != nullptr; entry = entry->ifa_next) {
        // An IPv4 address may be listed under a label such as eth0:1.
        std::string_view name(entry->ifa_name);
        if (entry->ifa_addr == nullptr || name.substr(0, name.find(':')) != device) {
            continue;
        }
        Address address;
        if (entry->ifa_addr->sa_family == AF_INET) {
            const auto *ipv4 = reinterpret_cast<const sockaddr_in *>(entry->ifa_addr);
            std::copy(std::begin(kMappedPrefix), std::end(kMappedPrefix),
                      address.bytes.begin());
            std::memcpy(address.bytes.data() + 12, &ipv4->sin_addr, 4);
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            const auto *ipv6 = reinterpret_cast<const sockaddr_in6 *>(entry->ifa_addr);
            std::memcpy(address.bytes.data(), &ipv6->sin6_addr, 16);
        } else {
            continue;
        }
        addresses.insert(address);
    }
    return addresses;
}

// Loads the program with its tables filled, so that it is complete from its first packet
// on. The counts of an older one are taken over.
Result<Skeleton> load(const std::set<Address> &addresses, const Installed *older)
{
    Skeleton skeleton(decap_bpf__open(), &decap_bpf__destroy);
    if (!skeleton) {
        return std::unexpected(Error::system("open", "the decapsulator's BPF object"));
    }
    if (older != nullptr && older->outcomes.get() >= 0 &&
        bpf_map__reuse_fd(skeleton->maps.decap_outcomes, older->outcomes.get()) != 0) {
        return std::unexpected(Error::system("take over", "the older decapsulator's counts"));
    }
    if (int error = decap_bpf__load(skeleton.get()); error != 0) {
        std::string advice = error == -EPERM ? " (it needs CAP_BPF and CAP_NET_ADMIN)" : "";
        return fail(Error::system("load", "the decapsulator", -error).message + advice);
    }
    for (const Address &address : addresses) {
        uint32_t present = 1;
        if (bpf_map__update_elem(skeleton->maps.decap_addresses, address.bytes.data(),
                                 address.bytes.size(), &present, sizeof(present),
                                 BPF_NOEXIST) != 0) {
            return std::unexpected(Error::system("take address", address.to_string()));
        }
    }
    return skeleton;
}

uint32_t mode_flag(Mode mode)
{
    return mode == Mode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

// Takes off exactly the program that was looked at: somebody may have replaced it since.
Result<void> take_off(const std::string &device, uint32_t index, const Installed &installed)
{
    LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = installed.program.get());
    uint32_t flags = mode_flag(installed.mode) | XDP_FLAGS_REPLACE;
    int error = bpf_xdp_detach(static_cast<int>(index), flags, &options);
    if (error != 0) {
        return std::unexpected(
            Error::system("detach the decapsulator from", "device '" + device + "'", -error));
    }
    return {};
}

Result<void> put_on(const std::string &device, uint32_t index, int program_fd, Mode mode,
                    const Installed *older)
{
    uint32_t flags = mode_flag(mode);
    LIBBPF_OPTS(bpf_xdp_attach_opts, options);
    if (older != nullptr && older->mode == mode) {
        options.old_prog_fd = older->program.get();
        flags |= XDP_FLAGS_REPLACE;
    } else {
        // The kernel does not let both modes be active at once, not even for a moment.
        if (older != nullptr) {
            if (auto gone = take_off(device, index, *older); !gone) {
                return gone;
            }
        }
        flags |= XDP_FLAGS_UPDATE_IF_NOEXIST;
    }
    int error = bpf_xdp_attach(static_cast<int>(index), program_fd, flags, &options);
    if (error == 0) {
        return {};
    }
    std::string message =
        Error::system("attach the decapsulator to", "device '" + device + "'", -error).message;
    if (error == -EOPNOTSUPP && mode == Mode::kNative) {
        message += "; its driver has no native XDP, try --generic";
    }
    return fail(std::move(message));
}

Status read_status(const std::string &device, const Installed &installed)
{
    Status status;
    status.device = device;
    status.mode = installed.mode;
    status.program_id = installed.id;
    Address previous;
    Address key;
    const void *after = nullptr;
    while (bpf_map_get_next_key(installed.addresses.get(), after, key.bytes.data()) == 0) {
        status.addresses.push_back(key);
        previous = key;
        after = previous.bytes.data();
    }
    std::ranges::sort(status.addresses);
    if (auto own = device_addresses(device)) {
        std::ranges::set_difference(*own, status.addresses,
                                    std::back_inserter(status.addresses_missed));
    }
    std::vector<uint64_t> by_cpu(static_cast<size_t>(std::max(1, libbpf_num_possible_cpus())));
    for (uint32_t outcome = 0; outcome < DECAP_OUTCOMES; outcome++) {
        if (bpf_map_lookup_elem(installed.outcomes.get(), &outcome, by_cpu.data()) == 0) {
            for (uint64_t packets : by_cpu) {
                status.packets[outcome] += packets;
            }
        }
    }
    return status;
}

}  // namespace

Result<Address> Address::parse(std::string_view text)
{
    Address address;
    std::string copy(text);
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
        return address;
    }
    if (inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1) {
        std::copy(std::begin(kMappedPrefix), std::end(kMappedPrefix), address.bytes.begin());
        return address;
    }
    return fail("'" + copy + "' is not an IPv4 or IPv6 address");
}

std::string Address::to_string() const
{
    char text[INET6_ADDRSTRLEN] = {};
    if (std::equal(std::begin(kMappedPrefix), std::end(kMappedPrefix), bytes.begin())) {
        inet_ntop(AF_INET, bytes.data() + 12, text, sizeof(text));
    } else {
        inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
    }
    return text;
}

Result<Attached> attach(const std::string &device, Mode mode,
                        const std::vector<Address> &more_addresses)
{
    auto index = device_index(device);
    if (!index) {
        return std::unexpected(index.error());
    }
    auto older = installed_on(device, *index);
    if (!older) {
        return std::unexpected(older.error());
    }
    const Installed *ours = older->has_value() ? &**older : nullptr;
    if (ours != nullptr && !ours->is_ours()) {
        return fail(foreign(device, *ours) + "; remove that first");
    }
    auto addresses = device_addresses(device);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    addresses->insert(more_addresses.begin(), more_addresses.end());
    if (addresses->empty()) {
        return fail("device '" + device +
                    "' has no address that packets could be tunnelled to; give it one, or "
                    "name one with --address");
    }
    if (addresses->size() > DECAP_ADDRESSES_MAX) {
        return fail("device '" + device + "' would take " + std::to_string(addresses->size()) +
                    " addresses; " + std::to_string(DECAP_ADDRESSES_MAX) + " is the limit");
    }
    auto skeleton = load(*addresses, ours);
    if (!skeleton) {
        return std::unexpected(skeleton.error());
    }
    int program_fd = bpf_program__fd((*skeleton)->progs.guideway_decap);
    if (auto put = put_on(device, *index, program_fd, mode, ours); !put) {
        return std::unexpected(put.error());
    }
    auto now = status(device);
    if (!now) {
        return std::unexpected(now.error());
    }
    return Attached{std::move(*now), ours != nullptr};
}

Result<void> detach(const std::string &device)
{
    auto installed = ours_on(device);
    if (!installed) {
        return std::unexpected(installed.error());
    }
    auto index = device_index(device);
    if (!index) {
        return std::unexpected(index.error());
    }
    return take_off(device, *index, *installed);
}

Result<Status> status(const std::string &device)
{
    auto installed = ours_on(device);
    if (!installed) {
        return std::unexpected(installed.error());
    }
    return read_status(device, *installed);
}

}  // namespace guideway::decap
