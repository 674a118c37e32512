// The kernel's objects as this library holds them: descriptors, programs, pins, and the
// words the kernel and libbpf said last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/descriptor.hpp"
#include "dataplane/error.hpp"

namespace guideway::xdp {

// A loaded BPF program, held so that its id cannot be given to another.
struct Program {
    Descriptor fd;
    uint32_t id = 0;
    std::string name;
    std::vector<uint32_t> map_ids;

    [[nodiscard]] bool uses_map(uint32_t map_id) const;
};

// The program behind a descriptor, an id or a pin.
[[nodiscard]] Result<Program> program_of_descriptor(Descriptor fd);
[[nodiscard]] Result<Program> program_of_id(uint32_t id);
[[nodiscard]] Result<Program> program_of_pin(const std::filesystem::path &pin);

// Pins `fd` as `pin`, replacing what was pinned there in one step. Meanwhile there is a pin
// with this in front of its name.
inline constexpr std::string_view kInterimPinPrefix = "pinning-";
[[nodiscard]] Result<void> pin_replacing(int fd, const std::filesystem::path &pin);

// Makes sure that a BPF file system is mounted above `pin_directory`, makes the directory,
// and takes its lock. The lock is on the directory itself, because that is what two daemons
// that would disturb each other share, whatever their containers show of /run.
[[nodiscard]] Result<Descriptor> lock_pin_directory(const std::filesystem::path &pin_directory);

// Collects what libbpf and libxdp print while it lives, so that an error can end with the
// kernel's own words. One at a time; nothing is printed meanwhile.
class Transcript {
  public:
    Transcript();
    ~Transcript();
    Transcript(const Transcript &) = delete;
    Transcript &operator=(const Transcript &) = delete;

    // " (THE WORDS)" of the last kernel message or warning, or nothing.
    [[nodiscard]] std::string reason() const;
    [[nodiscard]] const std::vector<std::string> &lines() const;
};

}  // namespace guideway::xdp
