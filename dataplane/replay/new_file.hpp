// A file that is there when it is whole: written beside its place, and moved there at the end.
#pragma once

#include <filesystem>

#include "dataplane/error.hpp"

namespace guideway::replay {

// What the name of a file ends in while it is written.
inline constexpr const char *kUnfinished = ".tmp";
// What is written for `file`: another one beside it, or itself.
[[nodiscard]] std::filesystem::path written_for(const std::filesystem::path &file);

class NewFile {
  public:
    // Fails where it could not be written. What is there and is no regular file, such as a device
    // or a pipe, is written itself.
    [[nodiscard]] static Result<NewFile> create(const std::filesystem::path &file);

    // What is to be opened and written.
    [[nodiscard]] const std::filesystem::path &path() const { return path_; }
    // Moves what has been written to its place.
    [[nodiscard]] Result<void> finish();

    NewFile(NewFile &&other) noexcept;
    NewFile &operator=(NewFile &&) = delete;
    NewFile(const NewFile &) = delete;
    NewFile &operator=(const NewFile &) = delete;
    // Removes what was not finished.
    ~NewFile();

  private:
    NewFile(std::filesystem::path place, std::filesystem::path path);

    std::filesystem::path place_;
    std::filesystem::path path_;
    bool is_pending_;
};

}  // namespace guideway::replay
