#include "xdp/loaded_program.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>

#include "guideway.skel.h"
#include "xdp/kernel_objects.hpp"

namespace guideway::xdp {

void LoadedProgram::Close::operator()(guideway_bpf *skeleton) const
{
    guideway_bpf::destroy(skeleton);
}

Result<LoadedProgram> LoadedProgram::open(const Tables &tables, int region_fd,
                                          uint32_t generation, const FormerPins *former)
{
    const Transcript transcript;
    LoadedProgram program(guideway_bpf::open());
    if (!program.skeleton_) {
        auto error = Error::system("open", "the XDP program's object");
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    auto &constants = *program.skeleton_->rodata;
    constants.gw_layout_constants = tables.layout();
    constants.gw_generation_constant = generation;
    constants.gw_tick_ns_constant = tables.header().tick_ns;
    if (former != nullptr) {
        constants.gw_former_constants.pins_offset = former->offset;
        constants.gw_former_constants.pin_buckets_mask = former->buckets - 1;
    }
    // Without former tables that map is not read, and needs only be one.
    if (bpf_map__reuse_fd(program.skeleton_->maps.gw_region, region_fd) != 0 ||
        bpf_map__reuse_fd(program.skeleton_->maps.gw_former,
                          former != nullptr ? former->region_fd : region_fd) != 0) {
        auto error = Error::system("give the tables to", "the XDP program");
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    return program;
}

Result<void> LoadedProgram::load()
{
    const Transcript transcript;
    const int result = guideway_bpf::load(skeleton_.get());
    if (result != 0) {
        auto error = Error::system("load", "the XDP program", -result);
        error.message += transcript.reason();
        return std::unexpected(std::move(error));
    }
    return {};
}

int LoadedProgram::fd() const
{
    return bpf_program__fd(skeleton_->progs.guideway);
}

uint32_t LoadedProgram::id() const
{
    bpf_prog_info info{};
    uint32_t info_bytes = sizeof(info);
    return bpf_obj_get_info_by_fd(fd(), &info, &info_bytes) == 0 ? info.id : 0;
}

bpf_object *LoadedProgram::object() const
{
    return skeleton_->obj;
}

}  // namespace guideway::xdp
