#include "dataplane/dpdk/options.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>
#include <set>

namespace guideway::dpdk {
namespace {

constexpr uint32_t kCoresMax = 1024;
constexpr uint32_t kMemoryMaxMib = 1U << 20;

std::string quoted(std::string_view text)
{
    return "'" + std::string(text) + "'";
}

std::optional<uint32_t> number(std::string_view text)
{
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

// What Linux and the configuration let an interface be called.
bool is_interface_name(std::string_view text)
{
    return !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
           std::ranges::all_of(text, [](char c) {
               return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '=';
           });
}

// It becomes part of paths.
bool is_instance_name(std::string_view text)
{
    const auto alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !text.empty() && text.size() <= 63 && alphanumeric(text.front()) &&
           std::ranges::all_of(text,
                               [&](char c) { return alphanumeric(c) || c == '_' || c == '-'; });
}

std::string_view before(std::string_view text, char separator)
{
    return text.substr(0, text.find(separator));
}

// [DDDD:]BB:DD.F in hexadecimal digits, the function octal.
bool is_pci_address(std::string_view text)
{
    const auto dot = text.rfind('.');
    const auto colons = std::ranges::count(text, ':');
    if (dot == std::string_view::npos || dot + 2 != text.size() || text.back() < '0' ||
        text.back() > '7' || colons < 1 || colons > 2) {
        return false;
    }
    return std::ranges::all_of(text.substr(0, dot), [](char c) {
        return c == ':' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
               (c >= 'A' && c <= 'F');
    });
}

// Whether `arguments` (",key=value,...") give `key`.
bool gives(std::string_view arguments, std::string_view key)
{
    const std::string wanted = "," + std::string(key) + "=";
    return arguments.find(wanted) != std::string_view::npos;
}

}  // namespace

Result<PortOption> parse_port(std::string_view text)
{
    const std::string where = "--port " + std::string(text);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals + 1 == text.size()) {
        return fail(where +
                    ": a port is INTERFACE=DEVARGS, such as eth0=net_af_packet or "
                    "dpdk0=0000:01:00.0");
    }
    const auto interface = text.substr(0, equals);
    const auto devargs = text.substr(equals + 1);
    if (!is_interface_name(interface)) {
        return fail(where + ": " + quoted(interface) +
                    " cannot be the name of an interface: 1 to 15 printable characters without "
                    "'/', ':', '=' and spaces");
    }
    const auto has_text = [](char c) { return c > ' ' && c < 0x7f; };
    if (!std::ranges::all_of(devargs, has_text) || devargs.front() == ',' ||
        devargs.size() >= sizeof(PortPage::device)) {
        return fail(where + ": " + quoted(devargs) +
                    " cannot be a device: a driver or PCI address, and arguments after commas, "
                    "up to " +
                    std::to_string(sizeof(PortPage::device) - 1) +
                    " printable characters without spaces");
    }
    return PortOption{std::string(interface), std::string(devargs)};
}

Result<std::vector<uint32_t>> parse_cores(std::string_view text)
{
    std::vector<uint32_t> cores;
    const auto wrong = [&](std::string_view part) {
        return fail("--cores " + std::string(text) + ": " + quoted(part) +
                    " is no CPU: give numbers or ranges, each CPU once, such as 2,3 or 2-5");
    };
    for (std::string_view rest = text;;) {
        const auto part = before(rest, ',');
        const auto first = number(before(part, '-'));
        const auto dash = part.find('-');
        const auto last =
            dash == std::string_view::npos ? first : number(part.substr(dash + 1));
        if (!first || !last || *last < *first || *last >= kCoresMax) {
            return wrong(part);
        }
        for (uint32_t core = *first; core <= *last; core++) {
            if (std::ranges::find(cores, core) != cores.end()) {
                return wrong(part);
            }
            cores.push_back(core);
        }
        if (part.size() == rest.size()) {
            return cores;
        }
        rest.remove_prefix(part.size() + 1);
    }
}

Result<void> complete(Options &options)
{
    if (!is_instance_name(options.instance)) {
        return fail(
            "'" + options.instance +
            "' cannot be the name of an instance: up to 63 letters, digits, '_' or '-', "
            "beginning with a letter or digit");
    }
    if (options.port_texts.empty()) {
        return fail("no port is given: give each with --port INTERFACE=DEVARGS");
    }
    if (options.port_texts.size() > kPortsMax) {
        return fail(std::to_string(options.port_texts.size()) + " ports are given: at most " +
                    std::to_string(kPortsMax) + " can be used");
    }
    std::set<std::string> interfaces;
    options.ports.clear();
    for (const auto &text : options.port_texts) {
        auto port = parse_port(text);
        if (!port) {
            return std::unexpected(std::move(port.error()));
        }
        if (!interfaces.insert(port->interface).second) {
            return fail("--port " + text + ": " + port->interface +
                        " is given already; each interface is one port");
        }
        options.ports.push_back(std::move(*port));
    }
    if (options.workers < 1 || options.workers > kWorkersMax - 1) {
        return fail("--workers " + std::to_string(options.workers) + ": from 1 to " +
                    std::to_string(kWorkersMax - 1) + " workers can run");
    }
    if (!options.cores_text.empty()) {
        auto cores = parse_cores(options.cores_text);
        if (!cores) {
            return std::unexpected(std::move(cores.error()));
        }
        options.cores = std::move(*cores);
        if (options.cores.size() != options.workers) {
            return fail("--cores " + options.cores_text + ": names " +
                        std::to_string(options.cores.size()) + " CPUs for " +
                        std::to_string(options.workers) +
                        " workers; give as many as --workers says");
        }
    }
    if (options.queues > options.workers) {
        return fail("--queues " + std::to_string(options.queues) +
                    ": more than --workers, of which there are " +
                    std::to_string(options.workers) + "; a queue is served by one worker");
    }
    if (options.memory_mib < 1 || options.memory_mib > kMemoryMaxMib) {
        return fail("--memory " + std::to_string(options.memory_mib) + ": from 1 to " +
                    std::to_string(kMemoryMaxMib) + " MiB can be given to packet buffers");
    }
    return {};
}

uint32_t frame_room_bytes(uint32_t mtu_bytes)
{
    constexpr uint32_t kLeast = 2048;
    return std::bit_ceil(std::max(kLeast, std::min(mtu_bytes, kMtuMost) + kBesideMtu));
}

namespace {

// The driver's own rings of 512 frames overflow where a worker has to wait for its CPU: packets are
// lost, and nothing counts them.
std::string packet_socket_rings(uint32_t mtu_bytes)
{
    constexpr uint32_t kRingBytes = 8U << 20;
    const uint32_t room = frame_room_bytes(mtu_bytes);
    std::string arguments = ",framecnt=" + std::to_string(kRingBytes / room);
    if (room > frame_room_bytes(0)) {
        // The driver wants blocks of whole pages.
        arguments += ",framesz=" + std::to_string(room) +
                     ",blocksz=" + std::to_string(std::max<uint32_t>(room, 4096));
    }
    return arguments;
}

}  // namespace

Device device_of(const PortOption &port, uint32_t index, uint32_t queues, uint32_t mtu_bytes)
{
    Device device;
    std::string_view devargs = port.devargs;
    for (const std::string_view bus : {"pci:", "vdev:"}) {
        if (devargs.starts_with(bus)) {
            devargs.remove_prefix(bus.size());
        }
    }
    const auto name = before(devargs, ',');
    std::string arguments(devargs.substr(name.size()));
    device.name = name;
    device.is_pci = is_pci_address(name);
    if (!device.is_pci) {
        if (name.empty() || name.back() < '0' || name.back() > '9') {
            device.name += std::to_string(index);
        }
        const bool af_packet =
            name.starts_with("net_af_packet") || name.starts_with("eth_af_packet");
        const bool af_xdp = name.starts_with("net_af_xdp");
        device.kind = af_packet ? PortKind::kShared
                      : af_xdp  ? PortKind::kDiverted
                                : PortKind::kOwned;
        if ((af_packet || af_xdp) && !gives(arguments, "iface")) {
            arguments += ",iface=" + port.interface;
        }
        if (af_packet && queues > 1 && !gives(arguments, "qpairs")) {
            arguments += ",qpairs=" + std::to_string(queues);
        }
        if (af_packet && !gives(arguments, "framesz") && !gives(arguments, "blocksz") &&
            !gives(arguments, "framecnt")) {
            arguments += packet_socket_rings(mtu_bytes);
        }
    }
    device.devargs = device.name + arguments;
    return device;
}

}  // namespace guideway::dpdk
