// This build's XDP program, opened with its constants set and sharing the instance's tables.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/error.hpp"
#include "dataplane/tables/tables.hpp"

struct bpf_object;
struct guideway_bpf;

namespace guideway::xdp {

class LoadedProgram {
  public:
    // Where pins are that were not moved yet to the tables it is opened for.
    struct FormerPins {
        int region_fd = -1;
        uint32_t offset = 0;
        uint32_t buckets = 0;  // a power of two
    };

    // Opens the object for the tables in `region_fd`. Nothing is in the kernel yet.
    [[nodiscard]] static Result<LoadedProgram> open(const Tables &tables, int region_fd,
                                                    uint32_t generation,
                                                    const FormerPins *former = nullptr);

    // Has the kernel verify and keep it, as an XDP program of its own.
    [[nodiscard]] Result<void> load();

    [[nodiscard]] int fd() const;
    [[nodiscard]] uint32_t id() const;  // 0 before it is loaded
    [[nodiscard]] bpf_object *object() const;

  private:
    struct Close {
        void operator()(guideway_bpf *skeleton) const;
    };
    explicit LoadedProgram(guideway_bpf *skeleton) : skeleton_(skeleton) {}
    std::unique_ptr<guideway_bpf, Close> skeleton_;
};

}  // namespace guideway::xdp
