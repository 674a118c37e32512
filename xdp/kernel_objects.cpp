#include "xdp/kernel_objects.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <sstream>

namespace guideway::xdp {

bool Program::uses_map(uint32_t map_id) const
{
    return std::ranges::find(map_ids, map_id) != map_ids.end();
}

Result<Program> program_of_descriptor(Descriptor fd)
{
    std::array<uint32_t, 64> map_ids{};
    bpf_prog_info info{};
    info.nr_map_ids = map_ids.size();
    info.map_ids = reinterpret_cast<uintptr_t>(map_ids.data());
    uint32_t info_bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &info_bytes) != 0) {
        return std::unexpected(Error::system("read about", "a BPF program"));
    }
    const size_t maps = std::min<size_t>(info.nr_map_ids, map_ids.size());
    return Program{
        std::move(fd), info.id, info.name, {map_ids.begin(), map_ids.begin() + maps}};
}

Result<Program> program_of_id(uint32_t id)
{
    Descriptor fd(bpf_prog_get_fd_by_id(id));
    if (!fd.valid()) {
        return std::unexpected(Error::system("open BPF program", std::to_string(id)));
    }
    return program_of_descriptor(std::move(fd));
}

Result<Program> program_of_pin(const std::filesystem::path &pin)
{
    Descriptor fd(bpf_obj_get(pin.c_str()));
    if (!fd.valid()) {
        return std::unexpected(Error::system("open the pinned program", pin.native()));
    }
    return program_of_descriptor(std::move(fd));
}

Result<void> pin_replacing(int fd, const std::filesystem::path &pin)
{
    std::filesystem::path interim = pin;
    interim.replace_filename(std::string(kInterimPinPrefix) + pin.filename().native());
    unlink(interim.c_str());  // left by one who was killed here
    if (bpf_obj_pin(fd, interim.c_str()) != 0) {
        return std::unexpected(Error::system("pin", interim.native()));
    }
    if (rename(interim.c_str(), pin.c_str()) != 0) {
        auto error = Error::system("pin", pin.native());
        unlink(interim.c_str());
        return std::unexpected(std::move(error));
    }
    return {};
}

namespace {

bool is_bpf_file_system(const std::filesystem::path &path)
{
    struct statfs facts{};
    return statfs(path.c_str(), &facts) == 0 &&
           static_cast<uint64_t>(facts.f_type) == BPF_FS_MAGIC;
}

// The nearest ancestor that exists decides; /sys/fs/bpf is mounted when it is not yet.
Result<void> ensure_bpf_file_system(const std::filesystem::path &pin_directory)
{
    static constexpr auto kMountPoint = "/sys/fs/bpf";
    std::filesystem::path existing = pin_directory;
    std::error_code ignored;
    while (!existing.empty() && existing != existing.root_path() &&
           !std::filesystem::exists(existing, ignored)) {
        existing = existing.parent_path();
    }
    if (is_bpf_file_system(existing)) {
        return {};
    }
    if (existing != kMountPoint) {
        return fail("cannot pin under " + pin_directory.native() + ": " + existing.native() +
                    " is not in a BPF file system; use a directory below " + kMountPoint);
    }
    if (mount("bpf", kMountPoint, "bpf", 0, "mode=0700") != 0) {
        return std::unexpected(Error::system("mount the BPF file system on", kMountPoint));
    }
    return {};
}

}  // namespace

Result<Descriptor> lock_pin_directory(const std::filesystem::path &pin_directory)
{
    if (auto mounted = ensure_bpf_file_system(pin_directory); !mounted) {
        return std::unexpected(std::move(mounted.error()));
    }
    std::error_code error;
    std::filesystem::create_directories(pin_directory, error);
    if (error) {
        return std::unexpected(
            Error::system("make the directory", pin_directory.native(), error.value()));
    }
    Descriptor fd(open(pin_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
        return std::unexpected(Error::system("open the directory", pin_directory.native()));
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return fail(
                "another process holds " + pin_directory.native() +
                ": this instance already runs; stop it or choose another instance name");
        }
        return std::unexpected(Error::system("lock", pin_directory.native()));
    }
    // The holder before us may have removed the directory between our open and our lock.
    struct stat opened{};
    struct stat named{};
    if (fstat(fd.get(), &opened) != 0 || stat(pin_directory.c_str(), &named) != 0 ||
        opened.st_ino != named.st_ino) {
        return lock_pin_directory(pin_directory);
    }
    return fd;
}

namespace {

std::vector<std::string> &transcript_lines()
{
    static thread_local std::vector<std::string> lines;
    return lines;
}

void transcript_add(const char *format, va_list arguments)
{
    va_list measured;
    va_copy(measured, arguments);
    const int bytes = std::vsnprintf(nullptr, 0, format, measured);
    va_end(measured);
    std::string text(static_cast<size_t>(std::max(bytes, 0)) + 1, '\0');
    std::vsnprintf(text.data(), text.size(), format, arguments);
    // A verifier log comes as one message of many lines.
    std::istringstream lines(text.c_str());
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) {
            transcript_lines().push_back(std::move(line));
        }
    }
}

int add_from_libbpf(libbpf_print_level level, const char *format, va_list arguments)
{
    if (level == LIBBPF_WARN) {
        transcript_add(format, arguments);
    }
    return 0;
}

int add_from_libxdp(libxdp_print_level level, const char *format, va_list arguments)
{
    if (level == LIBXDP_WARN) {
        transcript_add(format, arguments);
    }
    return 0;
}

}  // namespace

Transcript::Transcript()
{
    transcript_lines().clear();
    libbpf_set_print(add_from_libbpf);
    libxdp_set_print(add_from_libxdp);
}

Transcript::~Transcript()
{
    transcript_lines().clear();
}

std::string Transcript::reason() const
{
    static constexpr std::string_view kKernel = "Kernel error message: ";
    static constexpr std::string_view kLibrary = "libbpf: ";
    std::string_view verifier;
    bool in_log = false;
    for (const std::string_view line : transcript_lines()) {
        if (const auto at = line.find(kKernel); at != std::string_view::npos) {
            return " (" + std::string(line.substr(at + kKernel.size())) + ")";
        }
        if (line.ends_with("-- BEGIN PROG LOAD LOG --")) {
            in_log = true;
        } else if (line.starts_with("-- END PROG LOAD LOG --")) {
            in_log = false;
        } else if (in_log && !line.starts_with("processed ")) {
            verifier = line;  // the last one says what was wrong
        }
    }
    if (!verifier.empty()) {
        return " (the verifier: " + std::string(verifier) + ")";
    }
    if (transcript_lines().empty()) {
        return "";
    }
    std::string_view first = transcript_lines().front();
    if (first.starts_with(kLibrary)) {
        first.remove_prefix(kLibrary.size());
    }
    return " (" + std::string(first) + ")";
}

const std::vector<std::string> &Transcript::lines() const
{
    return transcript_lines();
}

}  // namespace guideway::xdp
