#include "xdp/instance_pins.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "xdp/kernel_objects.hpp"
#include "xdp/region.hpp"

namespace guideway::xdp {
namespace {

constexpr std::string_view kProgramPinPrefix = "program-";

std::vector<std::filesystem::path> pins_with_prefix(const std::filesystem::path &directory,
                                                    std::string_view prefix)
{
    std::vector<std::filesystem::path> pins;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().filename().native().starts_with(prefix)) {
            pins.push_back(entry.path());
        }
    }
    return pins;
}

}  // namespace

// BPF file systems refuse dots in names, and VLAN devices have them in theirs.
std::string program_pin_name(const std::string &interface)
{
    std::string name(kProgramPinPrefix);
    for (const char c : interface) {
        name += c == '.' ? "%2e" : c == '%' ? "%25" : std::string(1, c);
    }
    return name;
}

Ownership ownership_of(const std::filesystem::path &pin_directory)
{
    Ownership ownership;
    for (const auto *name : {kRegionPin, kFormerRegionPin}) {
        const Descriptor region(bpf_obj_get((pin_directory / name).c_str()));
        if (region.valid()) {
            ownership.region_map_ids.insert(map_id(region.get()));
        }
    }
    for (const auto &pin : pins_with_prefix(pin_directory, kProgramPinPrefix)) {
        if (auto program = program_of_pin(pin)) {
            ownership.pinned_ids.insert(program->id);
        }
    }
    return ownership;
}

void drop_program_pins_except(const std::filesystem::path &pin_directory,
                              const std::set<std::string> &kept)
{
    std::set<std::string> names;
    for (const auto &interface : kept) {
        names.insert(program_pin_name(interface));
    }
    for (const auto &pin : pins_with_prefix(pin_directory, kProgramPinPrefix)) {
        if (!names.contains(pin.filename().native())) {
            unlink(pin.c_str());
        }
    }
    for (const auto &pin : pins_with_prefix(pin_directory, kInterimPinPrefix)) {
        unlink(pin.c_str());  // left by one who was killed
    }
}

namespace {

// "net:[NUMBER]", of the calling thread.
Result<std::string> network_namespace()
{
    static constexpr auto kSelf = "/proc/thread-self/ns/net";
    std::error_code error;
    const auto target = std::filesystem::read_symlink(kSelf, error);
    if (error) {
        return std::unexpected(Error::system("read", kSelf, error.value()));
    }
    return target.native();
}

}  // namespace

// A link, because a BPF file system holds no ordinary files.
Result<void> record_namespace(const std::filesystem::path &pin_directory)
{
    auto here = network_namespace();
    if (!here) {
        return std::unexpected(std::move(here.error()));
    }
    const auto record = pin_directory / kNamespaceRecord;
    unlink(record.c_str());
    if (symlink(here->c_str(), record.c_str()) != 0) {
        return std::unexpected(Error::system("make the link", record.native()));
    }
    return {};
}

// Whether a namespace elsewhere still exists cannot be known, so this is for the operator.
Result<void> check_namespace(const std::filesystem::path &pin_directory, std::string_view what)
{
    std::error_code no_record;
    const auto there =
        std::filesystem::read_symlink(pin_directory / kNamespaceRecord, no_record);
    if (no_record) {
        return {};  // nothing was attached
    }
    auto here = network_namespace();
    if (!here) {
        return std::unexpected(std::move(here.error()));
    }
    if (there != *here) {
        return fail("the programs of " + pin_directory.native() +
                    " are on interfaces of another network namespace, " + there.native() +
                    " (this is " + *here + "): " + std::string(what) +
                    " there (nsenter --net=…); if that " +
                    "namespace is gone, so are its programs, and 'rm -r " +
                    pin_directory.native() + "' removes what is left of them");
    }
    return {};
}

}  // namespace guideway::xdp
