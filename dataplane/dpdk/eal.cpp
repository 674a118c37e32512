#include "dataplane/dpdk/eal.hpp"

#include <bpf/libbpf.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <utility>

namespace guideway::dpdk {
namespace {

// Queues, rings and what drivers allocate for themselves.
constexpr uint32_t kDriversMib = 32;
constexpr uint64_t kMib = 1024 * 1024;

struct Said {
    std::mutex mutex;
    std::string error;
};
Said said;

std::string trimmed(std::string_view line)
{
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ' || line.back() == '.')) {
        line.remove_suffix(1);
    }
    while (!line.empty() && line.front() == ' ') {
        line.remove_prefix(1);
    }
    std::string text(line);
    for (char &c : text) {
        c = c == '\n' ? ' ' : c;
    }
    return text;
}

// Drivers begin with the name of their function.
std::string without_function(const std::string &line)
{
    const auto end = line.find("(): ");
    return end == std::string::npos || line.find(' ') < end ? line : line.substr(end + 4);
}

// One call a message: DPDK flushes after each.
ssize_t write_log(void *, const char *text, size_t bytes)
{
    const std::string line = trimmed({text, bytes});
    if (!line.empty()) {
        if (rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_ERR)) {
            const std::lock_guard lock(said.mutex);
            said.error = said.error.empty() ? without_function(line) : said.error;
        }
        spdlog::debug("DPDK: {}", line);
    }
    return static_cast<ssize_t>(bytes);
}

// The driver of AF_XDP brings libbpf and libxdp, which speak on standard error.
template <typename Level>
int write_library_log(Level, const char *format, va_list arguments)
{
    std::array<char, 1024> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    if (const std::string line = trimmed(text.data()); !line.empty()) {
        spdlog::debug("libbpf: {}", line);
    }
    return 0;
}

struct FreePages {
    uint64_t bytes = 0;
    std::string kind;  // of the largest part: "2 MiB hugepages"
};

FreePages free_hugepages()
{
    FreePages all;
    uint64_t largest = 0;
    std::error_code ignored;  // a kernel without hugepages has no such directory
    for (const auto &entry :
         std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
        const std::string name = entry.path().filename();  // hugepages-2048kB
        const uint64_t page_kib = std::strtoull(name.c_str() + name.find('-') + 1, nullptr, 10);
        uint64_t pages = 0;
        std::ifstream(entry.path() / "free_hugepages") >> pages;
        const uint64_t bytes = pages * page_kib * 1024;
        all.bytes += bytes;
        if (bytes > largest) {
            largest = bytes;
            all.kind = (page_kib >= kMib ? std::to_string(page_kib / kMib) + " GiB"
                                         : std::to_string(page_kib / 1024) + " MiB") +
                       " hugepages";
        }
    }
    return all;
}

// The processors that we may run on, as --lcores wants them; all are the one lcore of EAL's, so
// that it binds this thread to none of them. Workers are threads of ours.
std::string lcores()
{
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    std::string list;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &allowed)) {
                list += (list.empty() ? "" : ",") + std::to_string(cpu);
            }
        }
    }
    return "--lcores=0@(" + (list.empty() ? "0" : list) + ")";
}

}  // namespace

void take_over_dpdk_log(bool is_verbose)
{
    static const cookie_io_functions_t functions{
        .read = nullptr, .write = write_log, .seek = nullptr, .close = nullptr};
    // guidewayd's, for a dispatcher of its own; the driver of AF_XDP needs libxdp's programs.
    unsetenv("LIBXDP_OBJECT_PATH");
    libbpf_set_print(write_library_log<libbpf_print_level>);
    libxdp_set_print(write_library_log<libxdp_print_level>);
    FILE *log = fopencookie(nullptr, "w", functions);
    if (log != nullptr) {
        rte_openlog_stream(log);
    }
    rte_log_set_global_level(is_verbose ? RTE_LOG_INFO : RTE_LOG_NOTICE);
}

std::string dpdk_reason()
{
    const std::lock_guard lock(said.mutex);
    return std::exchange(said.error, {});
}

Result<Eal> Eal::start(const Wanted &wanted)
{
    const uint64_t needed_mib = wanted.memory_mib + wanted.memory_mib / 8 + kDriversMib;
    const FreePages pages = free_hugepages();
    const bool are_enough = pages.bytes >= needed_mib * kMib;
    if (wanted.hugepages == Hugepages::kRequire && !are_enough) {
        return fail("--hugepages require: " + std::to_string(needed_mib) +
                    " MiB of hugepages are needed and " + std::to_string(pages.bytes / kMib) +
                    " are free: set vm.nr_hugepages to " + std::to_string(needed_mib / 2) +
                    " or more, lower --memory, or use --hugepages auto");
    }
    const bool use_hugepages = wanted.hugepages != Hugepages::kOff && are_enough;
    std::vector<std::string> arguments = {
        "guideway-dpdk",
        lcores(),
        "-m",
        std::to_string(needed_mib),
        "--no-telemetry",
        "--file-prefix=guideway-" + wanted.instance,
    };
    if (use_hugepages) {
        // In one file each, or it would be too many for a virtio-user.
        arguments.insert(arguments.end(), {"--in-memory", "--single-file-segments"});
    } else {
        arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
    }
    if (wanted.pci_devices.empty()) {
        arguments.insert(arguments.end(), {"--no-pci", "--iova-mode=va"});
    }
    for (const auto &device : wanted.pci_devices) {
        arguments.insert(arguments.end(), {"-a", device});
    }
    std::vector<char *> argv;
    for (auto &argument : arguments) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    // EAL sets the main thread's affinity to that of its lcore, which is what it was.
    if (rte_eal_init(static_cast<int>(arguments.size()), argv.data()) < 0) {
        const std::string system = rte_strerror(rte_errno);
        const std::string reason = dpdk_reason();
        return fail("cannot start DPDK with " + std::to_string(needed_mib) + " MiB of " +
                    (use_hugepages ? pages.kind : "4 KiB pages") + ": " +
                    (reason.empty() ? system : reason) +
                    "; free memory or lower --memory, and see that it runs as root");
    }
    // A directory for files of which --in-memory and --no-shconf need none.
    rmdir(rte_eal_get_runtime_dir());
    return Eal(use_hugepages ? pages.kind : "4 KiB pages");
}

Eal::Eal(Eal &&other) noexcept : memory_(std::exchange(other.memory_, {})) {}

Eal::~Eal()
{
    if (!memory_.empty()) {
        rte_eal_cleanup();
    }
}

}  // namespace guideway::dpdk
