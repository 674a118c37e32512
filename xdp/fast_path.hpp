// The XDP engine as the daemon sees it: the pinned tables and the program on interfaces.
//
// Pinned under PIN_DIRECTORY (in bpffs), and outliving the daemon:
//   region              the tables
//   region-former       those that they are replacing, until that is done (replacement.hpp)
//   program-IFNAME      the program attached to that interface
//   netns               a symbolic link whose target is the number of the network namespace
//                       that these interfaces are in
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"
#include "dataplane/tables/workers.hpp"

namespace guideway::xdp {

enum class Mode : uint8_t { kNative, kGeneric };
enum class Attachment : uint8_t { kAlone, kDispatcher };

struct AttachedInterface {
    std::string name;
    uint32_t ifindex = 0;
    Mode mode = Mode::kNative;
    Attachment attachment = Attachment::kAlone;
    uint32_t program_id = 0;
    std::string note;  // why alone rather than through the dispatcher; empty otherwise
};

class FastPath {
  public:
    struct Options {
        std::filesystem::path pin_directory;  // /sys/fs/bpf/guideway/INSTANCE
        gw_capacity capacity{};
        gw_hash_key hash_key{};
        // For an engine that has mapped the tables: theirs are other workers than the kernel's.
        SettleWorkers settle_workers = guideway::settle_workers;
    };

    // Mounts bpffs if need be, takes the instance's lock (flock on the pin directory; a
    // second holder is refused), and adopts the pinned region or makes a new one. A pinned
    // region of another capacity or another build's layout is replaced by one of ours, with all
    // that it holds, and the programs by ours, while packets are forwarded; attach() then.
    // One of another ABI or key is an error that says what to do, and so is one whose content
    // does not fit; the fast path then goes on as it was.
    [[nodiscard]] static Result<FastPath> open(const Options &options);

    // The same for an open one. tables() are others afterwards: what was built on them must be
    // built again. An error means that nothing has changed.
    [[nodiscard]] Result<void> resize(const gw_capacity &capacity);

    // Makes exactly `interfaces` carry this build's program: loads it as the next
    // generation, puts it on every interface (replacing our older one without a gap,
    // refusing an interface that carries somebody else's program where the dispatcher
    // cannot be used), lets the new generation act, and only then removes the old program
    // and the interfaces no longer listed.
    // An error means that what was there goes on unchanged. Once the new programs act there
    // is no way back and no error: what could not be cleaned up is in remains().
    [[nodiscard]] Result<void> attach(const std::vector<std::string> &interfaces, Mode mode);

    // Removes our program everywhere and the pins. The tables stay mapped until destruction.
    // Where it fails for some interfaces, the others are done: the error names both, and
    // interfaces() says what still carries our program. The tables stay pinned then.
    [[nodiscard]] Result<std::vector<std::string>> detach();

    // The same for an instance that no daemon holds, also when its tables cannot be adopted
    // because another build or other sizes made them. Returns the interfaces' names. Refused
    // outside the network namespace of those interfaces: dropping the pins there would leave
    // programs attached that nobody can recognise any more.
    [[nodiscard]] static Result<std::vector<std::string>> remove(
        const std::filesystem::path &pin_directory);

    [[nodiscard]] const std::vector<AttachedInterface> &interfaces() const;

    // What the last attach() could not clean up after the new programs acted, a line each for
    // the operator: an interface that is no longer listed and may still forward, a former
    // program left in a dispatcher, a pin that could not be made. The next attach(), of the
    // same interfaces or others, tries again.
    [[nodiscard]] const std::vector<std::string> &remains() const;

    // Whether interfaces() is still true: no interface was deleted, made anew under its name,
    // or had its program removed or exchanged by hand. A few system calls an interface. When
    // false, attach() repairs it. What cannot be read counts as unchanged.
    [[nodiscard]] bool intact() const;

    [[nodiscard]] Tables &tables();
    [[nodiscard]] int region_fd() const;  // of the map that holds them, for other programs
    [[nodiscard]] bool adopted() const;   // the region was there before open()
    [[nodiscard]] const std::string &moved() const;  // in words, for the log; empty: nothing
    [[nodiscard]] uint32_t generation() const;

    FastPath(FastPath &&) noexcept;
    FastPath &operator=(FastPath &&) noexcept;
    ~FastPath();  // leaves program and pins in place: the fast path goes on

  private:
    struct State;
    explicit FastPath(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace guideway::xdp
