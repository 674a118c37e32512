// Runs packet cases on one engine: packet-cases [--engine native|xdp|dpdk] FILE...
#include <iostream>
#include <span>
#include <string_view>

#include "tests/packets/case.hpp"

namespace {

using namespace guideway;
using namespace guideway::packets;

Result<std::unique_ptr<Engine>> engine_of(std::string_view name)
{
    if (name == "native") {
        return native_engine();
    }
    if (name == "xdp") {
        return xdp_engine();
    }
    if (name == "dpdk") {
        auto engine = dpdk_engine();
        if (!engine) {
            return std::unexpected(std::move(engine.error()));
        }
        return std::move(*engine);
    }
    return fail("there is no engine '" + std::string(name) + "': native, xdp or dpdk");
}

// True when every packet of the file met its expectation.
bool run_file(const char *file, Engine &engine)
{
    const auto packet_case = read_case(file);
    if (!packet_case) {
        std::cerr << packet_case.error().message << "\n";
        return false;
    }
    const auto report = run_case(*packet_case, engine);
    std::cout << (report.failures == 0 ? "ok    " : "FAILED ") << packet_case->file << ": "
              << report.packets << " packets";
    if (report.failures != 0) {
        std::cout << ", " << report.failures << " not as expected\n" << report.text;
    }
    std::cout << "\n";
    return report.failures == 0;
}

}  // namespace

int main(int argc, char **argv)
{
    std::span<char *> files(argv + 1, static_cast<size_t>(argc - 1));
    std::string_view engine_name = "native";
    if (files.size() >= 2 && std::string_view(files[0]) == "--engine") {
        engine_name = files[1];
        files = files.subspan(2);
    }
    if (files.empty()) {
        std::cerr << "usage: packet-cases [--engine native|xdp|dpdk] FILE...\n";
        return 2;
    }
    auto engine = engine_of(engine_name);
    if (!engine) {
        std::cerr << "packet-cases: " << engine.error().message << "\n";
        return 1;
    }
    bool ok = true;
    for (const char *file : files) {
        ok = run_file(file, **engine) && ok;
    }
    return ok ? 0 : 1;
}
