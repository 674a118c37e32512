// The engine page (dataplane/dpdk/engine_page.hpp) as the daemon reads it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "dataplane/dpdk/engine_page.hpp"
#include "dataplane/error.hpp"

namespace guideway::daemon {

class EngineFile {
  public:
    explicit EngineFile(std::filesystem::path path) : path_(std::move(path)) {}

    // What is written there, as of one moment; none where no engine of this version has ever
    // written, or one was killed while it did. It is true of an engine only while that runs.
    [[nodiscard]] std::optional<dpdk::EnginePage> read() const;

    // The process that has written there last, of whatever version; 0: none has.
    [[nodiscard]] uint32_t pid() const;

    // Whether an engine runs: whether somebody holds the file's lock.
    [[nodiscard]] bool is_held() const;

    // That the engine takes its taps away when it is ended, or leaves them.
    [[nodiscard]] Result<void> say_remove_taps(bool remove) const;

    [[nodiscard]] const std::filesystem::path &path() const { return path_; }

  private:
    std::filesystem::path path_;
};

// A text of the page, which ends with a zero byte or with its array.
template <typename Array>
[[nodiscard]] std::string page_text(const Array &text)
{
    const std::string_view all(text.data(), text.size());
    return std::string(all.substr(0, all.find('\0')));
}

}  // namespace guideway::daemon
