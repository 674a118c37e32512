// What a configuration asks of the engine: the words that it is started with.
#include <algorithm>
#include <filesystem>
#include <string>

#include "control/daemon/engine.hpp"

namespace guideway::daemon {
namespace {

template <size_t N>
std::string name_of(const std::string_view (&names)[N], auto value)
{
    return std::string(names[static_cast<size_t>(value)]);
}

}  // namespace

std::filesystem::path engine_program()
{
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    const auto in_build_tree = self.parent_path().parent_path() / "dataplane/guideway-dpdk";
    return std::filesystem::exists(in_build_tree, error) ? in_build_tree
                                                         : self.parent_path() / "guideway-dpdk";
}

EngineWish engine_wish(const model::Desired &desired, const EnginePlace &place)
{
    const auto &dpdk = desired.dpdk;
    EngineWish wish{
        .arguments = {"--instance=" + desired.instance, "--bpffs=" + place.bpf_mount.native(),
                      "--run-dir=" + place.run_directory.native()},
        .is_external = dpdk.start == model::EngineStart::kExternal,
        .interfaces = desired.interfaces,
        .memory_mib = dpdk.memory_mib};
    auto &arguments = wish.arguments;
    for (const auto &interface : desired.interfaces) {
        const auto port =
            std::ranges::find(dpdk.ports, interface, &model::EnginePort::interface);
        arguments.push_back(
            "--port=" + interface + "=" +
            (port == dpdk.ports.end() ? std::string(model::kDeviceDefault) : port->device));
    }
    arguments.push_back("--workers=" + std::to_string(dpdk.workers));
    std::string cores;
    for (const uint32_t core : dpdk.cores) {
        cores += (cores.empty() ? "" : ",") + std::to_string(core);
    }
    if (!cores.empty()) {
        arguments.push_back("--cores=" + cores);
    }
    if (dpdk.queues != 0) {
        arguments.push_back("--queues=" + std::to_string(dpdk.queues));
    }
    arguments.push_back("--memory=" + std::to_string(dpdk.memory_mib));
    arguments.push_back("--hugepages=" + name_of(model::kHugepagesNames, dpdk.hugepages));
    arguments.push_back("--idle=" + name_of(model::kIdleNames, dpdk.idle));
    arguments.push_back("--log-format=" + place.log_format);
    arguments.push_back("--log-level=" + place.log_level);
    return wish;
}

}  // namespace guideway::daemon
