#include "control/model/validate_engine.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace guideway::model {
namespace {

std::string indexed(const char *list, size_t index)
{
    return std::string(list) + "[" + std::to_string(index) + "]";
}

// What DPDK takes as device arguments and one line of text can say.
bool is_device(std::string_view text)
{
    const auto is_plain = [](char c) { return c > ' ' && c < 0x7f; };
    const auto is_alphanumeric = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    };
    return !text.empty() && text.size() <= kDeviceBytesMax && is_alphanumeric(text.front()) &&
           std::ranges::all_of(text, is_plain);
}

class EngineValidator {
  public:
    EngineValidator(const Desired &desired, std::vector<Violation> &violations)
        : desired_(desired), violations_(violations)
    {
    }

    void run()
    {
        check_bound("dpdk.workers", desired_.dpdk.workers, 1, kEngineWorkersMax, "");
        check_bound("dpdk.memory", desired_.dpdk.memory_mib, kEngineMemoryMinMib,
                    kEngineMemoryMaxMib, "MiB");
        if (desired_.dpdk.queues > desired_.dpdk.workers) {
            report("dpdk.queues",
                   "a port has " + std::to_string(desired_.dpdk.queues) + " queues for " +
                       std::to_string(desired_.dpdk.workers) + " workers",
                   "at most as many queues as workers: each is served by one");
        }
        check_cores();
        check_interfaces();
        check_ports();
    }

  private:
    void report(std::string path, std::string message, std::string hint,
                std::string related = {})
    {
        violations_.push_back(
            {std::move(path), std::move(message), std::move(hint), std::move(related)});
    }

    void check_bound(const std::string &path, uint32_t value, uint32_t least, uint32_t most,
                     const std::string &unit)
    {
        if (value < least || value > most) {
            report(
                path, path + " is " + std::to_string(value) + unit,
                "from " + std::to_string(least) + unit + " to " + std::to_string(most) + unit);
        }
    }

    void check_cores();
    void check_interfaces();
    void check_ports();

    const Desired &desired_;
    std::vector<Violation> &violations_;
};

void EngineValidator::check_cores()
{
    const auto &cores = desired_.dpdk.cores;
    if (!cores.empty() && cores.size() != desired_.dpdk.workers) {
        report("dpdk.cores",
               std::to_string(cores.size()) + (cores.size() == 1 ? " core is" : " cores are") +
                   " given for " + std::to_string(desired_.dpdk.workers) + " workers",
               "one for each worker, or none");
    }
    std::map<uint32_t, size_t> seen;
    for (size_t i = 0; i < cores.size(); i++) {
        const std::string path = indexed("dpdk.cores", i);
        if (cores[i] > kCoreMax) {
            report(path, "there is no core " + std::to_string(cores[i]),
                   "a CPU's number, from 0 to " + std::to_string(kCoreMax));
        } else if (const auto [at, is_new] = seen.emplace(cores[i], i); !is_new) {
            report(path, "core " + std::to_string(cores[i]) + " is given twice",
                   "a core of its own for each worker", indexed("dpdk.cores", at->second));
        }
    }
}

void EngineValidator::check_interfaces()
{
    if (desired_.interfaces.size() > kEnginePortsMax) {
        report(indexed("interfaces", kEnginePortsMax),
               "there are " + std::to_string(desired_.interfaces.size()) + " interfaces",
               "at most " + std::to_string(kEnginePortsMax) + " with engine dpdk");
    }
    for (size_t i = 0; i < desired_.interfaces.size(); i++) {
        if (desired_.interfaces[i].contains('=')) {
            report(indexed("interfaces", i),
                   "the interface " + quoted(desired_.interfaces[i]) + " has '=' in its name",
                   "another name, such as by ip link set … name …: engine dpdk is told "
                   "INTERFACE=DEVICE");
        }
    }
}

void EngineValidator::check_ports()
{
    std::map<std::string, size_t> seen;
    const auto &ports = desired_.dpdk.ports;
    for (size_t i = 0; i < ports.size(); i++) {
        const std::string path = indexed("dpdk.ports", i);
        if (!ports[i].interface.empty()) {  // a missing one is reported where it is read
            if (std::ranges::find(desired_.interfaces, ports[i].interface) ==
                desired_.interfaces.end()) {
                report(path + ".interface",
                       quoted(ports[i].interface) + " is not one of the interfaces",
                       "add it to interfaces, or leave this port out");
            } else if (const auto [at, is_new] = seen.emplace(ports[i].interface, i); !is_new) {
                report(path + ".interface",
                       "the interface " + quoted(ports[i].interface) + " has two ports",
                       "keep one", indexed("dpdk.ports", at->second) + ".interface");
            }
        }
        if (!is_device(ports[i].device)) {
            report(path + ".device", quoted(ports[i].device) + " cannot be a device of DPDK's",
                   "DPDK's device arguments without spaces, at most " +
                       std::to_string(kDeviceBytesMax) +
                       " characters, such as net_af_packet or 0000:01:00.0");
        }
    }
}

}  // namespace

void validate_engine(const Desired &desired, std::vector<Violation> &violations)
{
    if (desired.engine == Engine::kDpdk) {
        EngineValidator(desired, violations).run();
    }
}

}  // namespace guideway::model
