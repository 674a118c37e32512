// guideway-decap: puts the decapsulator on a gateway's network device.
#include <bpf/libbpf.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tools/decap/decap.hpp"

namespace {

using guideway::Error;
using guideway::decap::Address;
using guideway::decap::Mode;
using guideway::decap::Status;

constexpr int kExitFailed = 1;

struct Outcome {
    const char *name;
    const char *verdict;
    const char *meaning;
};

constexpr Outcome kOutcomes[] = {
#define DECAP_OUTCOME_ROW(constant, name, verdict, meaning) {name, verdict, meaning},
    DECAP_OUTCOME_LIST(DECAP_OUTCOME_ROW)
#undef DECAP_OUTCOME_ROW
};

int report(const Error &error)
{
    std::cerr << "guideway-decap: " << error.message << "\n";
    return kExitFailed;
}

std::string join(const std::vector<Address> &addresses)
{
    std::string text;
    for (const Address &address : addresses) {
        text += (text.empty() ? "" : ", ") + address.to_string();
    }
    return text;
}

void print_status(const Status &status)
{
    std::cout << status.device << ": decapsulator attached, " << to_string(status.mode)
              << " XDP, program " << status.program_id << "\n  takes packets to "
              << join(status.addresses) << "\n";
    if (!status.addresses_missed.empty()) {
        std::cout << "  the device has since got " << join(status.addresses_missed)
                  << "; attach again to take packets to it too\n";
    }
    std::cout << "\n  packets       verdict  reason\n";
    for (size_t i = 0; i < DECAP_OUTCOMES; i++) {
        if (status.packets[i] == 0 && i != DECAP_DECAPSULATED) {
            continue;
        }
        char line[256];
        std::snprintf(line, sizeof(line), "  %-12llu  %-7s  %s: %s\n",
                      static_cast<unsigned long long>(status.packets[i]), kOutcomes[i].verdict,
                      kOutcomes[i].name, kOutcomes[i].meaning);
        std::cout << line;
    }
}

void print_status_json(const Status &status)
{
    auto texts = [](const std::vector<Address> &addresses) {
        nlohmann::json list = nlohmann::json::array();
        for (const Address &address : addresses) {
            list.push_back(address.to_string());
        }
        return list;
    };
    nlohmann::json outcomes = nlohmann::json::array();
    for (size_t i = 0; i < DECAP_OUTCOMES; i++) {
        outcomes.push_back({{"name", kOutcomes[i].name},
                            {"verdict", kOutcomes[i].verdict},
                            {"packets", status.packets[i]},
                            {"meaning", kOutcomes[i].meaning}});
    }
    nlohmann::json body = {{"device", status.device},
                           {"mode", to_string(status.mode)},
                           {"program_id", status.program_id},
                           {"addresses", texts(status.addresses)},
                           {"addresses_missed", texts(status.addresses_missed)},
                           {"outcomes", outcomes}};
    std::cout << body.dump(2) << "\n";
}

int run_attach(const std::string &device, bool generic, const std::vector<std::string> &texts)
{
    std::vector<Address> addresses;
    for (const std::string &text : texts) {
        auto address = Address::parse(text);
        if (!address) {
            return report(std::move(address.error()).within("--address"));
        }
        addresses.push_back(*address);
    }
    Mode mode = generic ? Mode::kGeneric : Mode::kNative;
    auto attached = guideway::decap::attach(device, mode, addresses);
    if (!attached) {
        return report(attached.error());
    }
    std::cout << device << ": decapsulator " << (attached->replaced ? "replaced" : "attached")
              << ", " << to_string(mode) << " XDP, takes packets to "
              << join(attached->status.addresses) << "\n";
    return 0;
}

int run_detach(const std::string &device)
{
    auto detached = guideway::decap::detach(device);
    if (!detached) {
        return report(detached.error());
    }
    std::cout << device << ": decapsulator detached\n";
    return 0;
}

int run_status(const std::string &device, bool json)
{
    auto status = guideway::decap::status(device);
    if (!status) {
        return report(status.error());
    }
    json ? print_status_json(*status) : print_status(*status);
    return 0;
}

}  // namespace

int main(int argc, char **argv)
{
    // Our own errors say what libbpf would say, in one line.
    libbpf_set_print([](libbpf_print_level, const char *, va_list) { return 0; });

    CLI::App app{
        "Takes the outer header off IP-in-IP packets that a load balancer sends to this host.\n"
        "Exit status: 0 done, 1 failed with one line on standard error, 2 and above: bad "
        "arguments."};
    app.name("guideway-decap");
    app.require_subcommand(1);

    std::string device;
    bool generic = false;
    bool json = false;
    std::vector<std::string> addresses;

    CLI::App *attach = app.add_subcommand(
        "attach", "attach to DEV, for packets tunnelled to DEV's own addresses");
    attach->add_option("device", device, "network device")->required()->type_name("DEV");
    attach->add_flag("--generic", generic,
                     "generic XDP, for devices whose driver has no native XDP (slower)");
    attach
        ->add_option("--address", addresses,
                     "take packets tunnelled to this address too, such as one on lo")
        ->type_name("ADDRESS");

    CLI::App *detach = app.add_subcommand("detach", "take the decapsulator off DEV");
    detach->add_option("device", device, "network device")->required()->type_name("DEV");

    CLI::App *status = app.add_subcommand("status", "what the decapsulator on DEV has done");
    status->add_option("device", device, "network device")->required()->type_name("DEV");
    status->add_flag("--json", json, "as a JSON object");

    CLI11_PARSE(app, argc, argv);
    if (attach->parsed()) {
        return run_attach(device, generic, addresses);
    }
    return detach->parsed() ? run_detach(device) : run_status(device, json);
}
