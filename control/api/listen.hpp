// A listening Unix socket that replaces what a dead daemon left, and nothing else.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "dataplane/error.hpp"

namespace guideway::api {

// Owns the descriptor and the name in the file system. The name is removed with it, unless
// somebody has put another file there since.
class ListeningSocket {
  public:
    [[nodiscard]] static Result<ListeningSocket> open(std::filesystem::path path);

    ListeningSocket(ListeningSocket &&other) noexcept;
    ListeningSocket &operator=(ListeningSocket &&) = delete;
    ~ListeningSocket();

    // The descriptor is the caller's from now on; the name stays this object's.
    [[nodiscard]] int release_descriptor();

  private:
    ListeningSocket(std::filesystem::path path, int descriptor);

    std::filesystem::path path_;
    int descriptor_ = -1;
    dev_t device_ = 0;
    ino_t inode_ = 0;  // 0: no name to remove
};

}  // namespace guideway::api
